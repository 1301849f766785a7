package sched

import (
	"cmp"
	"slices"

	"github.com/tutti-hpc/tutti"
)

// slot is a share of a node that is in use: the resources of one shape are held once, by the run
// that is first in it. Others may wait behind that run, at the same engine or, if they are commands
// on a share of one node, at its agent; a gang is alone. Slots are used again.
type slot struct {
	no     uint32 // by which agents know it
	shape  *shape
	node   *node
	others []*node // further nodes, of tasks that span several
	engine *engine // nil for commands and gangs
	gang   []*engine
	ghost  bool // holds nothing: a run that had ended when its agent came back
	alone  bool // a command that an agent brought along: it knows of no slot of ours

	head, tail ref
	n          int
	asked      int   // runs asked back and not heard of
	taken      int64 // since when it is held
	began      int64 // since when the first runs, as far as is known
	word       bool  // the agent said so
	asking     bool  // what waits behind it was asked back
	stop       int64 // when the first was asked to stop, 0 for not
	force      bool  // and that it was to be killed
	broke      int64 // when the gang lost its first engine, 0 for not

	pos     int // in node.slots
	thirst  int // in shape.thirsty, plus one
	touched bool
	timer   timer
}

// newSlot makes an empty slot of a node; hold takes its resources. Whoever makes one puts a run into
// it in the same Step.
func (s *State) newSlot(n *node, sh *shape) *slot {
	var sl *slot
	if last := len(s.spare) - 1; last >= 0 {
		sl = s.spare[last]
		s.spare = s.spare[:last]
	} else {
		sl = new(slot)
	}
	s.slots++
	*sl = slot{no: s.slots, shape: sh, node: n, others: sl.others[:0], gang: sl.gang[:0], taken: s.now, pos: len(n.slots)}
	n.slots = append(n.slots, sl)
	sh.slots++
	return sl
}

// queues reports whether runs may wait behind the slot's first.
func (sl *slot) queues() bool {
	return sl.engine != nil || sl.shape.prog == nil && sl.shape.nodes == 0 && !sl.alone
}

// hold takes the slot's resources on one of its nodes.
func (s *State) hold(n *node, sl *slot) {
	n.idleSince = 0
	if n != sl.node {
		n.shared++
	}
	switch {
	case sl.ghost:
	case sl.shape.nodes > 0:
		clear(n.free)
		n.holders++
	default:
		n.free.add(sl.shape.need, -1)
		if len(sl.shape.need) > 0 {
			n.holders++
		}
	}
	s.update(n)
}

// unhold gives them back, and lets those start that waited for just this node.
func (s *State) unhold(n *node, sl *slot) {
	if n != sl.node {
		n.shared--
	}
	switch {
	case sl.ghost || !n.there:
	case sl.shape.nodes > 0:
		copy(n.free, n.has)
		n.holders--
	default:
		n.free.add(sl.shape.need, 1)
		if len(sl.shape.need) > 0 {
			n.holders--
		}
	}
	s.calm(n)
	if n.there {
		s.kick(n)
		if !n.dirty {
			n.dirty = true
			s.dirty = append(s.dirty, n)
		}
	}
}

// seat puts an idle engine to the slot's use.
func (s *State) seat(sl *slot, e *engine) {
	s.unidle(e)
	e.slot = sl
	e.state = engineBusy
}

// seatGang takes as many idle engines as the shape has ranks, in order of their numbers.
func (s *State) seatGang(sl *slot, sh *shape) {
	for range sh.ranks {
		e := sl.node.crew(sh.prog).first
		s.seat(sl, e)
		sl.gang = append(sl.gang, e)
	}
	slices.SortFunc(sl.gang, func(a, b *engine) int { return cmp.Compare(a.id, b.id) })
}

// enter appends a run to the slot.
func (s *State) enter(sl *slot, r ref, t *task) {
	t.slot = sl
	t.prev = sl.tail
	if sl.tail != 0 {
		s.tasks.at(sl.tail).next = r
	} else {
		sl.head = r
		sl.began, sl.word = s.now, false
	}
	sl.tail = r
	sl.n++
	if sl.n == 2 {
		s.ringBy(&sl.timer, sl, s.due(sl))
	}
}

// exit takes a run out of its slot. The next, if it was the first, is taken to begin now.
func (s *State) exit(t *task) {
	sl := t.slot
	first := t.prev == 0
	s.unlink(&sl.head, &sl.tail, t)
	sl.n--
	t.slot = nil
	if t.flags&isRecalled != 0 {
		t.flags &^= isRecalled
		sl.asked--
	}
	s.touch(sl)
	if !first {
		return
	}
	// Whatever was noted about the first run says nothing about the next.
	sl.began, sl.word, sl.asking, sl.stop, sl.force = s.now, false, false, 0, false
	if sl.head == 0 {
		return
	}
	next := s.tasks.at(sl.head)
	sl.word = next.state == tutti.Running
	if next.flags&(isCanceled|isOvertime|isBroken) != 0 {
		sl.stop = s.now
	}
	if sl.word || sl.stop != 0 {
		s.ringBy(&sl.timer, sl, s.due(sl))
	}
}

