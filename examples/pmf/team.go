package main

import (
	"context"
	"sync"
	"sync/atomic"

	"github.com/tutti-hpc/tutti"
)

// team is who does the work: the calling goroutine alone (no workers), or so many goroutines. A
// result depends on its argument only, so the choice changes how long it takes and nothing else.
type team struct {
	workers  int
	progress func(what string, total int) (tick, done func()) // may be nil
}

// each calls f for every argument and returns the results in the arguments' order. The first
// error ends the rest and is returned.
func each[A, R any](ctx context.Context, crew *team, what string, f *tutti.Fn[A, R], args []A) ([]R, error) {
	tick, done := func() {}, func() {}
	if crew.progress != nil && len(args) > 0 {
		tick, done = crew.progress(what, len(args))
	}
	defer done()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	results := make([]R, len(args))
	var next atomic.Int64
	work := func() {
		for ctx.Err() == nil {
			i := int(next.Add(1)) - 1
			if i >= len(args) {
				return
			}
			r, err := f.Call(ctx, args[i])
			if err != nil {
				cancel(err) // the first one counts
				return
			}
			results[i] = r
			tick()
		}
	}
	var group sync.WaitGroup
	for range min(crew.workers, len(args)) {
		group.Go(work)
	}
	if crew.workers < 1 {
		work()
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return results, nil
}
