// Command pi integrates 4/(1+x²) from 0 to 1 by the midpoint rule, each rank a share of the
// intervals, and checks the sum against π.
//
//	tutti run -n 4 ./pi -n 1000000
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"

	"github.com/tutti-hpc/tutti/mpi"
)

func main() {
	n := flag.Int("n", 1_000_000, "number of intervals")
	flag.Parse()
	c, err := mpi.Init(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	x, err := pi(c, *n)
	if err != nil {
		log.Fatal(err)
	}
	if c.Rank() == 0 {
		fmt.Printf("pi is %.12f, by %d ranks\n", x, c.Size())
	}
	if err := mpi.Finalize(); err != nil {
		log.Fatal(err)
	}
}

// pi integrates over n intervals; rank 0 says how many, and all get the result.
func pi(c *mpi.Comm, n int) (float64, error) {
	count := []int{n}
	if err := mpi.Bcast(c, count, 0); err != nil {
		return 0, err
	}
	h := 1 / float64(count[0])
	sum := []float64{0}
	for i := c.Rank(); i < count[0]; i += c.Size() {
		x := h * (float64(i) + 0.5)
		sum[0] += 4 / (1 + x*x) * h
	}
	if err := mpi.Allreduce(c, sum, sum, mpi.Sum); err != nil {
		return 0, err
	}
	// The error of the midpoint rule is h²/24 times the difference of the derivative at the ends,
	// which is 2; the rest is rounding.
	if bound := h*h/12 + 1e-11; math.Abs(sum[0]-math.Pi) > bound {
		return 0, fmt.Errorf("got %.15f, which is off by more than %.1g", sum[0], bound)
	}
	return sum[0], nil
}
