package main

import (
	"context"
	"testing"
)

// One LS-NMF step with its Q, to be held against numpy's (bench/pmf_numpy.py prints it).
func BenchmarkStep(b *testing.B) {
	for _, c := range []struct {
		set     string
		factors int
	}{{"br", 4}, {"br", 6}, {"sl", 6}, {"ba", 6}} {
		b.Run(c.set, func(b *testing.B) {
			d := mustLoad(b, c.set)
			w, h := randomStart(d, c.factors, stream("bench", 1, 0))
			f := newFit(newProblem(d, d.Rows()), c.factors, w, h)
			for b.Loop() {
				f.step()
				f.q()
			}
		})
	}
}

// Replicates of Baton Rouge with four factors on one core, each from the base H and W.
func BenchmarkReplicate(b *testing.B) {
	ctx := context.Background()
	r, err := analyse(ctx, Config{Data: Source{Name: "br"}, Factors: 4, Seeds: 10, Seed: 1}, &team{})
	if err != nil {
		b.Fatal(err)
	}
	number, steps := 0, 0
	for b.Loop() {
		rep, err := replicate(ctx, RepArgs{Data: r.Config.Data, Factors: 4, W: r.Base.W, H: r.Base.H,
			Block: r.Config.Block, Seed: 1, Number: number})
		if err != nil {
			b.Fatal(err)
		}
		number++
		steps += rep.Steps
	}
	b.ReportMetric(float64(steps)/float64(number), "steps/op")
}
