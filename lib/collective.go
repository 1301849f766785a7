package main

// #include "internal.h"
import "C"

import (
	"unsafe"

	"github.com/tutti-hpc/tutti/mpi"
)

// inPlace is TUTTI_IN_PLACE.
func inPlace(p unsafe.Pointer) bool { return uintptr(p) == ^uintptr(0) }

// collective is a call of C as it comes: which of the fields matter depends on the kind.
type collective struct {
	c                              *comm
	op                             string
	kind                           mpi.Collective
	send, recv                     unsafe.Pointer
	count                          C.int64_t
	t                              C.int32_t
	root                           int
	vector                         bool
	scounts, sdispls, rcounts, rds *C.int64_t
}

// list sees an array of one number for each rank; counts are int64 as Go's int is.
func (q *collective) list(p *C.int64_t) []int {
	if p == nil {
		return nil
	}
	return unsafe.Slice((*int)(unsafe.Pointer(p)), q.c.Size())
}

// extent is how many elements a buffer must have that blocks lie in, -1 where a number is negative.
func extent(counts, displs []int) (n C.int64_t) {
	for r, k := range counts {
		at := int(n)
		if displs != nil {
			at = displs[r]
		}
		if k < 0 || at < 0 || k > most || at > most {
			return -1
		}
		n = max(n, C.int64_t(at+k))
	}
	return n
}

// raw makes a call of package mpi of it. Buffers that this rank's part does not need may be NULL.
func (q *collective) raw(op C.int32_t) (call mpi.RawCall, code C.int) {
	call = mpi.RawCall{Kind: q.kind, Type: typeOf(q.t), Root: q.root, Vector: q.vector}
	switch q.kind {
	case mpi.CollBarrier:
		return call, 0
	case mpi.CollReduce, mpi.CollAllreduce, mpi.CollScan, mpi.CollExscan, mpi.CollReduceScatter:
		if call.Op, code = operation(op, q.t); code != 0 {
			return call, code
		}
	}
	n, me := C.int64_t(q.c.Size()), q.c.Rank()
	atRoot := me == q.root
	switch q.kind {
	case mpi.CollBcast:
		call.Recv, code = buffer(q.recv, q.count, q.t)
	case mpi.CollReduce, mpi.CollAllreduce, mpi.CollScan, mpi.CollExscan:
		code = q.reduction(&call, atRoot)
	case mpi.CollReduceScatter:
		code = q.dealOut(&call)
	case mpi.CollGather:
		code = q.collect(&call, atRoot)
	case mpi.CollAllgather:
		code = q.collect(&call, true)
	case mpi.CollScatter:
		code = q.scatter(&call, atRoot, n)
	case mpi.CollAlltoall:
		code = q.exchange(&call, n)
	}
	return call, code
}

func (q *collective) reduction(call *mpi.RawCall, atRoot bool) (code C.int) {
	result := q.kind != mpi.CollReduce || atRoot
	if result && !(q.kind == mpi.CollExscan && q.c.Rank() == 0 && q.recv == nil) {
		if call.Recv, code = buffer(q.recv, q.count, q.t); code != 0 {
			return code
		}
	}
	if inPlace(q.send) && result {
		call.Send = call.Recv
		return 0
	}
	call.Send, code = buffer(q.send, q.count, q.t)
	return code
}

func (q *collective) dealOut(call *mpi.RawCall) (code C.int) {
	n := C.int64_t(q.c.Size())
	counts := q.list(q.rcounts)
	if counts == nil {
		counts = make([]int, n)
		for r := range counts {
			counts[r] = int(q.count)
		}
	}
	call.RecvCounts = counts
	total := extent(counts, nil)
	if inPlace(q.send) {
		b, code := buffer(q.recv, total, q.t)
		if code != 0 {
			return code
		}
		call.Send = append([]byte(nil), b...) // the result lands where others' parts still lie
	} else if call.Send, code = buffer(q.send, total, q.t); code != 0 {
		return code
	}
	call.Recv, code = buffer(q.recv, C.int64_t(counts[q.c.Rank()]), q.t)
	return code
}

func (q *collective) collect(call *mpi.RawCall, atRoot bool) (code C.int) {
	size := typeOf(q.t).Size()
	if atRoot {
		total := C.int64_t(q.c.Size()) * q.count
		if q.rcounts != nil {
			call.RecvCounts, call.RecvDispls = q.list(q.rcounts), q.list(q.rds)
			total = extent(call.RecvCounts, call.RecvDispls)
		}
		if q.count > most/C.int64_t(q.c.Size()) {
			return C.TUTTI_ERR_COUNT
		}
		if call.Recv, code = buffer(q.recv, total, q.t); code != 0 {
			return code
		}
		if inPlace(q.send) {
			call.Send = own(call.Recv, call.RecvCounts, call.RecvDispls, int(q.count), size, q.c.Rank())
			return 0
		}
	}
	call.Send, code = buffer(q.send, q.count, q.t)
	return code
}

// own is this rank's block in a buffer.
func own(b []byte, counts, displs []int, count, size, rank int) []byte {
	at := rank * count
	if counts != nil {
		if count = counts[rank]; displs != nil {
			at = displs[rank]
		} else if at = 0; rank > 0 {
			at = int(extent(counts[:rank], nil))
		}
	}
	return b[at*size : (at+count)*size]
}

