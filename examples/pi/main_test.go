package main

import (
	"testing"

	"github.com/tutti-hpc/tutti/mpi"
)

func TestPi(t *testing.T) {
	for _, n := range []int{1, 3, 4} {
		if err := mpi.Run(n, func(c *mpi.Comm) error {
			for _, intervals := range []int{1, 10, 100_000} {
				if _, err := pi(c, intervals); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Error(err)
		}
	}
}
