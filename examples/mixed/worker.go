// Command mixed is one rank of a job whose ranks are written in different languages: it lets its
// share of a cable of excitable cells react. The others are in programs: rank 0, the driver, in
// Python or in C, and the same worker in C and in Fortran. All are in one world.
//
//	tutti run -n 1 python3 driver.py : -n 1 ./worker_c : -n 1 ./worker_fortran : -n 1 ./worker_go
//
// C and Fortran are compiled with what `tutti config` prints, or, to run under mpiexec, with mpicc
// and mpifort; the same sources serve both.
package main

import (
	"context"
	"log"

	"github.com/tutti-hpc/tutti/mpi"
)

func main() {
	c, err := mpi.Init(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	if err := work(c); err != nil {
		log.Fatal(err)
	}
	if err := mpi.Finalize(); err != nil {
		log.Fatal(err)
	}
}

// work takes part in the driver's steps until it says that there are no more.
func work(c *mpi.Comm) error {
	if err := mpi.Gather(c, []int32{3}, nil, 0); err != nil { // 3: this rank speaks Go
		return err
	}
	order, dt := make([]int32, 3), make([]float64, 1)
	for {
		if err := mpi.Bcast(c, order, 0); err != nil || order[0] == 0 {
			return err
		}
		if err := mpi.Bcast(c, dt, 0); err != nil {
			return err
		}
		cells, workers := int(order[1]), c.Size()-1
		n := cells*c.Rank()/workers - cells*(c.Rank()-1)/workers
		v, w := make([]float64, n), make([]float64, n)
		for _, x := range [][]float64{v, w} {
			if err := mpi.Scatterv(c, nil, nil, nil, x, 0); err != nil {
				return err
			}
		}
		react(v, w, dt[0], int(order[2]))
		for _, x := range [][]float64{v, w} {
			if err := mpi.Gatherv(c, x, nil, nil, nil, 0); err != nil {
				return err
			}
		}
	}
}

// react is FitzHugh's and Nagumo's model of an excitable cell, by Euler's method.
func react(v, w []float64, dt float64, steps int) {
	for i := range v {
		for range steps {
			dv := v[i] - v[i]*v[i]*v[i]/3 - w[i]
			dw := 0.08 * (v[i] + 0.7 - 0.8*w[i])
			v[i] += dt * dv
			w[i] += dt * dw
		}
	}
}
