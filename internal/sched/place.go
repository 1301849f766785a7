package sched

import (
	"cmp"
	"slices"
	"time"

	"github.com/tutti-hpc/tutti"
)

// fits reports whether a task of the shape can start on n now.
func (s *State) fits(n *node, sh *shape) bool {
	switch {
	case !n.there || n.drained || n.wanting > 0:
		return false
	case n.keeper != 0 && s.tasks.at(n.keeper).kind.shape != sh:
		return false // what comes free here is for another
	case sh.nodes > 0 && n.holders > 0:
		return false
	case !n.free.covers(sh.need):
		return false
	case sh.left > 0 && n.until > 0 && n.until-s.now < sh.left:
		return false
	}
	return sh.prog == nil || n.crew(sh.prog).idle >= sh.ranks
}

// see brings what sh knows about n up to date, and the queues that depend on it.
func (s *State) see(n *node, sh *shape) {
	fits := s.fits(n, sh)
	if fits == sh.opens(n) {
		return
	}
	was := sh.isOpen()
	sh.setOpen(n, fits)
	if was != sh.isOpen() {
		for _, q := range sh.queues {
			s.rank(q)
		}
	}
	for _, q := range n.homes {
		if q.shape == sh {
			s.rank(q)
		}
	}
}

// update does it for every shape, after something about n has changed.
func (s *State) update(n *node) {
	for _, sh := range s.kinds.live {
		s.see(n, sh)
	}
}

// place gives out what can be placed: the client that was given least is next, with the first of
// its tasks, by priority and then by submission, for which there is room now.
func (s *State) place() {
	if len(s.wanting) > 0 {
		s.unwant()
	}
	s.kickAll()
	for s.placeAll(); s.topUp(); s.placeAll() {
	}
}

// placeAll gives out what fits now.
func (s *State) placeAll() {
	for len(s.turn) > 0 {
		c := s.turn[0]
		q := c.active[0]
		r := s.first(&q.line)
		t := s.tasks.at(r)
		n := s.choose(q, t)
		if n == nil {
			continue // the shape was taken to be open and is not: it is closed now
		}
		// Who comes back after a pause starts level with whoever is served now: unused turns do not
		// add up to a right to shut out the others.
		s.vtime = max(s.vtime, c.pass)
		s.dequeue(r, t)
		s.begin(n, r, t)
		s.kickAll()
	}
}

// choose finds the node for a task that is said to fit somewhere: of those that fit, the one with
// most of its data; without any the one that was filled last, so that others stay whole for what
// is large, or can be given back. It is nil if all have run out of time since they were seen.
func (s *State) choose(q *queue, t *task) *node {
	sh := q.shape
	for i := 1; sh.left > 0 && i <= min(len(sh.open), max(1, sh.nodes)); i++ {
		if n := sh.open[len(sh.open)-i]; !s.fits(n, sh) {
			s.see(n, sh)
			i = 0
		}
	}
	switch {
	case q.pos == 0:
		return nil
	case q.home != nil && s.fits(q.home, sh):
		return q.home
	case q.home != nil:
		s.see(q.home, sh)
		return nil
	case t.in != 0 || t.more != nil:
		for _, p := range s.attraction(t) {
			if n := s.node(p.Node); n != nil && sh.opens(n) && s.fits(n, sh) {
				return n
			}
		}
	}
	return sh.open[len(sh.open)-1]
}

// followed is the weight of a node that a task is to follow, in bytes, and linkSpeed what is
// assumed of the network, in bytes a second: data of a gigabyte is worth a second of waiting.
const (
	followed  = 1 << 20
	linkSpeed = 1 << 30
	worthIt   = 20 * time.Millisecond
)

