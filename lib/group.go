package main

// #include "internal.h"
import "C"

import (
	"unsafe"

	"github.com/tutti-hpc/tutti/mpi"
)

// groups: null, the empty one, and those of the program.
var groups = newTable[*mpi.Group](2)

func init() {
	none := new(mpi.Group)
	groups.set(C.TUTTI_GROUP_EMPTY, &none)
}

// group finds a group, or keeps the error.
func (c *comm) group(h C.int32_t, op string) (*mpi.Group, C.int) {
	if g := groups.get(h); g != nil {
		return *g, 0
	}
	return nil, c.wrong(C.TUTTI_ERR_GROUP, op, "%d is no group, or was freed", h)
}

func group(h C.int32_t, op string) (*mpi.Group, C.int) { return (*comm)(nil).group(h, op) }

func keepGroup(g *mpi.Group, err error, out *C.int32_t) C.int {
	if err != nil {
		keep(C.TUTTI_ERR_RANK, err)
		return C.TUTTI_ERR_RANK
	}
	if g.Size() == 0 {
		*out = C.TUTTI_GROUP_EMPTY
		return 0
	}
	if *out = groups.put(g); *out == 0 {
		return (*comm)(nil).wrong(C.TUTTI_ERR_FULL, "handle", "there are too many groups")
	}
	return 0
}

// numbers copies an array of ranks, coordinates or dimensions.
func numbers(p *C.int, n C.int) []int {
	out := make([]int, max(n, 0))
	if p != nil {
		for i, v := range unsafe.Slice(p, len(out)) {
			out[i] = int(v)
		}
	}
	return out
}

// store is the way back. A nil pointer wants nothing.
func store(p *C.int, vs []int) {
	if p == nil {
		return
	}
	for i, v := range vs {
		unsafe.Slice(p, len(vs))[i] = C.int(v)
	}
}

//export tuttigo_comm_group
func tuttigo_comm_group(h C.int32_t, out *C.int32_t) C.int {
	c, bad := lookup(h, "Group")
	if c == nil {
		return bad
	}
	return keepGroup(members(c), nil, out)
}

//export tuttigo_group_size
func tuttigo_group_size(h C.int32_t, out *C.int) C.int {
	g, bad := group(h, "group size")
	if g == nil {
		return bad
	}
	*out = C.int(g.Size())
	return 0
}

//export tuttigo_group_rank
func tuttigo_group_rank(h C.int32_t, out *C.int) C.int {
	g, bad := group(h, "group rank")
	if g == nil {
		return bad
	}
	*out = C.int(g.Rank())
	return 0
}

//export tuttigo_group_pick
func tuttigo_group_pick(h C.int32_t, without, n C.int, ranks *C.int, out *C.int32_t) C.int {
	g, bad := group(h, "group")
	if g == nil {
		return bad
	}
	pick := g.Incl
	if without != 0 {
		pick = g.Excl
	}
	made, err := pick(numbers(ranks, n)...)
	return keepGroup(made, err, out)
}

//export tuttigo_group_join
func tuttigo_group_join(how C.int, a, b C.int32_t, out *C.int32_t) C.int {
	g, bad := group(a, "group")
	if g == nil {
		return bad
	}
	h, bad := group(b, "group")
	if h == nil {
		return bad
	}
	if g.Size() == 0 && how == 0 {
		g, h = h, g // the empty group does not know who we are
	}
	made := []func(*mpi.Group) *mpi.Group{g.Union, g.Intersection, g.Difference}[how](h)
	return keepGroup(made, nil, out)
}

//export tuttigo_group_compare
func tuttigo_group_compare(a, b C.int32_t, out *C.int) C.int {
	g, bad := group(a, "group compare")
	if g == nil {
		return bad
	}
	h, bad := group(b, "group compare")
	if h == nil {
		return bad
	}
	if *out = alike[g.Compare(h)]; *out == 1 {
		*out = 0
	}
	return 0
}

//export tuttigo_group_translate
func tuttigo_group_translate(a C.int32_t, n C.int, ranks *C.int, b C.int32_t, out *C.int) C.int {
	g, bad := group(a, "group translate")
	if g == nil {
		return bad
	}
	h, bad := group(b, "group translate")
	if h == nil {
		return bad
	}
	there, err := g.Translate(numbers(ranks, n), h)
	if err != nil {
		keep(C.TUTTI_ERR_RANK, err)
		return C.TUTTI_ERR_RANK
	}
	store(out, there)
	return 0
}

//export tuttigo_group_free
func tuttigo_group_free(h C.int32_t) C.int {
	if g, bad := group(h, "group free"); g == nil {
		return bad
	}
	if h != C.TUTTI_GROUP_EMPTY {
		groups.drop(h)
	}
	return 0
}
