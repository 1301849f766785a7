package mpi_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/tutti-hpc/tutti/mpi"
)

func init() { bodies["random"] = random }

// random runs programs made from seeds: all ranks make the same program, each does its part of
// every step, and a sequential model of all ranks' arrays says what must come out.
func random(c *mpi.Comm) error {
	seeds := uint64(12)
	if raceDetector {
		seeds = 5
	}
	for seed := range seeds {
		if err := program(c, seed); err != nil {
			return fmt.Errorf("seed %d: %w", seed, err)
		}
	}
	return nil
}

// model is the array of each rank.
type model [][]int64

func program(c *mpi.Comm, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 99))
	n, me := c.Size(), c.Rank()
	width := n * (1 + rng.IntN(400)*rng.IntN(30))
	m := make(model, n)
	for r := range m {
		m[r] = contribution(r, width)
	}
	a := slices.Clone(m[me])
	var pending []*mpi.Request
	var trace []string
	for range 40 {
		k := rng.IntN(len(steps))
		if steps[k].changes && len(pending) > 0 { // buffers of sends must not change meanwhile
			if _, err := mpi.WaitAll(pending...); err != nil {
				return err
			}
			pending = nil
		}
		qs, err := steps[k].do(c, a, m, rng)
		pending = append(pending, qs...)
		trace = append(trace, steps[k].name)
		if err == nil {
			err = equal(steps[k].name, a, m[me])
		}
		if err != nil {
			return fmt.Errorf("%w, after %s", err, strings.Join(trace, " "))
		}
	}
	_, err := mpi.WaitAll(pending...)
	return err
}

// steps are what programs are made of: each acts on this rank's array a, and on the model of all.
var steps = []struct {
	name    string
	changes bool
	do      func(c *mpi.Comm, a []int64, m model, rng *rand.Rand) ([]*mpi.Request, error)
}{
	{"shift", true, func(c *mpi.Comm, a []int64, m model, rng *rand.Rand) ([]*mpi.Request, error) {
		n, by, tag := c.Size(), rng.IntN(c.Size()), rng.IntN(100)
		old := slices.Clone(m)
		for r := range m {
			m[(r+by)%n] = old[r]
		}
		_, err := mpi.SendrecvReplace(c, a, (c.Rank()+by)%n, tag, (c.Rank()-by+n)%n, tag)
		return nil, err
	}},
	{"sum", true, func(c *mpi.Comm, a []int64, m model, _ *rand.Rand) ([]*mpi.Request, error) {
		total := make([]int64, len(a))
		for _, row := range m {
			for i, v := range row {
				total[i] = (total[i] + v) % 1000003
			}
		}
		for r := range m {
			m[r] = slices.Clone(total)
			m[r][0] += int64(r)
		}
		op := mpi.OpOf(func(acc, in []int64) {
			for i := range acc {
				acc[i] = (acc[i] + in[i]) % 1000003
			}
		}, true)
		err := mpi.Allreduce(c, a, a, op)
		a[0] += int64(c.Rank())
		return nil, err
	}},
	{"bcast", true, func(c *mpi.Comm, a []int64, m model, rng *rand.Rand) ([]*mpi.Request, error) {
		root, l := rng.IntN(c.Size()), rng.IntN(len(a))
		for r := range m {
			copy(m[r][:l], m[root][:l])
		}
		if rng.IntN(2) == 0 {
			return nil, wait(mpi.Ibcast(c, a[:l], root))
		}
		return nil, mpi.Bcast(c, a[:l], root)
	}},
	{"alltoall", true, func(c *mpi.Comm, a []int64, m model, _ *rand.Rand) ([]*mpi.Request, error) {
		n := c.Size()
		k := len(a) / n
		old := make(model, n)
		for r := range m {
			old[r] = slices.Clone(m[r])
		}
		for r := range n {
			for s := range n {
				copy(m[r][s*k:], old[s][r*k:(r+1)*k])
			}
		}
		return nil, mpi.Alltoall(c, a, a)
	}},
	{"rotate", true, func(c *mpi.Comm, a []int64, m model, rng *rand.Rand) ([]*mpi.Request, error) {
		root, n := rng.IntN(c.Size()), c.Size()
		k := len(a) / n
		// The root gathers everybody's first part, and deals the parts out to the next rank each.
		var all []int64
		for r := range n {
			all = append(all, m[r][:k]...)
		}
		for r := range n {
			copy(m[r][:k], all[(r+1)%n*k:][:k])
		}
		var got []int64
		if c.Rank() == root {
			got = make([]int64, n*k)
		}
		err := mpi.Gather(c, a[:k], got, root)
		if c.Rank() == root {
			got = append(got[k:], got[:k]...)
		}
		return nil, first(err, mpi.Scatter(c, got, a[:k], root))
	}},
	// Messages with random tags from everybody to one, taken in any order.
	{"funnel", false, func(c *mpi.Comm, a []int64, m model, rng *rand.Rand) ([]*mpi.Request, error) {
		n, sink, base := c.Size(), rng.IntN(c.Size()), 1000+rng.IntN(1000)*8
		l, order := 1+rng.IntN(len(a)), rng.Perm(n) // drawn on all ranks, or they would part
		q, err := mpi.Isend(c, a[:l], sink, base+c.Rank())
		if err != nil || c.Rank() != sink {
			return []*mpi.Request{q}, err
		}
		buf := make([]int64, len(a))
		for _, r := range order {
			from := mpi.AnySource
			if r%2 == 0 {
				from = r
			}
			st, err := mpi.Recv(c, buf, from, base+r)
			if err := first(err, equal("a message in the funnel", buf[:mpi.Count[int64](st)], m[r][:l])); err != nil || st.Source != r {
				return nil, fmt.Errorf("from %d: %w", st.Source, err)
			}
		}
		return []*mpi.Request{q}, nil
	}},
	{"barrier", false, func(c *mpi.Comm, _ []int64, _ model, _ *rand.Rand) ([]*mpi.Request, error) {
		return nil, c.Barrier()
	}},
}
