package mpi

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"sync"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
	"github.com/tutti-hpc/tutti/mpi/internal/shmdev"
)

// Run calls body on n ranks, goroutines of this process, and waits for all of them. It is for
// tests and first steps: all ranks share variables and one Go runtime. When body returns an error
// or panics on one rank, the calls of the others end with kind Revoked, and Run returns that
// first rank's error.
func Run(n int, body func(*Comm) error) error { return RunContext(context.Background(), n, body) }

// RunContext is Run in a world that ends with ctx.
func RunContext(ctx context.Context, n int, body func(*Comm) error) error {
	if n < 1 || n > 4096 {
		return (&Comm{}).failed("Run", device.Errorf(tutti.Invalid, "%d ranks: from 1 to 4096 can be", n))
	}
	errs := make([]error, n)
	var wg sync.WaitGroup
	for r, w := range shmdev.Local(ctx, n, options()) {
		wg.Go(func() {
			world := newWorld(w)
			if errs[r] = guarded(world.comm, body); errs[r] != nil {
				w.Abort(1, errs[r].Error())
			}
			if err := world.Finalize(); errs[r] == nil {
				errs[r] = err
			}
		})
	}
	wg.Wait()
	return cause(errs)
}

// guarded turns a panic of body into an error that has its stack.
func guarded(c *Comm, body func(*Comm) error) (err error) {
	defer func() {
		if p := recover(); p != nil {
			e := tutti.Errorf("rank", tutti.Panicked, "panic: %v", p)
			if cause, ok := p.(error); ok {
				e.Err = fmt.Errorf("panic: %w", cause)
			}
			e.Rank, e.Stack = c.Rank(), string(debug.Stack())
			err = e
		}
	}()
	return body(c)
}

// cause finds the error that began it all: the others were revoked because of it.
func cause(errs []error) error {
	var first error
	for _, err := range errs {
		if err != nil && (first == nil || errors.Is(first, tutti.Revoked) && !errors.Is(err, tutti.Revoked)) {
			first = err
		}
	}
	return first
}
