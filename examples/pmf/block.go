package main

import (
	"cmp"
	"math"
	"slices"
)

// blockLength is the length of bootstrap blocks for d: the median over the species of each
// series' own optimum, rounded, at least 1. all holds the optima, species by species.
func blockLength(d *Dataset) (length int, all []float64) {
	for j := range d.Species() {
		all = append(all, optimalBlock(d.Column(j)))
	}
	return max(1, int(math.Round(quantile(sorted(all), 0.5)))), all
}

// optimalBlock estimates the best block length for a circular block bootstrap of the mean of x:
// Politis and White, Econometric Reviews 23 (2004) 53-70, with the correction by Patton, Politis
// and White, ibid. 28 (2009) 372-375, which leaves the circular case as it was. A series without
// variance, or too short to say, gives 1.
func optimalBlock(x []float64) float64 {
	n := float64(len(x))
	if len(x) < 9 {
		return 1
	}
	run := max(5, int(math.Ceil(math.Sqrt(math.Log10(n)))))
	most := int(math.Ceil(math.Sqrt(n))) + run
	cov := autocovariance(x, min(most+run, len(x)-1))
	if cov[0] <= 0 {
		return 1
	}
	lag := min(2*lastLag(cov, run, most, 2*math.Sqrt(math.Log10(n)/n)), len(cov)-1)
	var g, spectrum float64 // sums over lags from -lag to lag, flat-top window
	for k := -lag; k <= lag; k++ {
		window := min(1, 2*(1-math.Abs(float64(k))/float64(lag)))
		g += window * math.Abs(float64(k)) * cov[max(k, -k)]
		spectrum += window * cov[max(k, -k)]
	}
	d := 4.0 / 3 * spectrum * spectrum
	if d == 0 {
		return 1
	}
	b := math.Cbrt(2 * g * g / d * n)
	return max(1, min(b, math.Ceil(min(3*math.Sqrt(n), n/3))))
}

// autocovariance is the covariance of x with itself at lags 0 to most, divided by n throughout.
func autocovariance(x []float64, most int) []float64 {
	mean := 0.0
	for _, v := range x {
		mean += v / float64(len(x))
	}
	cov := make([]float64, most+1)
	for k := range cov {
		for i := range len(x) - k {
			cov[k] += (x[i] - mean) * (x[i+k] - mean)
		}
		cov[k] /= float64(len(x))
	}
	return cov
}

// lastLag is the smallest lag from 1 after which run correlations in a row are insignificant, or
// the last significant one if there is no such gap.
func lastLag(cov []float64, run, most int, significant float64) int {
	last := 1
	for k := 1; k < len(cov) && k <= most; k++ {
		if math.Abs(cov[k]/cov[0]) >= significant {
			last = k
		} else if k-last >= run {
			break
		}
	}
	return last
}

// sorted copies x in order.
func sorted[T cmp.Ordered](x []T) []T {
	y := slices.Clone(x)
	slices.Sort(y)
	return y
}

// quantile is the q-quantile of x, which is in order, between neighbours linearly (type 7 of
// Hyndman and Fan 1996); NaN of nothing.
func quantile(x []float64, q float64) float64 {
	if len(x) == 0 {
		return math.NaN()
	}
	at := q * float64(len(x)-1)
	i := int(at)
	if i+1 >= len(x) {
		return x[len(x)-1]
	}
	return x[i] + (at-float64(i))*(x[i+1]-x[i])
}
