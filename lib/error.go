package main

// #include "internal.h"
import "C"

import (
	"errors"
	"strings"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

// codes is the table from kinds of errors to codes. Invalid is told apart by what was asked.
var codes = map[tutti.Kind]C.int{
	tutti.Invalid: C.TUTTI_ERR_ARG, tutti.Truncated: C.TUTTI_ERR_TRUNCATE, tutti.Revoked: C.TUTTI_ERR_REVOKED,
	tutti.Closed: C.TUTTI_ERR_CLOSED, tutti.Canceled: C.TUTTI_ERR_CANCELED, tutti.Full: C.TUTTI_ERR_FULL,
	tutti.Unsupported: C.TUTTI_ERR_UNSUPPORTED, tutti.Denied: C.TUTTI_ERR_DENIED, tutti.Exists: C.TUTTI_ERR_EXISTS,
	tutti.NotFound: C.TUTTI_ERR_NOT_FOUND, tutti.Version: C.TUTTI_ERR_VERSION, tutti.Lost: C.TUTTI_ERR_LOST,
	tutti.Internal: C.TUTTI_ERR_INTERN,
}

// aspects says which argument is wrong where an operation's error is of kind Invalid.
var aspects = map[string]func(e *mpi.Error, size int) C.int{
	"Send": peerOrTag, "Ssend": peerOrTag, "Recv": peerOrTag, "Isend": peerOrTag, "Issend": peerOrTag, "Irecv": peerOrTag,
	"Probe": peerOrTag, "Iprobe": peerOrTag, "Mprobe": peerOrTag, "Improbe": peerOrTag,
	"Bcast": rootOr(C.TUTTI_ERR_ARG), "Gather": rootOr(C.TUTTI_ERR_COUNT), "Scatter": rootOr(C.TUTTI_ERR_COUNT),
	"Reduce": rootOr(C.TUTTI_ERR_OP), "Allreduce": always(C.TUTTI_ERR_OP), "Scan": always(C.TUTTI_ERR_OP),
	"Exscan": always(C.TUTTI_ERR_OP), "ReduceScatter": always(C.TUTTI_ERR_OP),
	"Allgather": always(C.TUTTI_ERR_COUNT), "Alltoall": always(C.TUTTI_ERR_COUNT),
	"Ibcast": rootOr(C.TUTTI_ERR_ARG), "Igather": rootOr(C.TUTTI_ERR_COUNT), "Iscatter": rootOr(C.TUTTI_ERR_COUNT),
	"Ireduce": rootOr(C.TUTTI_ERR_OP), "Iallreduce": always(C.TUTTI_ERR_OP), "Iscan": always(C.TUTTI_ERR_OP),
	"Iexscan": always(C.TUTTI_ERR_OP), "IreduceScatter": always(C.TUTTI_ERR_OP),
	"CartCreate": always(C.TUTTI_ERR_DIMS), "CartGet": always(C.TUTTI_ERR_TOPOLOGY),
	"CartShift": always(C.TUTTI_ERR_DIMS), "CartSub": always(C.TUTTI_ERR_DIMS),
	"CartCoords": always(C.TUTTI_ERR_RANK), "CartRank": always(C.TUTTI_ERR_RANK), "Create": always(C.TUTTI_ERR_GROUP),
}

func always(code C.int) func(*mpi.Error, int) C.int {
	return func(*mpi.Error, int) C.int { return code }
}

func peerOrTag(e *mpi.Error, size int) C.int {
	if (e.Peer < 0 || e.Peer >= size) && e.Peer != mpi.AnySource {
		return C.TUTTI_ERR_RANK
	}
	return C.TUTTI_ERR_TAG
}

func rootOr(code C.int) func(*mpi.Error, int) C.int {
	return func(e *mpi.Error, size int) C.int {
		if e.Peer < 0 || e.Peer >= size {
			return C.TUTTI_ERR_ROOT
		}
		return code
	}
}

// result is the code for err, which it keeps for the calling thread.
func (c *comm) result(err error) C.int {
	if err == nil {
		return C.TUTTI_SUCCESS
	}
	return c.fail(err)
}

func (c *comm) fail(err error) C.int {
	code := codeOf(err, c)
	keep(code, err)
	if c != nil && c.handler != 0 {
		C.tutti_keep_handler(c.handle, c.handler, c.context)
	}
	return code
}

func codeOf(err error, c *comm) C.int {
	code, ok := codes[tutti.KindOf(err)]
	if !ok {
		return C.TUTTI_ERR_OTHER
	}
	var e *mpi.Error
	if code == C.TUTTI_ERR_ARG && errors.As(err, &e) {
		if which := aspects[e.Op]; which != nil && c != nil {
			return which(e, c.Size())
		}
	}
	return code
}

// wrong is the error of a call whose arguments package mpi never saw.
func (c *comm) wrong(code C.int, op, format string, args ...any) C.int {
	kind := tutti.Invalid
	if code == C.TUTTI_ERR_CLOSED {
		kind = tutti.Closed
	}
	te := tutti.Errorf("mpi: "+op, kind, format, args...)
	if c == nil {
		keep(code, te)
		return code
	}
	te.Op = "mpi"
	keep(code, &mpi.Error{Op: op, Rank: c.Rank(), Peer: -1, Tag: -1, Comm: c.Name(), Err: te})
	if c.handler != 0 {
		C.tutti_keep_handler(c.handle, c.handler, c.context)
	}
	return code
}

func keep(code C.int, err error) {
	op, name, rank, peer, tag := "", "", -1, -1, -1
	var e *mpi.Error
	if errors.As(err, &e) {
		op, name, rank, peer, tag = e.Op, e.Comm, e.Rank, e.Peer, e.Tag
	}
	hint := ""
	var te *tutti.Error
	if errors.As(err, &te) {
		if hint = te.Hint; op == "" {
			op = strings.TrimPrefix(te.Op, "mpi: ")
		}
	}
	kind, text := tutti.KindOf(err).String(), err.Error()
	p := func(s string) (*C.char, C.size_t) {
		return (*C.char)(unsafe.Pointer(unsafe.StringData(s))), C.size_t(len(s))
	}
	op1, op2 := p(op)
	kind1, kind2 := p(kind)
	name1, name2 := p(name)
	hint1, hint2 := p(hint)
	text1, text2 := p(text)
	C.tutti_keep_error(C.int32_t(code), C.int32_t(rank), C.int32_t(peer), C.int32_t(tag),
		op1, op2, kind1, kind2, name1, name2, hint1, hint2, text1, text2)
}
