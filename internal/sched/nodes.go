package sched

import (
	"slices"

	"github.com/tutti-hpc/tutti"
)

// node is what the scheduler keeps of one node. One that is lost leaves only its name.
type node struct {
	id      tutti.NodeID
	name    string
	there   bool
	awaited bool // restored results lie on it, and it has not come yet
	drained bool // gets nothing new
	offered bool // NodeIdle was said
	pool    *pool
	has     amounts
	free    amounts
	until   int64 // when its allocation ends, 0 for never
	holders int   // slots that hold something here
	shared  int   // slots of other nodes that reach over to this one

	crews   []crew
	engines []*engine
	slots   []*slot
	homes   []*queue
	aimed   int // targeted tasks that are ready, on all its engines; a world counts once for each
	wanting int // engines whose targeted task does not fit now
	keeper  ref // the task that what comes free here is kept for

	results ref // tasks whose results lie here
	kept    int // of these, those somebody may still ask for
	needed  int // and those that tasks depend on

	idleSince int64 // 0 while it is not
	settling  bool
	dirty     bool // has room that the shapes do not know of yet
	timer     timer
}

// maxNode bounds the numbers of nodes that are believed.
const maxNode = 1 << 24

// node finds a node that is there.
func (s *State) node(id tutti.NodeID) *node {
	if id < 0 || int(id) >= len(s.nodes) || s.nodes[id] == nil || !s.nodes[id].there {
		return nil
	}
	return s.nodes[id]
}

// nodeUp takes in a node, or what has changed about one that is there.
func (s *State) nodeUp(ev NodeUp) {
	if ev.Node < 0 || ev.Node > maxNode {
		return
	}
	if s.node(ev.Node) != nil {
		s.rejoin(ev)
		return
	}
	for int(ev.Node) >= len(s.nodes) {
		s.nodes = append(s.nodes, nil)
	}
	n := &node{id: ev.Node, name: ev.Name, there: true, has: s.kinds.amountsOf(ev.Has, owned)}
	n.free = slices.Clone(n.has)
	if was := s.nodes[ev.Node]; was != nil && was.awaited {
		n.results, n.kept, n.needed = was.results, was.kept, was.needed
	}
	if !ev.Until.IsZero() && ev.Until.Year() < 2200 { // later ones do not fit, and are never
		n.until = ev.Until.UnixNano()
	}
	s.nodes[ev.Node] = n
	s.up = append(s.up, n)
	s.grown++
	s.arrive(n, ev.Pool)
	s.bring(n, ev)
}

// bring takes in what an agent has: first its engines, then the runs that are on them, and only
// then are engines that are free given anything new.
func (s *State) bring(n *node, ev NodeUp) {
	var fresh []*engine
	for _, up := range ev.Engines {
		up.Node = ev.Node
		if e := s.announce(up); e != nil {
			fresh = append(fresh, e)
		}
	}
	// Those that run come first: what waits behind them does not take their room.
	for _, started := range []bool{true, false} {
		for _, h := range ev.Runs {
			if r, _ := s.current(h.Run); r == 0 && h.Started == started {
				s.adopt(n, h)
			}
		}
	}
	for _, e := range fresh {
		if e.slot == nil {
			s.vacant(e)
		}
	}
	for _, p := range s.program {
		s.startEngines(n, p)
	}
	s.update(n)
	s.calm(n)
}

// rejoin takes in that an agent which was there has joined anew: what it does not have any more is
// lost, and what it has stays.
func (s *State) rejoin(ev NodeUp) {
	n := s.node(ev.Node)
	has := map[tutti.RunID]bool{}
	for _, h := range ev.Runs {
		has[h.Run] = true
	}
	lives := map[tutti.EngineID]uint32{}
	for _, e := range ev.Engines {
		lives[e.Engine] = e.Life
	}
	for _, e := range slices.Clone(n.engines) {
		if e.state != engineResting && e.state != engineGone && lives[e.id] < e.life {
			s.engineEnded(e, "its agent came back without it")
		}
	}
	for _, sl := range slices.Clone(n.slots) {
		for r := sl.head; r != 0; {
			t := s.tasks.at(r)
			next := t.next
			if !has[t.run()] {
				s.do(Abort{Node: n.id, Runs: s.runsOf(t.run())}) // it may be on its way
				s.exit(t)
				s.giveBack(r, t)
			}
			r = next
		}
	}
	n.offered = false
	s.bring(n, ev)
}

// adopt takes over a run that a returning agent has, if its task waits to be run; else the run is
// to be stopped.
func (s *State) adopt(n *node, h Held) {
	r, t := s.known(h.Run.Task)
	if t == nil || t.final() || t.flying() || t.epoch == s.cfg.Epoch && t.attempt != 0 || !s.readopt(n, h, r, t) {
		s.do(Abort{Node: n.id, Runs: s.runsOf(h.Run)})
	}
}

// readopt makes a slot for the run, or puts it behind the one that its engine has already.
func (s *State) readopt(n *node, h Held, r ref, t *task) bool {
	sh := t.kind.shape
	var es []*engine
	for _, id := range h.Engines {
		e := s.engine(id)
		if e == nil || e.node != n || e.prog != sh.prog || !e.live() {
			return false
		}
		es = append(es, e)
	}
	ghost := sh.prog != nil && len(es) == 0
	if len(es) == 1 && es[0].slot != nil && es[0].slot.shape == sh && sh.ranks == 1 && !sh.world {
		s.takeUp(es[0].slot, h, r, t)
		return true
	}
	if slices.ContainsFunc(es, func(e *engine) bool { return e.slot != nil }) {
		return false
	}
	if !ghost && (len(es) != sh.ranks || sh.nodes > 1 || sh.nodes == 1 && n.holders > 0 || !n.free.covers(sh.need)) {
		return false
	}
	sl := s.newSlot(n, sh)
	sl.ghost, sl.alone = ghost, true
	for _, e := range es {
		s.setWanting(e, false)
		s.seat(sl, e)
	}
	if sh.ranks > 1 || sh.world {
		sl.gang = append(sl.gang, es...)
	} else if len(es) == 1 {
		sl.engine = es[0]
	}
	s.hold(n, sl)
	s.takeUp(sl, h, r, t)
	return true
}

