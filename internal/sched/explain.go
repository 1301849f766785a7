package sched

import (
	"fmt"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Explain says in a sentence or two why a task has not ended, with the numbers that matter. It is
// for people; nothing should be read out of it by a program.
func (s *State) Explain(id tutti.TaskID, now time.Time) string {
	r := s.find(id)
	switch r {
	case 0:
		return fmt.Sprintf("there is no task %v", id)
	case forgot:
		return fmt.Sprintf("task %v is forgotten", id)
	}
	t := s.tasks.at(r)
	switch {
	case t.state.Final():
		return s.explainEnd(t)
	case t.flying():
		return s.explainRun(r, t)
	case t.more != nil && t.more.delay != nil:
		at := time.Unix(0, t.more.delay.timer.at)
		return fmt.Sprintf("it failed %d times and was lost %d times; it is tried again in %v", t.failed, t.lost, at.Sub(now).Round(time.Millisecond))
	case t.pending > 0:
		return s.explainDeps(t)
	case t.kind.shape.world:
		return s.explainWorld(r, t)
	case t.targeted():
		return s.explainTarget(r, t)
	}
	return s.explainReady(t)
}

// explainEnd tells how a task ended.
func (s *State) explainEnd(t *task) string {
	switch {
	case t.state == tutti.Done && t.flags&isGone != 0:
		return "it is done, but its result was lost; it is computed again when somebody asks for it"
	case t.state == tutti.Errored && t.kindOf == tutti.Dependency:
		return fmt.Sprintf("it failed because task %v, which it depends on, did not end well", t.root())
	case t.state == tutti.Errored:
		return "it failed: " + t.kindOf.String()
	}
	return "it is " + t.state.String()
}

// at names where a slot is: "engine 3 (h2)".
func (sl *slot) at() string {
	switch {
	case sl.engine != nil:
		return fmt.Sprintf("engine %d (%s)", sl.engine.id, sl.node.name)
	case len(sl.gang) > 0:
		return fmt.Sprintf("%d engines of %s", len(sl.gang), sl.node.name)
	case len(sl.others) > 0:
		return fmt.Sprintf("%s and %d more nodes", sl.node.name, len(sl.others))
	}
	return sl.node.name
}

// explainRun tells of a task that was sent somewhere.
func (s *State) explainRun(r ref, t *task) string {
	sl := t.slot
	text := ""
	switch {
	case t.flags&isBroken != 0:
		return "an engine or node of its run was lost, and the rest of it is being stopped on " + sl.at()
	case t.flags&(isCanceled|isOvertime) != 0:
		text = "it is being stopped on " + sl.at()
		if sl.force && sl.head == r {
			text += ", by force since it did not stop when asked"
		}
		return text
	case t.state == tutti.Running:
		text = "it is running on " + sl.at()
	case sl.head == r:
		text = "it was sent to " + sl.at() + " and has not been heard of yet"
	default:
		ahead := 0
		for p := t.prev; p != 0; p = s.tasks.at(p).prev {
			ahead++
		}
		text = fmt.Sprintf("it was sent to %s, where %d tasks run before it, now %v", sl.at(), ahead, s.tasks.at(sl.head).id)
	}
	if t.attempt > 1 && t.lost+t.failed > 0 {
		text += fmt.Sprintf(" (attempt %d)", t.attempt)
	}
	return text
}

// explainDeps tells what a task waits for: how many, and the first of them in more detail.
func (s *State) explainDeps(t *task) string {
	var first *task
	for er := t.in; er != 0; {
		e := s.edges.at(er)
		if from := s.tasks.at(e.from); !e.met && (first == nil || from.seq < first.seq) {
			first = from
		}
		er = e.nextIn
	}
	if first == nil {
		return "it waits for tasks that have just ended"
	}
	what := "which is " + first.state.String()
	switch {
	case first.state == tutti.Running:
		what = "which is running on " + first.slot.at()
	case first.flags&isAgain != 0:
		what = "which is computed again because its result was lost"
	}
	if t.pending == 1 {
		return fmt.Sprintf("it waits for task %v, %s", first.id, what)
	}
	return fmt.Sprintf("it waits for %d tasks, first for %v, %s", t.pending, first.id, what)
}

// explainTarget tells of a task that only one engine may run.
func (s *State) explainTarget(r ref, t *task) string {
	e := s.engine(t.class.Target)
	ahead := e.line.n - 1
	if sl := e.slot; sl != nil {
		ahead += sl.n
	}
	text := fmt.Sprintf("it is for engine %d (%s), which is %s; %d tasks before it there", e.id, e.node.name, engineStates[e.state], ahead)
	switch {
	case e.node.drained:
		text += "; the node gets no new work"
	case e.wanting && s.first(&e.line) == r:
		text += fmt.Sprintf("; it needs %v, and the node has %v free", t.class.Need, s.kinds.resources(e.node.free))
	}
	return text
}

// explainReady tells why a task that could run does not.
func (s *State) explainReady(t *task) string {
	sh := t.kind.shape
	if why := s.hopeless(sh); why != "" {
		return why + s.hope(sh)
	}
	q := t.queue
	if q.home != nil {
		left := time.Duration(t.more.until - s.now).Round(time.Millisecond)
		return fmt.Sprintf("its data lies on %s, which is busy; in %v it goes elsewhere", q.home.name, left)
	}
	before := s.before(t)
	text := fmt.Sprintf("it needs %v, and no node has that free", s.wish(sh))
	switch {
	case sh.prog != nil && sh.prog.ready == 0:
		text = s.explainProgram(sh.prog)
	case sh.isOpen():
		text = "there is room for it, and it is the turn of others"
	case t.flags&isKeeper != 0:
		n := s.clientOf(t).kept[0]
		text = fmt.Sprintf("it needs %v; node %s, which has %v free, gets nothing else until it fits",
			s.wish(sh), n.name, s.kinds.resources(n.free))
	case sh.prog != nil && sh.ranks <= 1 && s.idleEngines(sh.prog) == 0:
		text = fmt.Sprintf("all %d engines of %s are busy", sh.prog.ready, sh.prog.name)
	}
	if before > 0 {
		text += fmt.Sprintf("; %d tasks of this client are before it", before)
	}
	return text + s.hope(sh)
}

// before counts the ready tasks of the same client that come earlier.
func (s *State) before(t *task) (n int) {
	for _, q := range s.clientOf(t).queues {
		switch {
		case q.prio > t.kind.prio:
			n += q.n
		case q.prio == t.kind.prio:
			for r := q.head; r != 0 && s.tasks.at(r).seq < t.seq; r = s.tasks.at(r).next {
				n++
			}
			for _, r := range q.late {
				if s.tasks.at(r).seq < t.seq {
					n++
				}
			}
		}
	}
	return n
}

// wish is what a task of the shape takes, with what was left out filled in.
func (s *State) wish(sh *shape) tutti.Resources {
	r := s.kinds.resources(sh.need)
	r.Nodes, r.Time = sh.nodes, time.Duration(sh.left)
	if sh.ranks > 1 {
		r.Ranks = sh.ranks
	}
	return r
}

// idleEngines counts the engines of a program that could take anything.
func (s *State) idleEngines(p *program) (n int) {
	for _, nd := range s.up {
		n += nd.crew(p).idle
	}
	return n
}

// explainProgram tells why there is no engine of a program to run anything.
func (s *State) explainProgram(p *program) string {
	starting, resting := 0, 0
	var next int64 = never
	for _, e := range s.engines {
		switch {
		case e == nil || e.prog != p:
		case e.state == engineStarting:
			starting++
		case e.state == engineResting:
			resting++
			next = min(next, e.timer.at)
		}
	}
	text := fmt.Sprintf("engines of program %s: none ready, %d starting", p.name, starting)
	if resting > 0 {
		in := time.Duration(max(0, next-s.now)).Round(time.Millisecond)
		text += fmt.Sprintf(", %d died and are started again, the first in %v", resting, in)
	}
	if len(s.up) == 0 {
		text += "; no node has joined"
	}
	return text
}

// hopeless says why no task of the shape can ever run as things are, "" if one can.
func (s *State) hopeless(sh *shape) string {
	if p := sh.prog; p != nil {
		switch {
		case p.broken != "":
			return fmt.Sprintf("engines of program %s end as soon as they start (%s), and are not started any more", p.name, p.broken)
		case !p.wanted && p.total == 0:
			return fmt.Sprintf("it waits for engines of program %s, and nobody starts any", p.name)
		}
	}
	if len(s.up) == 0 || s.couldBe(sh) {
		return ""
	}
	for _, p := range s.pools {
		if s.poolCould(p, sh) {
			return ""
		}
	}
	if sh.nodes > 1 {
		return fmt.Sprintf("it needs %v, and there are %d nodes", s.wish(sh), len(s.up))
	}
	best := s.largest(sh)
	have := s.kinds.resources(best.has).String()
	if sh.ranks > 1 {
		have += fmt.Sprintf(" and %d engines for it", s.crewSize(best, sh.prog))
	}
	if best.until > 0 && sh.left > 0 {
		have += fmt.Sprintf(" for %v more", time.Duration(max(0, best.until-s.now)).Round(time.Second))
	}
	if best.drained {
		have += ", and gets no new work"
	}
	return fmt.Sprintf("it needs %v, and the largest node, %s, has %s", s.wish(sh), best.name, have)
}

// largest is the node that comes nearest to what the shape needs.
func (s *State) largest(sh *shape) *node {
	best, least := s.up[0], int64(never)
	for _, n := range s.up {
		if l := n.has.lacks(sh.need, n.has); l < least || l == least && n.has.get(cores) > best.has.get(cores) {
			best, least = n, l
		}
	}
	return best
}

// hope tells of nodes that are to come.
func (s *State) hope(sh *shape) string {
	text := ""
	for _, p := range s.pools {
		switch {
		case !s.poolCould(p, sh):
		case p.pending > 0:
			text += fmt.Sprintf("; %d nodes of pool %s are asked for", p.pending, p.name)
		case p.notNow > s.now:
			text += fmt.Sprintf("; pool %s gives no nodes (%s), asked again in %v", p.name, p.why, time.Duration(p.notNow-s.now).Round(time.Second))
		case p.nodes >= p.max:
			text += fmt.Sprintf("; all %d nodes of pool %s are there", p.max, p.name)
		}
	}
	return text
}

// foresee tells the owner of a task that it cannot run as things are, once for each shape.
func (s *State) foresee(t *task) {
	c, sh := s.clientOf(t), t.kind.shape
	why := s.hopeless(sh)
	switch {
	case why == "" && len(c.warned) > 0:
		delete(c.warned, sh)
	case why != "" && !c.warned[sh]:
		if c.warned == nil {
			c.warned = map[*shape]bool{}
		}
		c.warned[sh] = true
		s.do(Warn{Task: t.id, Text: why})
	}
}
