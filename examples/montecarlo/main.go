// Command montecarlo estimates the volumes of balls in several dimensions at once: the ranks are
// split into teams, one for each dimension, that draw random points by themselves; then the
// leaders of the teams put the results together, on a communicator of their own.
//
//	tutti run -n 6 ./montecarlo -points 200000
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"
	"math/rand/v2"

	"github.com/tutti-hpc/tutti/mpi"
)

// dimensions are those of the balls; the volume of the unit ball in d dimensions is
// π^(d/2)/Γ(d/2+1).
var dimensions = []int{2, 3, 4}

func main() {
	points := flag.Int("points", 200_000, "points for each ball")
	flag.Parse()
	c, err := mpi.Init(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	balls, err := montecarlo(c, *points)
	if err != nil {
		log.Fatal(err)
	}
	for _, b := range balls {
		fmt.Printf("%d dimensions: %.4f ± %.4f, by %d ranks\n", b.Dimension, b.Volume, b.Sigma, b.Ranks)
	}
	if err := mpi.Finalize(); err != nil {
		log.Fatal(err)
	}
}

// ball is an estimate.
type ball struct {
	Dimension, Ranks int
	Volume, Sigma    float64
}

// montecarlo gives the estimates on rank 0, checked against the true volumes.
func montecarlo(c *mpi.Comm, points int) ([]ball, error) {
	teams := min(len(dimensions), c.Size())
	team, err := c.Split(c.Rank()%teams, 0)
	if err != nil {
		return nil, err
	}
	defer team.Free()
	var mine []ball
	// With fewer ranks than balls a team takes several, in turn.
	for i := c.Rank() % teams; i < len(dimensions); i += teams {
		b, err := estimate(team, dimensions[i], points)
		if err != nil {
			return nil, err
		}
		mine = append(mine, b)
	}
	color := mpi.Undefined
	if team.Rank() == 0 {
		color = 0
	}
	leaders, err := c.Split(color, 0)
	if err != nil || leaders == nil {
		return nil, err
	}
	defer leaders.Free()
	found, err := mpi.GatherValue(leaders, mine, 0)
	if err != nil || leaders.Rank() != 0 {
		return nil, err
	}
	return merge(found)
}

// estimate draws points in the cube around the ball; each rank has random numbers of its own, a
// stream numbered by ball and rank.
func estimate(team *mpi.Comm, dim, points int) (ball, error) {
	rng := rand.New(rand.NewPCG(uint64(dim), uint64(team.Rank())))
	share := points/team.Size() + 1
	counts := []int{0, share}
	for range share {
		r2 := 0.0
		for range dim {
			x := 2*rng.Float64() - 1
			r2 += x * x
		}
		if r2 <= 1 {
			counts[0]++
		}
	}
	if err := mpi.Allreduce(team, counts, counts, mpi.Sum); err != nil {
		return ball{}, err
	}
	hits, all := float64(counts[0]), float64(counts[1])
	cube, p := math.Pow(2, float64(dim)), hits/all
	return ball{dim, team.Size(), cube * p, cube * math.Sqrt(p*(1-p)/all)}, nil
}

// merge sorts the teams' results by dimension and refuses what lies five standard deviations off.
func merge(found [][]ball) ([]ball, error) {
	var out []ball
	for _, d := range dimensions {
		for _, team := range found {
			for _, b := range team {
				if b.Dimension == d {
					out = append(out, b)
				}
			}
		}
	}
	if len(out) != len(dimensions) {
		return nil, fmt.Errorf("%d results for %d balls", len(out), len(dimensions))
	}
	for _, b := range out {
		half := float64(b.Dimension) / 2
		truth := math.Pow(math.Pi, half) / math.Gamma(half+1)
		if math.Abs(b.Volume-truth) > 5*b.Sigma {
			return nil, fmt.Errorf("%d dimensions: %.4f ± %.4f, the truth is %.4f", b.Dimension, b.Volume, b.Sigma, truth)
		}
	}
	return out, nil
}
