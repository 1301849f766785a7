package main

import (
	"context"
	"math"
	"math/rand/v2"

	"github.com/tutti-hpc/tutti"
)

// RepArgs asks for one bootstrap replicate of a base solution.
type RepArgs struct {
	Data    Source
	Factors int
	W, H    []float64 // the base solution: n x p and p x m, row by row
	Block   int       // block length
	Seed    uint64    // of the whole run
	Number  int       // which replicate
}

// RepResult is what a replicate tells about each of its factors, in the order they came out.
type RepResult struct {
	Number    int
	Q         float64 // Q(true)
	Steps     int
	Converged bool
	Base      []int     // p: the base factor it was matched to, or unmapped
	R         []float64 // p: the correlation with the best base factor
	Mean      []float64 // p x m: mean concentration of each species that the factor explains
}

const (
	unmapped = -1  // a factor that resembles no base factor
	enough   = 0.6 // correlation of contributions from which a factor counts as mapped
)

var fitReplicate = tutti.Func("pmf.replicate", replicate)

// replicate fits one block bootstrap sample, starting at the base H and the base W of the rows
// drawn, and matches its factors. The result depends on the arguments and the data alone.
func replicate(ctx context.Context, a RepArgs) (RepResult, error) {
	d, err := cached(a.Data)
	if err != nil {
		return RepResult{}, err
	}
	if err := a.check(d); err != nil {
		return RepResult{}, err
	}
	rows := drawBlocks(d.Samples(), a.Block, stream("bootstrap", a.Seed, a.Number))
	base := make([]float64, 0, len(rows)*a.Factors)
	for _, row := range rows {
		base = append(base, a.W[row*a.Factors:(row+1)*a.Factors]...)
	}
	f := newFit(newProblem(d, rows), a.Factors, base, a.H)
	steps, converged, err := f.run(esatStop, func() error { return context.Cause(ctx) })
	if err != nil {
		return RepResult{}, tutti.E("fit replicate", tutti.KindOf(err), err)
	}
	w, h := f.factors()
	r := RepResult{Number: a.Number, Steps: steps, Converged: converged}
	r.Q, _ = quality(d, rows, a.Factors, w, h)
	r.Base, r.R = match(w, base, a.Factors)
	r.Mean = meanByFactor(w, h, a.Factors)
	return r, nil
}

func (a *RepArgs) check(d *Dataset) error {
	if err := checkFactors(d, a.Factors); err != nil {
		return err
	}
	if err := checkBlock(d, a.Block); err != nil {
		return err
	}
	if len(a.W) != d.Samples()*a.Factors || len(a.H) != a.Factors*d.Species() {
		return tutti.Errorf("fit replicate", tutti.Invalid, "a base of %d and %d numbers for %d factors of %d samples and %d species",
			len(a.W), len(a.H), a.Factors, d.Samples(), d.Species())
	}
	return nil
}

func checkBlock(d *Dataset, length int) error {
	if length < 1 || length > d.Samples() {
		return tutti.Errorf("draw blocks", tutti.Invalid, "blocks of %d of %d samples", length, d.Samples()).
			WithHint("a block holds from 1 to %d samples; leave it out to have it chosen", d.Samples())
	}
	return nil
}

// drawBlocks draws blocks of consecutive rows with replacement until there are n rows. Blocks
// begin at 0, length, 2 length, ...: every row is in one, the last block may be short, and the
// last one drawn is cut.
func drawBlocks(n, length int, rng *rand.Rand) []int {
	rows := make([]int, 0, n+length)
	blocks := (n + length - 1) / length
	for len(rows) < n {
		first := rng.IntN(blocks) * length
		for i := first; i < min(first+length, n); i++ {
			rows = append(rows, i)
		}
	}
	return rows[:n]
}

// match finds for each column of w the column of base with which it correlates best, both n x p:
// the method of EPA PMF 5, on contributions. Below enough, or for a factor that contributes
// nothing, it is unmapped; several may be matched to one.
func match(w, base []float64, p int) (to []int, r []float64) {
	to, r = make([]int, p), make([]float64, p)
	for k := range p {
		to[k], r[k] = unmapped, -1
		for b := range p {
			if c := correlation(w[k:], base[b:], p); c > r[k] {
				to[k], r[k] = b, c
			}
		}
		if r[k] < enough {
			to[k] = unmapped
		}
	}
	return to, r
}

// correlation is Pearson's r of every stride-th number of x and y, NaN if one of them is constant.
func correlation(x, y []float64, stride int) float64 {
	var n, mx, my float64
	for i := 0; i < len(x); i += stride {
		n++
		mx += x[i]
	}
	for i := 0; i < len(y); i += stride {
		my += y[i]
	}
	mx, my = mx/n, my/n
	var xx, xy, yy float64
	for i := 0; i < len(x) && i < len(y); i += stride {
		dx, dy := x[i]-mx, y[i]-my
		xx, xy, yy = xx+dx*dx, xy+dx*dy, yy+dy*dy
	}
	return xy / math.Sqrt(xx*yy)
}

// meanByFactor is the mean over the samples of what each factor adds to each species, p x m.
func meanByFactor(w, h []float64, p int) []float64 {
	mean, m := make([]float64, len(h)), len(h)/p
	for k := range p {
		n, sum := 0, 0.0
		for i := k; i < len(w); i += p {
			n++
			sum += w[i]
		}
		for j := range m {
			mean[k*m+j] = sum / float64(n) * h[k*m+j]
		}
	}
	return mean
}
