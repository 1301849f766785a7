package sched

import (
	"fmt"
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

func firstClient(turn []*client) tutti.ClientID {
	if len(turn) == 0 {
		return 0
	}
	return turn[0].id
}

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
	v.hold(sl.engine != nil || n == 1 || sl.ghost, "runs wait behind one that has no engine")
	v.hold(sl.engine == nil || sl.engine.slot == sl && sl.engine.state == engineBusy, "a slot's engine is not its own")
	v.hold(n <= v.s.cfg.Window || sl.ghost, "%d runs are in flight on one engine", n)
	for _, e := range sl.gang {
		v.hold(e.slot == sl && e.state == engineBusy, "engine %d is not its gang's own", e.id)
	}
	v.hold(sl.stop == 0 || sl.timer.pos != 0, "nobody looks whether a run stops")
	v.hold(sl.thirst == 0 || sl.shape.thirsty[sl.thirst-1] == sl, "a slot has lost its place")
}

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

func (v *verifier) engines() {
	total, ready := map[*program]int{}, map[*program]int{}
	for id, e := range v.s.engines {
		if e == nil {
			continue
		}
		v.hold(int(e.id) == id, "engine %d has the number %d", id, e.id)
		v.line(&e.line, "an engine's line")
		if e.state == engineGone {
			v.hold(e.line.n == 0 && e.slot == nil, "engine %d is gone and has work", id)
			continue
		}
		if e.state == engineAwaited {
			v.hold(v.s.awaiting.pos != 0, "engine %d is awaited for ever", id)
			continue
		}
		total[e.prog]++
		if e.state == engineIdle || e.state == engineBusy {
			ready[e.prog]++
		}
		v.hold((e.state == engineBusy) == (e.slot != nil), "engine %d is %s with a slot: %v", id, engineStates[e.state], e.slot != nil)
		v.hold(e.node.there && slices.Contains(e.node.engines, e), "engine %d is not known to its node", id)
		v.hold(e.state != engineResting || e.timer.pos != 0 || e.prog.broken != "", "engine %d rests for ever", id)
		v.hold(!e.wanting || e.state == engineIdle && e.line.n > 0, "engine %d wants room for nothing", id)
		if e.state == engineIdle && e.line.n > 0 {
			t := v.s.tasks.at(v.s.first(&e.line))
			v.hold(e.wanting || e.node.drained || v.s.gangHolds(e.node, e.prog), "engine %d could run task %v", id, t.id)
		}
	}
	for _, n := range v.s.up {
		aimed, wanting := 0, 0
		for _, e := range n.engines {
			aimed += e.line.n
			if e.wanting {
				wanting++
			}
		}
		v.hold(aimed == n.aimed && wanting == n.wanting, "node %s has %d targeted tasks, counted as %d; %d wanting, counted as %d",
			n.name, aimed, n.aimed, wanting, n.wanting)
		v.crews(n)
	}
	for _, p := range v.s.program {
		v.hold(total[p] == p.total && ready[p] == p.ready, "program %s has %d engines, %d ready; counted as %d and %d",
			p.name, total[p], ready[p], p.total, p.ready)
	}
}

func (v *verifier) crews(n *node) {
	for i := range n.crews {
		c := &n.crews[i]
		count := 0
		for e := c.first; e != nil; e = e.next {
			v.hold(e.state == engineIdle && e.node == n && e.prog == c.prog && e.line.n == 0, "engine %d is not idle", e.id)
			v.hold(e.next == nil || e.next.prev == e, "engine %d has lost its place", e.id)
			count++
		}
		v.hold(count == c.idle, "node %s has %d idle engines, counted as %d", n.name, count, c.idle)
		free, total := 0, 0
		for _, e := range n.engines {
			if e.prog == c.prog {
				total++
				if e.state == engineIdle && e.line.n == 0 {
					free++
				}
			}
		}
		v.hold(total == c.total && free == c.idle, "node %s has %d engines of %s, %d free; counted as %d and %d",
			n.name, total, c.prog.name, free, c.total, c.idle)
	}
}

func (v *verifier) clients() {
	var all Counts
	for _, c := range v.s.order {
		var counts Counts
		open := Mark{}
		for r := range c.index.each {
			t := v.s.tasks.at(r)
			counts[t.state]++
			v.task(r, t)
			if !t.final() && t.flags&isAgain == 0 {
				open.Tasks++
				open.Bytes += int64(t.bytes)
			}
		}
		v.hold(counts == c.counts, "client %d has tasks %v, counted as %v", c.id, counts, c.counts)
		v.hold(open == c.open, "client %d has open %v, counted as %v", c.id, open, c.open)
		v.hold(c.keeping == 0 || len(c.kept) > 0, "client %d keeps no node", c.id)
		for i := range all {
			all[i] += counts[i]
		}
	}
	v.hold(all == v.s.counts, "tasks %v, counted as %v", all, v.s.counts)
	sum := 0
	for _, n := range all {
		sum += n
	}
	v.hold(sum == v.s.tasks.len(), "%d tasks, and %d in memory", sum, v.s.tasks.len())
}

