package sched

import "github.com/tutti-hpc/tutti"

// enginesMore takes in that a program is to have more engines: each goes to the node that has the
// fewest of it for its cores.
func (s *State) enginesMore(ev EnginesMore) {
	p := s.progs[ev.Program]
	if p == nil || !p.wanted {
		return
	}
	for range min(ev.N, maxEngine) {
		n := s.roomiest(p)
		if n == nil {
			return
		}
		n.crew(p).extra++
		s.grown++
		s.startEngines(n, p)
	}
}

// roomiest is the node on which one more engine of a program has the most room.
func (s *State) roomiest(p *program) (best *node) {
	load := 0.0
	for _, n := range s.up {
		if n.drained {
			continue
		}
		l := float64(n.wants(p)+1) / float64(max(n.has.get(cores), 1))
		if best == nil || l < load {
			best, load = n, l
		}
	}
	return best
}

// engineLeave takes in that an engine is to end for good, by somebody's wish: its program has one
// less on that node. The caller ends its process; what becomes of its tasks is as if it had died.
func (s *State) engineLeave(ev EngineLeave) {
	e := s.engine(ev.Engine)
	if e == nil || e.leaving || e.state == engineGone || e.state == engineAwaited || e.state == engineEnding {
		return
	}
	e.leaving = true
	s.grown++
	c := e.node.crew(e.prog)
	c.extra--
	c.leaving++
	switch e.state {
	case engineResting:
		s.engineGone(e, "somebody has stopped it")
	case engineIdle:
		s.unidle(e)
		s.setWanting(e, false)
		s.setEngine(e, engineEnding)
		s.update(e.node)
	}
}

// engineAgain takes in that an engine's process is about to be ended by somebody's wish, and that it
// is to come back at once.
func (s *State) engineAgain(ev EngineAgain) {
	if e := s.engine(ev.Engine); e != nil && !e.leaving {
		e.again = true
	}
	if e := s.engine(ev.Engine); e != nil && e.state == engineResting && e.prog.broken == "" {
		e.wake(s)
	}
}

// EnginesMore asks for N more engines of a program that is wanted, beyond what [ProgramUp] says,
// spread over the nodes. It does not outlive the controller.
type EnginesMore struct {
	Program string
	N       int
}

// EngineLeave says that an engine is being ended by somebody's wish and is not to come back: there is
// one engine less on its node than [ProgramUp] says. [EngineDown] follows.
type EngineLeave struct{ Engine tutti.EngineID }

// EngineAgain says that an engine is being ended by somebody's wish and is to come back, at once.
// [EngineDown] follows.
type EngineAgain struct{ Engine tutti.EngineID }

func (EnginesMore) event() {}
func (EngineLeave) event() {}
func (EngineAgain) event() {}
