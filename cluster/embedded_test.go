package cluster

import (
	"context"
	"os"
	"testing"

	"github.com/tutti-hpc/tutti"
)

func TestMain(m *testing.M) {
	Init()
	os.Exit(m.Run())
}

func TestEmbedded(t *testing.T) {
	ctx := context.Background()
	c, err := Open(ctx, Engines(2))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	i := 0
	for y, err := range Map(ctx, c.Balanced(), square, count(1000)) {
		if err != nil || y != i*i {
			t.Fatal(i, y, err)
		}
		i++
	}
	if i != 1000 {
		t.Error(i)
	}
	if y, err := tutti.Submit(ctx, c.Balanced(), square, 12).Get(ctx); y != 144 || err != nil {
		t.Error(y, err)
	}
}

func BenchmarkMapEmbedded(b *testing.B) {
	c, err := Open(context.Background(), Engines(2))
	if err != nil {
		b.Fatal(err)
	}
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