// task checks one task against its state.
func (v *verifier) task(r ref, t *task) {
	list := v.where[r]
	waits := t.pending > 0 || t.more != nil && t.more.delay != nil
	switch {
	case t.state == tutti.Waiting:
		v.of(waits && list == "", t, "waits for nothing")
	case t.state == tutti.Ready:
		v.of(list == "a queue" || list == "an engine's line", t, "is ready and in no queue")
		v.of((t.queue != nil) == (list == "a queue"), t, "does not know its queue")
	case t.flying():
		v.of(list == "a slot", t, "is sent and in no slot")
		v.of(t.attempt > 0, t, "runs for the zeroth time")
	default:
		v.of(list == "" || list == "results", t, "has ended and stands in line")
		v.of(t.in == 0 && t.flags&isEnding == 0, t, "has ended and still waits")
		v.of(t.flags&isForgot == 0 || t.out != 0, t, "is needed by nobody and was not dropped")
	}
	v.of(t.state != tutti.Done || t.flags&isGone == 0 || t.users == 0 || v.flyingUsers(t), t, "has a result that is lost and needed")
	v.of(t.slot == nil || t.flying(), t, "is in a slot and not sent")
	v.of(t.kind.refs > 0 && v.s.kinds.kinds[t.kind.key] == t.kind, t, "has a kind that is forgotten")
}

// flyingUsers reports whether all that need a lost result were sent off already.
func (v *verifier) flyingUsers(t *task) bool {
	for er := t.out; er != 0; er = v.s.edges.at(er).nextOut {
		if e := v.s.edges.at(er); e.need && !v.s.tasks.at(e.to).flying() {
			return false
		}
	}
	return true
}

func (v *verifier) shapes() {
	busy := 0
	for i, sh := range v.s.kinds.live {
		v.hold(sh.pos == i, "a shape has lost its place")
		v.hold(sh.ready == v.ready[sh] && sh.slots == v.slots[sh], "a shape has %d ready and %d slots, counted as %d and %d",
			v.ready[sh], v.slots[sh], sh.ready, sh.slots)
		if sh.ready > 0 {
			busy++
		}
		for _, n := range v.s.nodes {
			if n != nil && (sh.left == 0 || !sh.opens(n)) {
				v.hold(sh.left > 0 || v.s.fits(n, sh) == sh.opens(n), "a task fits on %s: %v, and that is not known", n.name, !sh.opens(n))
			}
		}
		for i, n := range sh.open {
			v.hold(int(sh.where[n.id]) == i+1, "node %s has lost its place", n.name)
		}
	}
	v.hold(busy == v.s.busy, "%d shapes are waited with, counted as %d", busy, v.s.busy)
}

func (v *verifier) edges() {
	count, pending, users := 0, make([]int32, v.s.tasks.next+1), make([]int32, v.s.tasks.next+1)
	for _, c := range v.s.order {
		for r := range c.index.each {
			prev := ref(0)
			for er := v.s.tasks.at(r).out; er != 0; {
				e := v.s.edges.at(er)
				v.hold(e.from == r && e.prevOut == prev, "an edge has lost its place")
				count++
				if !e.met {
					pending[e.to]++
				}
				if e.need {
					users[r]++
				}
				prev, er = er, e.nextOut
				if v.err != nil {
					return
				}
			}
		}
	}
	v.hold(count == v.s.edges.len(), "%d edges, and %d in memory", count, v.s.edges.len())
	for _, c := range v.s.order {
		for r := range c.index.each {
			t := v.s.tasks.at(r)
			v.of(t.pending == pending[r] && t.users == users[r], t, "has edges that are not counted")
		}
	}
}

func (v *verifier) timers() {
	for i, t := range v.s.timers {
		v.hold(int(t.pos) == i+1 && (i == 0 || t.at >= v.s.timers[(i-1)/2].at), "the timers are out of order")
		v.hold(t.at > v.s.now, "a timer of %T rang and is still set", t.owner)
	}
	v.hold(v.s.ready == 0 || v.s.looking.pos != 0, "tasks wait and nobody looks")
	for _, l := range []int{len(v.s.ended), len(v.s.again), len(v.s.touched), len(v.s.settle), len(v.s.kicks)} {
		v.hold(l == 0, "a Step has left work behind: %s", fmt.Sprint(l))
	}
}
