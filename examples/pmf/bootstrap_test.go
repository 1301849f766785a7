package main

import (
	"context"
	"errors"
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/tutti-hpc/tutti"
)

// small is a study that takes a moment.
var small = Config{Data: Source{Name: "sl"}, Factors: 2, Seeds: 3, Reps: 24, Seed: 7}

var smallOnce = sync.OnceValues(func() (*Result, error) { return analyse(context.Background(), small, &team{}) })

// smallResult is small's, made by a plain loop. Tests share it and do not change it.
func smallResult(t *testing.T) *Result {
	t.Helper()
	r, err := smallOnce()
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// The result is the same, bit for bit, whoever does the work and in whatever order.
func TestSameForAnyTeam(t *testing.T) {
	want := smallResult(t)
	for _, workers := range []int{2, 3} {
		got, err := analyse(context.Background(), small, &team{workers: workers})
		if err != nil {
			t.Fatal(err)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%d workers: another result", workers)
		}
	}
	base := want.Base
	var reps []RepResult
	for _, number := range rand.New(rand.NewPCG(1, 1)).Perm(small.Reps) {
		rep, err := replicate(context.Background(), RepArgs{Data: small.Data, Factors: base.P, W: base.W, H: base.H,
			Block: want.Config.Block, Seed: small.Seed, Number: number})
		if err != nil {
			t.Fatal(err)
		}
		reps = append(reps, rep)
	}
	factors, boot := tabulate(want.Data, base, reps)
	if !reflect.DeepEqual(factors, want.Factors) || boot != want.Bootstrap {
		t.Error("replicates in another order: another table")
	}
}

// Arguments and results survive the journey to an engine and back.
func TestCallsTravel(t *testing.T) {
	r := smallResult(t)
	arg := RepArgs{Data: small.Data, Factors: 2, W: r.Base.W, H: r.Base.H, Block: 3, Seed: 9, Number: 5}
	want, err := fitReplicate.Call(context.Background(), arg)
	if err != nil {
		t.Fatal(err)
	}
	sent, err := tutti.Encode(arg)
	if err != nil {
		t.Fatal(err)
	}
	call, err := tutti.LookupFunc(fitReplicate.Name())
	if err != nil {
		t.Fatal(err)
	}
	result, err := call(context.Background(), []tutti.Arg{{Value: sent}})
	if err != nil {
		t.Fatal(err)
	}
	back, err := tutti.Encode(result)
	if err != nil {
		t.Fatal(err)
	}
	var got RepResult
	if err := tutti.Decode(back, &got); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Error("the call by name gave another result")
	}
	if sent.Size() > tutti.InlineLimit || back.Size() > 4<<10 {
		t.Errorf("an argument takes %d bytes, a result %d", sent.Size(), back.Size())
	}
}

// Which of a replicate's factors comes first means nothing.
func TestPermutedFactors(t *testing.T) {
	want := smallResult(t)
	base, d, p := want.Base, want.Data, want.Base.P
	rng := rand.New(rand.NewPCG(2, 2))
	var plain, permuted []RepResult
	for number := range 8 {
		rows := drawBlocks(d.Samples(), 5, stream("test", 1, number))
		baseW := make([]float64, 0, len(rows)*p)
		for _, row := range rows {
			baseW = append(baseW, base.W[row*p:(row+1)*p]...)
		}
		f := newFit(newProblem(d, rows), p, baseW, base.H)
		f.run(stopRule{0.01, 50, 500}, never)
		w, h := f.factors()
		plain = append(plain, matched(w, h, baseW, p))
		order := rng.Perm(p)
		w2, h2 := make([]float64, len(w)), make([]float64, len(h))
		for to, from := range order {
			for i := range rows {
				w2[i*p+to] = w[i*p+from]
			}
			copy(h2[to*d.Species():(to+1)*d.Species()], h[from*d.Species():])
		}
		permuted = append(permuted, matched(w2, h2, baseW, p))
	}
	f1, b1 := tabulate(d, base, plain)
	f2, b2 := tabulate(d, base, permuted)
	if !reflect.DeepEqual(f1, f2) || b1 != b2 {
		t.Error("another table")
	}
}

func matched(w, h, base []float64, p int) (r RepResult) {
	r.Base, r.R = match(w, base, p)
	r.Mean = meanByFactor(w, h, p)
	return r
}

func TestMatch(t *testing.T) {
	// Columns of base: rising, falling, alternating.
	base := []float64{1, 5, 0, 2, 4, 1, 3, 3, 0, 4, 2, 1, 5, 1, 0, 6, 0, 1}
	w := []float64{ // falling, constant, rising, and a factor that is empty would be the second
		9, 2, 1.1, 8, 2, 2, 6, 2, 3.5, 4, 2, 4, 2, 2, 4.5, 1, 2, 6}
	to, r := match(w, base, 3)
	if !slices.Equal(to, []int{1, unmapped, 0}) || r[0] < 0.99 || r[2] < 0.95 {
		t.Errorf("matched to %v by %v", to, r)
	}
	// Two factors may be matched to one, and a weak likeness to none.
	w = []float64{1, 1, 0, 2, 2, 1, 3, 3, 5, 4, 5, 0, 5, 5, 1, 6, 6, 0}
	if to, _ := match(w, base, 3); !slices.Equal(to, []int{0, 0, unmapped}) {
		t.Errorf("matched to %v", to)
	}
}

