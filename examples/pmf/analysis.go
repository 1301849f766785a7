package main

import (
	"cmp"
	"context"
	"slices"

	"github.com/tutti-hpc/tutti"
)

// Config says what to analyse and how; with the data it determines every byte of the report.
type Config struct {
	Data    Source
	Factors int
	Seeds   int    // starts of the base run
	Reps    int    // bootstrap replicates, 0 for none
	Block   int    // block length, 0 to have it chosen
	Seed    uint64 // of all random numbers
}

// Result is a finished analysis.
type Result struct {
	Config      Config
	Data        *Dataset
	Starts      []FitResult // in the order of their numbers
	Base        Base
	Optima      []float64 // best block length of each species' series
	BlockChosen bool      // the block length comes from them
	Factors     []Factor  // the base factors with their bootstrap statistics
	Bootstrap   Bootstrap
}

// Base is the solution that everything is compared with: the best start, refined, its factors in
// the order of how much they explain, W scaled to a mean of 1, so that H is in the data's unit.
type Base struct {
	FitResult
	P int
}

// analyse runs the whole study: starts, base, block length, replicates, tables.
func analyse(ctx context.Context, cfg Config, crew *team) (*Result, error) {
	d, err := cached(cfg.Data)
	if err != nil {
		return nil, err
	}
	cfg.Data.Sum = d.Sum // from here on every process must see these bytes
	r := &Result{Config: cfg, Data: d}
	length, optima := blockLength(d)
	r.Optima = optima
	if r.Config.Block == 0 {
		r.Config.Block, r.BlockChosen = length, true
	}
	if err := r.check(); err != nil {
		return nil, err
	}
	if err := r.fitBase(ctx, crew); err != nil {
		return nil, err
	}
	reps, err := r.bootstrap(ctx, crew)
	if err != nil {
		return nil, err
	}
	r.Factors, r.Bootstrap = tabulate(d, r.Base, reps)
	return r, nil
}

// check refuses what cannot be, before any work is done.
func (r *Result) check() error {
	if err := checkFactors(r.Data, r.Config.Factors); err != nil {
		return err
	}
	if err := checkBlock(r.Data, r.Config.Block); err != nil {
		return err
	}
	switch {
	case r.Config.Seeds < 1:
		return tutti.Errorf("analyse", tutti.Invalid, "%d starts", r.Config.Seeds).
			WithHint("the problem has many local minima: take a hundred starts, at least one")
	case r.Config.Reps < 0:
		return tutti.Errorf("analyse", tutti.Invalid, "%d replicates", r.Config.Reps)
	}
	return nil
}

// finalists is how many of the best starts are refined: where the ordinary rule stops them, the
// order of the best few is not yet that of the minima they approach.
const finalists = 4

// fitBase makes all starts and refines the best; the least Q(true) wins, the first of equals.
func (r *Result) fitBase(ctx context.Context, crew *team) error {
	args := make([]FitArgs, r.Config.Seeds)
	for i := range args {
		args[i] = FitArgs{Data: r.Config.Data, Factors: r.Config.Factors, Seed: r.Config.Seed, Start: i}
	}
	var err error
	if r.Starts, err = each(ctx, crew, "starts", fitStart, args); err != nil {
		return err
	}
	byQ := func(a, b FitResult) int { return cmp.Or(cmp.Compare(a.Q, b.Q), a.Start-b.Start) }
	order := slices.SortedFunc(slices.Values(r.Starts), byQ)
	var again []FitArgs
	for _, start := range order[:min(finalists, len(order))] {
		a := args[start.Start]
		a.Refine = true
		again = append(again, a)
	}
	refined, err := each(ctx, crew, "refinements", fitStart, again)
	if err != nil {
		return err
	}
	r.Base = newBase(slices.MinFunc(refined, byQ), r.Config.Factors)
	return nil
}

// newBase puts the factors of a fit in their order and scale.
func newBase(fit FitResult, p int) Base {
	n, m := len(fit.W)/p, len(fit.H)/p
	b := Base{FitResult: fit, P: p}
	b.W, b.H = make([]float64, len(fit.W)), make([]float64, len(fit.H))
	mean := meanByFactor(fit.W, fit.H, p)
	order := make([]int, p)
	for k := range order {
		order[k] = k
	}
	slices.SortStableFunc(order, func(x, y int) int {
		return cmp.Compare(total(mean[y*m:(y+1)*m]), total(mean[x*m:(x+1)*m]))
	})
	for to, from := range order {
		scale := 0.0
		for i := range n {
			scale += fit.W[i*p+from] / float64(n)
		}
		if scale == 0 {
			scale = 1
		}
		for i := range n {
			b.W[i*p+to] = fit.W[i*p+from] / scale
		}
		for j := range m {
			b.H[to*m+j] = fit.H[from*m+j] * scale
		}
	}
	return b
}

// bootstrap makes all replicates.
func (r *Result) bootstrap(ctx context.Context, crew *team) ([]RepResult, error) {
	args := make([]RepArgs, r.Config.Reps)
	for i := range args {
		args[i] = RepArgs{
			Data: r.Config.Data, Factors: r.Base.P, W: r.Base.W, H: r.Base.H,
			Block: r.Config.Block, Seed: r.Config.Seed, Number: i,
		}
	}
	return each(ctx, crew, "replicates", fitReplicate, args)
}

func total(x []float64) float64 {
	sum := 0.0
	for _, v := range x {
		sum += v
	}
	return sum
}
