package sched

import (
	"cmp"
	"fmt"
	"slices"

	"github.com/tutti-hpc/tutti"
)

// A world of chosen engines waits until all of them are free at once. It stands with each of them
// in order of submission, among the tasks that are meant for that engine alone; an engine for which
// it is next is given nothing else. Since the order is the same at every engine, the world that was
// submitted first of those that wait has all its engines some time: overlapping worlds take turns,
// and none waits for another that waits for it.

// claim has a ready world wait at its engines.
func (s *State) claim(r ref, t *task) {
	for _, id := range t.class.Engines {
		if e := s.engine(id); e == nil || e.state == engineGone {
			s.finish(r, t, tutti.Errored, tutti.Lost, 0, s.whyGone(id))
			return
		}
	}
	s.setState(t, tutti.Ready)
	for _, id := range t.class.Engines {
		e := s.engine(id)
		i, _ := slices.BinarySearchFunc(e.claims, t.seq, func(o ref, seq uint64) int { return cmp.Compare(s.tasks.at(o).seq, seq) })
		e.claims = slices.Insert(e.claims, i, r)
		if e.node != nowhere {
			e.node.aimed++
		}
	}
	for _, id := range t.class.Engines {
		if e := s.engine(id); e.state == engineIdle && t.state == tutti.Ready {
			s.startTargeted(e)
		}
	}
}

// unclaim takes a world away from its engines, which then do what else there is.
func (s *State) unclaim(r ref, t *task) {
	s.dropClaims(r, t)
	for _, id := range t.class.Engines {
		s.reconsider(s.engine(id))
	}
}

// dropClaims takes a world off the lists of its engines.
func (s *State) dropClaims(r ref, t *task) {
	for _, id := range t.class.Engines {
		e := s.engine(id)
		if e.claims[0] == r { // almost always, and there may be many
			e.claims = e.claims[1:]
		} else {
			e.claims = without(e.claims, r)
		}
		if e.node != nowhere {
			e.node.aimed--
		}
	}
}

// gathered reports whether all engines of a world are free, and it is next for each.
func (s *State) gathered(r ref, t *task) bool {
	for _, id := range t.class.Engines {
		if e := s.engine(id); e.state != engineIdle || s.next(e) != r {
			return false
		}
	}
	return true
}

// startWorld starts a world all of whose engines are free, on their node, which has room for it.
func (s *State) startWorld(n *node, r ref, t *task) {
	s.dropClaims(r, t)
	sl := s.newSlot(n, t.kind.shape)
	for _, id := range t.class.Engines {
		e := s.engine(id)
		s.setWanting(e, false)
		s.seat(sl, e)
		sl.gang = append(sl.gang, e)
	}
	s.hold(n, sl)
	s.assign(sl, r, t)
}

// worldTrouble says what is wrong with the engines of a world, "" if nothing is, as far as they
// are known.
func (s *State) worldTrouble(t *task) (tutti.Kind, string) {
	c := t.class
	switch {
	case c.Program == "":
		return tutti.Unsupported, "a command runs without engines and cannot be a world of them"
	case c.Target != tutti.NoEngine:
		return tutti.Invalid, "a task is for one engine or for a world of several, not for both"
	case c.Need.Ranks != 0 && c.Need.Ranks != len(c.Engines):
		return tutti.Invalid, fmt.Sprintf("%d ranks are asked for, and %d engines are named", c.Need.Ranks, len(c.Engines))
	case c.Need.Nodes > 0:
		return tutti.Unsupported, "a task for certain engines cannot have whole nodes"
	}
	var first *engine
	for i, id := range c.Engines {
		e := s.engine(id)
		switch {
		case e == nil:
			return tutti.NotFound, fmt.Sprintf("there is no engine %d", id)
		case slices.Contains(c.Engines[:i], id):
			return tutti.Invalid, fmt.Sprintf("engine %d cannot be two ranks of a world", id)
		case e.state == engineGone:
			return tutti.Lost, s.whyGone(id)
		case e.state == engineAwaited:
			continue
		case c.Program != e.prog.name:
			return tutti.Invalid, fmt.Sprintf("engine %d runs %s, and the task is for %s", id, e.prog.name, c.Program)
		case !e.node.has.covers(t.kind.shape.need):
			return tutti.Unsatisfiable, fmt.Sprintf("it needs %v, and the node of engine %d has %v", c.Need, id, s.kinds.resources(e.node.has))
		case first == nil:
			first = e
		case e.node != first.node:
			return tutti.Unsupported, fmt.Sprintf("engine %d is on %s and engine %d on %s: the engines of a world must be on one node",
				first.id, first.node.name, id, e.node.name)
		}
	}
	return 0, ""
}

// explainWorld tells what a world of chosen engines waits for: the first of them that is not free
// for it.
func (s *State) explainWorld(r ref, t *task) string {
	text := fmt.Sprintf("it is for engines %v together", t.class.Engines)
	for _, id := range t.class.Engines {
		e := s.engine(id)
		if e.state == engineIdle && s.next(e) == r {
			continue
		}
		text += fmt.Sprintf("; engine %d (%s) is %s", id, e.node.name, engineStates[e.state])
		if sl := e.slot; sl != nil && sl.head != 0 {
			text += fmt.Sprintf(" with task %v", s.tasks.at(sl.head).id)
		}
		if first := s.next(e); first != r {
			text += fmt.Sprintf(", and task %v is before it there", s.tasks.at(first).id)
		}
		return text
	}
	n := s.engine(t.class.Engines[0]).node
	switch {
	case n.drained:
		return text + "; their node gets no new work"
	case s.gangHolds(n, t.kind.shape.prog):
		return text + "; their node is being cleared for other ranks, which come first"
	}
	return text + fmt.Sprintf("; it needs %v, and %s has %v free", t.class.Need, n.name, s.kinds.resources(n.free))
}
