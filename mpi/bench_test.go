package mpi_test

import (
	"fmt"
	"testing"

	"github.com/tutti-hpc/tutti/mpi"
)

// Messages between goroutine ranks; between processes bench/mpi measures.
func BenchmarkPingPong(b *testing.B) {
	for _, n := range []int{1, 128, 131072} {
		b.Run(fmt.Sprint(n*8), func(b *testing.B) {
			b.SetBytes(int64(16 * n))
			b.ReportAllocs()
			err := mpi.Run(2, func(c *mpi.Comm) error {
				x, peer := make([]float64, n), 1-c.Rank()
				for range b.N {
					if c.Rank() == 0 {
						if err := mpi.Send(c, x, peer, 0); err != nil {
							return err
						}
					}
					if _, err := mpi.Recv(c, x, peer, 0); err != nil {
						return err
					}
					if c.Rank() == 1 {
						if err := mpi.Send(c, x, peer, 0); err != nil {
							return err
						}
					}
				}
				return nil
			})
			if err != nil {
				b.Fatal(err)
			}
		})
	}
}

// Sends, receives, reductions and barriers make no garbage of their own.
func TestNoAllocations(t *testing.T) {
	if raceDetector {
		t.Skip("the race detector allocates")
	}
	err := mpi.Run(1, func(c *mpi.Comm) error {
		d := make([]float64, 4)
		return first(c.Barrier(), mpi.Allreduce(c, d, d, mpi.Sum))
	})
	if err != nil {
		t.Fatal(err)
	}
	r := testing.Benchmark(func(b *testing.B) {
		b.ReportAllocs()
		err = mpi.Run(2, func(c *mpi.Comm) error {
			x, peer := make([]float64, 2), 1-c.Rank()
			for range b.N {
				if c.Rank() == 0 {
					if err := mpi.Send(c, x, peer, 0); err != nil {
						return err
					}
				} else if _, err := mpi.Recv(c, x, peer, 0); err != nil {
					return err
				}
				if err := first(mpi.Allreduce(c, x, x, mpi.Max), c.Barrier()); err != nil {
					return err
				}
			}
			return nil
		})
	})
	if err != nil || r.N > 1000 && r.AllocsPerOp() > 2 { // a message that comes before its receive is kept in two
		t.Errorf("%v per round: %v", r.AllocsPerOp(), err)
	}
}
