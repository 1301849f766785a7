package cluster

import (
	"context"
	"maps"
	"runtime"
	"slices"
	"sync"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// sink receives the end of one task; tag is its own.
type sink interface {
	settle(tag uint64, o *wire.Outcome)
}

// call is a task that has been submitted and has not ended. It is kept so that it can be sent
// again to a controller that was restarted.
type call struct {
	n    uint64
	work *tutti.Work
	msg  wire.Task // its Work number is filled in when it is sent
	sink sink
	tag  uint64
	free func() // gives up the blobs that its arguments lie in, nil if there are none

	promised *Client        // its sink is a promise, made when the number is known
	made     *tutti.Promise // until the submitter has it

	// Guarded by the outbox's mutex.
	users     int32  // calls that need its result and are not over themselves
	life      uint32 // of the controller to which it was sent, see outbox.life
	queued    bool
	cancelled bool // somebody wants it to stop
	forgotten bool // nobody wants its result but its users
}

// outbox is what waits to be sent, and what has been sent and not ended. Its mutex guards all.
type outbox struct {
	mu      sync.Mutex
	ready   sync.Cond // something to send, room, or the end
	queue   []*call
	bytes   int              // of arguments in queue
	open    window           // tasks that have not ended
	kept    map[uint64]*call // tasks that have, and may have to be sent again
	life    uint32           // counts the controllers that this client has come to
	returns bool             // a controller that has died may come back
	keep    bool             // tasks go on after the end, and what their arguments lie in stays
	client  tutti.ClientID
	last    uint64 // number of the newest task
	forgets []tutti.TaskID
	hasty   bool // forgets are not to wait for more of them
	cancels []tutti.TaskID
	held    bool  // the controller asked for a pause
	closed  error // why nothing can be sent any more
	waiting int   // submitters that wait for room, and who waits for what was taken to be sent
	sending bool  // a sender has taken something and not come back for more
}

func (o *outbox) init() {
	o.ready.L = &o.mu
	o.open.base = 1
	o.kept = map[uint64]*call{}
	o.life = 1
}

// What may wait in the outbox before submitters have to.
const (
	outboxCalls = 64 << 10
	outboxBytes = 64 << 20
)

// full reports whether a submitter has to wait; mu is held.
func (o *outbox) full() bool { return o.held || len(o.queue) >= outboxCalls || o.bytes >= outboxBytes }

// add takes in calls in order, and gives them their numbers. It waits for room until ctx ends.
func (o *outbox) add(ctx context.Context, calls ...*call) error {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed == nil && o.full() {
		if err := o.waitRoom(ctx); err != nil {
			return err
		}
	}
	if o.closed != nil {
		return o.closed
	}
	wake := len(o.queue) == 0
	for _, c := range calls {
		o.last++
		c.n = o.last
		c.msg.N = c.n
		if c.promised != nil {
			c.makePromise(tutti.MakeTaskID(o.client, c.n))
		}
		o.open.add(c)
		o.needs(c, func(d *call) { d.users++ })
		o.enqueue(c)
	}
	if wake {
		o.ready.Broadcast()
	}
	return nil
}

// waitRoom blocks while the outbox is full; mu is held.
func (o *outbox) waitRoom(ctx context.Context) error {
	defer context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.ready.Broadcast()
	})()
	o.waiting++
	defer func() { o.waiting-- }()
	for o.closed == nil && o.full() {
		if ctx.Err() != nil {
			return tutti.Errorf("submit", tutti.KindOf(ctx.Err()), "the cluster has asked to wait, %d tasks are queued: %w", o.open.count, ctx.Err())
		}
		o.ready.Wait()
	}
	return nil
}

// take gives a sender the next calls, at most a batch, and the forgets and cancels. It blocks while
// there is nothing; ok is false when the outbox is closed or the sender's link has ended.
func (o *outbox) take(s *sender) (calls []*call, forgets, cancels []tutti.TaskID, ok bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.sending = false; o.waiting > 0 {
		o.ready.Broadcast()
	}
	for o.closed == nil && !s.over && len(o.queue) == 0 && len(o.forgets) < forgetBatch && !o.hasty && len(o.cancels) == 0 {
		o.ready.Wait()
	}
	if o.closed != nil || s.over {
		return nil, nil, nil, false
	}
	o.hasty = false
	o.drop()
	size := 0
	calls = s.room[:0]
	for len(o.queue) > 0 && len(calls) < sendCalls && size < sendBytes {
		c := o.queue[0]
		o.queue = o.queue[1:]
		c.queued = false
		size += len(c.msg.Args)
		calls = append(calls, c)
	}
	if len(o.queue) == 0 {
		o.queue = nil
	}
	o.bytes -= size
	forgets, o.forgets = o.sayable(o.forgets)
	cancels, o.cancels = o.sayable(o.cancels)
	o.sending = true
	if o.waiting > 0 {
		o.ready.Broadcast()
	}
	return calls, forgets, cancels, true
}

