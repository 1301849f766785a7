package sched

import (
	"fmt"
	"time"

	"github.com/tutti-hpc/tutti"
)

// started takes in which runs have begun.
func (s *State) started(ev Started) {
	for _, run := range ev.Runs {
		if r, t := s.current(run); t != nil && t.state == tutti.Assigned {
			s.hasStarted(r, t)
		}
	}
}

// hasStarted notes the agent's word that a run has begun; only now its limit is counted.
func (s *State) hasStarted(r ref, t *task) {
	s.setState(t, tutti.Running)
	sl := t.slot
	if sl.head != r {
		s.overtake(sl, r, t)
	}
	sl.word, sl.began = true, s.now
	s.ringBy(&sl.timer, sl, s.due(sl))
}

// overtake makes a run the first of its slot: those before it have ended, which is about to be told,
// or wait on their node for data, which they do beside the engine.
func (s *State) overtake(sl *slot, r ref, t *task) {
	s.unlink(&sl.head, &sl.tail, t)
	t.prev, t.next = 0, sl.head
	s.tasks.at(sl.head).prev = r
	sl.head = r
	sl.asking, sl.stop, sl.force = false, 0, false
	if t.flags&(isCanceled|isOvertime|isBroken) != 0 {
		sl.stop = s.now
	}
}

// done takes in how runs ended. All of them are acknowledged after what follows from them, those
// that are not current too: their ends are known.
func (s *State) done(ev Done) {
	mem := &s.scratch.runs
	at := len(*mem)
	for i := range ev.Results {
		*mem = append(*mem, ev.Results[i].Run)
	}
	acks := (*mem)[at:len(*mem):len(*mem)]
	for i := range ev.Results {
		res := &ev.Results[i]
		r, t := s.current(res.Run)
		if t == nil {
			r, t = s.heirloom(ev.Node, res)
		}
		if t != nil {
			s.result(r, t, res)
		}
	}
	s.spread()
	if len(acks) > 0 {
		s.do(Ack{Node: ev.Node, Runs: acks})
	}
}

// heirloom finds the task of a result that comes from an earlier life of the controller, if the
// task has not been given out in this one: such a result is as good as any.
func (s *State) heirloom(node tutti.NodeID, res *Result) (ref, *task) {
	r, t := s.known(res.Run.Task)
	n := s.node(node)
	if t == nil || n == nil || t.attempt != 0 || t.final() || t.flying() ||
		res.Kind != Succeeded || res.Run.Epoch >= s.cfg.Epoch {
		return 0, nil
	}
	sl := s.newSlot(n, t.kind.shape)
	sl.ghost, sl.alone = true, true
	s.hold(n, sl)
	s.takeUp(sl, Held{Run: res.Run}, r, t)
	return r, t
}

// result deals with the end of a current run.
func (s *State) result(r ref, t *task, res *Result) {
	sl := t.slot
	if res.Kind == Succeeded {
		s.account(t, sl, res.Took)
		t.size = uint32(min(max(res.Size, 0)>>10+1, 1<<31))
		s.exit(t)
		s.succeed(r, t, res.Blob)
		return
	}
	s.exit(t)
	switch {
	case s.stoppedFor(r, t):
	// A run that was told to stop may report the interruption as its own failure: the reason for which
	// it was stopped counts, and was looked at first.
	case res.Kind == UserFailed:
		s.account(t, sl, res.Took)
		s.userFailed(r, t, res.Reason)
	case res.Kind == Rejected:
		s.finish(r, t, tutti.Errored, tutti.Invalid, 0, res.Reason)
	default:
		s.loseRun(r, t, res.Reason)
	}
}

// account learns from a run and charges its client for it.
func (s *State) account(t *task, sl *slot, took time.Duration) {
	t.kind.fn.learn(took)
	if !sl.shape.targeted && int64(took) > nominal {
		s.charge(s.clientOf(t), sl.shape.coreTime(int64(took)-nominal))
	}
	if sl.engine != nil {
		sl.engine.deaths = 0
	}
	for _, e := range sl.gang {
		e.deaths = 0
	}
}

