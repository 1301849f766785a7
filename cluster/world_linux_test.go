package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/mpi"
)

// whoAmI tells a rank's engine by what was pushed there, its rank, and the sum of all ranks' engines.
var whoAmI = tutti.Func("cluster.whoAmI", func(ctx context.Context, _ int) ([3]int, error) {
	c, ok := mpi.From(ctx)
	if !ok {
		return [3]int{}, errors.New("no world")
	}
	me, err := tutti.Var[int](ctx, "number")
	if err != nil {
		return [3]int{}, err
	}
	sum := []int64{int64(me)}
	err = mpi.Allreduce(c, sum, sum, mpi.Sum)
	return [3]int{me, c.Rank(), int(sum[0])}, err
})

// worldOf opens a cluster of n engines each of which knows its number.
func worldOf(t *testing.T, n int) *cluster.Client {
	t.Helper()
	ctx := t.Context()
	c, err := cluster.Open(ctx, cluster.Engines(n))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.WaitForEngines(ctx, n); err != nil {
		t.Fatal(err)
	}
	for id := range tutti.EngineID(n) {
		if err := c.Direct(id).Push(ctx, "number", int(id)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}

// Worlds of certain engines change from call to call, run beside each other, and overlap.
func TestWorldsOfChosenEngines(t *testing.T) {
	ctx := t.Context()
	c := worldOf(t, 4)
	type world struct {
		ids []tutti.EngineID
		f   *tutti.Future[[][3]int]
	}
	var worlds []world
	for range 10 { // all at once
		for _, ids := range [][]tutti.EngineID{{0, 1}, {2, 3}, {3, 2, 1, 0}, {2}, {1, 3}, {3, 0, 1}} {
			worlds = append(worlds, world{ids, cluster.CallRanksOn(ctx, c.Direct(ids...), whoAmI, 0)})
		}
	}
	for _, w := range worlds {
		got, err := w.f.Get(ctx)
		if err != nil {
			t.Fatal(w.ids, err)
		}
		sum := 0
		for _, id := range w.ids {
			sum += int(id)
		}
		for rank, id := range w.ids {
			if want := [3]int{int(id), rank, sum}; got[rank] != want {
				t.Errorf("world of %v, rank %d: %v", w.ids, rank, got)
			}
		}
	}
	for ids, kind := range map[[2]tutti.EngineID]tutti.Kind{{1, 1}: tutti.Invalid, {0, 17}: tutti.NotFound} {
		if _, err := cluster.CallRanksOn(ctx, c.Direct(ids[:]...), whoAmI, 0).Get(ctx); !errors.Is(err, kind) {
			t.Errorf("world of %v: %v", ids, err)
		}
	}
}

// failsOn fails on some ranks in ways of their own; the others wait for them in a communicator of
// their own making, or without any call of the world's.
var failsOn = tutti.Func("cluster.failsOn", func(ctx context.Context, how string) (int, error) {
	c, _ := mpi.From(ctx)
	pair, err := c.Split(0, -c.Rank())
	if err != nil {
		return 0, err
	}
	switch {
	case c.Rank() == 1 && how == "error":
		return 0, tutti.Errorf("compute", tutti.Corrupt, "rank one cannot go on").WithHint("try another seed")
	case c.Rank() == 1 && how == "panic":
		panic("rank one cannot go on")
	case c.Rank() == 1 && how == "two", c.Rank() == 2 && how == "two":
		return 0, fmt.Errorf("rank %d cannot go on", c.Rank())
	case c.Rank() == 1 && how == "exit":
		os.Exit(3)
	case c.Rank() == 3: // computes, and listens only to its context
		<-ctx.Done()
		return 0, ctx.Err()
	}
	return c.Rank(), pair.Barrier()
})

// The error of a world is that of all its ranks, the one that began it first; nobody else loses his
// engine.
func TestFailuresOfAllRanks(t *testing.T) {
	ctx := t.Context()
	c := worldOf(t, 4)
	before, _ := c.Engines(ctx)
	for _, k := range []struct {
		how, first, hint string
		kind             tutti.Kind
	}{
		{"error", "rank one cannot go on", "try another seed", tutti.Corrupt},
		{"panic", "rank one cannot go on", "", tutti.Panicked},
		{"two", "cannot go on", "", tutti.Failed},
		{"exit", "status 3", "os.Exit and log.Fatal end the engine and lose its variables: return an error instead", tutti.Failed},
	} {
		began := time.Now()
		_, err := cluster.CallRanksOn(ctx, c.Direct(0, 1, 2, 3), failsOn, k.how).Get(ctx)
		if err == nil {
			t.Fatal(k.how, "went well")
		}
		var e *tutti.Error
		switch text := err.Error(); {
		case !errors.As(err, &e) || !strings.Contains(e.Error(), k.first) || !errors.Is(e, k.kind) || e.Rank != 1 && k.how != "two":
			t.Errorf("%s: first comes %v: %v", k.how, tutti.KindOf(err), err)
		case !errors.Is(err, tutti.Revoked) || tutti.HintOf(err) != k.hint:
			t.Errorf("%s: hint %q: %v", k.how, tutti.HintOf(err), err)
		default:
			for rank := range 4 {
				if !strings.Contains(text, fmt.Sprintf("on rank %d on engine %d", rank, rank)) {
					t.Errorf("%s: not a word of rank %d: %v", k.how, rank, err)
				}
			}
		}
		if d := time.Since(began); d > 20*time.Second {
			t.Errorf("%s took %v", k.how, d)
		}
	}
	after, err := c.WaitForEngines(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	for i := range after {
		if died := after[i].Pid != before[i].Pid; died != (i == 1) { // the one that called os.Exit
			t.Errorf("engine %d was started again: %v", i, died)
		}
	}
}
