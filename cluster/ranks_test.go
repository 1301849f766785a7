package cluster_test

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/mpi"
)

// worldSum adds the ranks of its world, and fails on the rank that it is told.
var worldSum = tutti.Func("cluster.worldSum", func(ctx context.Context, fails int) (int, error) {
	c, ok := mpi.From(ctx)
	if !ok {
		return 0, errors.New("no world")
	}
	if c.Rank() == fails {
		return 0, fmt.Errorf("rank %d was told to fail", fails)
	}
	one := []int64{int64(c.Rank())}
	if err := mpi.Allreduce(c, one, one, mpi.Sum); err != nil {
		return 0, err
	}
	return int(one[0])*100 + c.Size(), nil
})

// Worlds of changing sizes on the same engines; a rank that fails takes its world with it, and no
// engine.
func TestRanksOfAWorld(t *testing.T) {
	ctx := context.Background()
	c, err := cluster.Open(ctx, cluster.Engines(4))
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	before, err := c.WaitForEngines(ctx, 4)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range []int{4, 1, 3, 2, 4} {
		got, err := cluster.CallRanks(ctx, c.Balanced(), n, worldSum, -1).Get(ctx)
		if err != nil || len(got) != n {
			t.Fatal(n, got, err)
		}
		for _, v := range got {
			if v != n*(n-1)/2*100+n {
				t.Errorf("%d ranks: %v", n, got)
			}
		}
		if n > 1 {
			if _, err := cluster.CallRanks(ctx, c.Balanced(), n, worldSum, n-1).Get(ctx); err == nil {
				t.Errorf("%d ranks of which one failed", n)
			}
		}
	}
	after, err := c.Engines(ctx)
	if err != nil || len(after) != 4 {
		t.Fatal(after, err)
	}
	for i := range after {
		if after[i].Pid != before[i].Pid {
			t.Errorf("engine %d was started again", i)
		}
	}
}
