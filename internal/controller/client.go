package controller

import (
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// client is one client as the loop knows it, for as long as it may come back.
type client struct {
	c       *Controller
	id      tutti.ClientID // 0 for one that only asks questions
	secret  string
	name    string
	program string
	keep    bool       // its tasks go on when it leaves
	link    *wire.Link // nil while it is away
	away    time.Time  // since when
	works   map[uint32]*work
	out     wire.Outcomes
	bytes   int  // of values in out
	dirty   bool // listed in Controller.dirtyC
	echo    echo // what it hears of its tasks
}

// flushBytes is how much an outbox holds before it is sent at once.
const flushBytes = 64 << 10

// mark lists the client for the next flush.
func (cl *client) mark() {
	if !cl.dirty {
		cl.dirty = true
		cl.c.dirtyC = append(cl.c.dirtyC, cl)
	}
}

// tell queues the end of a task.
func (cl *client) tell(o wire.Outcome) {
	if cl.link == nil {
		return // it asks again when it is back
	}
	cl.out.Ends = append(cl.out.Ends, o)
	if cl.bytes += len(o.Value.Data); cl.bytes > flushBytes {
		cl.send()
	}
	cl.mark()
}

// flush sends what is queued.
func (cl *client) flush() {
	cl.dirty = false
	cl.send()
}

func (cl *client) send() {
	if len(cl.out.Ends) == 0 || cl.link == nil {
		return
	}
	post(cl.c, cl.link, wire.KindOutcomes, &cl.out)
	cl.out.Ends, cl.bytes = cl.out.Ends[:0], 0
}

// close ends the link in order.
func (cl *client) close() {
	if cl.link != nil {
		cl.link.Close()
		cl.link = nil
	}
}

// admitClient answers a client's hello: it gives a new client its number, and a returning one its
// old self if it knows the secret.
func (c *Controller) admitClient(l *wire.Link, h wire.ClientHello) *client {
	cl := c.clients[h.Client]
	switch {
	case h.Watch:
		cl = &client{c: c, name: h.Name}
	case cl != nil && cl.secret == h.Secret:
		if cl.link != nil {
			cl.link.Abort("the client has come again over another link")
		}
	default: // new, or of a life of the cluster that is over
		c.lastID++
		cl = &client{c: c, id: c.lastID, secret: newSecret(), name: h.Name, program: h.Program, keep: h.Keep}
		c.clients[cl.id] = cl
		c.rec.clientNew(cl)
		c.publish(tutti.Event{Kind: tutti.ClientJoined, Client: cl.id, Text: h.Name, Engine: tutti.NoEngine, Node: tutti.NoNode})
	}
	cl.link, cl.away, cl.works = l, time.Time{}, map[uint32]*work{}
	cl.out.Ends, cl.bytes, cl.echo.cut = cl.out.Ends[:0], 0, 0
	c.rec.after(func() {
		post(c, l, wire.KindWelcome, &wire.ClientWelcome{
			Client: cl.id, Secret: cl.secret, Cluster: c.cfg.Name, Life: c.life, Epoch: c.epoch,
			Node: tutti.NoNode, Version: c.cfg.Version,
		})
	})
	return cl
}

// clientLeft is called when a client's link has ended: because it closed it, or was silent for
// longer than the link forgives.
func (c *Controller) clientLeft(cl *client, l *wire.Link) {
	if cl.link != l {
		return // it is back already
	}
	cl.link = nil
	c.silence(cl)
	c.dropWaits(cl)
	if l.Stats().Received == 0 && tutti.KindOf(l.Err()) == tutti.Lost {
		cl.away = c.now // perhaps our welcome never came, and it tries again
		return
	}
	c.clientGone(cl)
}

// clientGone ends a client: its interactive tasks are cancelled unless it wished them to go on.
func (c *Controller) clientGone(cl *client) {
	if c.clients[cl.id] != cl {
		return // it only asked questions
	}
	c.publish(tutti.Event{Kind: tutti.ClientLeft, Client: cl.id, Text: cl.name, Engine: tutti.NoEngine, Node: tutti.NoNode})
	c.step(sched.ClientGone{Client: cl.id, Keep: cl.keep})
	c.leaveProgram(cl)
	c.rec.clientGone(cl)
	delete(c.clients, cl.id)
}

// submit takes in a client's tasks.
func (c *Controller) submit(cl *client, m *wire.Submit) {
	if m.Reset {
		clear(cl.works)
	}
	for _, w := range m.Works {
		known, err := c.works.intern(w.Work)
		if err != nil {
			c.cfg.Log.Warn("work refused", "client", cl.id, "err", err)
			continue
		}
		cl.works[w.No] = known
	}
	news := c.news[:0]
	for i := range m.Tasks {
		if n, ok := c.take(cl, &m.Tasks[i], news); ok {
			news = append(news, n)
		}
	}
	if len(news) == 0 {
		return
	}
	c.publish(tutti.Event{Kind: tutti.TasksSubmitted, Client: cl.id, Task: news[0].ID, Count: len(news), Text: news[0].Class.Label, Engine: tutti.NoEngine, Node: tutti.NoNode})
	c.step(sched.Submit{Client: cl.id, Tasks: news})
	clear(news)
	if cap(news) <= 4*batchTasks {
		c.news = news
	}
}

// batchTasks is how many tasks a message of ours has at most.
const batchTasks = 1024

// submits are messages that were taken in, to be decoded into again: their tasks are copied out of
// them, and would otherwise be half of what a queue costs, as garbage.
var submits = sync.Pool{New: func() any { return new(wire.Submit) }}

// usedUp gives a message back. Nothing of it may be seen in the next one, into which others' tasks
// are decoded.
func usedUp(m *wire.Submit) {
	clear(m.Works)
	clear(m.Tasks)
	*m = wire.Submit{Works: m.Works[:0], Tasks: m.Tasks[:0]}
	submits.Put(m)
}

// take makes the record of one task. A task that is known already was sent again by a client that
// was not sure; if it has ended, its end is told again. before are those of the same message.
func (c *Controller) take(cl *client, t *wire.Task, before []sched.NewTask) (n sched.NewTask, ok bool) {
	id := tutti.MakeTaskID(cl.id, t.N)
	if r := c.record(id); r != nil {
		if r.state.Final() {
			c.tellEnd(cl, id, r)
		}
		return n, false
	}
	if c.mind.Forgotten(id) {
		_, err := c.find(id)
		cl.tell(failed(id, err))
		return n, false
	}
	w := cl.works[t.Work]
	if w == nil || cl.id == 0 {
		cl.tell(failed(id, tutti.Errorf("submit", tutti.Invalid, "task %v names work %d, which was not described", id, t.Work)))
		return n, false
	}
	r := &record{work: w, args: t.Args, blobs: t.Blobs}
	if w.work.Durable {
		err := c.lasts(t, before)
		if err == nil {
			err = c.rec.submitted(id, t, w)
		}
		if err != nil {
			cl.tell(failed(id, err))
			return n, false
		}
	}
	return c.enter(id, r, t), true
}

// lasts reports a durable task that waits for one which is not: after a restart it would wait for
// something that nobody knows.
func (c *Controller) lasts(t *wire.Task, before []sched.NewTask) error {
	for _, list := range [][]tutti.TaskID{t.Deps, t.After} {
		for _, id := range list {
			r := c.record(id)
			for i := 0; r == nil && i < len(before); i++ {
				if before[i].ID == id {
					r = before[i].Tag.(*record)
				}
			}
			if r != nil && !r.work.work.Durable {
				return tutti.Errorf("submit", tutti.Invalid, "the task is durable, but waits for task %v, which is not", id).
					WithHint("make both durable")
			}
		}
	}
	return nil
}

// enter counts what a new record refers to, and makes what the scheduler is told.
func (c *Controller) enter(id tutti.TaskID, r *record, t *wire.Task) sched.NewTask {
	if r.work.work.Durable && len(t.Deps)+len(t.After)+len(t.Follow) > 0 {
		r.edges = &edges{t.Deps, t.After, t.Follow}
	}
	r.work.tasks++
	c.blobs.add(r.blobs...)
	n := sched.NewTask{ID: id, Class: r.work.class, Deps: t.Deps, After: t.After, Follow: t.Follow, Bytes: len(t.Args), Tag: r}
	for _, b := range r.blobs {
		n.Near = append(n.Near, sched.Place{Node: b.Blob.Node, Size: b.Size})
	}
	return n
}

// failed is the end of a task that never became one.
func failed(id tutti.TaskID, err error) wire.Outcome {
	return wire.Outcome{
		Task: id, State: tutti.Errored, Fail: wire.PackError(err),
		Engine: tutti.NoEngine, Node: tutti.NoNode,
	}
}

// tellEnd sends a task's end, durable ones when the journal has it.
func (c *Controller) tellEnd(cl *client, id tutti.TaskID, r *record) {
	if r.work.work.Echo {
		c.echoBefore(cl, id)
	}
	if !r.work.work.Durable {
		cl.tell(c.outcome(id, r))
		return
	}
	c.rec.after(func() { cl.tell(c.outcome(id, r)) })
}

// cancel stops tasks of a client, or all it has.
func (c *Controller) cancel(cl *client, m *wire.Cancel) {
	ids := m.Tasks
	if m.All {
		ids = c.tasksOf(cl.id)
	}
	c.step(sched.Cancel{Tasks: ids})
}
