package sched

import (
	"fmt"

	"github.com/tutti-hpc/tutti"
)

// edge says that a task waits for another. It stays until the one that waits has ended, since a
// result that is needed may have to be made again.
type edge struct {
	from, to         ref
	nextOut, prevOut ref // among those that leave from
	nextIn           ref // among those that lead to
	need             bool
	met              bool
}

// connect makes t wait for another task, or only notes that it uses its result.
func (s *State) connect(from, to ref, need, met bool) {
	r, e := s.edges.take()
	f, t := s.tasks.at(from), s.tasks.at(to)
	*e = edge{from: from, to: to, nextOut: f.out, nextIn: t.in, need: need, met: met}
	if f.out != 0 {
		s.edges.at(f.out).prevOut = r
	}
	f.out, t.in = r, r
	if !met {
		t.pending++
	}
	if need {
		f.users++
		s.tally(f)
	}
}

// cut removes the edges that lead to a task which has ended.
func (s *State) cut(t *task) {
	for r := t.in; r != 0; {
		e := s.edges.at(r)
		next := e.nextIn
		from := s.tasks.at(e.from)
		if e.prevOut != 0 {
			s.edges.at(e.prevOut).nextOut = e.nextOut
		} else {
			from.out = e.nextOut
		}
		if e.nextOut != 0 {
			s.edges.at(e.nextOut).prevOut = e.prevOut
		}
		fromRef, need := e.from, e.need
		s.edges.give(r)
		if need {
			from.users--
			s.tally(from)
		}
		s.tidy(fromRef, from)
		r = next
	}
	t.in, t.pending = 0, 0
}

// finish ends a task for good, which stands in no list any more. What follows for others is seen to
// by spread, later in the same Step.
func (s *State) finish(r ref, t *task, state tutti.State, kind tutti.Kind, cause tutti.TaskID, why string) {
	s.setState(t, state)
	t.kindOf = kind
	t.flags = t.flags&^(isBroken|isOvertime|isCanceled) | isEnding
	if cause != 0 {
		t.setCause(cause)
	}
	if t.flags&isAgain == 0 { // else its client knows it as done already
		f := s.scratch.ends.next()
		*f = Finish{Task: t.id, Tag: t.tag, State: state, Kind: kind, Cause: cause, Why: why}
		if t.attempt != 0 {
			f.Run = t.run()
		}
		s.do(f)
		c := s.clientOf(t)
		c.open.Tasks--
		c.open.Bytes -= int64(t.bytes)
		s.throttle(c)
	}
	t.flags &^= isAgain
	s.ended = append(s.ended, r)
}

// root is the task at the root of a failure.
func (t *task) root() tutti.TaskID {
	if cause := t.cause(); cause != 0 {
		return cause
	}
	return t.id
}

// spread lets the ends of tasks act on those that wait for them, until nothing more follows.
func (s *State) spread() {
	for len(s.ended) > 0 || len(s.again) > 0 {
		for i := 0; i < len(s.ended); i++ {
			r := s.ended[i]
			s.release1(r, s.tasks.at(r))
		}
		s.ended = s.ended[:0]
		for i := 0; i < len(s.again); i++ {
			s.recompute(s.again[i])
		}
		s.again = s.again[:0]
	}
}

// release1 acts on the direct dependents of one task.
func (s *State) release1(r ref, t *task) {
	for er := t.out; er != 0; {
		e := s.edges.at(er)
		next := e.nextOut
		to := s.tasks.at(e.to)
		switch {
		case e.met || to.final():
		case e.need && t.state != tutti.Done && !to.flying():
			s.withdraw(e.to, to)
			s.finish(e.to, to, tutti.Errored, tutti.Dependency, t.root(), "")
		default:
			e.met = true
			to.pending--
			if to.pending == 0 && to.state == tutti.Waiting && (to.more == nil || to.more.delay == nil) {
				s.makeReady(e.to, to)
			}
		}
		er = next
	}
	t.flags &^= isEnding
	s.cut(t)
	s.tally(t)
	s.tidy(r, t)
}

// makeReady hands a task on which nothing waits any more to where it is placed from.
func (s *State) makeReady(r ref, t *task) {
	switch sh := t.kind.shape; {
	case sh.world:
		s.claim(r, t)
	case sh.targeted:
		s.aim(r, t)
	default:
		s.enqueue(r, t)
	}
}

// renew makes a task ready again, unless results it needs are gone.
func (s *State) renew(r ref, t *task) {
	for er := t.in; er != 0; {
		e := s.edges.at(er)
		from := s.tasks.at(e.from)
		switch {
		case !e.need || !e.met:
		case from.final() && from.state != tutti.Done:
			s.finish(r, t, tutti.Errored, tutti.Dependency, from.root(), "")
			return
		case from.state != tutti.Done || from.flags&isGone != 0:
			e.met = false
			t.pending++
			s.want(e.from, from)
		}
		er = e.nextIn
	}
	if t.pending == 0 {
		s.makeReady(r, t)
	}
}