// succeed ends a task well.
func (s *State) succeed(r ref, t *task, blob bool) {
	t.flags &^= isGone
	if blob {
		t.flags |= isBlob
		if n := s.node(t.node); n != nil {
			s.keepResult(n, r, t)
		}
	}
	s.finish(r, t, tutti.Done, 0, 0, "")
}

// keepResult notes that a task's result lies on a node.
func (s *State) keepResult(n *node, r ref, t *task) {
	t.next = n.results
	if n.results != 0 {
		s.tasks.at(n.results).prev = r
	}
	n.results = r
}

// stoppedFor ends a task whose run we had stopped, with the reason for which we had. Its slot has
// been left.
func (s *State) stoppedFor(r ref, t *task) bool {
	switch {
	case t.flags&isOvertime != 0:
		s.finish(r, t, tutti.Errored, tutti.Timeout, 0, fmt.Sprintf("it ran for longer than its limit of %v", t.class.Limit))
	case t.flags&isCanceled != 0:
		s.finish(r, t, tutti.Stopped, tutti.Canceled, 0, "")
	default:
		return false
	}
	return true
}

// userFailed runs a task again after its own code failed, if that was asked for.
func (s *State) userFailed(r ref, t *task, why string) {
	if int(t.failed) >= min(t.class.Retry.Failed, 250) {
		s.finish(r, t, tutti.Errored, tutti.Failed, 0, "")
		return
	}
	t.failed++
	s.repeat(r, t, why)
}

// loseRun deals with a run that failed through no fault of its code. Its slot has been left.
func (s *State) loseRun(r ref, t *task, why string) {
	if s.stoppedFor(r, t) {
		return
	}
	if why == "" && t.flags&isBroken != 0 {
		why = "one of its engines or nodes was lost"
	}
	if s.mayReturn(t) {
		s.repeatAfter(r, t, why, returnPause)
		return
	}
	if s.lacks(t) && t.extra().gaps < maxGaps {
		t.more.gaps++
		s.repeatAfter(r, t, why, 0)
		return
	}
	allowed := s.lossesAllowed(t)
	if int(t.lost) >= allowed {
		if why == "" {
			why = "the machinery failed"
		}
		if t.lost > 0 {
			why = fmt.Sprintf("its run was lost %d times, the last time because %s: perhaps it brings down what it runs on", t.lost+1, why)
		}
		s.finish(r, t, tutti.Errored, tutti.Lost, 0, why)
		return
	}
	t.lost++
	s.repeat(r, t, why)
}

// lossesAllowed is how many lost runs of a task are made good. A targeted one depends on what is in
// its engine, so that it must have asked for it.
func (s *State) lossesAllowed(t *task) int {
	if t.targeted() && t.class.Retry.Lost == 0 {
		return 0
	}
	return min(t.class.Retry.LostRetries(), 250)
}

// repeat sends a task back to its place in the order, after its delay.
func (s *State) repeat(r ref, t *task, why string) {
	wait := t.class.Retry.Delay
	for n := t.lost + t.failed; n > 1 && wait > 0 && wait < maxDelay; n-- {
		wait *= 2
	}
	s.repeatAfter(r, t, why, wait)
}

func (s *State) repeatAfter(r ref, t *task, why string, wait time.Duration) {
	s.do(Repeat{Task: t.id, Attempt: t.attempt, Why: why})
	t.flags &^= isBroken
	s.setState(t, tutti.Waiting)
	if wait <= 0 {
		s.renew(r, t)
		return
	}
	d := &delay{task: r}
	t.extra().delay = d
	s.setTimer(&d.timer, d, s.now+int64(min(wait, maxDelay)))
}

// returnPause is how often a task is tried whose arguments lie on a node that may come back.
const returnPause = 2 * time.Second

