package main

// Refinement carries the best start to a true local minimum.
//
// A multiplicative step cannot move an entry that is zero, and moves one next to zero slowly:
// so a fit that has come to rest may hold entries that fell asleep early although Q would fall
// if they grew, and others that are still on their way to zero. Both show in a bootstrap, which
// starts from them: a sleeper cannot wake within a replicate, while one not yet asleep can. At a
// minimum of Q over non-negative W and H (Karush, Kuhn and Tucker) an entry is either positive
// with no slope, or zero with Q rising away from it; refinement ends there, from wherever it began.

const (
	negligible = 1e-6 // of an entry's measure: what is below is asleep or on its way
	awake      = 1e-4 // of an entry's measure: where a sleeper begins again
	uphill     = 1e-6 // relative slope that is more than rounding
	rounds     = 15   // most times that entries are woken or put to rest
)

// refineStop is the stop rule between two looks at the entries next to zero.
var refineStop = stopRule{Delta: 1e-5, Calm: 50, Most: 20000}

// refine steps on until Q rests and every entry next to zero belongs there, and says whether it
// got that far.
func (f *fit) refine(stop func() error) (steps int, converged bool, err error) {
	for range rounds {
		more, rested, err := f.run(refineStop, stop)
		steps += more
		if err != nil {
			return steps, false, err
		}
		if f.settle() == 0 && rested {
			return steps, true, nil
		}
	}
	return steps, false, nil
}

// settle wakes what should grow and puts to rest what goes to zero, and counts both. An entry of
// W is measured by its factor's mean contribution; one of H by what it would be if its factor
// explained the whole species, since species differ in size by orders of magnitude.
func (f *fit) settle() (changed int) {
	num, den := f.pullOnW()
	mean := make([]float64, f.p) // of each factor's contributions
	for k := range mean {
		mean[k] = total(f.w[k*f.np:][:f.np]) / float64(f.n)
	}
	for j := range f.m {
		all := 0.0
		for k := range f.p {
			all += mean[k] * f.h[k*f.mp+j]
		}
		for k := range f.p {
			if i := k*f.mp + j; mean[k] > 0 {
				changed += settled(&f.h[i], f.num[i], f.den[i], all/mean[k])
			}
		}
	}
	for k := range f.p {
		for i := k * f.np; i < k*f.np+f.n; i++ {
			changed += settled(&f.w[i], num[i], den[i], mean[k])
		}
	}
	f.sweep(false)
	return changed
}

// settled puts one entry where it belongs, given the sums whose quotient a step would multiply it
// by; it returns 1 if the entry changed.
func settled(x *float64, num, den, measure float64) int {
	old := *x
	switch {
	case old > negligible*measure:
	case num > den*(1+uphill):
		*x = awake * measure
	default:
		*x = 0
	}
	if *x == old {
		return 0
	}
	return 1
}

// pullOnW is the pair of sums by which the next update of W would go, p x np.
func (f *fit) pullOnW() (num, den []float64) {
	num, den = make([]float64, len(f.w)), make([]float64, len(f.w))
	for i := 0; i < f.np; i += lanes {
		weigh(f.buf, f.problem.w[i*f.mp:][:lanes*f.mp], f.w[i:], f.h, f.np, f.p)
		for r := range lanes {
			wv, b := f.wv[(i+r)*f.mp:][:f.mp], f.buf[r*f.mp:][:f.mp]
			for k := range f.p {
				for j, h := range f.h[k*f.mp:][:f.mp] {
					num[k*f.np+i+r] += wv[j] * h
					den[k*f.np+i+r] += b[j] * h
				}
			}
		}
	}
	return num, den
}
