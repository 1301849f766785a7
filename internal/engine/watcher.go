package engine

import (
	"sync/atomic"
	"time"

	"github.com/tutti-hpc/tutti/internal/wire"
)

const (
	// tick is the longest that a result waits for company while the worker is busy.
	tick = time.Millisecond
	// startedTicks is after how many ticks a run is worth telling of before it ends.
	startedTicks = 5
)

// watcher looks after the worker from outside, since user code does not come back to us: it
// flushes results that wait behind a longer run, and tells that a run lasts. It sleeps through
// long runs and idleness.
type watcher struct {
	running atomic.Uint64 // the serial number of the run in progress, 0 if none
	parked  atomic.Bool   // it sleeps until the next begin
	wake    chan struct{}
}

func (w *watcher) begin(serial uint64) {
	w.running.Store(serial)
	if w.parked.Load() && w.parked.CompareAndSwap(true, false) {
		select {
		case w.wake <- struct{}{}:
		default:
		}
	}
}

func (w *watcher) end() { w.running.Store(0) }

// park sleeps until a run other than the one seen begins; false when the engine is over.
func (w *watcher) park(seen uint64, done <-chan struct{}) bool {
	w.parked.Store(true)
	if now := w.running.Load(); now != seen && now != 0 {
		w.parked.Store(false) // it began before it could see that we sleep
		return true
	}
	select {
	case <-w.wake:
		return true
	case <-done:
		return false
	}
}

// watchRuns is the watcher's goroutine.
func (l *loop) watchRuns() {
	pause := time.NewTimer(time.Hour)
	defer pause.Stop()
	for seen := uint64(0); l.watch.park(seen, l.done); {
		ticks := 0
		seen = l.watch.running.Load()
		for ticks < startedTicks {
			pause.Reset(tick)
			select {
			case <-pause.C:
			case <-l.done:
				return
			}
			l.out.flush()
			now := l.watch.running.Load()
			if now == 0 {
				break // the worker flushes by itself when it has nothing to do
			}
			if now != seen {
				seen, ticks = now, 0
				continue
			}
			ticks++
		}
		if ticks == startedTicks {
			l.tellStarted(seen)
		}
	}
}

// tellStarted reports the run in progress, if it is still that one.
func (l *loop) tellStarted(serial uint64) {
	c := l.current.Load()
	if c == nil || l.watch.running.Load() != serial {
		return
	}
	s := wire.RunStart{Run: c.id, At: time.Now().Add(-startedTicks * tick).UnixNano()}
	b, at := l.out.open(kindStarted)
	b, _ = s.MarshalMsg(b)
	l.out.shut(b, at)
	l.out.flush()
}
