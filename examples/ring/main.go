// Command ring passes a token round all ranks; each adds its rank to it, and the first rank
// checks what comes back.
//
//	tutti run -n 4 ./ring
package main

import (
	"context"
	"fmt"
	"log"

	"github.com/tutti-hpc/tutti/mpi"
)

func main() {
	c, err := mpi.Init(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	sum, err := ring(c)
	if err != nil {
		log.Fatal(err)
	}
	if c.Rank() == 0 {
		fmt.Printf("the token came back from %d ranks with %d\n", c.Size(), sum)
	}
	if err := mpi.Finalize(); err != nil {
		log.Fatal(err)
	}
}

// ring gives the sum of all ranks, on rank 0.
func ring(c *mpi.Comm) (int, error) {
	n, me := c.Size(), c.Rank()
	token := []int{0}
	// Rank 0 sends first; everybody else waits for the rank before.
	if me > 0 {
		if _, err := mpi.Recv(c, token, me-1, 0); err != nil {
			return 0, err
		}
	}
	token[0] += me
	if err := mpi.Send(c, token, (me+1)%n, 0); err != nil {
		return 0, err
	}
	if me > 0 {
		return 0, nil
	}
	if _, err := mpi.Recv(c, token, n-1, 0); err != nil {
		return 0, err
	}
	if want := n * (n - 1) / 2; token[0] != want {
		return 0, fmt.Errorf("the token says %d, %d is right", token[0], want)
	}
	return token[0], nil
}
