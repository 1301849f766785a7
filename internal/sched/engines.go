package sched

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
)

// engineState is how an engine stands.
type engineState uint8

const (
	engineAwaited  engineState = iota // was there before the controller was started again; left by EngineUp, or when it took too long
	engineStarting                    // asked for; left by EngineUp or EngineDown
	engineIdle                        // left by being given a slot, or loss
	engineBusy                        // in a slot; left by the slot's end, or loss
	engineResting                     // died; left when its back-off is over
	engineEnding                      // asked to end; left by EngineDown
	engineGone                        // for ever: its node is lost, or nobody wants it
)

var engineStates = [...]string{"awaited", "starting", "idle", "busy", "waiting to be started again", "stopping", "gone"}

// engine is what the scheduler keeps of one engine; gone ones leave their number behind, since
// numbers are not used twice.
type engine struct {
	id      tutti.EngineID
	life    uint32
	state   engineState
	node    *node
	prog    *program
	slot    *slot
	line    line // targeted tasks that are ready
	wanting bool // idle, and the node has no room for what is first in its line
	deaths  int  // in a row, without a run that ended well between
	why     string
	timer   timer

	next, prev *engine // idle ones of its crew
}

// crew is a node's engines of one program.
type crew struct {
	prog  *program
	first *engine // idle
	idle  int
	total int // of all states but gone
}

// program is what the scheduler keeps of one program.
type program struct {
	name     string
	wanted   bool
	stopped  bool // nobody wants it any more, and its engines end
	perNode  int
	total    int // engines that are not gone
	ready    int // engines that are idle or busy
	failures int // starts that failed in a row, among all its engines
	broken   string
}

func (s *State) programOf(name string) *program {
	p := s.progs[name]
	if p == nil {
		p = &program{name: name}
		s.progs[name] = p
		s.program = append(s.program, p)
	}
	return p
}

// crew finds a node's engines of a program.
func (n *node) crew(p *program) *crew {
	for i := range n.crews {
		if n.crews[i].prog == p {
			return &n.crews[i]
		}
	}
	n.crews = append(n.crews, crew{prog: p})
	return &n.crews[len(n.crews)-1]
}

func (s *State) engine(id tutti.EngineID) *engine {
	if id < 0 || int(id) >= len(s.engines) {
		return nil
	}
	return s.engines[id]
}

// setEngine moves an engine from one state to another and keeps the counts. Whoever calls it for
// a node that stays calls update too.
func (s *State) setEngine(e *engine, to engineState) {
	live := func(st engineState) int {
		if st == engineIdle || st == engineBusy {
			return 1
		}
		return 0
	}
	e.prog.ready += live(to) - live(e.state)
	if to == engineGone && e.state != engineGone {
		e.prog.total--
		e.node.crew(e.prog).total--
	}
	e.state = to
}

// idle puts an engine among those that are free.
func (s *State) idle(e *engine) {
	s.setEngine(e, engineIdle)
	c := e.node.crew(e.prog)
	e.next = c.first
	if c.first != nil {
		c.first.prev = e
	}
	c.first = e
	c.idle++
}

// unidle takes it out again.
func (s *State) unidle(e *engine) {
	c := e.node.crew(e.prog)
	if e.prev != nil {
		e.prev.next = e.next
	} else if c.first == e {
		c.first = e.next
	} else {
		return // it was kept apart for its own tasks
	}
	if e.next != nil {
		e.next.prev = e.prev
	}
	e.next, e.prev = nil, nil
	c.idle--
}

// vacant decides what a free engine does: end, if nobody wants it; what is meant for it alone; or
// wait for anything.
func (s *State) vacant(e *engine) {
	s.setEngine(e, engineIdle)
	switch {
	case e.prog.stopped && e.line.n == 0 || s.surplus(e):
		s.setEngine(e, engineEnding)
		s.do(StopEngine{Node: e.node.id, Engine: e.id, Life: e.life})
	case e.line.n > 0:
		s.startTargeted(e)
	default:
		s.idle(e)
	}
}

