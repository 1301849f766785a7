package main

import (
	"slices"
	"testing"

	"github.com/tutti-hpc/tutti/mpi"
)

// The result on one rank is that on many, bit by bit.
func TestSerialAndParallel(t *testing.T) {
	const nx, ny, steps = 31, 22, 40
	plates := map[int][]float64{}
	for _, n := range []int{1, 2, 4, 6} {
		err := mpi.Run(n, func(c *mpi.Comm) error {
			p, err := heat(c, nx, ny, steps)
			if c.Rank() == 0 {
				plates[n] = p
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		if err := check(plates[n], nx, ny); err != nil {
			t.Errorf("%d ranks: %v", n, err)
		}
		if !slices.Equal(plates[n], plates[1]) {
			t.Errorf("%d ranks: not what one rank gets", n)
		}
	}
	// After one step the column at the warm side has a quarter of its temperature.
	if err := mpi.Run(1, func(c *mpi.Comm) error {
		p, err := heat(c, nx, ny, 1)
		if err == nil && (p[5*nx] != 0.25 || p[5*nx+1] != 0) {
			t.Error("after one step:", p[5*nx], p[5*nx+1])
		}
		return err
	}); err != nil {
		t.Error(err)
	}
}

func TestCheckSees(t *testing.T) {
	for _, bad := range [][]float64{{0, 0, 1.5, 1.5}, {0, 0.5, 0, 0.25}} {
		if check(bad, 2, 2) == nil {
			t.Error(bad, "passed")
		}
	}
}
