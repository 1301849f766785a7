package main

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/tutti-hpc/tutti"
)

// arrayBytes is the size of the array that is moved.
const arrayBytes = 100_000_000

var ends = tutti.Func("bench.ends", func(_ context.Context, x []float64) (float64, error) {
	return x[0] + x[len(x)-1], nil
})

// kept is the array that an engine gives away again and again, so that making it is not measured.
var kept []float64

var give = tutti.Func("bench.give", func(_ context.Context, n int) ([]float64, error) {
	if len(kept) != n {
		kept = slices.Repeat([]float64{1}, n)
	}
	return kept, nil
})

// measureData moves an array to one engine as an argument, and back as a result. The first time
// is the cold one: its memory has never been touched. Of the others the median is given.
func measureData(ctx context.Context, r *run) error {
	o, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer o.close()
	engines, err := o.Engines(ctx)
	if err != nil {
		return err
	}
	d := o.Direct(engines[0].ID)
	x := make([]float64, arrayBytes/8)
	for i := range x {
		x[i] = float64(i)
	}
	err = r.move("push", func() error {
		if got, err := tutti.Submit(ctx, d, ends, x).Get(ctx); err != nil || got != x[len(x)-1] {
			return fmt.Errorf("an engine read %v: %w", got, err)
		}
		return nil
	})
	if err != nil {
		return err
	}
	if _, err := tutti.Submit(ctx, d, give, 8).Get(ctx); err != nil {
		return err
	}
	return r.move("pull", func() error {
		if got, err := tutti.Submit(ctx, d, give, len(x)).Get(ctx); err != nil || len(got) != len(x) || got[len(x)-1] != 1 {
			return fmt.Errorf("%d numbers came back: %w", len(got), err)
		}
		return nil
	})
}

// move times one direction.
func (r *run) move(way string, f func() error) error {
	var speeds []float64
	for range max(r.n, 2) {
		begin := time.Now()
		if err := f(); err != nil {
			return err
		}
		speeds = append(speeds, arrayBytes/1e9/time.Since(begin).Seconds())
	}
	r.emit(way+"_cold", speeds[0], "GB/s")
	slices.Sort(speeds[1:])
	r.emit(way+"_warm", speeds[1:][len(speeds[1:])/2], "GB/s")
	return nil
}