// startTargeted starts what is first in the line of an engine that is free and stands in no list.
// If the node has no room for it, nothing else is begun there before.
func (s *State) startTargeted(e *engine) {
	n := e.node
	r := s.first(&e.line)
	t := s.tasks.at(r)
	sh := t.kind.shape
	if n.drained || s.gangHolds(n, e.prog) || !n.free.covers(sh.need) {
		want := !n.drained && !n.free.covers(sh.need)
		if want != e.wanting {
			s.setWanting(e, want)
			s.update(n)
		}
		return
	}
	s.setWanting(e, false)
	s.leave(&e.line, r)
	n.aimed--
	sl := s.newSlot(n, sh)
	sl.engine, e.slot = e, sl
	s.setEngine(e, engineBusy)
	s.hold(n, sl)
	s.assign(sl, r, t)
	s.refillTargeted(sl)
}

func (s *State) setWanting(e *engine, want bool) {
	if e.wanting == want {
		return
	}
	e.wanting = want
	if want {
		e.node.wanting++
	} else {
		e.node.wanting--
	}
}

// kick tries the engines of a node that wait for room, or for a gang to be placed.
func (s *State) kick(n *node) {
	if n.aimed == 0 {
		return
	}
	for _, e := range n.engines {
		if e.state == engineIdle && e.line.n > 0 {
			s.startTargeted(e)
		}
	}
}

// aim puts a ready task in the line of the engine it is for.
func (s *State) aim(r ref, t *task) {
	e := s.engine(t.class.Target)
	if e == nil || e.state == engineGone {
		s.finish(r, t, tutti.Errored, tutti.Lost, 0, s.whyGone(t.class.Target))
		return
	}
	s.setState(t, tutti.Ready)
	s.join(&e.line, r)
	if e.node != nowhere {
		e.node.aimed++
	}
	switch {
	case e.state == engineIdle:
		if e.line.n == 1 {
			s.unidle(e)
			s.update(e.node)
		}
		s.startTargeted(e)
	case e.state == engineBusy && e.slot != nil:
		s.touch(e.slot)
	}
}

// unaim takes a ready task out of the line of its engine.
func (s *State) unaim(r ref, t *task) {
	e := s.engine(t.class.Target)
	s.leave(&e.line, r)
	if e.node != nowhere {
		e.node.aimed--
	}
	if e.state != engineIdle {
		return
	}
	s.setWanting(e, false)
	if e.line.n > 0 {
		s.startTargeted(e)
	} else {
		s.vacant(e)
	}
	s.update(e.node)
}

// startEngines brings the engines of a program on a node to the wished number.
func (s *State) startEngines(n *node, p *program) {
	if !p.wanted || p.broken != "" || !n.there || n.drained {
		return
	}
	for want := n.wants(p) - n.crew(p).total; want > 0; want-- {
		e := s.newEngine(tutti.EngineID(len(s.engines)), n, p)
		s.startEngine(e)
	}
}

// wants is how many engines of a program a node should have.
func (n *node) wants(p *program) int {
	if p.perNode > 0 {
		return p.perNode
	}
	return max(1, int(n.has.get(cores)/micro))
}

// maxEngine bounds the numbers that are believed when an agent reports engines.
const maxEngine = 1 << 24

// newEngine makes the engine with that number; the numbers below it exist from then on.
func (s *State) newEngine(id tutti.EngineID, n *node, p *program) *engine {
	for int(id) >= len(s.engines) {
		s.engines = append(s.engines, nil)
	}
	e := &engine{id: id}
	s.engines[id] = e
	s.settleIn(e, n, p)
	return e
}

// settleIn makes an engine one of a node and a program.
func (s *State) settleIn(e *engine, n *node, p *program) {
	s.grown++
	e.node, e.prog, e.state = n, p, engineStarting
	n.engines = append(n.engines, e)
	n.crew(p).total++
	p.total++
}

// returnTime is how long tasks wait for their engine after the controller was started again.
const returnTime = int64(time.Minute)

// nowhere and nothing stand for the node and program of an engine that is awaited.
var (
	nowhere = &node{id: tutti.NoNode, name: "not back yet"}
	nothing = &program{name: "unknown"}
)

// comeBack gives an engine that was awaited its place. Tasks for it that are of another program
// were submitted by mistake.
func (s *State) comeBack(e *engine, n *node, p *program) {
	old := e.line
	e.line = line{}
	s.settleIn(e, n, p)
	for old.n > 0 {
		r := s.first(&old)
		t := s.tasks.at(r)
		s.leave(&old, r)
		s.setState(t, tutti.Waiting)
		if s.acceptable(r, t) {
			s.aim(r, t)
		}
	}
}

// patience is the State when it stops waiting for engines to come back.
type patience State

