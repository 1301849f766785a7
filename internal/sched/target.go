package sched

import (
	"fmt"
	"slices"
	"time"

	"github.com/tutti-hpc/tutti"
)

// awaits reports whether something is ready that is meant for just this engine.
func (e *engine) awaits() bool { return e.line.n > 0 || len(e.claims) > 0 }

// next is the task that was submitted first of those meant for the engine: one of its line, or a
// world; 0 for none.
func (s *State) next(e *engine) ref {
	r := s.first(&e.line)
	if len(e.claims) > 0 && (r == 0 || s.tasks.at(e.claims[0]).seq < s.tasks.at(r).seq) {
		return e.claims[0]
	}
	return r
}

// startTargeted starts what is next for an engine that is free. If the node has no room for it,
// nothing else is begun there before. While a gang is gathered it is the gang's turn: the engine
// stands with those that are idle, and what is meant for it comes afterwards. Were it kept apart,
// gang and engine would wait for each other.
func (s *State) startTargeted(e *engine) {
	n := e.node
	if !n.there {
		return // it is about to be lost
	}
	if s.unidle(e) {
		s.update(n)
	}
	if !n.drained && s.gangHolds(n, e.prog) {
		s.setWanting(e, false)
		s.idle(e)
		e.lent = true
		s.update(n)
		return
	}
	r := s.next(e)
	t := s.tasks.at(r)
	sh := t.kind.shape
	all := !sh.world || s.gathered(r, t)
	want := all && !n.drained && !n.free.covers(sh.need)
	if want != e.wanting {
		s.setWanting(e, want)
		s.update(n)
	}
	if !all || n.drained || want {
		return
	}
	if sh.world {
		s.startWorld(n, r, t)
		return
	}
	s.leave(&e.line, r)
	n.aimed--
	sl := s.newSlot(n, sh)
	sl.engine, e.slot = e, sl
	s.setEngine(e, engineBusy)
	s.hold(n, sl)
	s.assign(sl, r, t)
	s.refillTargeted(sl)
}

// setWanting notes whether an engine's own task waits for room on the node, which then takes in
// nothing else.
func (s *State) setWanting(e *engine, want bool) {
	if e.wanting == want {
		return
	}
	e.wanting = want
	if want {
		e.node.wanting++
		s.wanting = append(s.wanting, e)
	} else {
		e.node.wanting--
	}
}

// unwant looks whether those that want room still do: a world does not when one of its engines was
// lost, or has got something else to do.
func (s *State) unwant() {
	keep := s.wanting[:0]
	for _, e := range s.wanting {
		if r := s.next(e); e.wanting && s.tasks.at(r).kind.shape.world && !s.gathered(r, s.tasks.at(r)) {
			s.setWanting(e, false)
			s.update(e.node)
		}
		if e.wanting && !slices.Contains(keep, e) {
			keep = append(keep, e)
		}
	}
	clear(s.wanting[len(keep):])
	s.wanting = keep
}

// kick tries the engines of a node that wait for room, for each other, or for a gang to be placed.
func (s *State) kick(n *node) {
	if n.aimed == 0 {
		return
	}
	for _, e := range n.engines {
		if e.state == engineIdle && e.awaits() {
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
	s.reconsider(e)
}

// reconsider looks anew what an engine is to do, if it is free, since something that was meant for
// it is not any more.
func (s *State) reconsider(e *engine) {
	if e.state != engineIdle || !e.node.there {
		return
	}
	s.setWanting(e, false)
	s.unidle(e)
	s.vacant(e)
	s.update(e.node)
}

// returnTime is how long tasks wait for their engine after the controller was started again.
const returnTime = int64(time.Minute)

// nowhere and nothing stand for the node and program of an engine that is awaited.
var (
	nowhere = &node{id: tutti.NoNode, name: "not back yet"}
	nothing = &program{name: "unknown"}
)

// comeBack gives an engine that was awaited its place. Tasks for it that are of another program
// were submitted by mistake, and so were worlds of engines that turn out to be on several nodes.
func (s *State) comeBack(e *engine, n *node, p *program) {
	old := e.line
	e.line = line{}
	claims := slices.Clone(e.claims)
	for _, r := range claims {
		s.unclaim(r, s.tasks.at(r))
	}
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
	for _, r := range claims {
		t := s.tasks.at(r)
		s.setState(t, tutti.Waiting)
		if s.acceptable(r, t) {
			s.claim(r, t)
		}
	}
}

// patience is the State when it stops waiting for engines and nodes to come back.
type patience State

// wake gives up the engines that have not come back.
func (p *patience) wake(s *State) {
	for _, e := range s.engines {
		if e != nil && e.state == engineAwaited {
			e.why = "it did not come back after the controller was started again"
			e.state = engineGone
			s.failAimed(e, true)
		}
	}
	for _, n := range s.nodes {
		if n != nil && n.awaited {
			n.awaited = false
			s.loseResults(n)
		}
	}
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
	for _, r := range slices.Clone(e.claims) {
		if t := s.tasks.at(r); forever || t.class.Retry.Lost <= 0 {
			s.unclaim(r, t)
			s.finish(r, t, tutti.Errored, tutti.Lost, 0, s.whyGone(e.id))
		}
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
