package cluster

import (
	"context"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// The raw face is for a process that speaks for others, as the gateway does for Python: tasks come
// encoded, with the numbers that their owner has given them, and ends go out as they arrived. No
// promise is made for them and no value is decoded.

// RawTask is a task in the form in which it travels.
type RawTask struct {
	Args   []byte      // see wire.PackArgs; kept until the task has ended
	Blobs  []tutti.Ref // that Args refer to
	Deps   []tutti.TaskID
	After  []tutti.TaskID
	Follow []tutti.TaskID
	Free   func() // gives up what Args refer to when the task has ended; nil if there is nothing
}

// Sink takes ends of tasks. It is called in the order in which they came, by one goroutine, which
// reads nothing else meanwhile. What o points to may be kept, o itself not.
type Sink interface {
	Settle(n uint64, o *wire.Outcome)
}

// Ear hears what a client is told beside the ends of its tasks. Its methods are called by the
// goroutine that calls its sinks, in one order with them: what a task printed comes before its end.
// While one blocks the controller holds back what further tasks print.
type Ear interface {
	Output(o *wire.Output)                 // of a task whose Work says Echo
	Display(d *wire.Display)               // likewise; a value that is a blob is to be fetched
	Notice(task tutti.TaskID, text string) // a warning
	Heard()                                // that was all for the moment
}

// maxSkip bounds how many numbers of tasks may be left out at once.
const maxSkip = 1 << 20

// SubmitBatch submits tasks of one work, numbered from first on; numbers rise, and those left out
// are never used. The work's Program is its own: "" is not completed. Their ends go to the sink,
// also where the client ends first. It blocks while the cluster has asked for a pause. On an error
// none of the tasks was submitted; kinds Invalid, those of ctx, and why the client ended.
func (c *Client) SubmitBatch(ctx context.Context, w *tutti.Work, first uint64, tasks []RawTask, to Sink) error {
	calls := make([]call, len(tasks))
	sink := sink(rawSink{to})
	for i := range tasks {
		t, cl := &tasks[i], &calls[i]
		if len(t.Args) > mostInside {
			return tooLarge(len(t.Args))
		}
		cl.work, cl.sink, cl.n, cl.tag, cl.free = w, sink, first+uint64(i), first+uint64(i), t.Free
		cl.msg = wire.Task{N: cl.n, Args: t.Args, Blobs: t.Blobs, Deps: t.Deps, After: t.After, Follow: t.Follow}
	}
	return c.box.addAt(ctx, first, calls)
}

// rawSink makes a Sink one of ours.
type rawSink struct{ Sink }

func (s rawSink) settle(n uint64, o *wire.Outcome) { s.Settle(n, o) }

// addAt takes in calls with the numbers from first on.
func (o *outbox) addAt(ctx context.Context, first uint64, calls []call) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed == nil && o.full() {
		if err := o.waitRoom(ctx); err != nil {
			return err
		}
	}
	switch {
	case o.closed != nil:
		return o.closed
	case first <= o.last || tutti.MakeTaskID(o.client, first+uint64(len(calls))).N() < first:
		return tutti.Errorf("submit", tutti.Invalid, "task number %d after %d", first, o.last)
	case !o.open.skip(first):
		return tutti.Errorf("submit", tutti.Invalid, "task number %d after %d leaves out more than %d", first, o.last, maxSkip)
	}
	wake := len(o.queue) == 0
	for i := range calls {
		c := &calls[i]
		o.open.add(c)
		if len(c.msg.Deps)+len(c.msg.After) > 0 {
			o.needs(c, func(d *call) { d.users++ })
		}
		o.enqueue(c)
	}
	o.last = first + uint64(len(calls)) - 1
	if wake {
		o.ready.Broadcast()
	}
	return nil
}

// skip makes n the number that is added next; false if that is too far away.
func (w *window) skip(n uint64) bool {
	if len(w.calls) == 0 {
		w.base = n
		return true
	}
	left := n - (w.base + uint64(len(w.calls)))
	if left > maxSkip {
		return false
	}
	w.calls = append(w.calls, make([]*call, left)...)
	return true
}

// CancelNumbers asks for tasks of this client to stop, by number. It does not wait.
func (c *Client) CancelNumbers(ns ...uint64) { c.box.cancel(c.ids(ns)...) }

// ForgetNumbers gives up the results of tasks of this client, by number.
// The controller hears of it at once: such results may be large.
func (c *Client) ForgetNumbers(ns ...uint64) { c.box.forgetNow(c.ids(ns)...) }

func (c *Client) ids(ns []uint64) []tutti.TaskID {
	ids := make([]tutti.TaskID, len(ns))
	for i, n := range ns {
		ids[i] = tutti.MakeTaskID(c.ID(), n)
	}
	return ids
}

// Sent waits until what was submitted before has been given to the link: what is asked then comes
// after it.
func (c *Client) Sent(ctx context.Context) { c.box.sent(ctx) }

// PutValue keeps the bytes of a value in the node's blob store, where there is one, and gives the
// value that refers to them; free gives them up.
func (c *Client) PutValue(ctx context.Context, v tutti.Value) (ref tutti.Value, free func(), err error) {
	return c.data.Put(ctx, v)
}

// FetchValue gives the bytes of a value, wherever they lie, read-only until release.
func (c *Client) FetchValue(ctx context.Context, v tutti.Value) (data []byte, release func(), err error) {
	if v.Ref.IsZero() {
		return v.Data, func() {}, nil
	}
	return c.data.Get(ctx, v)
}

// RawOutcome waits until a task of anybody has ended, and gives its end as it travels.
func (c *Client) RawOutcome(ctx context.Context, id tutti.TaskID) (*wire.Outcome, error) {
	var data []byte
	if err := c.ask(ctx, "result", wire.TaskName{Task: id}, &data); err != nil {
		return nil, err
	}
	o := new(wire.Outcome)
	if _, err := o.UnmarshalMsg(data); err != nil {
		return nil, tutti.E("read result", tutti.Corrupt, err)
	}
	return o, nil
}

// RawTaskOf encodes a task as this client would submit it: values that are too long for a message
// become blobs.
func (c *Client) RawTaskOf(ctx context.Context, t *tutti.Task) (RawTask, error) {
	var cl call
	if err := c.fill(ctx, &cl, t); err != nil {
		if cl.free != nil {
			cl.free()
		}
		return RawTask{}, err
	}
	m := &cl.msg
	return RawTask{Args: m.Args, Blobs: m.Blobs, Deps: m.Deps, After: m.After, Follow: m.Follow, Free: cl.free}, nil
}