func (p *patience) wake(s *State) {
	for _, e := range s.engines {
		if e != nil && e.state == engineAwaited {
			e.why = "it did not come back after the controller was started again"
			e.state = engineGone
			s.failAimed(e, true)
		}
	}
}

func (s *State) startEngine(e *engine) {
	e.life++
	s.setEngine(e, engineStarting)
	s.do(StartEngine{Node: e.node.id, Engine: e.id, Life: e.life, Program: e.prog.name})
}

// surplus reports whether the program is to have fewer engines on the node than there are. The
// ones with the highest numbers go.
func (s *State) surplus(e *engine) bool {
	n, p := e.node, e.prog
	if !p.wanted || e.line.n > 0 || n.crew(p).total <= n.wants(p) {
		return false
	}
	before := 0
	for _, o := range n.engines {
		if o.prog == p && o.id < e.id && o.state != engineGone && o.state != engineEnding {
			before++
		}
	}
	return before >= n.wants(p)
}

// engineUp takes in that an engine is ready.
func (s *State) engineUp(ev EngineUp) {
	n := s.node(ev.Node)
	if n == nil || ev.Engine < 0 || ev.Engine > maxEngine || ev.Program == "" {
		return
	}
	e := s.engine(ev.Engine)
	if e != nil && e.state == engineGone && e.node.id == n.id && e.node != n && ev.Life >= e.life {
		e = nil // its node was given up too early
	}
	if e != nil && e.state == engineAwaited {
		s.comeBack(e, n, s.programOf(ev.Program))
		e.life = ev.Life
	}
	switch {
	case e == nil:
		e = s.newEngine(ev.Engine, n, s.programOf(ev.Program))
		e.life, e.state = ev.Life, engineStarting
	case e.node != n || e.prog.name != ev.Program || ev.Life < e.life || e.state == engineGone:
		return
	case ev.Life > e.life: // started anew without our asking
		if e.state == engineIdle || e.state == engineBusy {
			s.engineLost(e, "it was started again")
		}
		e.life = ev.Life
	case e.state != engineStarting:
		return
	}
	s.setTimer(&e.timer, e, never)
	e.prog.failures = 0
	e.why = ""
	if e.prog.broken != "" {
		s.revive(e.prog)
	}
	s.vacant(e)
	s.update(n)
}

// engineDown takes in that an engine has ended.
func (s *State) engineDown(ev EngineDown) {
	e := s.engine(ev.Engine)
	if e == nil || ev.Life != e.life || e.state == engineAwaited || e.state == engineGone || e.state == engineResting {
		return
	}
	s.engineEnded(e, ev.Why)
}

// give takes an engine that does not obey for dead.
func (s *State) give(e *engine, why string) {
	s.do(StopEngine{Node: e.node.id, Engine: e.id, Life: e.life})
	s.engineEnded(e, why)
}

// engineEnded deals with the loss, and decides whether the engine is started again.
func (s *State) engineEnded(e *engine, why string) {
	was := e.state
	p := e.prog
	s.engineLost(e, why)
	e.deaths++
	if was == engineStarting {
		p.failures++
		if p.failures >= s.cfg.Crashes && p.ready == 0 && p.broken == "" {
			s.giveUp(p, why)
		}
	}
	if was == engineEnding || !p.wanted {
		s.engineGone(e, why)
		s.startEngines(e.node, p)
		return
	}
	s.setEngine(e, engineResting)
	s.setTimer(&e.timer, e, s.now+s.backOff(e.deaths))
	if was != engineStarting { // else there was nothing in it to lose
		s.failAimed(e, false)
	}
}

// backOff is how long an engine rests after so many deaths in a row.
func (s *State) backOff(deaths int) int64 {
	return int64(s.cfg.Restart) << min(max(deaths-1, 0), 6)
}

// wake starts the engine again.
func (e *engine) wake(s *State) {
	switch {
	case e.state != engineResting:
	case !e.prog.wanted:
		s.engineGone(e, e.why)
	case e.prog.broken == "":
		s.startEngine(e)
	}
}

// engineLost takes an engine that has died out of everything: the run that was first is lost, those
// behind it are unharmed. Its state is left to the caller.
func (s *State) engineLost(e *engine, why string) {
	e.why = why
	sl := e.slot
	switch {
	case e.state == engineIdle:
		s.unidle(e)
		s.setWanting(e, false)
	case sl == nil:
	case sl.engine == e:
		s.loseSlot(sl, why)
	default:
		s.loseRank(sl, e, why)
	}
	e.slot = nil
	s.setEngine(e, engineResting)
	s.update(e.node)
}

