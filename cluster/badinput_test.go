package cluster_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

var (
	panics = tutti.Func("bad.panics", func(context.Context, int) (int, error) { panic("oh") })
	closes = tutti.Func("bad.closes", func(context.Context, int) (func(), error) { return func() {}, nil })
	deaf   = tutti.Func("bad.deaf", func(context.Context, int) (int, error) { select {} })
	double = tutti.Func("bad.double", func(_ context.Context, x int) (int, error) { return 2 * x, nil })
)

func open(t *testing.T, warnings chan string) *cluster.Client {
	t.Helper()
	c, err := cluster.Open(context.Background(), cluster.Engines(2), cluster.Warn(func(text string) {
		select {
		case warnings <- text:
		default:
		}
	}))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c
}

// Each mistake gives an error of its own kind, at once, and the next good call works.
func TestMistakesAreTold(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := open(t, nil)
	b := c.Balanced()
	name := func(f string) error {
		_, err := tutti.SubmitArgs[int](ctx, b, f, func() (tutti.Arg, error) {
			v, err := tutti.Encode(1)
			return tutti.Arg{Value: v}, err
		}).Get(ctx)
		return err
	}
	if err := name("bad.nobody"); !errors.Is(err, tutti.NotFound) || !strings.Contains(tutti.HintOf(err), "bad.double") {
		t.Errorf("an unknown function: %v (hint %q)", err, tutti.HintOf(err))
	}
	_, err := tutti.Submit(ctx, b, panics, 1).Get(ctx)
	var e *tutti.Error
	if !errors.As(err, &e) || e.Kind != tutti.Panicked || !strings.Contains(e.Stack, "badinput_test.go") || e.Engine < 0 || e.Host == "" {
		t.Errorf("a panic: %v", err)
	}
	if _, err := tutti.Submit(ctx, b, closes, 1).Get(ctx); !errors.Is(err, tutti.Invalid) {
		t.Errorf("a result that cannot travel: %v", err)
	}
	me := c.ID()
	first := tutti.Submit(ctx, b, double, 1)
	next := func(n uint64) func() (tutti.Arg, error) {
		return func() (tutti.Arg, error) { return tutti.Arg{From: tutti.MakeTaskID(me, n)}, nil }
	}
	if _, err := tutti.SubmitArgs[int](ctx, b, double.Name(), next(first.ID().N()+100)).Get(ctx); !errors.Is(err, tutti.NotFound) {
		t.Errorf("a dependency on nobody: %v", err)
	}
	failed := tutti.Submit(ctx, b, panics, 1)
	_, err = tutti.SubmitArgs[int](ctx, b, double.Name(), func() (tutti.Arg, error) { return tutti.Arg{From: failed.ID()}, nil }).Get(ctx)
	if !errors.Is(err, tutti.Dependency) || !strings.Contains(err.Error(), "oh") {
		t.Errorf("a failed dependency, with its cause: %v", err)
	}
	if y, err := tutti.Submit(ctx, b, double, 21).Get(ctx); y != 42 || err != nil {
		t.Errorf("afterwards: %v %v", y, err)
	}
}

// Needs that no node has are a warning at once, and an explanation for as long as they wait.
func TestTooMuchIsWarnedOf(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	warnings := make(chan string, 1)
	c := open(t, warnings)
	f := tutti.Submit(ctx, c.Balanced(), double, 1, tutti.Needs(tutti.Resources{Cores: 1000}))
	select {
	case text := <-warnings:
		if !strings.Contains(text, "1000") {
			t.Errorf("warned: %s", text)
		}
	case <-ctx.Done():
		t.Fatal("no warning")
	}
	if why, err := c.Explain(ctx, f.ID()); err != nil || !strings.Contains(why, "1000") {
		t.Error(why, err)
	}
	f.Cancel()
	if _, err := f.Get(ctx); !errors.Is(err, tutti.Canceled) {
		t.Error(err)
	}
}

// A function that listens to nothing is stopped all the same, and its engine comes back.
func TestDeafFunctionsAreStopped(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := open(t, nil)
	if _, err := tutti.Submit(ctx, c.Balanced(), deaf, 1, tutti.Limit(50*time.Millisecond)).Get(ctx); !errors.Is(err, tutti.Timeout) {
		t.Errorf("its limit: %v", err)
	}
	f := tutti.Submit(ctx, c.Balanced(), deaf, 1)
	f.Cancel()
	if _, err := f.Get(ctx); !errors.Is(err, tutti.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	if engines, err := c.WaitForEngines(ctx, 2); err != nil || len(engines) != 2 {
		t.Error(engines, err)
	}
}

// Engines that are killed in the middle of a Map are missed by nobody.
func TestKilledEnginesAreReplaced(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := open(t, nil)
	engines, err := c.WaitForEngines(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	all := make([]int, 20_000)
	for i := range all {
		all[i] = i
	}
	for y, err := range cluster.Map(ctx, c.Balanced(), double, slices.Values(all)) {
		if err != nil || y != 2*n {
			t.Fatal(n, y, err)
		}
		if n++; n == 1000 {
			if err := syscall.Kill(engines[0].Pid, syscall.SIGKILL); err != nil {
				t.Fatal(err)
			}
		}
	}
	if n != len(all) {
		t.Errorf("%d results", n)
	}
	again, err := c.WaitForEngines(ctx, 2)
	if err != nil || again[0].Pid == engines[0].Pid {
		t.Error(again, err)
	}
}
