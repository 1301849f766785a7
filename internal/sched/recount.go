package sched

import (
	"fmt"
	"slices"

	"github.com/tutti-hpc/tutti"
)

// engines checks that every engine stands where its state says, and that none is idle while
// something that only it can run could start.
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
		if e.live() {
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

// crews checks the lists of idle engines, from which engines are taken without looking again.
func (v *verifier) crews(n *node) {
	for i := range n.crews {
		c := &n.crews[i]
		count := 0
		for e := c.first; e != nil; e = e.next {
			v.hold(e.state == engineIdle && e.node == n && e.prog == c.prog && (e.line.n == 0 || e.lent), "engine %d is not idle", e.id)
			v.hold(e.next == nil || e.next.prev == e, "engine %d has lost its place", e.id)
			count++
		}
		v.hold(count == c.idle, "node %s has %d idle engines, counted as %d", n.name, count, c.idle)
		free, total, leaving := 0, 0, 0
		for _, e := range n.engines {
			if e.prog == c.prog {
				total++
				if e.leaving {
					leaving++
				}
				if e.state == engineIdle && (e.line.n == 0 || e.lent) {
					free++
				}
			}
		}
		v.hold(total == c.total && free == c.idle, "node %s has %d engines of %s, %d free; counted as %d and %d",
			n.name, total, c.prog.name, free, c.total, c.idle)
		v.hold(leaving == c.leaving, "node %s has %d engines of %s that leave, counted as %d", n.name, leaving, c.prog.name, c.leaving)
	}
}

// clients counts every client's tasks anew. It needs the lists that queues, nodes and engines walked.
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

// shapes checks that what each shape knows of each node is true: placing relies on nothing else.
// Where time left on a node matters the knowledge may be old, and is looked at again on use.
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

// edges checks the graph from both ends.
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

// timers checks that nothing is overdue, and that a Step has finished what it began.
func (v *verifier) timers() {
	for i, t := range v.s.timers {
		v.hold(int(t.pos) == i+1 && (i == 0 || t.at >= v.s.timers[(i-1)/2].at), "the timers are out of order")
		v.hold(t.at > v.s.now, "a timer of %T rang and is still set", t.owner)
	}
	v.hold(v.s.ready == 0 || v.s.looking.pos != 0, "tasks wait and nobody looks")
	for _, l := range []int{len(v.s.ended), len(v.s.again), len(v.s.touched), len(v.s.settle), len(v.s.kicks), len(v.s.dirty)} {
		v.hold(l == 0, "a Step has left work behind: %s", fmt.Sprint(l))
	}
}
