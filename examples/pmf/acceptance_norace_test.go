//go:build !race

package main

import (
	"context"
	"math"
	"math/rand/v2"
	"testing"
)

// The race detector makes these several times slower and finds nothing in them: they are numbers.

// The least Q(true) of a hundred starts, against an independent numpy program's best of as many
// (testdata/ref_*.json) and against what others published for Baton Rouge: EPA PMF 5 with four
// factors, from residuals it exported, and ESAT's workflow notebook with six.
func TestLeastQ(t *testing.T) {
	const epa4, esat6 = 86895.69, 64502.29
	for _, c := range []struct {
		set     string
		factors int
		most    float64 // what somebody else reached, 0 if nobody
	}{{"br", 4, epa4}, {"br", 6, esat6}, {"sl", 6, 0}} {
		if testing.Short() && (c.set != "br" || c.factors != 4) {
			continue
		}
		r, err := analyse(context.Background(), Config{
			Data: Source{Name: c.set}, Factors: c.factors, Seeds: 100, Seed: 1}, &team{workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		want := reference(t, c.set, c.factors)
		least := r.Starts[0].Q
		for _, s := range r.Starts {
			least = min(least, s.Q)
			if !s.Converged {
				t.Errorf("%s %d: start %d did not converge", c.set, c.factors, s.Start)
			}
		}
		t.Logf("%s %d: least of the starts %.2f, refined %.4f in %d steps, numpy %.4f",
			c.set, c.factors, least, r.Base.Q, r.Base.Steps, want.Q)
		for _, q := range []float64{least, r.Base.Q} {
			// Below the reference by more than a thousandth would be another minimum.
			if q > want.Q*1.003 || q < want.Q*0.999 {
				t.Errorf("%s %d: Q %v, reference %v", c.set, c.factors, q, want.Q)
			}
			if c.most > 0 && q >= c.most {
				t.Errorf("%s %d: Q %v is not below %v", c.set, c.factors, q, c.most)
			}
		}
		if !r.Base.Converged {
			t.Errorf("%s %d: the refinement did not converge", c.set, c.factors)
		}
	}
}

// refResult is a file of testdata: what the numpy program found.
type refResult struct {
	Q         float64     `json:"Q_true"`
	Robust    float64     `json:"Q_robust"`
	Names     []string    `json:"features"`
	Percent   [][]float64 `json:"profile_percent_of_species"`
	Bootstrap struct {
		Q    struct{ Mean, SD float64 }
		Low  [][]float64 `json:"percent_p5"`
		High [][]float64 `json:"percent_p95"`
	} `json:"bootstrap"`
}

func reference(t *testing.T, set string, factors int) (r refResult) {
	t.Helper()
	readJSON(t, "testdata/ref_"+set+"_"+string(rune('0'+factors))+".json", &r)
	return r
}

// The full study of Baton Rouge with four factors: base profiles, bootstrap percentiles of the
// species that mark the factors, mapping, and the distribution of Q, against numpy.
func TestBatonRouge(t *testing.T) {
	if testing.Short() {
		t.Skip("a thousand replicates")
	}
	r, err := analyse(context.Background(), Config{
		Data: Source{Name: "br"}, Factors: 4, Seeds: 100, Reps: 1000, Seed: 1}, &team{workers: 2})
	if err != nil {
		t.Fatal(err)
	}
	want := reference(t, "br", 4)
	if r.Config.Block != 4 {
		t.Errorf("block length %d, ESAT has 4", r.Config.Block)
	}
	markers := map[string]bool{"Isoprene": true, "Benzene": true, "Ethylene": true, "Propane": true,
		"Isopentane": true, "N-Hexane": true, "Acetylene": true, "TNMOC": true}
	seen := map[int]bool{}
	for k, f := range r.Factors {
		b := nearest(f.Percent, want.Percent)
		seen[b] = true
		for j, name := range want.Names {
			if name != r.Data.Names[j] {
				t.Fatalf("species %d is %q, the reference has %q", j, r.Data.Names[j], name)
			}
			within(t, name, f.Percent[j], want.Percent[b][j], 1.5)
			if markers[name] {
				within(t, name+" 5 %", f.Boot[j].P5, want.Bootstrap.Low[b][j], 3)
				within(t, name+" 95 %", f.Boot[j].P95, want.Bootstrap.High[b][j], 3)
			}
		}
		if found := f.Once + f.Several; found < 990 || found+f.None != 1000 {
			t.Errorf("factor %d was found by %d of 1000 replicates", k+1, found)
		}
	}
	if len(seen) != 4 {
		t.Errorf("the factors pair off with %v of the reference", seen)
	}
	q := want.Bootstrap.Q
	within(t, "mean of Q", r.Bootstrap.Mean, q.Mean, 0.005*q.Mean)
	within(t, "deviation of Q", r.Bootstrap.SD, q.SD, 0.1*q.SD)
}

func within(t *testing.T, what string, got, want, most float64) {
	t.Helper()
	if !(math.Abs(got-want) <= most) {
		t.Errorf("%s: %.3f, reference %.3f", what, got, want)
	}
}

func nearest(x []float64, to [][]float64) (best int) {
	least := math.Inf(1)
	for b, y := range to {
		sum := 0.0
		for j := range x {
			sum += math.Abs(x[j] - y[j])
		}
		if sum < least {
			best, least = b, sum
		}
	}
	return best
}

// Data made of three factors are taken apart again, up to order and scale.
func TestExactData(t *testing.T) {
	const n, m, p = 100, 20, 3
	rng := rand.New(rand.NewPCG(5, 6))
	w0, h0 := sparse(rng, n, p), sparse(rng, p, m)
	v, u := make([]float64, n*m), make([]float64, n*m)
	for i := range n {
		for j := range m {
			for k := range p {
				v[i*m+j] += w0[i*p+k] * h0[k*m+j]
			}
			u[i*m+j] = 0.1*v[i*m+j] + 0.01
		}
	}
	d := made(m, v, u)
	pr := newProblem(d, d.Rows())
	var best *fit
	for s := range 20 {
		w, h := randomStart(d, p, stream("exact", 1, s))
		f := newFit(pr, p, w, h)
		for step := 0; step < 50000 && f.q() >= 1e-3; step++ {
			f.step()
		}
		if best == nil || f.q() < best.q() {
			best = f
		}
	}
	w, h := best.factors()
	if q, _ := quality(d, d.Rows(), p, w, h); q >= 1e-3 {
		t.Errorf("least Q is %v", q)
	}
	taken := map[int]bool{}
	for k := range p {
		at, r := 0, -1.0
		for b := range p {
			if c := correlation(h[k*m:(k+1)*m], h0[b*m:(b+1)*m], 1); c > r {
				at, r = b, c
			}
		}
		taken[at] = true
		if r <= 0.9999 {
			t.Errorf("profile %d: correlation %v", k, r)
		}
	}
	if len(taken) != p {
		t.Errorf("profiles were matched to %v", taken)
	}
}
