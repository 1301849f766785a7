package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/provider"
)

func TestStartOnLocalProvider(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := Start(ctx, provider.Config{Kind: "local"}, Spec{Nodes: 2, Engines: 1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	engines, err := c.WaitForEngines(ctx, 2)
	if err != nil {
		t.Fatal(err)
	}
	if engines[0].Node == engines[1].Node {
		t.Error("both engines are on one node")
	}
	i := 0
	for y, err := range Map(ctx, c.Balanced(), square, count(500)) {
		if err != nil || y != i*i {
			t.Fatal(i, y, err)
		}
		i++
	}
	// A result that is larger than what travels in messages comes through the controller.
	x, err := tutti.Submit(ctx, c.Balanced(), ones, 100_000).Get(ctx)
	if err != nil || len(x) != 100_000 || x[99_999] != 1 {
		t.Error(len(x), err)
	}
}

func TestNodesComeWithWorkAndGo(t *testing.T) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := Start(ctx, provider.Config{Kind: "local"}, Spec{Nodes: 1, Most: 3, Engines: 1, Idle: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	lost := make(chan struct{})
	go func() {
		defer close(lost)
		for ev, err := range c.Events(ctx) {
			if err != nil || ev.Kind == tutti.NodeLost {
				return
			}
		}
	}()
	var all []*tutti.Future[int]
	for i := range 4 {
		all = append(all, tutti.Submit(ctx, c.Balanced(), nap, i))
	}
	for i, f := range all {
		if y, err := f.Get(ctx); y != i || err != nil {
			t.Fatal(y, err)
		}
	}
	select {
	case <-lost: // an idle node was given back
	case <-ctx.Done():
		t.Error("no idle node was given back")
	}
}

var nap = tutti.Func("cluster.nap", func(ctx context.Context, x int) (int, error) {
	select {
	case <-time.After(300 * time.Millisecond):
	case <-ctx.Done():
	}
	return x, ctx.Err()
})
