package main

import (
	"bytes"
	"context"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/tutti-hpc/tutti/cluster"
)

func TestMain(m *testing.M) {
	cluster.Init() // this binary is also its own engine
	os.Exit(m.Run())
}

// Whoever does the work, and whatever befalls him, the files are the same to the last byte: on
// engines, of which one is killed in the middle, and by a plain loop.
func TestSameReportWithAnEngineKilled(t *testing.T) {
	ctx := context.Background()
	c, err := cluster.Open(ctx, cluster.Engines(3))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	engines, err := c.WaitForEngines(ctx, 3)
	if err != nil {
		t.Fatal(err)
	}
	killed := false
	crew := &team{view: c.Balanced(), progress: func(what string, total int) (tick, done func()) {
		n := 0
		return func() {
			if n++; what == "replicates" && n == total/4 {
				killed = syscall.Kill(engines[1].Pid, syscall.SIGKILL) == nil
			}
		}, func() {}
	}}
	r, err := analyse(ctx, small, crew)
	if err != nil {
		t.Fatal(err)
	}
	if !killed {
		t.Fatal("no engine was killed")
	}
	undisturbed, err := smallOnce()
	if err != nil {
		t.Fatal(err)
	}
	got, want := filesOf(t, r), filesOf(t, undisturbed)
	same := slices.EqualFunc(got, want, func(a, b file) bool { return a.name == b.name && bytes.Equal(a.data, b.data) })
	if !same || len(got) == 0 {
		t.Error("the reports differ")
	}
}

// filesOf is the report; under the race detector its tables alone.
func filesOf(t *testing.T, r *Result) []file {
	if raced {
		return []file{{"profiles.csv", r.profilesCSV()}, {"contributions.csv", r.contributionsCSV()}}
	}
	files, err := r.files()
	if err != nil {
		t.Fatal(err)
	}
	return files
}
