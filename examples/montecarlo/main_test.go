package main

import (
	"testing"

	"github.com/tutti-hpc/tutti/mpi"
)

func TestMonteCarlo(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7} {
		err := mpi.Run(n, func(c *mpi.Comm) error {
			balls, err := montecarlo(c, 20_000)
			if err == nil && c.Rank() == 0 {
				ranks := 0
				for i, b := range balls {
					ranks += b.Ranks
					if b.Dimension != dimensions[i] {
						t.Errorf("ball %d has dimension %d", i, b.Dimension)
					}
				}
				if n >= len(dimensions) && ranks != n {
					t.Errorf("%d of %d ranks took part", ranks, n)
				}
			}
			return err
		})
		if err != nil {
			t.Errorf("%d ranks: %v", n, err)
		}
	}
}

func TestMergeRefuses(t *testing.T) {
	good := []ball{{2, 1, 3.14, 0.01}, {3, 1, 4.19, 0.01}, {4, 1, 4.93, 0.01}}
	if _, err := merge([][]ball{good}); err != nil {
		t.Error(err)
	}
	bad := append([]ball{{2, 1, 3.3, 0.01}}, good[1:]...)
	for _, found := range [][][]ball{{bad}, {good[1:]}} {
		if _, err := merge(found); err == nil {
			t.Error(found, "passed")
		}
	}
}
