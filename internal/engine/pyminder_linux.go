package engine

import (
	"time"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// mind is the minder's goroutine. It does what takes a moment (taking back, cancelling, writing
// what the socket did not take at once), and looks after runs that last. It sleeps while the
// interpreter is idle or in a run that is known to be long.
func (p *pyProcess) mind() {
	defer close(p.idle)
	tickTimer := time.NewTimer(time.Hour)
	defer tickTimer.Stop()
	hang := time.NewTicker(max(time.Millisecond, p.hangLimit()/pings))
	defer hang.Stop()
	stoppedFor, ticks, last := 0, 0, uint64(0)
	for {
		select {
		case <-p.kick:
			ticks = 0
		case <-tickTimer.C:
			ticks++
		case <-hang.C:
			if stoppedFor = p.checkStopped(stoppedFor); stoppedFor > pings {
				p.Kill()
			}
			continue
		case <-p.over:
			return
		}
		p.attend()
		p.mu.Lock()
		rest := len(p.out) > 0
		p.parked = len(p.queue.inside) == 0
		parked := p.parked
		p.mu.Unlock()
		if rest {
			p.writeOut()
		}
		if parked {
			continue
		}
		begun := p.board.begun.Load()
		if begun != last {
			last, ticks = begun, 0
		}
		p.lookAtRing()
		switch {
		case ticks < startedTicks || !p.lasts(begun):
			tickTimer.Reset(tick)
		case p.insist():
			tickTimer.Reset(insistEvery)
		}
	}
}

// checkStopped counts how often in a row the process was found stopped.
func (p *pyProcess) checkStopped(before int) int {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	if p.spec.Hang < 0 || !ready || !p.isStopped() {
		return 0
	}
	if before >= pings-1 {
		p.mu.Lock()
		p.hung = true
		p.mu.Unlock()
		return pings + 1
	}
	return before + 1
}

// attend sees to what was asked.
func (p *pyProcess) attend() {
	for {
		p.mu.Lock()
		if len(p.asks) == 0 {
			p.mu.Unlock()
			return
		}
		a := p.asks[0]
		if p.asks = p.asks[1:]; len(p.asks) == 0 {
			p.asks = nil
		}
		p.mu.Unlock()
		if a.cancel != (tutti.RunID{}) {
			p.cancel(a.cancel, a.timeout)
		} else {
			p.takeBack(a.back)
		}
	}
}

// settle is after how long a word in shared memory has certainly been seen by both sides: the
// interpreter writes which run it begins and then looks whether that is still wanted; we write that
// it is not, and look after this long what has begun.
const settle = 50 * time.Microsecond

// revoke takes all that has not begun out of the interpreter's hands. The run that is said to have
// begun may turn out to be dropped: then the interpreter says so. Nothing is given to it until resume.
func (p *pyProcess) revoke() {
	p.mu.Lock()
	p.revoking = true
	p.mu.Unlock()
	p.board.generation.Add(1)
	time.Sleep(settle)
	begun := p.board.begun.Load()
	p.mu.Lock()
	p.queue.recall(begun)
	p.mu.Unlock()
}

// resume gives the interpreter what it should have, after revoke or not.
func (p *pyProcess) resume() {
	p.mu.Lock()
	p.revoking = false
	p.give()
	p.mu.Unlock()
}

// holds reports whether the interpreter has one of some runs and has not begun it.
func (p *pyProcess) holds(ids []tutti.RunID) bool {
	begun := p.board.begun.Load()
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range ids {
		if r := p.queue.find(id); r != nil && r.turn > begun {
			return true
		}
	}
	return false
}

// takeBack gives back those of ids that have not begun.
func (p *pyProcess) takeBack(ids []tutti.RunID) {
	defer p.resume()
	if p.holds(ids) {
		p.revoke()
	}
	var back []tutti.RunID
	p.mu.Lock()
	for _, r := range p.queue.remove(ids) {
		r.fn.calls--
		back = append(back, r.ID)
	}
	p.mu.Unlock()
	p.speak.Lock()
	p.sink(GivenBack{back})
	p.speak.Unlock()
}

// cancel stops a run: one that waits ends here, one in progress is interrupted.
func (p *pyProcess) cancel(id tutti.RunID, timeout bool) {
	defer p.resume()
	ids := []tutti.RunID{id}
	if p.holds(ids) {
		p.revoke()
	}
	p.mu.Lock()
	gone := p.queue.remove(ids)
	for i := range gone {
		gone[i].fn.calls--
	}
	if r := p.queue.find(id); r != nil {
		r.asked, r.timeout = true, timeout
		p.board.cancel.Store(r.turn)
		p.mu.Unlock()
		p.signal(unix.SIGINT)
		return
	}
	p.mu.Unlock()
	if len(gone) == 0 {
		return // it has ended
	}
	res := wire.Result{Run: id, Ending: WasCanceled, Engine: p.spec.Engine, Fail: p.pack(stopped(timeout), &gone[0])}
	p.speak.Lock()
	p.sink(Results{[]wire.Result{res}})
	p.speak.Unlock()
}

// lookAtRing takes in results that wait behind a longer run: those that were there a moment ago,
// since only what is announced is sure to be complete at once.
func (p *pyProcess) lookAtRing() {
	p.speak.Lock()
	seen := p.seen
	p.seen = p.board.head.Load()
	p.speak.Unlock()
	if int64(seen-p.board.tail.Load()) > 0 {
		if p.collectResults(nil, func() uint64 { return seen }) != nil {
			p.Kill() // the reader will say what is wrong with it
		}
	}
}

// lasts is called when a run has lasted for longer than a moment. It reports whether there is
// nothing to look at until it ends.
func (p *pyProcess) lasts(turn uint64) bool {
	p.mu.Lock()
	r := p.queue.first()
	if r == nil || r.turn != turn || p.board.begun.Load() != turn || p.board.ended.Load() >= turn {
		p.mu.Unlock()
		return false
	}
	p.parked = true
	if p.queue.long == turn { // told
		p.mu.Unlock()
		return true
	}
	p.queue.long = turn
	s := wire.RunStart{Run: r.ID, At: time.Now().Add(-startedTicks * tick).UnixNano()}
	behind := len(p.queue.inside) > 1
	p.mu.Unlock()
	if behind {
		p.revoke()
		p.resume()
	}
	p.speak.Lock()
	defer p.speak.Unlock()
	if p.runOf(turn) == s.Run {
		p.sink(Started{s})
	}
	return true
}

// insistEvery is how often a run is interrupted that was not yet: its process may ignore the signal at
// the time, as it does while os.system waits for a child.
const insistEvery = 50 * time.Millisecond

// insist interrupts the run that was asked to stop and has not noticed. It reports whether there is one.
func (p *pyProcess) insist() bool {
	turn := p.board.cancel.Load()
	p.mu.Lock()
	r := p.queue.turn(turn)
	waits := r != nil && r.asked
	p.mu.Unlock()
	if waits {
		p.signal(unix.SIGINT)
	}
	return waits
}

// writeOut writes what the socket did not take at once, waiting until it does.
func (p *pyProcess) writeOut() {
	p.mu.Lock()
	b := p.out
	p.out = nil
	p.writing = true
	p.mu.Unlock()
	_, _ = p.conn.Write(b) // an error means that the process has ended, which the reader sees
	p.mu.Lock()
	p.writing = false
	more := len(p.out) > 0
	p.mu.Unlock()
	if more {
		p.wake()
	}
}
