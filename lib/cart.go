package main

// #include "internal.h"
import "C"

import (
	"github.com/tutti-hpc/tutti/mpi"
)

func truths(p *C.int, n C.int) []bool {
	out := make([]bool, max(n, 0))
	for i, v := range numbers(p, n) {
		out[i] = v != 0
	}
	return out
}

//export tuttigo_dims_create
func tuttigo_dims_create(n, ndims C.int, dims *C.int) C.int {
	out, err := mpi.Dims(int(n), numbers(dims, ndims))
	if err != nil {
		keep(C.TUTTI_ERR_DIMS, err)
		return C.TUTTI_ERR_DIMS
	}
	store(dims, out)
	return 0
}

//export tuttigo_cart_create
func tuttigo_cart_create(h C.int32_t, ndims C.int, dims, periodic *C.int, out *C.int32_t) C.int {
	c, bad := lookup(h, "CartCreate")
	if c == nil {
		return bad
	}
	made, err := c.CartCreate(numbers(dims, ndims), truths(periodic, ndims))
	if err != nil {
		return c.fail(err)
	}
	return c.derive(made, out)
}

//export tuttigo_cart_dim
func tuttigo_cart_dim(h C.int32_t, out *C.int) C.int {
	c, bad := lookup(h, "CartGet")
	if c == nil {
		return bad
	}
	dims, _, _, err := c.CartGet()
	if err != nil {
		return c.fail(err)
	}
	*out = C.int(len(dims))
	return 0
}

//export tuttigo_cart_get
func tuttigo_cart_get(h C.int32_t, ndims C.int, dims, periodic, coords *C.int) C.int {
	c, bad := lookup(h, "CartGet")
	if c == nil {
		return bad
	}
	d, p, x, err := c.CartGet()
	if err != nil {
		return c.fail(err)
	}
	if int(ndims) < len(d) {
		return c.wrong(C.TUTTI_ERR_DIMS, "CartGet", "room for %d dimensions, there are %d", ndims, len(d))
	}
	store(dims, d)
	store(coords, x)
	wraps := make([]int, len(p))
	for i := range p {
		if p[i] {
			wraps[i] = 1
		}
	}
	store(periodic, wraps)
	return 0
}

//export tuttigo_cart_coords
func tuttigo_cart_coords(h C.int32_t, rank, ndims C.int, coords *C.int) C.int {
	c, bad := lookup(h, "CartCoords")
	if c == nil {
		return bad
	}
	x, err := c.CartCoords(int(rank))
	if err != nil {
		return c.fail(err)
	}
	if int(ndims) < len(x) {
		return c.wrong(C.TUTTI_ERR_DIMS, "CartCoords", "room for %d dimensions, there are %d", ndims, len(x))
	}
	store(coords, x)
	return 0
}

//export tuttigo_cart_rank
func tuttigo_cart_rank(h C.int32_t, coords, out *C.int) C.int {
	c, bad := lookup(h, "CartRank")
	if c == nil {
		return bad
	}
	dims, _, _, err := c.CartGet()
	if err != nil {
		return c.fail(err)
	}
	rank, err := c.CartRank(numbers(coords, C.int(len(dims)))...)
	if err != nil {
		return c.fail(err)
	}
	*out = C.int(rank)
	return 0
}

//export tuttigo_cart_shift
func tuttigo_cart_shift(h C.int32_t, direction, disp C.int, from, to *C.int) C.int {
	c, bad := lookup(h, "CartShift")
	if c == nil {
		return bad
	}
	f, t, err := c.CartShift(int(direction), int(disp))
	if err != nil {
		return c.fail(err)
	}
	*from, *to = C.int(f), C.int(t)
	return 0
}

//export tuttigo_cart_sub
func tuttigo_cart_sub(h C.int32_t, stay *C.int, out *C.int32_t) C.int {
	c, bad := lookup(h, "CartSub")
	if c == nil {
		return bad
	}
	dims, _, _, err := c.CartGet()
	if err != nil {
		return c.fail(err)
	}
	made, err := c.CartSub(truths(stay, C.int(len(dims)))...)
	if err != nil {
		return c.fail(err)
	}
	return c.derive(made, out)
}
