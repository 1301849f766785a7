package mpi

import (
	"slices"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// The functions below carry any value that [tutti.Encode] can: structs, maps, strings, slices.
// They cost an encoding and a copy more than those over slices of numbers.

// valueHead is what stands before the bytes of a value: its codec, padded so that numbers behind
// it stay aligned.
const valueHead = 8

func pack(v any) ([]byte, error) {
	e, err := tutti.Encode(v)
	if err != nil {
		return nil, err
	}
	b := make([]byte, valueHead, valueHead+len(e.Data))
	b[0] = byte(e.Codec)
	return append(b, e.Data...), nil
}

func unpack[V any](b []byte) (v V, err error) {
	if len(b) < valueHead {
		return v, device.Errorf(tutti.Corrupt, "a message of %d bytes is not a value", len(b))
	}
	return v, tutti.Decode(tutti.Value{Codec: tutti.Codec(b[0]), Data: b[valueHead:]}, &v)
}

// SendValue sends a value, to be received by [RecvValue].
func SendValue[V any](c *Comm, v V, to, tag int) error {
	b, err := pack(v)
	if err != nil {
		return c.failedWith("SendValue", to, tag, err)
	}
	return send("SendValue", c, b, to, tag, device.Standard)
}

// RecvValue receives what [SendValue] sent. Errors: Corrupt, Invalid for what does not fit V.
func RecvValue[V any](c *Comm, from, tag int) (v V, st Status, err error) {
	m, err := c.Mprobe(from, tag)
	if err != nil || m.dev == nil {
		return v, nobody, err
	}
	b := make([]byte, m.Status().Bytes)
	if st, err = Mrecv(m, b); err != nil {
		return v, st, err
	}
	if v, err = unpack[V](b); err != nil {
		return v, st, c.failedWith("RecvValue", st.Source, st.Tag, err)
	}
	return v, st, nil
}

// BcastValue gives all ranks the root's value; what the others pass in is not used.
func BcastValue[V any](c *Comm, v V, root int) (V, error) {
	var b []byte
	var bad error
	size := []int64{-1}
	if c.rank == root {
		if b, bad = pack(v); bad == nil {
			size[0] = int64(len(b))
		}
	}
	// Where the root cannot encode its value the others must hear of it, not wait.
	if err := Bcast(c, size, root); err != nil {
		return v, err
	}
	if size[0] < 0 {
		if bad == nil {
			bad = device.Errorf(tutti.Invalid, "rank %d could not encode its value", root)
		}
		return v, c.failedWith("BcastValue", root, -1, bad)
	}
	if c.rank != root {
		b = make([]byte, size[0])
	}
	if err := Bcast(c, b, root); err != nil || c.rank == root {
		return v, err
	}
	out, err := unpack[V](b)
	if err != nil {
		return v, c.failedWith("BcastValue", root, -1, err)
	}
	return out, nil
}

// GatherValue gives the root the values of all ranks, in their order; the others get nil.
func GatherValue[V any](c *Comm, v V, root int) ([]V, error) {
	if err := c.root(root); err != nil {
		return nil, c.failedWith("GatherValue", root, -1, err)
	}
	b, sizes, err := packAll(c, v)
	if err != nil {
		return nil, err
	}
	var all []byte
	if c.rank == root {
		all = make([]byte, sum(sizes))
	}
	if err := Gatherv(c, b, all, sizes, nil, root); err != nil || c.rank != root {
		return nil, err
	}
	return unpackAll[V](c, all, sizes)
}

// AllgatherValue gives all ranks the values of all.
func AllgatherValue[V any](c *Comm, v V) ([]V, error) {
	b, sizes, err := packAll(c, v)
	if err != nil {
		return nil, err
	}
	all := make([]byte, sum(sizes))
	if err := Allgatherv(c, b, all, sizes, nil); err != nil {
		return nil, err
	}
	return unpackAll[V](c, all, sizes)
}

// AllreduceValue combines the values of all ranks, in their order, on all ranks.
func AllreduceValue[V any](c *Comm, v V, f func(a, b V) V) (V, error) {
	vs, err := AllgatherValue(c, v)
	if err != nil {
		return v, err
	}
	acc := vs[0]
	for _, x := range vs[1:] {
		acc = f(acc, x)
	}
	return acc, nil
}

// ScatterValue gives rank r the r-th of the root's values; what the others pass in is not used.
func ScatterValue[V any](c *Comm, vs []V, root int) (v V, err error) {
	if err := c.root(root); err != nil {
		return v, c.failedWith("ScatterValue", root, -1, err)
	}
	var parts [][]byte
	sizes := make([]int64, c.size)
	var bad error
	if c.rank == root {
		if parts, bad = packEach(c, vs); bad != nil {
			sizes = slices.Repeat([]int64{-1}, c.size)
		}
		for r, p := range parts {
			sizes[r] = int64(len(p))
		}
	}
	mine := make([]int64, 1)
	if err := Scatter(c, sizes, mine, root); err != nil {
		return v, err
	}
	if mine[0] < 0 {
		if bad == nil {
			bad = device.Errorf(tutti.Invalid, "rank %d could not encode its values", root)
		}
		return v, c.failedWith("ScatterValue", root, -1, bad)
	}
	b := make([]byte, mine[0])
	if err := Scatterv(c, slices.Concat(parts...), ints(sizes), nil, b, root); err != nil {
		return v, err
	}
	if v, err = unpack[V](b); err != nil {
		return v, c.failedWith("ScatterValue", root, -1, err)
	}
	return v, nil
}

// packAll encodes a value and tells all ranks all sizes. A rank that cannot says so, and then all fail.
func packAll(c *Comm, v any) (b []byte, sizes []int, err error) {
	b, bad := pack(v)
	mine, all := []int64{int64(len(b))}, make([]int64, c.size)
	if bad != nil {
		mine[0] = -1
	}
	if err := Allgather(c, mine, all); err != nil {
		return nil, nil, err
	}
	if r := slices.Index(all, -1); r >= 0 {
		if bad == nil {
			bad = device.Errorf(tutti.Invalid, "rank %d could not encode its value", r)
		}
		return nil, nil, c.failedWith("encode value", r, -1, bad)
	}
	return b, ints(all), nil
}

func packEach[V any](c *Comm, vs []V) ([][]byte, error) {
	if len(vs) != c.size {
		return nil, device.Errorf(tutti.Invalid, "%d values for %d ranks", len(vs), c.size)
	}
	parts := make([][]byte, len(vs))
	for r, v := range vs {
		var err error
		if parts[r], err = pack(v); err != nil {
			return nil, err
		}
	}
	return parts, nil
}

func unpackAll[V any](c *Comm, all []byte, sizes []int) ([]V, error) {
	out := make([]V, len(sizes))
	for r, n := range sizes {
		// A copy, so that numbers in it are aligned and values do not hold each other in memory.
		var err error
		if out[r], err = unpack[V](slices.Clone(all[:n])); err != nil {
			return nil, c.failedWith("decode value", r, -1, err)
		}
		all = all[n:]
	}
	return out, nil
}

func sum(ns []int) (t int) {
	for _, n := range ns {
		t += n
	}
	return t
}

func ints(ns []int64) []int {
	out := make([]int, len(ns))
	for i, n := range ns {
		out[i] = int(n)
	}
	return out
}
