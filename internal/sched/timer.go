package sched

import "math"

// never is the time of what is not going to happen.
const never = math.MaxInt64

// sleeper is something that wants to be looked at when a time has come.
type sleeper interface{ wake(s *State) }

// timer stands in its owner and in the State's heap while it is set. It may ring early: its owner
// looks what is really due and sets it again. That is cheaper than moving it with every run.
type timer struct {
	at    int64
	pos   int32
	owner sleeper
}

func (t *timer) before(o *timer) bool { return t.at < o.at }
func (t *timer) place() *int32        { return &t.pos }

// plus is a time so much later, never at the most: limits may be as long as somebody likes.
func plus(at, d int64) int64 {
	if d > never-at {
		return never
	}
	return at + d
}

// setTimer makes t ring at the time given, whatever it was set to before; never stops it.
func (s *State) setTimer(t *timer, owner sleeper, at int64) {
	t.owner = owner
	switch {
	case at == never && t.pos != 0:
		heapRemove(&s.timers, t)
	case at == never:
	case t.pos == 0:
		t.at = at
		heapPush(&s.timers, t)
	default:
		t.at = at
		heapFix(s.timers, t)
	}
}

// ringBy makes t ring at the time given or before.
func (s *State) ringBy(t *timer, owner sleeper, at int64) {
	if at != never && (t.pos == 0 || at < t.at) {
		s.setTimer(t, owner, at)
	}
}

// ring wakes all whose time has come.
func (s *State) ring() {
	for len(s.timers) > 0 && s.timers[0].at <= s.now {
		t := s.timers[0]
		heapRemove(&s.timers, t)
		t.owner.wake(s)
	}
}