// What one message of a client holds at most.
const (
	sendCalls   = 1024
	sendBytes   = 256 << 10
	forgetBatch = 256 // forgotten results are told together
)

// sayable splits ids of calls into those that the controller knows by now and those that still
// wait to be sent; mu is held.
func (o *outbox) sayable(ids []tutti.TaskID) (now, later []tutti.TaskID) {
	if len(o.queue) == 0 {
		return ids, nil
	}
	for _, id := range ids {
		if c := o.find(id.N()); c != nil && c.queued {
			later = append(later, id)
		} else {
			now = append(now, id)
		}
	}
	return now, later
}

// ended takes out the calls that have ended, and gives them, in order, to do.
func (o *outbox) ended(ends []wire.Outcome, do func(*call, *wire.Outcome)) {
	calls := make([]*call, len(ends))
	var frees []func()
	o.mu.Lock()
	for i := range ends {
		c := o.open.take(ends[i].Task.N())
		if calls[i] = c; c == nil {
			continue
		}
		if c.users > 0 || o.mayNeed(c) {
			o.kept[c.n] = c
		} else {
			frees = o.release(c, frees)
		}
	}
	o.mu.Unlock()
	for _, free := range frees {
		free()
	}
	for i, c := range calls {
		if c != nil { // nil: its end came twice
			do(c, &ends[i])
		}
	}
}

// forget queues results to be given up.
func (o *outbox) forget(ids ...tutti.TaskID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	before := len(o.forgets)
	if o.unwanted(ids...); before < forgetBatch && len(o.forgets) >= forgetBatch {
		o.ready.Broadcast()
	}
}

// forgetNow is forget where the controller is to hear of it before there is a batch.
func (o *outbox) forgetNow(ids ...tutti.TaskID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.unwanted(ids...)
	if !o.hasty {
		o.hasty = true
		o.ready.Broadcast()
	}
}

// unwanted is forget for who may wake nobody; mu is held.
func (o *outbox) unwanted(ids ...tutti.TaskID) {
	for _, id := range ids {
		if c := o.find(id.N()); c != nil {
			c.forgotten = true
		}
	}
	o.forgets = append(o.forgets, ids...)
}

// cancel queues tasks to be stopped.
func (o *outbox) cancel(ids ...tutti.TaskID) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, id := range ids {
		if c := o.open.get(id.N()); c != nil && !c.cancelled {
			c.cancelled = true
			o.cancels = append(o.cancels, id)
		}
	}
	o.ready.Broadcast()
}

// hold stops submitters, or lets them go on.
func (o *outbox) hold(on bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.held = on
	o.ready.Broadcast()
}

// again queues everything that has not ended once more, in order, for a controller that was
// restarted, each after what it needs. The wishes about them are told again too.
func (o *outbox) again() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.life++
	o.queue, o.bytes, o.held, o.sending, o.cancels = o.queue[:0:0], 0, false, false, nil
	for _, c := range o.open.calls {
		if c != nil {
			o.enqueue(c)
		}
	}
	o.ready.Broadcast()
}

// sent waits until nothing is queued, nor to be forgotten at once, and what was has been given to
// the link: questions that are asked then come after it.
func (o *outbox) sent(ctx context.Context) (life uint32) {
	o.mu.Lock()
	defer o.mu.Unlock()
	defer context.AfterFunc(ctx, func() {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.ready.Broadcast()
	})()
	o.waiting++
	defer func() { o.waiting-- }()
	for o.closed == nil && (len(o.queue) > 0 || o.hasty || o.sending) && ctx.Err() == nil {
		o.ready.Wait()
	}
	return o.life
}

// close ends it: open calls end with err.
func (o *outbox) close(err error) {
	o.mu.Lock()
	open := o.open.calls
	if o.closed == nil {
		o.closed = err
	}
	var frees []func()
	for _, c := range slices.Concat(slices.Collect(maps.Values(o.kept)), open) {
		if c != nil && c.free != nil && !o.keep {
			frees = append(frees, c.free)
		}
	}
	clear(o.kept)
	o.open, o.queue = window{base: o.last + 1}, nil
	o.ready.Broadcast()
	o.mu.Unlock()
	for _, free := range frees {
		free()
	}
	for _, c := range open {
		if c != nil {
			c.end(&wire.Outcome{State: tutti.Errored, Fail: wire.PackError(err), Engine: tutti.NoEngine, Node: tutti.NoNode})
		}
	}
}

// window holds calls by their numbers, which come in order and end nearly so: a slice from the
// oldest open number on.
type window struct {
	base  uint64 // number of calls[0]
	calls []*call
	count int
}

// add appends the call with the next number.
func (w *window) add(c *call) {
	w.calls = append(w.calls, c)
	w.count++
}

// get finds a call, nil if it is not there.
func (w *window) get(n uint64) *call {
	if n < w.base || n-w.base >= uint64(len(w.calls)) {
		return nil
	}
	return w.calls[n-w.base]
}

