package sched

import (
	"slices"

	"github.com/tutti-hpc/tutti"
)

// Check verifies every invariant of the State from the ground up, in time proportional to all that
// it knows. The error, of kind Internal, names the first that does not hold. Tests call it after
// every Step.
func (s *State) Check() error {
	v := &verifier{s: s, where: make([]string, s.tasks.next+1), slots: map[*shape]int{}, ready: map[*shape]int{}}
	v.queues()
	v.nodes()
	v.engines()
	v.clients()
	v.shapes()
	v.edges()
	v.timers()
	return v.err
}

// verifier gathers what Check counts anew.
type verifier struct {
	s     *State
	where []string // by task: the list each task stands in
	slots map[*shape]int
	ready map[*shape]int
	err   error
}

// hold notes an invariant that does not hold.
func (v *verifier) hold(ok bool, format string, args ...any) {
	if !ok && v.err == nil {
		v.err = tutti.Errorf("check the scheduler", tutti.Internal, format, args...)
	}
}

// of notes an invariant of a task that does not hold; it costs nothing where it does.
func (v *verifier) of(ok bool, t *task, what string) {
	if !ok {
		v.hold(false, "task %v %s", t.id, what)
	}
}

// in notes that a task stands in a list; no task stands in two.
func (v *verifier) in(r ref, list string) {
	v.of(v.where[r] == "", v.s.tasks.at(r), "stands in two lists")
	v.where[r] = list
}

// line walks a line and returns its tasks.
func (v *verifier) line(l *line, name string) (all []ref) {
	var last uint64
	prev := ref(0)
	for r := l.head; r != 0; r = v.s.tasks.at(r).next {
		t := v.s.tasks.at(r)
		v.of(t.seq > last && t.prev == prev && t.flags&isLate == 0, t, "is out of order")
		last, prev = t.seq, r
		all = append(all, r)
		if v.err != nil {
			return all
		}
	}
	v.hold(l.tail == prev, "%s: wrong tail", name)
	for i, r := range l.late {
		t := v.s.tasks.at(r)
		v.hold(t.flags&isLate != 0 && int(t.next) == i, "%s: late task %v has lost its place", name, t.id)
		v.hold(i == 0 || v.s.tasks.at(l.late[(i-1)/2]).seq < t.seq, "%s: the heap of late tasks is out of order", name)
		all = append(all, r)
	}
	v.hold(len(all) == l.n, "%s: %d tasks, counted as %d", name, len(all), l.n)
	for _, r := range all {
		v.in(r, name)
		t := v.s.tasks.at(r)
		v.of(t.state == tutti.Ready && t.pending == 0, t, "stands in line and is not ready")
	}
	return all
}

// queues checks that what waits in queues is in order, and that whatever can be placed is offered to
// place: a queue that is forgotten by its client's heap would never be served, which no test of
// single rules would see.
func (v *verifier) queues() {
	total := 0
	check := func(q *queue) {
		for _, r := range v.line(&q.line, "a queue") {
			t := v.s.tasks.at(r)
			v.of(t.queue == q && t.kind.shape == q.shape && t.kind.prio == q.prio && v.s.clientOf(t) == q.client,
				t, "is in the wrong queue")
		}
		v.ready[q.shape] += q.n
		total += q.n
		want := q.n > 0 && (q.home == nil && q.shape.isOpen() || q.home != nil && q.shape.opens(q.home))
		v.hold(want == (q.pos != 0), "a queue of client %d can be served: %v, and is offered: %v", q.client.id, want, q.pos != 0)
		v.hold(!want || q.seq == v.s.tasks.at(v.s.first(&q.line)).seq, "a queue stands in its heap with an old key")
		v.hold(q.pos == 0 || q.client.active[q.pos-1] == q, "a queue has lost its place")
		v.hold(q.home == nil || q.n == 0 || q.timer.pos != 0, "tasks wait for a node without an end")
	}
	for _, c := range v.s.order {
		for _, q := range c.queues {
			check(q)
			v.hold(q.client == c && slices.Contains(q.shape.queues, q), "a queue is not known to its shape")
		}
		for i, q := range c.active {
			v.hold(int(q.pos) == i+1 && (i == 0 || !q.before(c.active[(i-1)/2])), "the heap of queues is out of order")
		}
		v.hold((c.pos != 0) == (len(c.active) > 0), "client %d is in turn: %v", c.id, c.pos != 0)
	}
	for _, n := range v.s.nodes {
		for i := 0; n != nil && i < len(n.homes); i++ {
			v.hold(n.there && n.homes[i].home == n && n.homes[i].n > 0, "a queue waits for a node that is not there")
			check(n.homes[i])
		}
	}
	for i, c := range v.s.turn {
		v.hold(int(c.pos) == i+1 && (i == 0 || !c.before(v.s.turn[(i-1)/2])), "the heap of clients is out of order")
	}
	v.hold(len(v.s.turn) == 0, "client %d could be served and was not", firstClient(v.s.turn))
	v.hold(total == v.s.ready, "%d tasks are ready, counted as %d", total, v.s.ready)
}