func (q *collective) scatter(call *mpi.RawCall, atRoot bool, n C.int64_t) (code C.int) {
	size := typeOf(q.t).Size()
	if atRoot {
		if q.count > most/n {
			return C.TUTTI_ERR_COUNT
		}
		total := n * q.count
		if q.scounts != nil {
			call.SendCounts, call.SendDispls = q.list(q.scounts), q.list(q.sdispls)
			total = extent(call.SendCounts, call.SendDispls)
		}
		if call.Send, code = buffer(q.send, total, q.t); code != 0 {
			return code
		}
		if inPlace(q.recv) {
			call.Recv = own(call.Send, call.SendCounts, call.SendDispls, int(q.count), size, q.c.Rank())
			return 0
		}
	}
	call.Recv, code = buffer(q.recv, q.count, q.t)
	return code
}

func (q *collective) exchange(call *mpi.RawCall, n C.int64_t) (code C.int) {
	if q.count > most/n {
		return C.TUTTI_ERR_COUNT
	}
	out, in := n*q.count, n*q.count
	if q.rcounts != nil {
		call.RecvCounts, call.RecvDispls = q.list(q.rcounts), q.list(q.rds)
		in = extent(call.RecvCounts, call.RecvDispls)
	}
	if call.Recv, code = buffer(q.recv, in, q.t); code != 0 {
		return code
	}
	if inPlace(q.send) {
		call.Send, call.SendCounts, call.SendDispls = append([]byte(nil), call.Recv...), call.RecvCounts, call.RecvDispls
		return 0
	}
	if q.scounts != nil {
		call.SendCounts, call.SendDispls = q.list(q.scounts), q.list(q.sdispls)
		out = extent(call.SendCounts, call.SendDispls)
	}
	call.Send, code = buffer(q.send, out, q.t)
	return code
}

// names of operations in errors, by kind.
var names = []string{"Barrier", "Bcast", "Reduce", "Allreduce", "Gather", "Scatter", "Allgather", "Alltoall", "Scan", "Exscan", "ReduceScatter"}

// vectorForm marks the kind of a v form.
const vectorForm = 64

// tuttigo_collective carries out a collective call, or begins one where out is not nil. counts of
// the v forms are NULL in the others.
//
//export tuttigo_collective
func tuttigo_collective(kind C.int, send, recv unsafe.Pointer, count C.int64_t, t, op C.int32_t, root C.int,
	scounts, sdispls, rcounts, rdispls *C.int64_t, h C.int32_t, out *C.int32_t) C.int {
	vector := kind&vectorForm != 0
	kind &^= vectorForm
	name := names[kind]
	c, bad := lookup(h, name)
	if c == nil {
		return bad
	}
	q := collective{c, name, mpi.Collective(kind), send, recv, count, t, int(root), vector, scounts, sdispls, rcounts, rdispls}
	call, bad := q.raw(op)
	switch {
	case bad == C.TUTTI_ERR_OP:
		return c.wrong(bad, name, "%d is no operation, or was freed", op)
	case bad != 0:
		return c.badBuffer(bad, name)
	case out != nil:
		r, err := c.Start(call)
		return c.begun(r, err, out)
	}
	if err := c.Do(call); err != nil {
		return c.fail(err)
	}
	return 0
}

// userOp is an operation of the program: for each type an Op of package mpi, made when needed.
type userOp struct {
	of [C.TUTTI_LOC_FLOAT64 + 1]mpi.Op
}

// builtin is the predefined operations in the order of their handles.
var builtin = []mpi.Op{mpi.Sum, mpi.Prod, mpi.Max, mpi.Min, mpi.LAnd, mpi.LOr, mpi.LXor, mpi.BAnd, mpi.BOr, mpi.BXor, mpi.MinLoc, mpi.MaxLoc}

// ops: null, the predefined ones, and those of the program.
var ops = newTable[*userOp](C.TUTTI_MAXLOC + 1)

func operation(h, t C.int32_t) (mpi.Op, C.int) {
	if h >= 1 && h <= C.TUTTI_MAXLOC {
		return builtin[h-1], 0
	}
	u := ops.get(h)
	if u == nil {
		return nil, C.TUTTI_ERR_OP
	}
	if t < 1 || t > C.TUTTI_LOC_FLOAT64 {
		return nil, C.TUTTI_ERR_TYPE
	}
	return (*u).of[t], 0
}

//export tuttigo_op_create
func tuttigo_op_create(f C.uintptr_t, commutes C.int, context C.uintptr_t, out *C.int32_t) C.int {
	u := new(userOp)
	for t := C.int32_t(1); t <= C.TUTTI_LOC_FLOAT64; t++ {
		size := typeOf(t).Size()
		u.of[t] = mpi.RawOp(typeOf(t), commutes != 0, func(in, inout []byte) {
			C.tutti_call_op(f, unsafe.Pointer(unsafe.SliceData(in)), unsafe.Pointer(unsafe.SliceData(inout)), C.int64_t(len(in)/size), t, context)
		})
	}
	if *out = ops.put(u); *out == 0 {
		return (*comm)(nil).wrong(C.TUTTI_ERR_FULL, "handle", "there are too many operations")
	}
	return 0
}

//export tuttigo_op_free
func tuttigo_op_free(h C.int32_t) C.int {
	if h <= C.TUTTI_MAXLOC || ops.get(h) == nil {
		return (*comm)(nil).wrong(C.TUTTI_ERR_OP, "op free", "%d is no operation of the program", h)
	}
	ops.drop(h)
	return 0
}

//export tuttigo_type_size
func tuttigo_type_size(t C.int32_t, out *C.int) C.int {
	if t < 1 || typeOf(t).Size() == 0 {
		return (*comm)(nil).badBuffer(C.TUTTI_ERR_TYPE, "type size")
	}
	*out = C.int(typeOf(t).Size())
	return 0
}
