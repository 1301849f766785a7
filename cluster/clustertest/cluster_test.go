package clustertest_test

import (
	"context"
	"errors"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster/clustertest"
)

var square = tutti.Func("test.square", func(_ context.Context, x int) (int, error) { return x * x, nil })

var nap = tutti.Func("test.nap", func(ctx context.Context, ms int) (int, error) {
	t := time.NewTimer(time.Duration(ms) * time.Millisecond)
	defer t.Stop()
	select {
	case <-t.C:
		return ms, nil
	case <-ctx.Done():
		return 0, ctx.Err()
	}
})

// bubble runs a test in virtual time, of which it has an hour.
func bubble(t *testing.T, f func(ctx context.Context, t *testing.T)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		f(ctx, t)
	})
}

func TestQuiet(t *testing.T) {
	bubble(t, func(ctx context.Context, t *testing.T) {
		c := clustertest.Start(t, clustertest.Spec{Nodes: 2, Blobs: true})
		me := c.Client()
		if y, err := tutti.Submit(ctx, me.Balanced(), square, 7).Get(ctx); y != 49 || err != nil {
			t.Error(y, err)
		}
		began := time.Now()
		f := tutti.Submit(ctx, me.Balanced(), nap, 60_000)
		if y, err := f.Get(ctx); y != 60_000 || err != nil || time.Since(began) < time.Minute {
			t.Error(y, err, time.Since(began))
		}
	})
}

// A run goes elsewhere when its engine or node is killed, or is not heard any more.
func TestMisfortunes(t *testing.T) {
	for name, befall := range map[string]func(*clustertest.Node){
		"engine killed":  func(n *clustertest.Node) { n.Engines()[0].Kill() },
		"engine stopped": func(n *clustertest.Node) { n.Engines()[0].Hang() },
		"node killed":    (*clustertest.Node).Kill,
		"node silent":    (*clustertest.Node).Silence,
		"node cut off":   (*clustertest.Node).Partition,
		"node left":      (*clustertest.Node).Stop,
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(ctx context.Context, t *testing.T) {
				c := clustertest.Start(t, clustertest.Spec{Nodes: 1, Engines: 1})
				me := c.Client()
				f := tutti.Submit(ctx, me.Balanced(), nap, 100_000)
				first := tutti.Submit(ctx, me.Balanced(), nap, 100_000)
				time.Sleep(10 * time.Second)
				hit := c.Nodes()[0]
				c.AddNode()
				befall(hit)
				for _, f := range []*tutti.Future[int]{f, first} {
					if y, err := f.Get(ctx); y != 100_000 || err != nil {
						t.Error(y, err)
					}
				}
				hit.Mend()
				time.Sleep(time.Minute)
			})
		})
	}
}

// What a crash does to tasks that are durable and to those that are not, with a journal and without.
func TestCrash(t *testing.T) {
	dir := t.TempDir()
	bubble(t, func(ctx context.Context, t *testing.T) {
		c := clustertest.Start(t, clustertest.Spec{Nodes: 1, Dir: dir})
		me := c.Client()
		durable := tutti.Submit(ctx, me.Balanced(), nap, 20_000, tutti.Durable())
		other := tutti.Submit(ctx, me.Balanced(), nap, 20_001)
		time.Sleep(10 * time.Second)
		c.Crash()
		time.Sleep(20 * time.Second)
		c.Restart()
		began := time.Now()
		y, err := durable.Get(ctx)
		z, err2 := other.Get(ctx)
		if y != 20_000 || z != 20_001 || err != nil || err2 != nil {
			t.Error(y, err, z, err2)
		}
		if took := time.Since(began); took > 15*time.Second {
			t.Error("they were run again:", took)
		}
	})
	bubble(t, func(ctx context.Context, t *testing.T) {
		c := clustertest.Start(t, clustertest.Spec{Nodes: 1})
		me := c.Client()
		f := tutti.Submit(ctx, me.Balanced(), nap, 20_000)
		time.Sleep(10 * time.Second)
		c.Crash()
		c.Restart()
		if _, err := f.Get(ctx); !errors.Is(err, tutti.Lost) {
			t.Error(err)
		}
	})
}