// attraction lists the nodes where a task's data lies, most first.
func (s *State) attraction(t *task) []Place {
	at := s.scratch.places[:0]
	add := func(n tutti.NodeID, size int64) {
		for i := range at {
			if at[i].Node == n {
				at[i].Size += size
				return
			}
		}
		at = append(at, Place{n, size})
	}
	if t.more != nil && t.more.rare != nil {
		m := t.more.rare
		for _, p := range m.near {
			add(p.Node, p.Size)
		}
		for _, id := range m.follow {
			if _, f := s.known(id); f != nil && f.node != tutti.NoNode {
				add(f.node, followed)
			}
		}
	}
	for e := t.in; e != 0; {
		ed := s.edges.at(e)
		if from := s.tasks.at(ed.from); ed.need && from.flags&(isBlob|isGone) == isBlob {
			add(from.node, int64(from.size)<<10)
		}
		e = ed.nextIn
	}
	slices.SortStableFunc(at, func(a, b Place) int { return cmp.Compare(b.Size, a.Size) })
	s.scratch.places = at
	return at
}

// homeOf is the node that a task which has become ready should wait for: the one with most of its
// data, if bringing the data elsewhere would take long. It waits no longer than that. A task that
// has waited goes anywhere.
func (s *State) homeOf(t *task) *node {
	if t.in == 0 && t.more == nil {
		return nil
	}
	if t.more != nil && t.more.until != 0 {
		return nil // it has waited before: a retry or a node's loss does not start the clock anew
	}
	at := s.attraction(t)
	if len(at) == 0 {
		return nil
	}
	// What matters is how much less has to be fetched there than at the next best place.
	gain := at[0].Size
	if len(at) > 1 {
		gain -= at[1].Size
	}
	cost := int64(min(float64(gain)/linkSpeed, 3600) * float64(time.Second))
	n := s.node(at[0].Node)
	if cost < int64(worthIt) || n == nil || n.drained || t.kind.shape.nodes > 0 || !s.could(n, t.kind.shape) {
		return nil
	}
	t.extra().until = s.now + cost
	return n
}

// begin opens a slot on n for a task that fits there, and on more nodes where it spans several.
func (s *State) begin(n *node, r ref, t *task) {
	sh := t.kind.shape
	sl := s.newSlot(n, sh)
	for i := 1; i < sh.nodes; i++ {
		other := sh.open[len(sh.open)-1]
		if other == n {
			other = sh.open[len(sh.open)-2]
		}
		sl.others = append(sl.others, other)
		s.hold(other, sl)
	}
	switch {
	case sh.ranks == 1:
		sl.engine = n.crew(sh.prog).first
		s.seat(sl, sl.engine)
	case sh.ranks > 1:
		s.seatGang(sl, sh)
	}
	s.hold(n, sl)
	s.assign(sl, r, t)
	if sl.queues() {
		s.thirst(sl)
	}
}

// assign sends a task, which is in no list, to the slot.
func (s *State) assign(sl *slot, r ref, t *task) {
	s.setState(t, tutti.Assigned)
	t.attempt++
	t.epoch = s.cfg.Epoch
	t.node = sl.node.id
	s.enter(sl, r, t)
	if !sl.shape.targeted {
		s.charge(s.clientOf(t), sl.shape.coreTime(nominal))
	}
	a := s.scratch.assigns.next()
	*a = Assign{Run: t.run(), Tag: t.tag, Node: t.node, Class: t.class, Engines: s.enginesOf(sl), Nodes: s.nodesOf(sl)}
	if sl.shape.prog == nil {
		a.Slot = sl.no
	}
	if t.more != nil {
		a.Deps = t.more.deps
	}
	s.do(a)
}

// enginesOf lists a slot's engines in the Step's memory.
func (s *State) enginesOf(sl *slot) []tutti.EngineID {
	mem := &s.scratch.engines
	at := len(*mem)
	if sl.engine != nil {
		*mem = append(*mem, sl.engine.id)
	}
	for _, e := range sl.gang {
		*mem = append(*mem, e.id)
	}
	return (*mem)[at:len(*mem):len(*mem)]
}

// nodesOf lists the nodes of a slot that spans several, the first included.
func (s *State) nodesOf(sl *slot) []tutti.NodeID {
	if len(sl.others) == 0 {
		return nil
	}
	mem := &s.scratch.nodes
	at := len(*mem)
	*mem = append(*mem, sl.node.id)
	for _, n := range sl.others {
		*mem = append(*mem, n.id)
	}
	return (*mem)[at:len(*mem):len(*mem)]
}
