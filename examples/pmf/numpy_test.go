package main

import (
	"bytes"
	"encoding/json"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The same analysis in numpy, which examples/bootstrap runs on Python engines: from the same start
// it comes to the same base case.
func TestNumpyAgrees(t *testing.T) {
	python := "/usr/bin/python3" // the distribution's, which has numpy
	if out, err := exec.Command(python, "-c", "import numpy").CombinedOutput(); err != nil {
		t.Skipf("%s has no numpy: %s", python, bytes.TrimSpace(out))
	}
	for _, c := range []struct {
		set     string
		factors int
	}{{"br", 4}, {"sl", 5}, {"ba", 6}} {
		d, err := load(Source{Name: c.set})
		if err != nil {
			t.Fatal(err)
		}
		w, h := randomStart(d, c.factors, stream("start", 1, 0))
		f := newFit(newProblem(d, d.Rows()), c.factors, w, h)
		steps, converged, err := f.run(esatStop, func() error { return nil })
		if err != nil {
			t.Fatal(err)
		}
		var got struct {
			Q         float64   `json:"q"`
			Steps     int       `json:"steps"`
			Converged bool      `json:"converged"`
			W         []float64 `json:"w"`
			H         []float64 `json:"h"`
		}
		fitInNumpy(t, python, map[string]any{"dataset": c.set, "factors": c.factors, "w": w, "h": h}, &got)
		if got.Steps != steps || got.Converged != converged {
			t.Errorf("%s: numpy made %d steps (converged %v), we %d (%v)", c.set, got.Steps, got.Converged, steps, converged)
		}
		w, h = f.factors()
		q, _ := quality(d, d.Rows(), c.factors, w, h)
		t.Logf("%s: %d steps, Q %.6f, relative differences Q %.1e, W %.1e, H %.1e", c.set, steps, q,
			math.Abs(got.Q/q-1), furthest(got.W, w), furthest(got.H, h))
		if math.Abs(got.Q/q-1) > 1e-9 || furthest(got.W, w) > 1e-9 || furthest(got.H, h) > 1e-9 {
			t.Errorf("%s: Q %v in numpy, %v here; W differs by %.1e, H by %.1e of their greatest entries", c.set,
				got.Q, q, furthest(got.W, w), furthest(got.H, h))
		}
	}
}

func fitInNumpy(t *testing.T, python string, start map[string]any, into any) {
	t.Helper()
	data, err := json.Marshal(start)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "start.json")
	if err := os.WriteFile(file, data, 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), python, "../bootstrap/bootstrap.py", "--fit-only", file)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%v: %s", err, stderr.Bytes())
	}
	if err := json.Unmarshal(out, into); err != nil {
		t.Fatal(err)
	}
}

// furthest is the greatest difference between two lists, as a share of the greatest entry.
func furthest(a, b []float64) float64 {
	most, size := math.Inf(1), 0.0
	if len(a) == len(b) {
		most = 0
		for i := range a {
			most, size = max(most, math.Abs(a[i]-b[i])), max(size, math.Abs(b[i]))
		}
	}
	return most / size
}
