package sched

import (
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
	lent    bool // idle, and its line waits because a gang is gathered
	leaving bool // it ends by somebody's wish, and does not come back
	again   bool // it ends by somebody's wish, and comes back at once
	deaths  int  // in a row, without a run that ended well between
	why     string
	timer   timer

	next, prev *engine // idle ones of its crew
}

// engine is the engine with that number, gone or not; nil if the number was never given out.
func (s *State) engine(id tutti.EngineID) *engine {
	if id < 0 || int(id) >= len(s.engines) {
		return nil
	}
	return s.engines[id]
}

// setEngine moves an engine from one state to another and keeps the counts. Whoever calls it for
// a node that stays calls update too.
func (s *State) setEngine(e *engine, to engineState) {
	was := e.live()
	if to == engineGone && e.state != engineGone {
		e.prog.total--
		c := e.node.crew(e.prog)
		if c.total--; e.leaving {
			c.leaving--
		}
	}
	e.state = to
	switch {
	case e.live() && !was:
		e.prog.ready++
	case was && !e.live():
		e.prog.ready--
	}
}

// live reports whether the engine is up.
func (e *engine) live() bool { return e.state == engineIdle || e.state == engineBusy }

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

// unidle takes it out again, if it is there.
func (s *State) unidle(e *engine) {
	e.lent = false
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

// startEngine asks for the engine's next life. Words of earlier lives are ignored from here on.
func (s *State) startEngine(e *engine) {
	e.life++
	s.setEngine(e, engineStarting)
	s.do(StartEngine{Node: e.node.id, Engine: e.id, Life: e.life, Program: e.prog.name})
}

// engineUp takes in that an engine is ready.
func (s *State) engineUp(ev EngineUp) {
	if e := s.announce(ev); e != nil {
		s.vacant(e)
		s.update(e.node)
	}
}

// announce makes an engine known that is ready, without giving it anything to do. It is nil for
// one that is not news.
func (s *State) announce(ev EngineUp) *engine {
	n := s.node(ev.Node)
	if n == nil || ev.Engine < 0 || ev.Engine > maxEngine || ev.Program == "" {
		return nil
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
	case e.node != n || e.prog.name != ev.Program || e.state == engineGone:
		// Its number means another engine, or none any more: it can never be given work.
		s.do(StopEngine{Node: n.id, Engine: ev.Engine, Life: ev.Life})
		return nil
	case ev.Life < e.life:
		return nil
	case ev.Life > e.life: // started anew without our asking
		if e.live() {
			s.engineLost(e, "it was started again")
		}
		e.life = ev.Life
	case e.state != engineStarting:
		return nil
	}
	s.setTimer(&e.timer, e, never)
	e.prog.failures = 0
	e.why = ""
	if e.prog.broken != "" {
		s.revive(e.prog)
	}
	s.setEngine(e, engineBusy)
	return e
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
	if e.again {
		e.deaths = 0
	}
	if was == engineStarting && !e.again {
		p.failures++
		if p.failures >= s.cfg.Crashes && p.ready == 0 && p.broken == "" {
			s.giveUp(p, why)
		}
	}
	if was == engineEnding || e.leaving || !p.wanted {
		s.engineGone(e, why)
		s.startEngines(e.node, p)
		return
	}
	s.setEngine(e, engineResting)
	s.setTimer(&e.timer, e, s.now+s.backOff(e.deaths))
	if was != engineStarting { // else there was nothing in it to lose
		s.failAimed(e, false)
	}
	if e.again {
		e.again = false
		e.wake(s)
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
