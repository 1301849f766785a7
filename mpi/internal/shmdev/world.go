package shmdev

import (
	"context"
	"os"
	"runtime"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Options are the few things that can be chosen.
type Options struct {
	Check    bool          // compare collective calls before they begin
	NoDirect bool          // never copy between the memories of two processes
	Watch    time.Duration // how often a sleeping rank looks whether the others live; 0: never
	Stall    time.Duration // after what time of general waiting to report; 0: never
	CPUs     float64       // processors that the ranks of this machine share; 0: find out
}

// Spec says which world a process joins and as what.
type Spec struct {
	File *os.File // the segment; the world takes it over
	Path string   // or the path of the segment
	Rank int
	Size int
	Options
}

// World is one rank's place; it implements device.World.
type World struct {
	e    *engine
	a    arena
	once sync.Once
	stop func() bool
}

// Local makes a world of n goroutines: one World for each.
func Local(ctx context.Context, n int, opt Options) []*World {
	a := newHeap(n)
	ws := make([]*World, n)
	for r := range ws {
		ws[r] = newWorld(ctx, a, r, n, opt)
	}
	return ws
}

func newWorld(ctx context.Context, a arena, rank, size int, opt Options) *World {
	e := newEngine(a, rank, size, opt)
	if size > 1 {
		e.world.shared, _ = a.area(0, size, false)
	}
	e.ctx = ctx
	e.register()
	w := &World{e: e, a: a}
	w.stop = context.AfterFunc(ctx, e.leave)
	return w
}

// leave ends the world for this rank because its context has ended. The others are told first:
// none of them may write into this rank's memory afterwards.
func (e *engine) leave() {
	e.lock()
	defer e.unlock()
	if e.ended || e.stop != nil {
		return
	}
	setState(e.a, e.me, lost)
	e.announce()
	e.halt(e.contextEnded())
	e.ring(e.me)
}

func (e *engine) contextEnded() error {
	cause := context.Cause(e.ctx)
	kind := tutti.KindOf(cause)
	if kind == tutti.Other {
		kind = tutti.Canceled
	}
	return device.Errorf(kind, "the world's context has ended: %w", cause)
}

// Comm implements device.World.
func (w *World) Comm() device.Comm { return w.e.world }

// Finalize implements device.World. Messages that were sent and have not found room yet are
// still delivered; a second call does nothing.
func (w *World) Finalize() error {
	var err error
	w.once.Do(func() { err = w.finalize() })
	return err
}

func (w *World) finalize() error {
	w.stop()
	e := w.e
	e.lock()
	defer e.unlock()
	err := e.wait(cond{f: func() bool { return len(e.backlog) == 0 }}, what{op: opWait}, nil)
	if e.stop == nil {
		setState(e.a, e.me, finalized)
	}
	e.halt(device.Errorf(tutti.Closed, "the world has been finalized"))
	e.stop = device.Errorf(tutti.Closed, "the world has been finalized")
	e.ring(e.me)
	for e.polling || len(e.followers) > 0 { // others on their way out
		e.unlock()
		runtime.Gosched()
		e.lock()
	}
	e.ended = true
	for _, s := range e.fastComms {
		s.f.handle = 0
	}
	e.fastComms = nil
	e.closePidfds()
	if len(e.kept) == 0 {
		err = firstError(err, w.a.close())
	}
	return err
}

func firstError(a, b error) error {
	if a != nil {
		return a
	}
	return b
}

// Abort implements device.World: every rank's calls end with the reason.
func (w *World) Abort(code int, reason string) {
	e := w.e
	e.lock()
	defer e.unlock()
	if e.ended || !e.hdr.aborted.CompareAndSwap(0, 1) {
		return
	}
	h := e.hdr
	h.abortCode = int32(code)
	h.abortRank = int32(e.me)
	h.abortLen = uint32(copy(h.abortText[:], reason))
	h.aborted.Store(2)
	e.announce()
	e.news()
}

func (e *engine) abortReason() error {
	h := e.hdr
	rank := int(h.abortRank)
	err := device.Errorf(tutti.Revoked, "rank %d ended the job: %s", rank, h.abortText[:min(int(h.abortLen), len(h.abortText))])
	err.Rank = rank
	return err
}

// Lost tells all ranks that one has died, as whoever started it knows.
func (w *World) Lost(rank int) {
	e := w.e
	e.lock()
	defer e.unlock()
	if !e.ended && rank >= 0 && rank < e.n && state(e.a, rank) != finalized {
		e.bury(rank)
	}
}

func (e *engine) bury(rank int) {
	setState(e.a, rank, lost)
	e.announce()
	e.news()
}
