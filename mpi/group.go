package mpi

import (
	"slices"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Group is an ordered set of ranks of one world. It is immutable: every operation makes a new
// one, without communication.
type Group struct {
	members []int // ranks in the world
	self    int   // the calling rank in the world
}

// Group is the group of the communicator's ranks.
func (c *Comm) Group() *Group {
	m := c.dev.Members()
	return &Group{slices.Clone(m), m[c.rank]}
}

func (g *Group) with(members []int) *Group { return &Group{members, g.self} }

// Size is the number of ranks.
func (g *Group) Size() int { return len(g.members) }

// Rank is the calling rank's place in the group, [Undefined] if it is not in it.
func (g *Group) Rank() int {
	if i := slices.Index(g.members, g.self); i >= 0 {
		return i
	}
	return Undefined
}

func (g *Group) within(h *Group) bool {
	return !slices.ContainsFunc(g.members, func(m int) bool { return !slices.Contains(h.members, m) })
}

// Incl is the group of the given ranks of g, in that order. Errors: Invalid for a rank that does
// not exist or is named twice.
func (g *Group) Incl(ranks ...int) (*Group, error) {
	out := make([]int, len(ranks))
	for i, r := range ranks {
		if r < 0 || r >= len(g.members) || slices.Contains(ranks[:i], r) {
			return nil, device.Errorf(tutti.Invalid, "rank %d, of a group of %d, does not exist or is named twice", r, len(g.members))
		}
		out[i] = g.members[r]
	}
	return g.with(out), nil
}

// Excl is g without the given ranks. Errors as in Incl.
func (g *Group) Excl(ranks ...int) (*Group, error) {
	out, err := g.Incl(ranks...)
	if err != nil {
		return nil, err
	}
	return g.Difference(out), nil
}

// RangeIncl is Incl of the ranks of triplets (first, last, stride), last included.
func (g *Group) RangeIncl(ranges ...[3]int) (*Group, error) {
	ranks, err := expand(ranges)
	if err != nil {
		return nil, err
	}
	return g.Incl(ranks...)
}

// RangeExcl is Excl of the ranks of triplets (first, last, stride), last included.
func (g *Group) RangeExcl(ranges ...[3]int) (*Group, error) {
	ranks, err := expand(ranges)
	if err != nil {
		return nil, err
	}
	return g.Excl(ranks...)
}

func expand(ranges [][3]int) (ranks []int, err error) {
	for _, t := range ranges {
		if t[2] == 0 {
			return nil, device.Errorf(tutti.Invalid, "a range of ranks with stride 0")
		}
		for r := t[0]; (t[2] > 0 && r <= t[1]) || (t[2] < 0 && r >= t[1]); r += t[2] {
			ranks = append(ranks, r)
		}
	}
	return ranks, nil
}

// Union is g followed by the ranks of h that are not in g.
func (g *Group) Union(h *Group) *Group {
	return g.with(append(slices.Clone(g.members), h.Difference(g).members...))
}

// Intersection is the ranks of g that are in h too, in g's order.
func (g *Group) Intersection(h *Group) *Group {
	return g.with(slices.DeleteFunc(slices.Clone(g.members), func(m int) bool { return !slices.Contains(h.members, m) }))
}

// Difference is the ranks of g that are not in h, in g's order.
func (g *Group) Difference(h *Group) *Group {
	return g.with(slices.DeleteFunc(slices.Clone(g.members), func(m int) bool { return slices.Contains(h.members, m) }))
}

// Comparison says how alike two groups are.
type Comparison int

// From alike to unlike.
const (
	Identical Comparison = iota // same ranks in the same order
	Similar                     // same ranks
	Unequal
)

// Compare says how alike two groups are.
func (g *Group) Compare(h *Group) Comparison {
	switch {
	case slices.Equal(g.members, h.members):
		return Identical
	case len(g.members) == len(h.members) && g.within(h):
		return Similar
	}
	return Unequal
}

// Translate gives for ranks of g the same process's rank in h, [Undefined] where it is not in h.
// ProcNull stays ProcNull. Errors: Invalid for a rank that g does not have.
func (g *Group) Translate(ranks []int, h *Group) ([]int, error) {
	out := make([]int, len(ranks))
	for i, r := range ranks {
		switch {
		case r == ProcNull:
			out[i] = ProcNull
		case r < 0 || r >= len(g.members):
			return nil, device.Errorf(tutti.Invalid, "the group of %d has no rank %d", len(g.members), r)
		default:
			if out[i] = slices.Index(h.members, g.members[r]); out[i] < 0 {
				out[i] = Undefined
			}
		}
	}
	return out, nil
}