// firstClient names whoever was passed over.
func firstClient(turn []*client) tutti.ClientID {
	if len(turn) == 0 {
		return 0
	}
	return turn[0].id
}

// nodes checks what every node holds and keeps, and that nodes are kept only for tasks that wait.
func (v *verifier) nodes() {
	shared := map[*node]int{}
	for _, n := range v.s.nodes {
		if n == nil {
			continue
		}
		v.hold(n.there || len(n.slots) == 0, "a node that is not there has slots")
		for i, sl := range n.slots {
			v.hold(sl.pos == i && sl.node == n, "a slot has lost its place")
			v.slot(sl)
			for _, o := range sl.others {
				shared[o]++
			}
		}
		v.results(n)
	}
	for _, n := range v.s.nodes {
		if n == nil || !n.there {
			continue
		}
		v.hold(shared[n] == n.shared, "%d slots reach over to node %s, counted as %d", shared[n], n.name, n.shared)
		v.room(n)
		v.hold(slices.Contains(v.s.up, n), "node %s is not listed", n.name)
		if n.keeper != 0 {
			t := v.s.tasks.at(n.keeper)
			v.hold(t.flags&isKeeper != 0 && t.queue != nil && v.s.clientOf(t).keeping == n.keeper,
				"node %s is kept for task %v, which does not wait", n.name, t.id)
		}
	}
}

// uses is what the slot holds on one of its nodes.
func (sl *slot) uses(n *node) amounts {
	if sl.shape.nodes > 0 {
		return n.has
	}
	return sl.shape.need
}

// room counts a node's resources anew.
func (v *verifier) room(n *node) {
	free := slices.Clone(n.has)
	holders := 0
	for _, o := range v.s.up {
		for _, sl := range o.slots {
			if sl.ghost || o != n && !slices.Contains(sl.others, n) {
				continue
			}
			free.add(sl.uses(n), -1)
			if sl.shape.nodes > 0 || len(sl.shape.need) > 0 {
				holders++
			}
		}
	}
	v.hold(slices.Equal(free, n.free), "node %s has %v free, counted as %v", n.name, free, n.free)
	v.hold(holders == n.holders, "node %s has %d holders, counted as %d", n.name, holders, n.holders)
	for _, f := range free {
		v.hold(f >= 0, "node %s has given out more than it has: %v", n.name, free)
	}
}

// slot checks a slot and its runs. After a Step every slot has a run: empty ones hold resources for
// nobody.
func (v *verifier) slot(sl *slot) {
	v.slots[sl.shape]++
	n, prev := 0, ref(0)
	asked := 0
	for r := sl.head; r != 0; r = v.s.tasks.at(r).next {
		t := v.s.tasks.at(r)
		v.in(r, "a slot")
		v.of(t.flying() && t.slot == sl && t.prev == prev && t.kind.shape == sl.shape, t, "is in the wrong slot")
		if t.flags&isRecalled != 0 {
			asked++
		}
		n, prev = n+1, r
		if v.err != nil {
			return
		}
	}
	v.hold(n == sl.n && sl.tail == prev && n > 0, "a slot has %d runs, counted as %d", n, sl.n)
	v.hold(asked == sl.asked, "a slot has %d runs asked back, counted as %d", asked, sl.asked)
	v.hold(sl.queues() || n == 1 || sl.ghost, "runs wait behind one that is alone in its slot")
	v.hold(sl.engine == nil || sl.engine.slot == sl && sl.engine.state == engineBusy, "a slot's engine is not its own")
	v.hold(n <= v.s.cfg.Window || sl.ghost, "%d runs are in flight on one engine", n)
	for _, e := range sl.gang {
		v.hold(e.slot == sl && e.state == engineBusy, "engine %d is not its gang's own", e.id)
	}
	v.hold(sl.stop == 0 && sl.broke == 0 || sl.timer.pos != 0, "nobody looks whether a run stops")
	v.hold(!sl.shape.world || sl.engine == nil && (sl.ghost || sl.broke != 0 || len(sl.gang) == sl.shape.ranks), "a world has %d of its %d engines", len(sl.gang), sl.shape.ranks)
	v.hold(sl.thirst == 0 || sl.shape.thirsty[sl.thirst-1] == sl, "a slot has lost its place")
}

// results checks the list of results on a node, and the counts by which a node is judged idle.
func (v *verifier) results(n *node) {
	kept, needed := 0, 0
	prev := ref(0)
	for r := n.results; r != 0; r = v.s.tasks.at(r).next {
		t := v.s.tasks.at(r)
		v.in(r, "results")
		v.of(t.state == tutti.Done && t.flags&(isBlob|isGone) == isBlob && t.node == n.id && t.prev == prev,
			t, "is listed for a result that it has not there")
		kept++
		if t.users > 0 {
			needed++
		}
		prev = r
		if v.err != nil {
			return
		}
	}
	v.hold(kept == n.kept && needed == n.needed, "node %s keeps %d results, %d needed; counted as %d and %d",
		n.name, kept, needed, n.kept, n.needed)
}
