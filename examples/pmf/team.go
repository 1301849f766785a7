package main

import (
	"context"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

// team is who does the work: the engines of a view, or so many goroutines of this process, or the
// calling goroutine alone. A result depends on its argument only, so the choice changes how long
// it takes and nothing else.
type team struct {
	view     *cluster.Balanced                                // nil: nobody but this process
	workers  int                                              // goroutines, without a view
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
	if crew.view != nil {
		return onEngines(ctx, crew.view, f, args, tick)
	}
	return here(ctx, crew.workers, f, args, tick)
}

// onEngines has the engines of a view make the calls.
func onEngines[A, R any](ctx context.Context, view *cluster.Balanced, f *tutti.Fn[A, R], args []A, tick func()) ([]R, error) {
	results := make([]R, len(args))
	for r, err := range cluster.MapUnordered(ctx, view, f, slices.Values(args)) {
		if err != nil {
			return nil, err
		}
		results[r.Index] = r.Value
		tick()
	}
	return results, nil
}

// here makes the calls in this process.
func here[A, R any](ctx context.Context, workers int, f *tutti.Fn[A, R], args []A, tick func()) ([]R, error) {
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
	for range min(workers, len(args)) {
		group.Go(work)
	}
	if workers < 1 {
		work()
	}
	group.Wait()
	if err := context.Cause(ctx); err != nil {
		return nil, err
	}
	return results, nil
}