// take removes a call, nil if it is not there.
func (w *window) take(n uint64) *call {
	c := w.get(n)
	if c == nil {
		return nil
	}
	w.calls[n-w.base] = nil
	w.count--
	for len(w.calls) > 0 && w.calls[0] == nil {
		w.calls = w.calls[1:]
		w.base++
	}
	return c
}

// end settles a call, and lets go of who waited for that.
func (c *call) end(o *wire.Outcome) {
	to := c.sink
	c.sink = nil
	to.settle(c.tag, o)
}

// sender turns what is queued into messages, for one link.
type sender struct {
	c     *Client
	link  *wire.Link
	works map[string]uint32 // by encoded form
	seen  map[*tutti.Work]uint32
	out   wire.Submit
	room  []*call
	over  bool // the link has ended; guarded by the outbox's mutex
}

// maxWorks bounds the table of works that is kept on both sides.
const maxWorks = 4096

// run sends until the link or the client ends.
func (s *sender) run() {
	s.reset()
	for {
		calls, forgets, cancels, ok := s.c.box.take(s)
		if !ok {
			return
		}
		s.room = calls
		if err := s.send(calls, forgets, cancels); err != nil {
			s.c.box.forget(forgets...)
			return // the link has ended; calls and cancels are sent again over the next one
		}
	}
}

// stop ends run.
func (s *sender) stop() {
	s.c.box.mu.Lock()
	defer s.c.box.mu.Unlock()
	s.over = true
	s.c.box.ready.Broadcast()
}

func (s *sender) reset() {
	s.works, s.seen = map[string]uint32{}, map[*tutti.Work]uint32{}
	s.out = wire.Submit{Reset: true}
}

func (s *sender) send(calls []*call, forgets, cancels []tutti.TaskID) error {
	if len(s.works) > maxWorks {
		s.reset()
	}
	for _, c := range calls {
		no := s.workNo(c.work)
		c.msg.Work = no
		s.out.Tasks = append(s.out.Tasks, c.msg)
	}
	if len(calls) > 0 {
		if err := s.c.tell(s.link, wire.KindSubmit, &s.out); err != nil {
			return err
		}
		s.out.Reset, s.out.Works, s.out.Tasks = false, s.out.Works[:0], s.out.Tasks[:0]
	}
	if len(cancels) > 0 {
		if err := s.c.tell(s.link, wire.KindCancel, &wire.Cancel{Tasks: cancels}); err != nil {
			return err
		}
	}
	if len(forgets) > 0 {
		return s.c.tell(s.link, wire.KindForget, &wire.Forget{Tasks: forgets})
	}
	return nil
}

// workNo finds the number of a work, describing it if it is new to this link. Works that are equal
// have the same number, whoever made them.
func (s *sender) workNo(w *tutti.Work) uint32 {
	if no, ok := s.seen[w]; ok {
		return no
	}
	key, err := w.MarshalMsg(nil)
	if err != nil {
		panic(err) // strings, numbers and bytes
	}
	no, ok := s.works[string(key)]
	if !ok {
		no = uint32(len(s.works) + 1)
		s.works[string(key)] = no
		s.out.Works = append(s.out.Works, wire.Work{No: no, Work: *w})
	}
	if len(s.seen) < maxWorks {
		s.seen[w] = no
	}
	return no
}

// submit is the way of a single task.
func (c *Client) submit(ctx context.Context, t *tutti.Task) *tutti.Promise {
	cl := &call{work: t.Work, promised: c}
	err := t.Check()
	if err == nil {
		err = c.fill(ctx, cl, t)
	}
	if err == nil {
		err = c.box.add(ctx, cl)
	}
	if err == nil {
		return cl.promise()
	}
	if cl.free != nil {
		cl.free()
	}
	p := tutti.NewPromise(0, nil)
	p.Complete(tutti.Outcome{Err: err})
	return p
}

// promiseSink settles the promise of a single task.
type promiseSink struct{ *tutti.Promise }

func (p promiseSink) settle(_ uint64, o *wire.Outcome) { p.Complete(outcomeOf(p.ID(), o)) }

// promise hands out the promise that add made; the call itself must not keep it alive.
func (c *call) promise() *tutti.Promise {
	p := c.made
	c.made = nil
	return p
}

// makePromise gives a call its promise. When nobody holds the promise any more, the controller
// need not keep the result; that is told with whatever is sent next, because a cleanup may not
// wake a goroutine of a test's bubble.
func (c *call) makePromise(id tutti.TaskID) {
	p := tutti.NewPromise(id, keeper{c.promised})
	c.sink, c.made = promiseSink{p}, p
	box := &c.promised.box
	runtime.AddCleanup(p, func(id tutti.TaskID) {
		box.mu.Lock()
		defer box.mu.Unlock()
		box.unwanted(id)
	}, id)
}
