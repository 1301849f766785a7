package main

import (
	"context"
	"encoding/binary"
	"math"
	"math/rand/v2"

	"github.com/tutti-hpc/tutti"
)

// FitArgs asks for one start of the base run. It names the data instead of carrying them.
type FitArgs struct {
	Data    Source
	Factors int
	Seed    uint64 // of the whole run
	Start   int    // which of its starts
	Refine  bool   // go on after the ordinary stop rule and return the factors
}

// FitResult is where a start ended. Its factors are left out unless they were asked for: of a
// hundred starts one is wanted, and it is quicker run again than ninety-nine are sent.
type FitResult struct {
	Start     int
	Q         float64 // Q(true)
	Robust    float64 // Q(robust)
	Steps     int
	Converged bool
	W, H      []float64 // n x p and p x m, row by row; empty unless refined
}

var fitStart = tutti.Func("pmf.start", fitSeed)

// fitSeed makes one start of LS-NMF. The result depends on the arguments and the data alone.
func fitSeed(ctx context.Context, a FitArgs) (FitResult, error) {
	d, err := cached(a.Data)
	if err != nil {
		return FitResult{}, err
	}
	if err := checkFactors(d, a.Factors); err != nil {
		return FitResult{}, err
	}
	stop := func() error { return context.Cause(ctx) }
	w, h := randomStart(d, a.Factors, stream("start", a.Seed, a.Start))
	f := newFit(newProblem(d, d.Rows()), a.Factors, w, h)
	steps, converged, err := f.run(esatStop, stop)
	if err == nil && a.Refine {
		var more int
		more, converged, err = f.refine(stop)
		steps += more
	}
	if err != nil {
		return FitResult{}, tutti.E("fit", tutti.KindOf(err), err)
	}
	r := FitResult{Start: a.Start, Steps: steps, Converged: converged}
	w, h = f.factors()
	r.Q, r.Robust = quality(d, d.Rows(), a.Factors, w, h)
	if a.Refine {
		r.W, r.H = w, h
	}
	return r, nil
}

func checkFactors(d *Dataset, p int) error {
	if most := min(d.Samples(), d.Species()); p < 1 || p > most {
		return tutti.Errorf("fit", tutti.Invalid, "%d factors of %d samples and %d species", p, d.Samples(), d.Species()).
			WithHint("choose from 1 to %d factors", most)
	}
	return nil
}

// stream is the random source of one piece of work: the run's seed, what it is for and its
// number, mixed by a cipher, so that neighbours share nothing and the order of work means nothing.
func stream(use string, seed uint64, number int) *rand.Rand {
	var key [32]byte
	copy(key[:16], use)
	binary.LittleEndian.PutUint64(key[16:], seed)
	binary.LittleEndian.PutUint64(key[24:], uint64(number))
	return rand.New(rand.NewChaCha8(key))
}

// randomStart draws W (n x p) and H (p x m) as ESAT does: normal numbers, scaled so that W H has
// the size of V, and what is not positive next to zero.
func randomStart(d *Dataset, p int, rng *rand.Rand) (w, h []float64) {
	const nearly = 1e-12
	n, m := d.Samples(), d.Species()
	rows, columns := make([]float64, n), make([]float64, m)
	for i := range n {
		v, _ := d.Row(i)
		for j, x := range v {
			rows[i] += x / float64(m)
			columns[j] += x / float64(n)
		}
	}
	w, h = make([]float64, n*p), make([]float64, p*m)
	for k := range p {
		for j := range m {
			h[k*m+j] = max(nearly, math.Sqrt(columns[j]/float64(p))*rng.NormFloat64())
		}
	}
	for i := range n {
		for k := range p {
			w[i*p+k] = max(nearly, math.Sqrt(rows[i]/float64(p))*rng.NormFloat64())
		}
	}
	return w, h
}
