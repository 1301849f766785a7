// Command square maps a function over a list of numbers on all cores of this machine, or, with
// TUTTI_CLUSTER set, on a cluster.
package main

import (
	"context"
	"fmt"
	"log"
	"slices"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

var square = tutti.Func("square", func(_ context.Context, x int) (int, error) { return x * x, nil })

func main() {
	cluster.Init() // in the process of an engine this never returns
	ctx := context.Background()
	c, err := cluster.Open(ctx)
	if err != nil {
		log.Fatal(err)
	}
	defer c.Close()
	for y, err := range cluster.Map(ctx, c.Balanced(), square, slices.Values([]int{1, 2, 3, 4, 5})) {
		fmt.Println(y, err)
	}
}
