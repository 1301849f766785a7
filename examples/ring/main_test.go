package main

import (
	"testing"

	"github.com/tutti-hpc/tutti/mpi"
)

func TestRing(t *testing.T) {
	for _, n := range []int{1, 2, 5} {
		err := mpi.Run(n, func(c *mpi.Comm) error {
			sum, err := ring(c)
			if err == nil && c.Rank() == 0 && sum != n*(n-1)/2 {
				t.Errorf("%d ranks: %d", n, sum)
			}
			return err
		})
		if err != nil {
			t.Error(err)
		}
	}
}
