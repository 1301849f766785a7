package sched

import (
	"time"

	"github.com/tutti-hpc/tutti"
)

// Work is sent ahead to an engine, or behind a command, only as far as it is known to be short: enough to bridge the way
// to the controller and back, and never so much that a task waits long behind another while a
// different engine could take it.
const (
	bridge      = int64(5 * time.Millisecond)   // run time that should be in flight
	longRun     = int64(20 * time.Millisecond)  // nothing waits behind runs of this length
	recallAfter = int64(100 * time.Millisecond) // what waits behind a run of this length is asked back
	tenure      = int64(50 * time.Millisecond)  // an engine is held so long where other shapes wait
)

// window is how many runs of a function may be in flight on one engine.
func (s *State) window(f *fn) int {
	if f.mean == 0 || f.mean >= longRun {
		return 1
	}
	return int(min(int64(s.cfg.Window), max(2, bridge/f.mean)))
}

// mayRefill reports whether the slot may get more of the same without its resources being given
// out anew. Where tasks of other shapes wait it may not do so for ever.
func (s *State) mayRefill(sl *slot) bool {
	e, n := sl.engine, sl.node
	switch {
	case sl.ghost || !n.there || n.drained || !sl.queues():
		return false
	case e != nil && (e.state != engineBusy || e.slot != sl || e.prog.stopped):
		return false
	case n.keeper != 0 || n.wanting > 0 || sl.asked > 0 || sl.stop != 0:
		return false
	case sl.shape.targeted:
		return true
	case sl.shape.nodes > 0 || sl.shape.left > 0 || e != nil && e.awaits():
		return false
	case sl.n > 0 && s.now-sl.began >= longRun:
		return false // longer than was thought
	}
	others := s.busy
	if sl.shape.ready > 0 {
		others--
	}
	return others == 0 || s.now-sl.taken < tenure
}

// refill sends more to an engine that has used up half of its window, and notes one for which
// there is nothing.
func (s *State) refill(sl *slot) {
	if !s.mayRefill(sl) {
		s.quench(sl)
		return
	}
	if sl.shape.targeted {
		s.refillTargeted(sl)
		return
	}
	var q *queue
	// Near the end of the work nothing is sent ahead: the last tasks go to whoever is free first,
	// not behind others on an engine that happened to report early.
	share := sl.shape.ready / max(1, sl.shape.slots)
	if sl.n == 0 {
		share = max(share, 1)
	}
	for given := 0; given < share && sl.shape.ready > 0; given++ {
		// Clients are compared again only after a few, so that a batch costs little where they are many.
		if q == nil || q.n == 0 || given%8 == 0 {
			q = s.bestFor(sl)
		}
		if q == nil {
			break
		}
		r := s.first(&q.line)
		t := s.tasks.at(r)
		w := s.window(t.kind.fn)
		if w == 1 || sl.n >= w || given == 0 && sl.n > w/2 {
			break
		}
		s.vtime = max(s.vtime, q.client.pass)
		s.dequeue(r, t)
		s.assign(sl, r, t)
	}
	s.thirst(sl)
}

// bestFor finds the queue from which the slot should get its next run.
func (s *State) bestFor(sl *slot) (best *queue) {
	consider := func(q *queue) {
		if q.n == 0 || q.shape != sl.shape {
			return
		}
		q.seq = s.tasks.at(s.first(&q.line)).seq
		if best == nil || q.ahead(best) {
			best = q
		}
	}
	for _, q := range sl.shape.queues {
		consider(q)
	}
	for _, q := range sl.node.homes {
		consider(q)
	}
	return best
}

// refillTargeted sends what is meant for this engine alone. It cannot run anywhere else, so it may
// wait behind runs of any length.
func (s *State) refillTargeted(sl *slot) {
	if sl.n > s.cfg.Window/2 {
		return
	}
	l := &sl.engine.line
	for l.n > 0 && sl.n < s.cfg.Window {
		r := s.first(l)
		t := s.tasks.at(r)
		if t.kind.shape != sl.shape || s.next(sl.engine) != r {
			return
		}
		s.leave(l, r)
		sl.node.aimed--
		s.assign(sl, r, t)
	}
}

// thirst notes whether the slot would take more if there were more.
func (s *State) thirst(sl *slot) {
	want := false
	if sl.n > 0 && !sl.shape.targeted && sl.shape.nodes == 0 && sl.shape.left == 0 {
		w := s.window(s.tasks.at(sl.tail).kind.fn)
		want = w > 1 && sl.n <= w/2
	}
	switch {
	case !want:
		s.quench(sl)
	case sl.thirst == 0:
		sl.shape.thirsty = append(sl.shape.thirsty, sl)
		sl.thirst = len(sl.shape.thirsty)
	}
}

// quench takes the slot out of the list of those that would take more.
func (s *State) quench(sl *slot) {
	if sl.thirst == 0 {
		return
	}
	list := sl.shape.thirsty
	last := len(list) - 1
	list[sl.thirst-1] = list[last]
	list[sl.thirst-1].thirst = sl.thirst
	list[last] = nil
	sl.shape.thirsty = list[:last]
	sl.thirst = 0
}

// topUp sends ahead what could not be placed, to engines that are near the end of what they have.
// It reports whether that made room: a task that nodes were kept for may have been among it.
func (s *State) topUp() bool {
	if s.ready == 0 {
		return false
	}
	for _, sh := range s.kinds.live {
		for len(sh.thirsty) > 0 && sh.ready >= max(1, sh.slots) {
			sl := sh.thirsty[len(sh.thirsty)-1]
			had := sl.n
			s.refill(sl)
			if sl.thirst != 0 && sl.n == had {
				break // what is first in line is not for sending ahead
			}
		}
	}
	s.kickAll()
	return len(s.turn) > 0
}

// recall asks a slot's waiting runs back: the one before them takes long.
func (s *State) recall(sl *slot) {
	mem := &s.scratch.runs
	at := len(*mem)
	for r := s.tasks.at(sl.head).next; r != 0; {
		t := s.tasks.at(r)
		if t.flags&(isRecalled|isCanceled) == 0 && t.state == tutti.Assigned {
			t.flags |= isRecalled
			sl.asked++
			*mem = append(*mem, t.run())
		}
		r = t.next
	}
	sl.asking = true
	s.quench(sl)
	if len(*mem) > at {
		s.do(Recall{Node: sl.node.id, Runs: (*mem)[at:len(*mem):len(*mem)]})
	}
}
