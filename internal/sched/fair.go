package sched

import (
	"cmp"
	"slices"
	"time"

	"github.com/tutti-hpc/tutti"
)

// client is what the scheduler keeps of one client. Clients take turns: the one that has been
// given least, counted in core time, is next.
type client struct {
	id     tutti.ClientID
	index  index
	counts Counts
	open   Mark // tasks that have not ended
	slow   bool // was asked to stop submitting
	gone   bool // has left for good; what is left of it is durable

	pass   int64    // core time given, in core microseconds
	queues []*queue // those without a home
	active []*queue // a heap: those whose first task can be placed now
	pos    int32    // in State.turn

	first   uint64          // the seq of the task that was first in order, and unplaced, at the last look
	warned  map[*shape]bool // its owner knows what is wrong with tasks of that shape
	keeping ref             // the task nodes are kept free for
	kept    []*node         // these nodes
}

// queue is the ready tasks of one client, shape and priority; those with a home wait for that node,
// where their data lies, for no longer than fetching would take.
type queue struct {
	line
	client *client
	shape  *shape
	prio   int
	home   *node
	seq    uint64 // of the first task, as the heap knows it
	pos    int32  // in client.active
	timer  timer  // home queues: when the first has waited long enough
}

func (q *queue) place() *int32 { return &q.pos }

// before orders the queues of one client: by priority, then by the submission of their first tasks.
func (q *queue) before(o *queue) bool {
	if q.prio != o.prio {
		return q.prio > o.prio
	}
	return q.seq < o.seq
}

func (c *client) place() *int32 { return &c.pos }

// before orders clients by what they were given. The number breaks ties, so that the order is the
// same in every run.
func (c *client) before(o *client) bool {
	if c.pass != o.pass {
		return c.pass < o.pass
	}
	return c.id < o.id
}

// ahead reports whether q's first task comes before o's among all clients.
func (q *queue) ahead(o *queue) bool {
	if q.client != o.client {
		return q.client.before(o.client)
	}
	return q.before(o)
}

// nominal is what a run costs its client at the least, so that a flood of runs too short to
// measure is counted too.
const nominal = int64(time.Millisecond)

// coreTime is what holding the shape's resources for so many nanoseconds costs.
func (sh *shape) coreTime(ns int64) int64 {
	return max(1, ns/1000*max(sh.need.get(cores), micro/100)/micro*int64(max(1, sh.nodes)))
}

// charge adds to what c has been given.
func (s *State) charge(c *client, cost int64) {
	c.pass += cost
	if c.pos != 0 {
		heapFix(s.turn, c)
	}
}

// clientOf is the client of a task.
func (s *State) clientOf(t *task) *client {
	if id := t.id.Client(); s.last == nil || s.last.id != id {
		s.last = s.clients[id]
	}
	return s.last
}

// clientOfID finds or makes a client.
func (s *State) clientOfID(id tutti.ClientID) *client {
	c := s.clients[id]
	if c == nil {
		c = &client{id: id}
		s.clients[id] = c
		i, _ := slices.BinarySearchFunc(s.order, id, func(c *client, id tutti.ClientID) int { return cmp.Compare(c.id, id) })
		s.order = slices.Insert(s.order, i, c)
	}
	return c
}

// queueOf finds or makes the queue of a task. home is nil for no particular node.
func (s *State) queueOf(c *client, kd *kind, home *node) *queue {
	among := c.queues
	if home != nil {
		among = home.homes
	}
	for _, q := range among {
		if q.client == c && q.shape == kd.shape && q.prio == kd.prio && q.home == home {
			return q
		}
	}
	q := &queue{client: c, shape: kd.shape, prio: kd.prio, home: home}
	if home != nil {
		home.homes = append(home.homes, q)
	} else {
		c.queues = append(c.queues, q)
		kd.shape.queues = append(kd.shape.queues, q)
	}
	return q
}

// dropQueue forgets an empty queue.
func (s *State) dropQueue(q *queue) {
	s.setTimer(&q.timer, q, never)
	if q.home != nil {
		q.home.homes = without(q.home.homes, q)
	} else {
		q.client.queues = without(q.client.queues, q)
		q.shape.queues = without(q.shape.queues, q)
	}
}

// without takes x out of a short list, keeping the order.
func without[T comparable](list []T, x T) []T {
	if i := slices.Index(list, x); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}

// rank puts q where it belongs among its client's queues, or takes it out if its first task cannot
// be placed now; and likewise its client among the clients.
func (s *State) rank(q *queue) {
	c := q.client
	want := q.n > 0
	if want && q.home != nil {
		want = q.shape.opens(q.home)
	} else if want {
		want = q.shape.isOpen()
	}
	if want {
		q.seq = s.tasks.at(s.first(&q.line)).seq
	}
	switch {
	case want && q.pos == 0:
		heapPush(&c.active, q)
	case want:
		heapFix(c.active, q)
	case q.pos != 0:
		heapRemove(&c.active, q)
	}
	switch {
	case len(c.active) > 0 && c.pos == 0:
		heapPush(&s.turn, c)
	case len(c.active) == 0 && c.pos != 0:
		heapRemove(&s.turn, c)
	}
}

// enqueue makes a task ready: it joins the queue where its kind belongs.
func (s *State) enqueue(r ref, t *task) {
	c := s.clientOf(t)
	q := s.queueOf(c, t.kind, s.homeOf(t))
	if c.counts[tutti.Ready] == 0 {
		c.pass = max(c.pass, s.vtime) // what it did not use before does not count for ever
	}
	s.setState(t, tutti.Ready)
	t.queue = q
	s.join(&q.line, r)
	if q.shape.ready == 0 {
		s.busy++
	}
	q.shape.ready++
	s.ready++
	if q.home != nil {
		s.ringBy(&q.timer, q, t.more.until)
	}
	if q.pos == 0 || s.first(&q.line) == r {
		s.rank(q)
	}
}

// dequeue takes a ready task out of its queue.
func (s *State) dequeue(r ref, t *task) {
	q := t.queue
	first := q.pos != 0 && (q.n == 1 || t.seq <= q.seq)
	s.leave(&q.line, r)
	t.queue = nil
	q.shape.ready--
	s.ready--
	if q.shape.ready == 0 {
		s.busy--
	}
	if first {
		s.rank(q)
	}
	if t.flags&isKeeper != 0 {
		s.unkeep(s.clientOf(t))
	}
	if q.home != nil && q.n == 0 {
		s.dropQueue(q)
	}
}

// wake sends those that have waited for their home long enough wherever there is room.
func (q *queue) wake(s *State) {
	for q.n > 0 {
		r := s.first(&q.line)
		t := s.tasks.at(r)
		if t.more.until > s.now {
			s.setTimer(&q.timer, q, t.more.until)
			return
		}
		s.dequeue(r, t)
		s.enqueue(r, t)
	}
}

// throttle asks a client to stop submitting or to go on, with a gap between the two so that it
// is not asked all the time.
func (s *State) throttle(c *client) {
	over := c.open.Tasks > s.cfg.High.Tasks || c.open.Bytes > s.cfg.High.Bytes
	under := c.open.Tasks <= s.cfg.Low.Tasks && c.open.Bytes <= s.cfg.Low.Bytes
	if !c.slow && over || c.slow && under {
		c.slow = !c.slow
		s.do(Throttle{Client: c.id, On: c.slow})
	}
}
