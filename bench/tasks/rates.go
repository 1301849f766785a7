package main

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

var noop = tutti.Func("bench.noop", func(_ context.Context, i int) (int, error) { return i, nil })

// nap sleeps by the system call with which Python's time.sleep does, so that all sleep alike: Go's
// own timers round up to what its poller can wait for.
var nap = tutti.Func("bench.nap", func(_ context.Context, i int) (int, error) {
	sleep(time.Millisecond)
	return i, nil
})

// warm brings a cluster to its working speed.
func warm(ctx context.Context, c *cluster.Client) error {
	return mapAll(ctx, c.Balanced(), noop, 2000)
}

// mapAll maps f over 0 to n-1, and checks that what came back is in order.
func mapAll(ctx context.Context, b *cluster.Balanced, f *tutti.Fn[int, int], n int) error {
	want := 0
	for got, err := range cluster.Map(ctx, b, f, count(n)) {
		if err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("result %d is %d", want, got)
		}
		want++
	}
	if want != n {
		return fmt.Errorf("%d results of %d", want, n)
	}
	return nil
}

func count(n int) iter.Seq[int] {
	return func(yield func(int) bool) {
		for i := range n {
			if !yield(i) {
				return
			}
		}
	}
}

// timed opens the cluster and measures how long f takes.
func (r *run) timed(ctx context.Context, f func(*opened) error) (seconds float64, err error) {
	o, err := r.open(ctx)
	if err != nil {
		return 0, err
	}
	defer o.close()
	begin := time.Now()
	err = f(o)
	return time.Since(begin).Seconds(), err
}

// measureMap is the rate of tasks that do nothing, all given at once.
func measureMap(ctx context.Context, r *run) error {
	s, err := r.timed(ctx, func(o *opened) error { return mapAll(ctx, o.Balanced(), noop, r.n) })
	if err == nil {
		r.emit("noop_rate", float64(r.n)/s, "1/s")
	}
	return err
}

// measureDurable is the same of tasks that survive the controller.
func measureDurable(ctx context.Context, r *run) error {
	s, err := r.timed(ctx, func(o *opened) error { return mapAll(ctx, o.Balanced(tutti.Durable()), noop, r.n) })
	if err == nil {
		r.emit("durable_rate", float64(r.n)/s, "1/s")
	}
	return err
}

// measureSubmit is the rate of single submissions, each with a future of its own, with their
// results.
func measureSubmit(ctx context.Context, r *run) error {
	s, err := r.timed(ctx, func(o *opened) error {
		b, futures := o.Balanced(), make([]*tutti.Future[int], r.n)
		for i := range futures {
			futures[i] = tutti.Submit(ctx, b, noop, i)
		}
		for i, f := range futures {
			if got, err := f.Get(ctx); err != nil || got != i {
				return fmt.Errorf("result %d is %d: %w", i, got, err)
			}
		}
		return nil
	})
	if err == nil {
		r.emit("submit_rate", float64(r.n)/s, "1/s")
	}
	return err
}

// measureTrip is how long one call takes whose result is waited for.
func measureTrip(ctx context.Context, r *run) error {
	o, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer o.close()
	b, trips := o.Balanced(), make([]float64, r.n)
	for i := range trips {
		begin := time.Now()
		if _, err := tutti.Submit(ctx, b, noop, i).Get(ctx); err != nil {
			return err
		}
		trips[i] = time.Since(begin).Seconds() * 1e6
	}
	slices.Sort(trips)
	r.emit("trip_median", trips[r.n/2], "µs")
	r.emit("trip_p99", trips[r.n*99/100], "µs")
	return nil
}

// measureSleep is how much of two engines' time tasks of one millisecond can use.
func measureSleep(ctx context.Context, r *run) error {
	s, err := r.timed(ctx, func(o *opened) error { return mapAll(ctx, o.Balanced(), nap, r.n) })
	if err == nil {
		r.emit("sleep_efficiency", float64(r.n)*1e-3/float64(r.engines)/s, "")
	}
	return err
}
