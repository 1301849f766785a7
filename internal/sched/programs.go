package sched

import (
	"slices"
	"strings"

	"github.com/tutti-hpc/tutti"
)

// crew is a node's engines of one program.
type crew struct {
	prog  *program
	first *engine // idle
	idle  int
	total int // of all states but gone

	extra   int // how many more than the program says, or fewer, by somebody's wish
	leaving int // that were told to end
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

// programOf finds or makes a program. Programs are few and are never forgotten.
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

// startEngines brings the engines of a program on a node to the wished number.
func (s *State) startEngines(n *node, p *program) {
	if !p.wanted || p.broken != "" || !n.there || n.drained {
		return
	}
	c := n.crew(p)
	for want := n.wants(p) - (c.total - c.leaving); want > 0; want-- {
		e := s.newEngine(tutti.EngineID(len(s.engines)), n, p)
		s.startEngine(e)
	}
}

// wants is how many engines of a program a node should have.
func (n *node) wants(p *program) int {
	want := p.perNode
	if want <= 0 {
		want = max(1, int(n.has.get(cores)/micro))
	}
	for i := range n.crews {
		if n.crews[i].prog == p {
			want += n.crews[i].extra
		}
	}
	return max(0, want)
}

// surplus reports whether the program is to have fewer engines on the node than there are. The
// ones with the highest numbers go.
func (s *State) surplus(e *engine) bool {
	n, p := e.node, e.prog
	if e.leaving {
		return true
	}
	if c := n.crew(p); !p.wanted || e.line.n > 0 || c.total-c.leaving <= n.wants(p) {
		return false
	}
	before := 0
	for _, o := range n.engines {
		if o.prog == p && o.id < e.id && !o.leaving && o.state != engineGone && o.state != engineEnding {
			before++
		}
	}
	return before >= n.wants(p)
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