// loseRank deals with a gang that has lost one of its engines: the others are stopped.
func (s *State) loseRank(sl *slot, e *engine, why string) {
	sl.gang = without(sl.gang, e)
	e.slot = nil
	if sl.head == 0 {
		return
	}
	if len(sl.gang) == 0 || !sl.node.there {
		s.loseSlot(sl, why)
		return
	}
	s.abort(sl.head, s.tasks.at(sl.head), isBroken)
}

// engineGone buries an engine.
func (s *State) engineGone(e *engine, why string) {
	s.grown++
	s.setTimer(&e.timer, e, never)
	s.setEngine(e, engineGone)
	e.why = why
	e.node.engines = without(e.node.engines, e)
	s.failAimed(e, true)
}

// failAimed ends the tasks that wait for an engine which has died: what they were to find in it is
// gone. Those that ask to be repeated after a loss wait for it to come back, if it will.
func (s *State) failAimed(e *engine, forever bool) {
	var keep []ref
	for e.line.n > 0 {
		r := s.first(&e.line)
		t := s.tasks.at(r)
		s.leave(&e.line, r)
		if !forever && t.class.Retry.Lost > 0 {
			keep = append(keep, r)
			continue
		}
		if e.node != nowhere {
			e.node.aimed--
		}
		s.finish(r, t, tutti.Errored, tutti.Lost, 0, s.whyGone(e.id))
	}
	for _, r := range keep {
		s.join(&e.line, r)
	}
}

// whyGone says in words why an engine cannot serve its own tasks.
func (s *State) whyGone(id tutti.EngineID) string {
	e := s.engine(id)
	if e == nil {
		return fmt.Sprintf("there is no engine %d", id)
	}
	why := fmt.Sprintf("engine %d ended, and its variables with it", id)
	if e.why != "" {
		why += ": " + e.why
	}
	return why
}

// programUp takes in how many engines of a program are wanted.
func (s *State) programUp(ev ProgramUp) {
	if ev.Program == "" {
		return
	}
	p := s.programOf(ev.Program)
	p.wanted, p.stopped, p.perNode = true, false, max(0, ev.PerNode)
	s.grown++
	s.revive(p)
	for _, n := range s.up {
		for _, e := range slices.Clone(n.engines) {
			if e.prog == p && e.state == engineIdle && s.surplus(e) {
				s.stopIdle(e)
			}
		}
	}
}

// revive starts the engines of a program that are missing, and soon those that rest.
func (s *State) revive(p *program) {
	p.failures, p.broken = 0, ""
	for _, n := range s.up {
		s.startEngines(n, p)
		for _, e := range n.engines {
			if e.prog == p && e.state == engineResting {
				s.ringBy(&e.timer, e, s.now+int64(s.cfg.Restart))
			}
		}
	}
}

// stopIdle ends an engine that is free.
func (s *State) stopIdle(e *engine) {
	s.unidle(e)
	s.vacant(e)
	s.update(e.node)
}

// programDown takes in that nobody wants a program any more.
func (s *State) programDown(ev ProgramDown) {
	p := s.progs[ev.Program]
	if p == nil {
		return
	}
	p.wanted, p.stopped = false, true
	s.grown++
	for _, n := range s.up {
		for _, e := range slices.Clone(n.engines) {
			switch {
			case e.prog != p:
			case e.state == engineIdle && e.line.n == 0:
				s.stopIdle(e)
			case e.state == engineResting:
				s.engineGone(e, "nobody wants its program any more")
			}
		}
	}
	s.warnProgram(p)
}

// giveUp stops starting engines of a program that die as soon as they start.
func (s *State) giveUp(p *program, why string) {
	if why = strings.TrimSpace(why); why == "" {
		why = "for no reason that was reported"
	}
	p.broken = why
	s.warnProgram(p)
}

// warnProgram tells everybody who waits for engines of p what is wrong, once for each queue.
func (s *State) warnProgram(p *program) {
	for _, c := range s.order {
		for _, q := range c.queues {
			if q.shape.prog == p && q.n > 0 {
				s.foresee(s.tasks.at(s.first(&q.line)))
			}
		}
	}
}