// want has a result that was lost computed again.
func (s *State) want(r ref, t *task) {
	if t.state == tutti.Done && t.flags&isGone != 0 {
		s.again = append(s.again, r)
	}
}

// recompute runs a finished task again because its result was lost and is needed.
func (s *State) recompute(r ref) {
	t := s.tasks.at(r)
	if t.state != tutti.Done || t.flags&isGone == 0 {
		return
	}
	s.setState(t, tutti.Waiting)
	t.flags = t.flags&^(isGone|isBlob) | isAgain
	t.lost, t.failed = 0, 0
	// Those that were ready for it are not any more. Those already sent off may have fetched it in time;
	// if not, their runs fail and renew finds that it is missing.
	for er := t.out; er != 0; {
		e := s.edges.at(er)
		if to := s.tasks.at(e.to); e.need && e.met && !to.final() && !to.flying() {
			if to.state == tutti.Ready {
				s.withdraw(e.to, to)
				s.setState(to, tutti.Waiting)
			}
			e.met = false
			to.pending++
		}
		er = e.nextOut
	}
	if s.lossesAllowed(t) == 0 { // it must not be run twice
		s.finish(r, t, tutti.Errored, tutti.Lost, 0, "")
		return
	}
	s.do(Recompute{Task: t.id})
	if t.more != nil {
		for _, id := range t.more.deps {
			if !s.reconnect(id, r, t) {
				return
			}
		}
	}
	if t.pending == 0 {
		s.makeReady(r, t)
	}
}

// reconnect makes a task that is computed again wait for one that it depends on; false if that
// one cannot help any more, and t has ended for it.
func (s *State) reconnect(id tutti.TaskID, r ref, t *task) bool {
	fr, from := s.known(id)
	switch {
	case from == nil:
		s.finish(r, t, tutti.Errored, tutti.Expired, 0, fmt.Sprintf("task %v, whose result it needs, is forgotten", id))
		return false
	case from.final() && from.state != tutti.Done:
		s.finish(r, t, tutti.Errored, tutti.Dependency, from.root(), "")
		return false
	}
	s.connect(fr, r, true, from.state == tutti.Done && from.flags&isGone == 0)
	s.want(fr, from)
	return true
}

// resultLost takes in that one result cannot be read any more. Somebody tried to: it is made anew.
func (s *State) resultLost(ev ResultLost) {
	r, t := s.known(ev.Task)
	if t == nil || t.state != tutti.Done || t.flags&isGone != 0 {
		return
	}
	s.lose(r, t)
	s.again = append(s.again, r)
}

// loseResults does what the loss of a node does to the results that lay there.
func (s *State) loseResults(n *node) {
	for n.results != 0 {
		r := n.results
		t := s.tasks.at(r)
		s.lose(r, t)
		if t.users > 0 {
			s.again = append(s.again, r)
		}
	}
}

// lose marks the result of a task as gone.
func (s *State) lose(r ref, t *task) {
	s.unkeepResult(r, t)
	t.flags |= isGone
	s.tally(t)
}

// unkeepResult takes a task off the list of its node's results.
func (s *State) unkeepResult(r ref, t *task) {
	if t.state == tutti.Done && t.flags&(isBlob|isGone) == isBlob && t.node >= 0 {
		if n := s.nodes[t.node]; t.prev != 0 || n.results == r {
			s.unlink(&n.results, nil, t)
		}
	}
}

// tally keeps the node's counts of results that are kept and needed.
func (s *State) tally(t *task) {
	if t.flags&isBlob == 0 && t.flags&(isKept|isNeeded) == 0 {
		return
	}
	n := s.nodes[t.node]
	lies := t.state == tutti.Done && t.flags&(isBlob|isGone) == isBlob
	n.kept += t.count(isKept, lies)
	n.needed += t.count(isNeeded, lies && t.users > 0)
	s.calm(n)
}

// count sets or clears a flag that stands for being counted, and is the change of the count.
func (t *task) count(flag uint16, want bool) int {
	switch has := t.flags&flag != 0; {
	case want && !has:
		t.flags |= flag
		return 1
	case !want && has:
		t.flags &^= flag
		return -1
	}
	return 0
}

// forget takes in that results will not be asked for again.
func (s *State) forget(ids []tutti.TaskID) {
	for _, id := range ids {
		if r, t := s.known(id); t != nil {
			t.flags |= isForgot
			s.tidy(r, t)
		}
	}
}

// tidy drops a task that has ended and that nobody needs.
func (s *State) tidy(r ref, t *task) {
	if !t.final() || t.flags&(isForgot|isEnding) != isForgot || t.out != 0 || t.in != 0 {
		return
	}
	s.do(Drop{Task: t.id, Tag: t.tag})
	c := s.clientOf(t)
	s.unkeepResult(r, t)
	t.flags |= isGone
	s.tally(t)
	s.counts[t.state]--
	c.counts[t.state]--
	c.index.put(t.id.N(), forgot)
	s.unref(t.kind)
	s.tasks.give(r)
	if c.gone && c.total() == 0 {
		s.dropClient(c)
	}
}
