package cluster

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/controller"
)

var square = tutti.Func("cluster.square", func(_ context.Context, x int) (int, error) {
	if x < 0 {
		return 0, fmt.Errorf("%d is negative", x)
	}
	return x * x, nil
})

func count(n int) func(func(int) bool) {
	return func(yield func(int) bool) {
		for i := 0; n < 0 || i < n; i++ {
			if !yield(i) {
				return
			}
		}
	}
}

func TestMapOverPuppets(t *testing.T) {
	s := newStage(t, controller.Config{})
	defer s.stop()
	s.puppet(2)
	c := s.client()
	defer c.Close()
	ctx := context.Background()
	i := 0
	for y, err := range Map(ctx, c.Balanced(), square, count(10_000)) {
		if err != nil || y != i*i {
			t.Fatal(i, y, err)
		}
		i++
	}
	if i != 10_000 {
		t.Errorf("%d results", i)
	}
	y, err := tutti.Submit(ctx, c.Balanced(), square, 12).Get(ctx)
	if y != 144 || err != nil {
		t.Error(y, err)
	}
	_, err = tutti.Submit(ctx, c.Balanced(), square, -1).Get(ctx)
	if !errors.Is(err, tutti.Failed) {
		t.Error(err)
	}
}

func BenchmarkMapOverPuppets(b *testing.B) {
	s := newStage(b, controller.Config{})
	defer s.stop()
	s.puppet(2)
	c := s.client()
	defer c.Close()
	for range Map(context.Background(), c.Balanced(), square, count(1000)) {
	}
	b.ResetTimer()
	for _, err := range Map(context.Background(), c.Balanced(), square, count(b.N)) {
		if err != nil {
			b.Fatal(err)
		}
	}
}
