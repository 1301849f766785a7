package cluster

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

var sum = tutti.Func("cluster.sum", func(_ context.Context, x []float64) (float64, error) {
	s := 0.0
	for i, v := range x {
		s += v
		x[i] = -1 // its own copy: nobody else sees this
	}
	return s, nil
})

var ones = tutti.Func("cluster.ones", func(_ context.Context, n int) ([]float64, error) {
	x := make([]float64, n)
	for i := range x {
		x[i] = 1
	}
	return x, nil
})

func TestLargeValues(t *testing.T) {
	ctx := context.Background()
	c, err := Open(ctx, Engines(2))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	x, err := tutti.Submit(ctx, c.Balanced(), ones, 1_000_000).Get(ctx)
	if err != nil || len(x) != 1_000_000 || x[999_999] != 1 {
		t.Fatal(len(x), err)
	}
	for range 5 {
		s, err := tutti.Submit(ctx, c.Balanced(), sum, x).Get(ctx)
		if err != nil || s != 1e6 {
			t.Fatal(s, err)
		}
	}
	// The result of one task as the argument of another does not pass the client.
	made := tutti.Submit(ctx, c.Balanced(), ones, 500_000)
	s, err := tutti.SubmitArgs[float64](ctx, c.Balanced(), sum.Name(), func() (tutti.Arg, error) {
		return tutti.Arg{From: made.ID()}, nil
	}).Get(ctx)
	if err != nil || s != 5e5 {
		t.Error(s, err)
	}
	// Whatever way it comes: through the controller when it is not here.
	far := &plane{c: c}
	o, err := made.Promise().Wait(ctx)
	if err != nil {
		t.Fatal(err)
	}
	data, release, err := far.Get(ctx, o.Value)
	if err != nil || len(data) != 8*500_000 {
		t.Fatal(len(data), err)
	}
	release()
}

func TestDirectView(t *testing.T) {
	ctx := context.Background()
	c, err := Open(ctx, Engines(3))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.WaitForEngines(ctx, 3); err != nil {
		t.Fatal(err)
	}
	d := c.Direct()
	if err := Scatter(ctx, d, "x", []float64{1, 2, 3, 4}); err != nil {
		t.Fatal(err)
	}
	x, err := Gather[float64](ctx, d, "x")
	if err != nil || len(x) != 4 || x[3] != 4 {
		t.Error(x, err)
	}
	if err := d.Push(ctx, "n", 7); err != nil {
		t.Error(err)
	}
	n, err := Pull[int](ctx, d, "n")
	if err != nil || len(n) != 3 || n[2] != 7 {
		t.Error(n, err)
	}
	y, err := Call(ctx, c.Direct(0, 2), square, 5).Get(ctx)
	if err != nil || len(y) != 2 || y[1] != 25 {
		t.Error(y, err)
	}
	if _, err := Pull[int](ctx, d, "nothing"); !errors.Is(err, tutti.NotFound) {
		t.Error(err)
	}
	if text, err := c.Stacks(ctx, 1); err != nil || !strings.Contains(text, "goroutine") {
		t.Error(text, err)
	}
}

// Without a store on the client's host a value travels inside a message, which has its limit.
func TestTooLargeForMessage(t *testing.T) {
	c := &Client{data: &plane{}}
	for size, want := range map[int]error{1 << 20: nil, wire.DefaultMaxFrame: tutti.Invalid} {
		args := []tutti.Arg{{Value: tutti.Value{Codec: tutti.RawUint8, Data: make([]byte, size)}}}
		err := c.fill(context.Background(), new(call), &tutti.Task{Work: &tutti.Work{Func: sum.Name()}, Args: args})
		if !errors.Is(err, want) {
			t.Errorf("%d bytes: %v", size, err)
		}
	}
}
