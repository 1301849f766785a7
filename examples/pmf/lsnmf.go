package main

import "math"

// The layout of one factorization. Rows come in blocks of four and columns in lanes of four, so
// that a kernel never meets a tail: what is padded has weight 0 and takes part in nothing.
const lanes = 4

// tiny is where an entry of W or H is taken to be zero. Multiplicative steps let an entry decay
// for ever; below about 1e-154 its square is a denormal number, which costs a hundred times a
// normal one.
const tiny = 1e-100

// padded rounds n up to whole lanes.
func padded(n int) int { return (n + lanes - 1) / lanes * lanes }

// problem is what a factorization V ~ W H minimises Q over: weights and weighted values, padded.
// It is immutable once made, so any number of fits may share it.
type problem struct {
	n, m   int       // samples, species
	np, mp int       // the same, padded
	w      []float64 // np x mp: 1/U^2
	wv     []float64 // np x mp: V/U^2
	vv     float64   // sum of V^2/U^2
}

// newProblem weighs the samples of d named by rows, in that order; a row may occur several
// times, as in a bootstrap sample.
func newProblem(d *Dataset, rows []int) *problem {
	pr := &problem{n: len(rows), m: d.Species(), np: padded(len(rows)), mp: padded(d.Species())}
	pr.w = make([]float64, pr.np*pr.mp)
	pr.wv = make([]float64, pr.np*pr.mp)
	for i, row := range rows {
		v, u := d.Row(row)
		for j := range v {
			w := 1 / (u[j] * u[j])
			pr.w[i*pr.mp+j] = w
			pr.wv[i*pr.mp+j] = w * v[j]
			pr.vv += w * v[j] * v[j]
		}
	}
	return pr
}

// fit is one factorization on its way: the current W and H and the sums the next step needs. It
// belongs to one goroutine.
type fit struct {
	*problem
	p        int
	w, h     []float64 // W as p x np, one factor after the other; H as p x mp
	num, den []float64 // p x mp: W'(w o V) and W'(w o WH) for the current W and H
	buf      []float64 // four rows of w o WH
}

// newFit starts pr from w (n x p, row by row) and h (p x m, row by row), which are copied.
func newFit(pr *problem, p int, w, h []float64) *fit {
	f := &fit{
		problem: pr, p: p,
		w: make([]float64, p*pr.np), h: make([]float64, p*pr.mp),
		num: make([]float64, p*pr.mp), den: make([]float64, p*pr.mp),
		buf: make([]float64, lanes*pr.mp),
	}
	for k := range p {
		for i := range pr.n {
			f.w[k*pr.np+i] = w[i*p+k]
		}
		copy(f.h[k*pr.mp:], h[k*pr.m:(k+1)*pr.m])
	}
	f.sweep(false)
	return f
}

// step makes one LS-NMF step (Wang, Kossenkov and Ochs 2006): H first, then W with the new H.
// Q never rises but for rounding.
func (f *fit) step() {
	for i := range f.h {
		f.h[i] = scaled(f.h[i], f.num[i], f.den[i])
	}
	f.sweep(true)
}

// sweep passes once over the data. Each block of four rows first has its W updated, if asked,
// and then adds to the sums for the next update of H: so the data go through the cache once.
func (f *fit) sweep(update bool) {
	clear(f.num)
	clear(f.den)
	for i := 0; i < f.np; i += lanes {
		w, wv := f.problem.w[i*f.mp:][:lanes*f.mp], f.wv[i*f.mp:][:lanes*f.mp]
		if update {
			weigh(f.buf, w, f.w[i:], f.h, f.np, f.p)
			updateRows(f.w[i:], f.buf, wv, f.h, f.np, f.p)
		}
		weigh(f.buf, w, f.w[i:], f.h, f.np, f.p)
		addRows(f.num, f.den, f.buf, wv, f.w[i:], f.np, f.p)
	}
}

// q is Q(true) of the current W and H, from the sums of the last sweep: the weighted squares of
// V - WH multiplied out. It loses about 1e-16 of sum V^2/U^2, far less than a stop rule asks.
func (f *fit) q() float64 {
	var cross, square float64
	for i, h := range f.h {
		cross += h * f.num[i]
		square += h * f.den[i]
	}
	return f.vv - 2*cross + square
}

// stopRule says when a fit has converged: Q fell by less than Delta in each of Calm steps
// running, or Most steps were made.
type stopRule struct {
	Delta float64
	Calm  int
	Most  int
}

// esatStop is the rule of the ESAT package, used for starts and bootstrap replicates.
var esatStop = stopRule{Delta: 0.01, Calm: 50, Most: 20000}

// run steps until the rule is met and returns the steps made and whether Q came to rest. The
// caller's stop function is asked now and then and ends the run with its error.
func (f *fit) run(rule stopRule, stop func() error) (steps int, converged bool, err error) {
	const poll = 256
	last, quiet := f.q(), 0
	for steps < rule.Most {
		if steps%poll == 0 {
			if err := stop(); err != nil {
				return steps, false, err
			}
		}
		f.step()
		steps++
		q := f.q()
		if last-q < rule.Delta {
			quiet++
		} else {
			quiet = 0
		}
		last = q
		if quiet >= rule.Calm {
			return steps, true, nil
		}
	}
	return steps, false, nil
}

// factors returns W (n x p, row by row) and H (p x m, row by row) as they stand, in new slices.
func (f *fit) factors() (w, h []float64) {
	w, h = make([]float64, f.n*f.p), make([]float64, f.p*f.m)
	for k := range f.p {
		for i := range f.n {
			w[i*f.p+k] = f.w[k*f.np+i]
		}
		copy(h[k*f.m:(k+1)*f.m], f.h[k*f.mp:])
	}
	return w, h
}

// scaled is the multiplicative update of one entry. Where nothing pulls (0/0: a row or column of
// V that is all zero, a factor that died out, padding) the entry stays.
func scaled(x, num, den float64) float64 {
	if den > 0 {
		x *= num / den
	}
	if x < tiny {
		return 0
	}
	return x
}

// quality is Q(true) and ESAT's Q(robust) of d ~ W H, summed from the residuals: a residual of
// more than four uncertainties counts 4a instead of a^2 in the second.
func quality(d *Dataset, rows []int, p int, w, h []float64) (qTrue, qRobust float64) {
	const outlier = 4
	for i, row := range rows {
		v, u := d.Row(row)
		for j := range v {
			wh := 0.0
			for k := range p {
				wh += w[i*p+k] * h[k*len(v)+j]
			}
			a := math.Abs(v[j]-wh) / u[j]
			qTrue += a * a
			qRobust += a * min(a, outlier)
		}
	}
	return qTrue, qRobust
}
