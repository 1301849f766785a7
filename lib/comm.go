package main

// #include "internal.h"
import "C"

import (
	"github.com/tutti-hpc/tutti/mpi"
)

//export tuttigo_comm_rank
func tuttigo_comm_rank(h C.int32_t, out *C.int) C.int {
	c, bad := lookup(h, "rank")
	if c == nil {
		return bad
	}
	*out = C.int(c.Rank())
	return 0
}

//export tuttigo_comm_size
func tuttigo_comm_size(h C.int32_t, out *C.int) C.int {
	c, bad := lookup(h, "size")
	if c == nil {
		return bad
	}
	*out = C.int(c.Size())
	return 0
}

//export tuttigo_comm_dup
func tuttigo_comm_dup(h C.int32_t, out *C.int32_t) C.int {
	c, bad := lookup(h, "Dup")
	if c == nil {
		return bad
	}
	made, err := c.Dup()
	if err != nil {
		return c.fail(err)
	}
	return c.derive(made, out)
}

//export tuttigo_comm_split
func tuttigo_comm_split(h C.int32_t, color, key C.int, out *C.int32_t) C.int {
	c, bad := lookup(h, "Split")
	if c == nil {
		return bad
	}
	made, err := c.Split(int(color), int(key))
	if err != nil {
		return c.fail(err)
	}
	return c.derive(made, out)
}

//export tuttigo_comm_split_shared
func tuttigo_comm_split_shared(h C.int32_t, key C.int, out *C.int32_t) C.int {
	c, bad := lookup(h, "SplitShared")
	if c == nil {
		return bad
	}
	made, err := c.SplitShared(int(key))
	if err != nil {
		return c.fail(err)
	}
	return c.derive(made, out)
}

//export tuttigo_comm_create
func tuttigo_comm_create(h, group C.int32_t, out *C.int32_t) C.int {
	c, bad := lookup(h, "Create")
	if c == nil {
		return bad
	}
	g, bad := c.group(group, "Create")
	if g == nil {
		return bad
	}
	made, err := c.Create(g)
	if err != nil {
		return c.fail(err)
	}
	return c.derive(made, out)
}

//export tuttigo_comm_free
func tuttigo_comm_free(h C.int32_t) C.int {
	c, bad := lookup(h, "Free")
	if c == nil {
		return bad
	}
	if h <= C.TUTTI_COMM_SELF {
		return c.wrong(C.TUTTI_ERR_COMM, "Free", "%s cannot be freed", c.Name())
	}
	c.Unshare()
	if err := c.Free(); err != nil {
		return c.fail(err)
	}
	comms.drop(h)
	return 0
}

//export tuttigo_comm_set_name
func tuttigo_comm_set_name(h C.int32_t, name *C.char) C.int {
	c, bad := lookup(h, "SetName")
	if c == nil {
		return bad
	}
	c.SetName(C.GoString(name))
	return 0
}

//export tuttigo_comm_get_name
func tuttigo_comm_get_name(h C.int32_t, name *C.char, room C.int64_t) C.int {
	c, bad := lookup(h, "Name")
	if c == nil {
		return bad
	}
	return c.write("Name", c.Name(), name, room)
}

//export tuttigo_comm_compare
func tuttigo_comm_compare(a, b C.int32_t, out *C.int) C.int {
	x, bad := lookup(a, "Compare")
	if x == nil {
		return bad
	}
	y, bad := lookup(b, "Compare")
	if y == nil {
		return bad
	}
	if a == b {
		*out = 0
		return 0
	}
	*out = alike[members(x).Compare(members(y))]
	return 0
}

// alike is the number for how alike two groups are; a communicator's own is 1 at best.
var alike = map[mpi.Comparison]C.int{mpi.Identical: 1, mpi.Similar: 2, mpi.Unequal: 3}

//export tuttigo_tag_ub
func tuttigo_tag_ub(h C.int32_t, out *C.int64_t) C.int {
	c, bad := lookup(h, "TagUB")
	if c == nil {
		return bad
	}
	*out = C.int64_t(c.TagUB())
	return 0
}

// members is the group of a communicator. That of self is of the world it stands beside.
func members(c *comm) *mpi.Group {
	if c.handle == C.TUTTI_COMM_SELF {
		if w := comms.get(C.TUTTI_COMM_WORLD); w != nil {
			g, _ := w.Group().Incl(w.Rank())
			return g
		}
	}
	return c.Group()
}