// takeUp enters an adopted run into its slot.
func (s *State) takeUp(sl *slot, h Held, r ref, t *task) {
	s.withdraw(r, t)
	s.setState(t, tutti.Assigned)
	t.attempt, t.epoch, t.node = h.Run.Attempt, h.Run.Epoch, sl.node.id
	s.enter(sl, r, t)
	if h.Started {
		s.hasStarted(r, t)
	}
}

// nodeDown takes in the loss of a node.
func (s *State) nodeDown(ev NodeDown) {
	n := s.node(ev.Node)
	if n == nil {
		if ev.Node >= 0 && int(ev.Node) < len(s.nodes) && s.nodes[ev.Node] != nil {
			s.nodes[ev.Node].awaited = false
			s.loseResults(s.nodes[ev.Node])
		}
		return
	}
	why := "node " + n.name + " was lost"
	if ev.Why != "" {
		why += ": " + ev.Why
	}
	// First the node takes nothing more, then its engines end, then what ran without any, last its
	// results: so that nothing that is lost is placed on what is about to be lost.
	n.there = false
	s.up = without(s.up, n)
	s.grown++
	s.setTimer(&n.timer, n, never)
	s.depart(n)
	if n.keeper != 0 {
		s.unkeep(s.clientOf(s.tasks.at(n.keeper)))
	}
	for _, e := range slices.Clone(n.engines) {
		s.engineLost(e, why)
		s.engineGone(e, why)
	}
	for _, sl := range slices.Clone(n.slots) {
		s.loseSlot(sl, why)
	}
	if n.shared > 0 {
		s.loseShared(n)
	}
	s.update(n)
	for len(n.homes) > 0 {
		s.evict(n.homes[0])
	}
	s.loseResults(n)
}

// loseShared stops the runs of other nodes that reach over to this one.
func (s *State) loseShared(n *node) {
	for _, o := range s.up {
		for _, sl := range o.slots {
			if sl.head != 0 && slices.Contains(sl.others, n) {
				s.abort(sl.head, s.tasks.at(sl.head), isBroken)
			}
		}
	}
}

// evict sends all that waited for a home wherever there is room.
func (s *State) evict(q *queue) {
	for q.n > 0 {
		r := s.first(&q.line)
		t := s.tasks.at(r)
		s.dequeue(r, t)
		s.enqueue(r, t)
	}
}

// nodeDrain stops or resumes giving work to a node.
func (s *State) nodeDrain(ev NodeDrain) {
	n := s.node(ev.Node)
	if n == nil || n.drained == !ev.Off && !n.offered {
		return
	}
	n.drained, n.offered, n.idleSince = !ev.Off, false, 0
	s.grown++
	if n.drained {
		if n.keeper != 0 {
			s.unkeep(s.clientOf(s.tasks.at(n.keeper)))
		}
		for _, sl := range n.slots {
			if sl.n > 1 && !sl.shape.targeted {
				s.recall(sl)
			}
		}
		for _, e := range n.engines {
			s.setWanting(e, false)
		}
		s.update(n)
		for len(n.homes) > 0 {
			s.evict(n.homes[0])
		}
	} else {
		for _, p := range s.program {
			s.startEngines(n, p)
		}
		s.kick(n)
		s.update(n)
	}
	s.calm(n)
}

// calm has it looked at the end of the Step whether the node has come to rest.
func (s *State) calm(n *node) {
	if !n.settling && n.there && (n.drained || n.pool != nil) {
		n.settling = true
		s.settle = append(s.settle, n)
	}
}

// rest says that a node may be given back: one that is drained when nothing is on it that
// somebody needs, one of a pool when it has had nothing to do for the pool's idle time.
func (s *State) rest(n *node) {
	switch {
	case !n.there || n.offered:
	case len(n.slots) > 0 || n.shared > 0 || n.needed > 0 || !n.drained && n.kept > 0:
		n.idleSince = 0
	case n.drained:
		s.offer(n)
	case n.pool != nil && n.pool.idle > 0:
		if n.idleSince == 0 {
			n.idleSince = s.now
		}
		s.ringBy(&n.timer, n, plus(n.idleSince, n.pool.idle))
	}
}

// offer says it, and gives the node nothing more.
func (s *State) offer(n *node) {
	n.offered, n.drained = true, true
	s.grown++
	s.update(n)
	s.do(NodeIdle{Node: n.id})
}

// wake looks whether a pool's node has been idle long enough.
func (n *node) wake(s *State) {
	if !n.there || n.offered || n.pool == nil || n.idleSince == 0 {
		return
	}
	if due := plus(n.idleSince, n.pool.idle); due > s.now {
		s.setTimer(&n.timer, n, due)
		return
	}
	if len(n.slots) > 0 || n.kept > 0 || n.needed > 0 || n.aimed > 0 {
		n.idleSince = 0
		s.calm(n)
		return
	}
	s.offer(n)
}
