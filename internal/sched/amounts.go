package sched

import (
	"maps"
	"math"
	"slices"

	"github.com/tutti-hpc/tutti"
)

// amounts are quantities of resources as whole numbers, so that taking and giving back never
// drifts: cores, GPUs, memory in bytes, then what the site names, by the number of its name.
// Cores, GPUs and the site's are in millionths. What is missing at the end is zero.
type amounts []int64

const (
	cores = iota
	gpus
	memory
	custom
)

const micro = 1_000_000

// asked turns a wish into millionths, downwards, so that six times a sixth fits into one.
func asked(v float64) int64 {
	if v <= 0 {
		return 0
	}
	return max(1, int64(math.Min(v*micro+1e-3, 1<<50)))
}

// owned turns a stock into millionths.
func owned(v float64) int64 { return int64(math.Min(math.Round(max(v, 0)*micro), 1<<50)) }

// amountsOf reads r with conv; the names of custom resources get their numbers from k.
func (k *kinds) amountsOf(r tutti.Resources, conv func(float64) int64) amounts {
	a := amounts{conv(r.Cores), conv(r.GPUs), max(r.Memory, 0)}
	for _, name := range slices.Sorted(maps.Keys(r.Custom)) {
		i, ok := k.custom[name]
		if !ok {
			i = custom + len(k.names)
			k.custom[name] = i
			k.names = append(k.names, name)
		}
		for len(a) <= i {
			a = append(a, 0)
		}
		a[i] = conv(r.Custom[name])
	}
	for len(a) > 0 && a[len(a)-1] == 0 {
		a = a[:len(a)-1]
	}
	return a
}

// get is the i-th amount.
func (a amounts) get(i int) int64 {
	if i < len(a) {
		return a[i]
	}
	return 0
}

// covers reports whether b fits into a.
func (a amounts) covers(b amounts) bool {
	for i, v := range b {
		if v > a.get(i) {
			return false
		}
	}
	return true
}

// lacks is how much of b does not fit into a, counted in shares of all, where several kinds of
// resource are missing together.
func (a amounts) lacks(b, all amounts) int64 {
	var sum int64
	for i, v := range b {
		if d := v - a.get(i); d > 0 {
			sum += int64(float64(d) / float64(max(1, all.get(i))) * micro)
		}
	}
	return sum
}

// add puts sign times b into a, which has all of b's places.
func (a amounts) add(b amounts, sign int64) {
	for i, v := range b {
		a[i] += sign * v
	}
}

// resources turns a back into the form that people read.
func (k *kinds) resources(a amounts) tutti.Resources {
	r := tutti.Resources{
		Cores:  float64(a.get(cores)) / micro,
		GPUs:   float64(a.get(gpus)) / micro,
		Memory: a.get(memory),
	}
	for i := custom; i < len(a); i++ {
		if a[i] != 0 {
			if r.Custom == nil {
				r.Custom = map[string]float64{}
			}
			r.Custom[k.names[i-custom]] = float64(a[i]) / micro
		}
	}
	return r
}
