//go:build cgo && linux

package libmpi

// #include <unistd.h>
// #include "glue.h"
import "C"

import (
	"context"
	"fmt"
	"os"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
	"golang.org/x/sys/unix"
)

// World is the library's world; it implements device.World.
type World struct {
	ctx    context.Context
	opt    Options
	comm   *comm
	tagUB  int
	most   int64 // elements in one count
	mine   bool  // MPI was begun here, and ends here
	mpich  bool  // the library is MPICH or a descendant
	direct bool  // a blocked call need never return: the context cannot end
	spins  C.int // how often to ask before a wait becomes a long one
	yield  C.int // from which question on to offer the processor to others

	stop   atomic.Pointer[tutti.Error] // why every call fails; nil while the world lives
	over   chan struct{}               // closed with the first stop
	unhook func() bool
	once   sync.Once
	end    chan chan C.int // to the keeper
	ids    atomic.Int64
	doing  atomic.Int64 // 1 and the Kind of the collective operation that this rank is in

	wait  waiting
	ops   operations
	lost  sync.Mutex
	never []*request // given up, but their buffers may still be the library's
}

// How often to ask for an operation before the wait counts as long: some ten microseconds to a
// hundred, since a question takes 50 to 100 ns.
const (
	spins      = 1000
	politeness = 400 // questions before the processor is offered to others
)

// Join makes this process a rank of the world of the launcher that started it. Errors: NotFound
// where there is no library; Invalid where launcher and library do not belong together.
func Join(ctx context.Context, l Launcher, opt Options) (device.World, error) {
	w := &World{ctx: ctx, opt: opt, direct: ctx.Done() == nil, over: make(chan struct{}), end: make(chan chan C.int)}
	begun := make(chan error)
	go w.keep(l, begun)
	if err := <-begun; err != nil {
		return nil, err
	}
	w.unhook = context.AfterFunc(ctx, func() { w.halt(w.contextEnded()) })
	return w, nil
}

// keep begins MPI, stays, and ends it: the standard wants one thread for both.
func (w *World) keep(l Launcher, begun chan<- error) {
	runtime.LockOSThread() // for ever: the thread ends with the goroutine
	err := w.begin(l)
	begun <- err
	if err != nil {
		return
	}
	if answer := <-w.end; w.mine {
		answer <- C.tutti_finalize()
	} else {
		answer <- 0
	}
}

func (w *World) begin(l Launcher) error {
	if err := load(l); err != nil {
		return err
	}
	var mine, multiple, tagUB, rank, size C.int
	var world C.tutti_handle
	if err := fault(C.tutti_init(threads(), &mine, &multiple, &world, &tagUB)); err != nil {
		return err
	}
	if err := fault(C.tutti_rank(world, &rank, &size)); err != nil {
		return err
	}
	if l.Size != 0 && int(size) != l.Size {
		err := misfit(l, libraryName(), libraryFile(), int(size))
		if mine != 0 {
			C.tutti_finalize()
		}
		return err
	}
	w.mine, w.tagUB, w.most = mine != 0, int(tagUB), int64(C.tutti_most())
	w.mpich = C.tutti_abi() == C.TUTTI_MPICH
	w.spins, w.yield = spins, politeness
	if l.Local > int(C.sysconf(C._SC_NPROCESSORS_ONLN)) {
		w.yield = 1
	}
	w.wait.init()
	members := make([]int, size)
	for r := range members {
		members[r] = r
	}
	w.comm = &comm{w: w, h: world, rank: int(rank), members: members}
	return nil
}

// Comm implements device.World.
func (w *World) Comm() device.Comm { return w.comm }

// halt makes every call fail; the first reason counts.
func (w *World) halt(why *tutti.Error) {
	if w.stop.CompareAndSwap(nil, why) {
		close(w.over)
		w.wait.stir()
	}
}

func (w *World) contextEnded() *tutti.Error {
	cause := context.Cause(w.ctx)
	kind := tutti.KindOf(cause)
	if kind == tutti.Other {
		kind = tutti.Canceled
	}
	return device.Errorf(kind, "the world's context has ended: %w", cause)
}

// Finalize implements device.World. Where the context has ended MPI is not: others may wait for
// this rank in calls that it will not make, and the launcher ends a job one of whose ranks has left
// in this way.
func (w *World) Finalize() error {
	var err error
	w.once.Do(func() { err = w.finalize() })
	return err
}

func (w *World) finalize() error {
	w.unhook()
	if why := w.stop.Load(); why != nil {
		return why
	}
	w.halt(device.Errorf(tutti.Closed, "the world has been finalized"))
	w.wait.drain()
	w.ops.free()
	answer := make(chan C.int, 1)
	w.end <- answer
	return fault(<-answer)
}

// Abort implements device.World: it ends the job and this process.
func (w *World) Abort(code int, reason string) {
	fmt.Fprintf(os.Stderr, "mpi: rank %d ends the job: %s\n", w.comm.rank, reason)
	waitUntilRead(int(os.Stderr.Fd()))
	C.tutti_abort(C.int(code))
	os.Exit(code)
}

// waitUntilRead gives the launcher a fifth of a second to take what was written to a pipe: some end
// a job that aborts without looking there.
func waitUntilRead(fd int) {
	for range 200 {
		if left, err := unix.IoctlGetInt(fd, unix.TIOCINQ); err != nil || left == 0 {
			return
		}
		time.Sleep(time.Millisecond)
	}
}

// Waiting implements device.World. A rank knows only about itself: the library does not tell what
// the others wait for.
func (w *World) Waiting() string {
	text := w.wait.describe()
	if k := w.doing.Load(); k != 0 {
		text += fmt.Sprintf("rank %d waits in %v\n", w.comm.rank, device.Kind(k-1))
	}
	if text == "" {
		text = fmt.Sprintf("rank %d does not wait\n", w.comm.rank)
	}
	return text
}

// aside runs a call that blocks and cannot be asked about: here, if this rank may wait for ever,
// else on a goroutine that is left behind when the context ends. Its buffers stay the library's then.
func (w *World) aside(call func() C.int) error {
	if w.direct {
		return fault(call())
	}
	done := make(chan C.int, 1)
	go func() { done <- call() }()
	select {
	case code := <-done:
		return fault(code)
	case <-w.over:
		return w.stop.Load()
	}
}