func TestDrawBlocks(t *testing.T) {
	const n, length = 307, 4
	seen := make([]bool, n)
	for number := range 200 {
		rows := drawBlocks(n, length, stream("test", 1, number))
		if len(rows) != n {
			t.Fatalf("%d rows", len(rows))
		}
		for i, row := range rows {
			seen[row] = true
			if i > 0 && row != rows[i-1]+1 && (row%length != 0 || (rows[i-1]%length != length-1 && rows[i-1] != n-1)) {
				t.Fatalf("row %d follows row %d: not whole blocks", row, rows[i-1])
			}
		}
	}
	if i := slices.Index(seen, false); i >= 0 {
		t.Errorf("row %d is never drawn", i)
	}
	a, b := drawBlocks(n, length, stream("test", 1, 0)), drawBlocks(n, length, stream("test", 1, 1))
	if slices.Equal(a, b) {
		t.Error("two replicates drew the same")
	}
	if rows := drawBlocks(5, 5, stream("test", 1, 0)); !slices.Equal(rows, []int{0, 1, 2, 3, 4}) {
		t.Errorf("one block of all: %v", rows)
	}
}

func TestConfigErrors(t *testing.T) {
	for what, change := range map[string]func(*Config){
		"no factors":       func(c *Config) { c.Factors = 0 },
		"too many factors": func(c *Config) { c.Factors = 14 }, // of 13 species
		"no starts":        func(c *Config) { c.Seeds = 0 },
		"negative reps":    func(c *Config) { c.Reps = -1 },
		"negative block":   func(c *Config) { c.Block = -1 },
		"block too long":   func(c *Config) { c.Block = 419 }, // of 418 samples
	} {
		c := small
		change(&c)
		if _, err := analyse(context.Background(), c, &team{}); !errors.Is(err, tutti.Invalid) {
			t.Errorf("%s: %v", what, err)
		}
	}
	bad := RepArgs{Data: small.Data, Factors: 4, W: make([]float64, 3), H: make([]float64, 52), Block: 3}
	if _, err := replicate(context.Background(), bad); !errors.Is(err, tutti.Invalid) {
		t.Errorf("a base of another shape: %v", err)
	}
}

func TestNoReplicates(t *testing.T) {
	c := small
	c.Factors, c.Reps = 1, 0
	r, err := analyse(context.Background(), c, &team{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Bootstrap.Reps != 0 || len(r.Factors) != 1 || r.Factors[0].Boot != nil {
		t.Errorf("%+v", r.Bootstrap)
	}
}

// Cancelling ends a run at once, with the reason.
func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	started := func(string, int) (func(), func()) { cancel(); return func() {}, func() {} }
	for _, workers := range []int{0, 2} {
		_, err := analyse(ctx, small, &team{workers: workers, progress: started})
		if !errors.Is(err, context.Canceled) {
			t.Errorf("%d workers: %v", workers, err)
		}
	}
}

// ESAT prints a block length of 4 for Baton Rouge.
func TestBlockLength(t *testing.T) {
	d := mustLoad(t, "br")
	length, all := blockLength(d)
	if length != 4 || len(all) != d.Species() {
		t.Errorf("length %d of %d optima", length, len(all))
	}
}

// For a first-order autoregression with coefficient a the optimum is known: the autocovariance
// falls as a^k, so G = 2a/(1-a)^2 and g(0) = (1+a)/(1-a) of the variance, and G/g(0) = 2a/(1-a^2).
func TestOptimalBlock(t *testing.T) {
	const n = 20000
	for _, a := range []float64{0.3, 0.6, 0.8} {
		rng := rand.New(rand.NewPCG(8, 9))
		x := make([]float64, n)
		for i := 1; i < n; i++ {
			x[i] = a*x[i-1] + rng.NormFloat64()
		}
		ratio := 2 * a / (1 - a*a)
		want := math.Cbrt(2 * ratio * ratio / (4.0 / 3) * n)
		if got := optimalBlock(x); math.Abs(got-want) > 0.2*want {
			t.Errorf("coefficient %v: %v, theory %v", a, got, want)
		}
	}
	for what, x := range map[string][]float64{"constant": make([]float64, 100), "short": {1, 2, 3}} {
		if b := optimalBlock(x); b != 1 {
			t.Errorf("%s series: %v", what, b)
		}
	}
}

func TestQuantile(t *testing.T) {
	x := []float64{1, 2, 4, 8}
	for q, want := range map[float64]float64{0: 1, 0.5: 3, 1: 8, 0.05: 1.15, 0.95: 7.4} {
		if got := quantile(x, q); math.Abs(got-want) > 1e-12 {
			t.Errorf("quantile %v: %v, want %v", q, got, want)
		}
	}
	if !math.IsNaN(quantile(nil, 0.5)) {
		t.Error("a quantile of nothing")
	}
}