// touch has the slot filled up or given back at the end of the Step.
func (s *State) touch(sl *slot) {
	if !sl.touched {
		sl.touched = true
		s.touched = append(s.touched, sl)
	}
}

// serve sees to the slots that have lost runs: each gets more, or is given back when it is empty.
func (s *State) serve() {
	for i := 0; i < len(s.touched); i++ {
		sl := s.touched[i]
		sl.touched = false
		s.refill(sl)
		if sl.n == 0 {
			s.release(sl)
		}
	}
	clear(s.touched)
	s.touched = s.touched[:0]
	// Many slots of a node are given back in one Step; the shapes are told once.
	for _, n := range s.dirty {
		n.dirty = false
		s.update(n)
	}
	clear(s.dirty)
	s.dirty = s.dirty[:0]
}

// release gives back an empty slot.
func (s *State) release(sl *slot) {
	n := sl.node
	s.setTimer(&sl.timer, sl, never)
	s.quench(sl)
	last := len(n.slots) - 1
	n.slots[sl.pos] = n.slots[last]
	n.slots[sl.pos].pos = sl.pos
	n.slots[last] = nil
	n.slots = n.slots[:last]
	sl.shape.slots--
	if sl.engine != nil {
		s.unseat(sl.engine)
	}
	for _, e := range sl.gang {
		s.unseat(e)
	}
	for _, other := range sl.others {
		s.unhold(other, sl)
	}
	s.unhold(n, sl)
	s.spare = append(s.spare, sl)
}

// unseat frees an engine from its slot, if it still lives.
func (s *State) unseat(e *engine) {
	e.slot = nil
	if e.state == engineBusy {
		s.vacant(e)
	}
}

// due says when the slot should be looked at: to ask back runs that wait behind a long one, to stop
// one whose limit has passed, to kill one that does not stop.
func (s *State) due(sl *slot) int64 {
	if sl.head == 0 {
		return never
	}
	at := int64(never)
	head := s.tasks.at(sl.head)
	switch {
	case sl.stop != 0:
		at = plus(sl.stop, int64(s.cfg.Grace))
	case sl.broke != 0:
		at = plus(sl.broke, int64(s.cfg.Grace))
	case sl.word && head.class.Limit > 0:
		at = plus(sl.began, int64(head.class.Limit))
	}
	// Asked once for each first run: those that do not come back had begun.
	if sl.n > 1 && !sl.asking && !sl.shape.targeted && sl.queues() {
		at = min(at, sl.began+recallAfter)
	}
	return at
}

// wake does what is due.
func (sl *slot) wake(s *State) {
	if sl.head == 0 {
		return
	}
	r := sl.head
	head := s.tasks.at(r)
	switch {
	case s.due(sl) > s.now:
	case sl.stop != 0 && s.now >= plus(sl.stop, int64(s.cfg.Grace)):
		s.insist(sl, r, head)
		return
	case sl.stop == 0 && sl.broke != 0:
		s.abort(r, head, isBroken)
	case sl.stop == 0 && sl.word && head.class.Limit > 0 && s.now >= plus(sl.began, int64(head.class.Limit)):
		s.abort(r, head, isOvertime)
	default:
		s.recall(sl)
	}
	s.ringBy(&sl.timer, sl, s.due(sl))
}

// abort asks a run to stop, once for each reason at most.
func (s *State) abort(r ref, t *task, why uint16) {
	sl := t.slot
	asked := t.flags&(isCanceled|isOvertime|isBroken) != 0
	if sl.broke != 0 { // being broken was no reason yet
		asked = sl.stop != 0
	}
	t.flags |= why
	if asked {
		return
	}
	s.do(Abort{Node: sl.node.id, Runs: s.runsOf(t.run()), Timeout: why == isOvertime})
	if sl.head == r {
		sl.stop = s.now
		s.ringBy(&sl.timer, sl, s.due(sl))
	}
}

// insist deals with a run that does not stop: first it is to be killed; if even that is not
// answered its engines are taken for dead, and it has ended.
func (s *State) insist(sl *slot, r ref, t *task) {
	if !sl.force {
		sl.force, sl.stop = true, s.now
		s.do(Abort{Node: sl.node.id, Runs: s.runsOf(t.run()), Timeout: t.flags&isOvertime != 0, Force: true})
		s.ringBy(&sl.timer, sl, s.due(sl))
		return
	}
	const why = "it did not stop when asked to"
	if sl.engine == nil && len(sl.gang) == 0 {
		s.exit(t)
		s.loseRun(r, t, why)
		return
	}
	if sl.engine != nil {
		s.give(sl.engine, why)
		return
	}
	for len(sl.gang) > 0 {
		s.give(sl.gang[0], why)
	}
}

// runsOf puts one run into the Step's memory.
func (s *State) runsOf(run tutti.RunID) []tutti.RunID {
	mem := &s.scratch.runs
	*mem = append(*mem, run)
	return (*mem)[len(*mem)-1 : len(*mem) : len(*mem)]
}
