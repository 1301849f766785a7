package main

import (
	"encoding/json"
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"testing"
)

func mustLoad(t testing.TB, name string) *Dataset {
	t.Helper()
	d, err := cached(Source{Name: name})
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func never() error { return nil }

// One step from a given W and H equals what numpy makes of the formulas (testdata/step.py).
func TestStepEqualsNumpy(t *testing.T) {
	var want []struct {
		Dataset        string
		Factors, Every int
		Q              float64
		W, H           [][]float64
	}
	readJSON(t, "testdata/step.json", &want)
	for _, c := range want {
		d, p := mustLoad(t, c.Dataset), c.Factors
		w, h := handStart(d, p)
		f := newFit(newProblem(d, d.Rows()), p, w, h)
		f.step()
		w, h = f.factors()
		for r, row := range c.W {
			for k, x := range row {
				close12(t, fmt.Sprintf("%s W %d %d", c.Dataset, r*c.Every, k), w[r*c.Every*p+k], x)
			}
		}
		for k, row := range c.H {
			for j, x := range row {
				close12(t, fmt.Sprintf("%s H %d %d", c.Dataset, k, j), h[k*d.Species()+j], x)
			}
		}
		close12(t, c.Dataset+" Q of the sums", f.q(), c.Q)
		q, _ := quality(d, d.Rows(), p, w, h)
		close12(t, c.Dataset+" Q of the residuals", q, c.Q)
	}
}

// handStart is the W and H of testdata/step.py.
func handStart(d *Dataset, p int) (w, h []float64) {
	for i := range d.Samples() {
		for k := range p {
			w = append(w, 0.5+float64((7*i+3*k)%11)/11)
		}
	}
	for k := range p {
		for j := range d.Species() {
			mean := total(d.Column(j)) / float64(d.Samples())
			h = append(h, mean*(0.5+float64((5*j+2*k)%7)/7)/float64(p))
		}
	}
	return w, h
}

func close12(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > 1e-12*math.Abs(want) {
		t.Errorf("%s is %.17g, numpy has %.17g", what, got, want)
	}
}

func readJSON(t testing.TB, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(text, into); err != nil {
		t.Fatal(err)
	}
}

func TestQNeverRises(t *testing.T) {
	for _, name := range []string{"br", "sl", "ba"} {
		d := mustLoad(t, name)
		w, h := randomStart(d, 6, stream("test", 1, 0))
		f := newFit(newProblem(d, d.Rows()), 6, w, h)
		last := f.q()
		for step := range 1000 {
			f.step()
			q := f.q()
			if q > last*(1+1e-12) {
				t.Fatalf("%s: step %d raised Q from %.17g to %.17g", name, step, last, q)
			}
			last = q
		}
		w, h = f.factors()
		if q, _ := quality(d, d.Rows(), 6, w, h); math.Abs(q-last) > 1e-11*q {
			t.Errorf("%s: Q of the sums %.17g, of the residuals %.17g", name, last, q)
		}
	}
}

// made is a data set of given values, for tests.
func made(m int, v, u []float64) *Dataset {
	d := &Dataset{V: v, U: u}
	for i := range len(v) / m {
		d.Dates = append(d.Dates, fmt.Sprint(i))
	}
	for j := range m {
		d.Names = append(d.Names, fmt.Sprint("s", j))
	}
	return d
}

// sparse draws rows x columns numbers of which four in ten are zero, no row or column all.
func sparse(rng *rand.Rand, rows, columns int) []float64 {
	for {
		x := make([]float64, rows*columns)
		row, column := make([]bool, rows), make([]bool, columns)
		filled := 0
		for i := range x {
			if rng.Float64() < 0.6 {
				x[i] = rng.Float64() + 0.1
				row[i/columns], column[i%columns] = true, true
			}
		}
		for _, some := range append(row, column...) {
			if some {
				filled++
			}
		}
		if filled == rows+columns {
			return x
		}
	}
}

// A row or column of V that is all zero makes the bare update 0/0.
func TestZeroRowAndColumn(t *testing.T) {
	const n, m, p, row, column = 30, 9, 3, 7, 4
	rng := rand.New(rand.NewPCG(1, 2))
	v, u := make([]float64, n*m), make([]float64, n*m)
	for i := range v {
		if i/m != row && i%m != column {
			v[i] = 1 + rng.Float64()
		}
		u[i] = 0.1*v[i] + 0.05
	}
	d := made(m, v, u)
	w, h := randomStart(d, p, rng)
	f := newFit(newProblem(d, d.Rows()), p, w, h)
	if _, converged, _ := f.run(esatStop, never); !converged {
		t.Error("did not converge")
	}
	if _, _, err := f.refine(never); err != nil {
		t.Fatal(err)
	}
	w, h = f.factors()
	for _, x := range append(w, h...) {
		if math.IsNaN(x) || math.IsInf(x, 0) || x < 0 {
			t.Fatalf("an entry is %v", x)
		}
	}
	for k := range p {
		if w[row*p+k] != 0 {
			t.Errorf("W of the empty sample is %v", w[row*p+k])
		}
		if h[k*m+column] != 0 {
			t.Errorf("H of the empty species is %v", h[k*m+column])
		}
	}
	if q, _ := quality(d, d.Rows(), p, w, h); math.IsNaN(q) || q > 1000 {
		t.Errorf("Q is %v", q)
	}
}

// Entries that fell asleep although Q would fall if they grew are woken, so that refinement ends
// at one and the same minimum.
func TestRefineWakes(t *testing.T) {
	d := mustLoad(t, "sl")
	w, h := randomStart(d, 3, stream("test", 1, 0))
	f := newFit(newProblem(d, d.Rows()), 3, w, h)
	if _, converged, err := f.refine(never); !converged || err != nil {
		t.Fatal(converged, err)
	}
	want := f.q()
	i, top := 0, 0.0 // the entry of H that matters most to its species
	for j := range f.h {
		if x := f.h[j] * f.num[j]; x > top {
			i, top = j, x
		}
	}
	f.h[i] = 0
	f.sweep(false)
	f.run(esatStop, never)
	if f.q() < want*1.01 {
		t.Fatalf("putting an entry to sleep left Q at %v of %v", f.q(), want)
	}
	if _, converged, err := f.refine(never); !converged || err != nil {
		t.Fatal(converged, err)
	}
	if math.Abs(f.q()-want) > 1e-5*want {
		t.Errorf("Q %v after waking, %v before", f.q(), want)
	}
}

func TestRobustQ(t *testing.T) {
	d := made(2, []float64{1, 10}, []float64{0.5, 1})
	q, robust := quality(d, d.Rows(), 1, []float64{1}, []float64{0, 4}) // residuals of 2 and 6
	if q != 4+36 || robust != 4+4*6 {
		t.Errorf("Q(true) %v, Q(robust) %v", q, robust)
	}
}