// mayReturn reports whether a result that a task needs lies on a node which was there before the
// controller was started again, and may still come back. If it does not the result is lost, and
// computed again; until then it is no fault of the task's that it cannot run.
func (s *State) mayReturn(t *task) bool {
	for er := t.in; er != 0; {
		e := s.edges.at(er)
		from := s.tasks.at(e.from)
		if e.need && from.state == tutti.Done && from.flags&(isBlob|isGone) == isBlob && s.nodes[from.node].awaited {
			return true
		}
		er = e.nextIn
	}
	return false
}

// maxGaps is how many runs of a task may be lost for want of a result it needs, without being counted.
const maxGaps = 5

// lacks reports whether a result that a task needs is lost: that its run failed is no wonder.
func (s *State) lacks(t *task) bool {
	for er := t.in; er != 0; {
		e := s.edges.at(er)
		if from := s.tasks.at(e.from); e.need && (from.state != tutti.Done || from.flags&isGone != 0) {
			return true
		}
		er = e.nextIn
	}
	return false
}

// maxDelay bounds how far the delay of a retry grows.
const maxDelay = time.Hour

// delay is the wait of one task before its next attempt.
type delay struct {
	task  ref
	timer timer
}

// wake makes the task ready, unless what it depends on was lost meanwhile.
func (d *delay) wake(s *State) {
	t := s.tasks.at(d.task)
	t.more.delay = nil
	s.renew(d.task, t)
}

// giveBack returns a run that had not begun: as if it had never been sent. Its slot has been left.
func (s *State) giveBack(r ref, t *task) {
	if s.stoppedFor(r, t) {
		return
	}
	t.flags &^= isBroken
	s.setState(t, tutti.Waiting)
	s.renew(r, t)
}

// loseSlot takes everything out of a slot that is lost: the first run counts as lost, those behind
// it come back unharmed.
func (s *State) loseSlot(sl *slot, why string) {
	if sl.engine != nil {
		sl.engine.slot = nil
		sl.engine = nil
	}
	for _, e := range sl.gang {
		e.slot = nil
	}
	sl.gang = sl.gang[:0]
	s.touch(sl)
	for first := true; sl.head != 0; first = false {
		r := sl.head
		t := s.tasks.at(r)
		s.exit(t)
		if first {
			s.loseRun(r, t, why)
		} else {
			s.giveBack(r, t)
		}
	}
}

// returned takes in which of the runs asked back had not begun.
func (s *State) returned(ev Returned) {
	for _, run := range ev.Runs {
		r, t := s.current(run)
		switch {
		case t == nil:
		case t.flags&isBroken != 0 && t.kind.shape.world: // what it was to find in its engines is gone
			s.exit(t)
			s.loseRun(r, t, "")
		default:
			s.exit(t)
			s.giveBack(r, t)
		}
	}
}

// withdraw takes a task that is not flying out of wherever it waits.
func (s *State) withdraw(r ref, t *task) {
	if t.more != nil && t.more.delay != nil {
		s.setTimer(&t.more.delay.timer, t.more.delay, never)
		t.more.delay = nil
	}
	switch {
	case t.queue != nil:
		s.dequeue(r, t)
	case t.state == tutti.Ready && t.kind.shape.world:
		s.unclaim(r, t)
	case t.state == tutti.Ready:
		s.unaim(r, t)
	}
}

// cancel asks for tasks to stop: what waits ends at once, what runs is told to.
func (s *State) cancel(ids []tutti.TaskID) {
	for _, id := range ids {
		if r, t := s.known(id); t != nil {
			s.cancelTask(r, t)
		}
	}
}

// cancelTask stops one task: at once where it waits, by its agent where it was sent.
func (s *State) cancelTask(r ref, t *task) {
	switch {
	case t.final() || t.flags&isAgain != 0:
		// it has ended: for its client, and that stays so
	case t.flying():
		s.abort(r, t, isCanceled)
	default:
		s.withdraw(r, t)
		s.finish(r, t, tutti.Stopped, tutti.Canceled, 0, "")
	}
}
