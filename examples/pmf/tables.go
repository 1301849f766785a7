package main

import (
	"math"
	"slices"
)

// Factor is one base factor and what the bootstrap says about it.
type Factor struct {
	Conc    []float64 // m: mean concentration of each species explained, in the data's unit
	Percent []float64 // m: the same as per cent of all that the model explains of the species
	Share   float64   // per cent of the modelled concentration of all species together
	Boot    []Spread  // m: Percent over all bootstrap factors mapped here; empty without any

	Once, Several, None int     // replicates in which one, several or no factor was mapped here
	RLow, RMedian       float64 // 5 % and 50 % of the correlations of those mapped
}

// Spread is the distribution of one number over the bootstrap: its percentiles.
type Spread struct{ P5, P25, P50, P75, P95 float64 }

// Bootstrap is what the replicates say together.
type Bootstrap struct {
	Reps, Converged, Unmapped int // Unmapped counts factors, not replicates
	Mean, SD                  float64
	Q                         Spread
}

// tabulate makes the tables of a base and its replicates. They do not depend on the order of the
// replicates nor on that of the factors within one: every sum is taken in the order of size.
func tabulate(d *Dataset, b Base, reps []RepResult) ([]Factor, Bootstrap) {
	m := d.Species()
	mean := meanByFactor(b.W, b.H, b.P)
	percent := percentages(mean, b.P)
	factors := make([]Factor, b.P)
	for k := range factors {
		f := &factors[k]
		f.Conc, f.Percent = mean[k*m:(k+1)*m], percent[k*m:(k+1)*m]
		f.Share = 100 * total(f.Conc) / total(mean)
	}
	found := gather(factors, reps, m)
	for k := range factors {
		factors[k].Boot = spreads(found[k], m)
	}
	return factors, summarise(reps)
}

// gather counts the mapping into factors and returns, for each base factor, the percentages
// found there by species.
func gather(factors []Factor, reps []RepResult, m int) [][][]float64 {
	found, rs := make([][][]float64, len(factors)), make([][]float64, len(factors))
	for k := range found {
		found[k] = make([][]float64, m)
	}
	for _, rep := range reps {
		percent := percentages(rep.Mean, len(rep.Base))
		hits := make([]int, len(factors))
		for k, to := range rep.Base {
			if to == unmapped {
				continue
			}
			hits[to]++
			rs[to] = append(rs[to], rep.R[k])
			for j := range m {
				found[to][j] = append(found[to][j], percent[k*m+j])
			}
		}
		for k, n := range hits {
			switch n {
			case 0:
				factors[k].None++
			case 1:
				factors[k].Once++
			default:
				factors[k].Several++
			}
		}
	}
	for k := range factors {
		r := sorted(rs[k])
		factors[k].RLow, factors[k].RMedian = quantile(r, 0.05), quantile(r, 0.5)
	}
	return found
}

func spreads(found [][]float64, m int) []Spread {
	if len(found) == 0 || len(found[0]) == 0 {
		return nil
	}
	boot := make([]Spread, m)
	for j := range boot {
		boot[j] = spread(found[j])
	}
	return boot
}

func spread(x []float64) Spread {
	s := sorted(x)
	return Spread{quantile(s, 0.05), quantile(s, 0.25), quantile(s, 0.5), quantile(s, 0.75), quantile(s, 0.95)}
}

// summarise gives mean and standard deviation (divided by the number) of Q, and its percentiles.
func summarise(reps []RepResult) Bootstrap {
	b := Bootstrap{Reps: len(reps)}
	qs := make([]float64, 0, len(reps))
	for _, rep := range reps {
		qs = append(qs, rep.Q)
		if rep.Converged {
			b.Converged++
		}
		for _, to := range rep.Base {
			if to == unmapped {
				b.Unmapped++
			}
		}
	}
	qs = sorted(qs)
	b.Mean = total(qs) / float64(len(qs))
	for _, q := range qs {
		b.SD += (q - b.Mean) * (q - b.Mean)
	}
	b.SD = math.Sqrt(b.SD / float64(len(qs)))
	b.Q = spread(qs)
	return b
}

// percentages turns mean (p x m) into per cent of each species' total. A species of which the
// model explains nothing gives 0 everywhere.
func percentages(mean []float64, p int) []float64 {
	percent, m := make([]float64, len(mean)), len(mean)/p
	column := make([]float64, p)
	for j := range m {
		for k := range p {
			column[k] = mean[k*m+j]
		}
		slices.Sort(column)
		all := total(column)
		if all == 0 {
			continue
		}
		for k := range p {
			percent[k*m+j] = 100 * mean[k*m+j] / all
		}
	}
	return percent
}
