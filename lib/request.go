package main

// #include "internal.h"
import "C"

import (
	"unsafe"

	"github.com/tutti-hpc/tutti/mpi"
)

// request is an operation under way, with the communicator whose handler hears of its errors.
type request struct {
	*mpi.Request
	c *comm
}

// requests: null, the one that is done, and those under way.
var requests = newTable[request](C.TUTTI_REQUEST_DONE + 1)

// empty is the status of a null request.
var empty = mpi.Status{Source: mpi.AnySource, Tag: mpi.AnyTag}

// begun gives an operation under way its handle.
func (c *comm) begun(r *mpi.Request, err error, out *C.int32_t) C.int {
	if err != nil {
		return c.fail(err)
	}
	if *out = requests.put(request{r, c}); *out == 0 {
		return c.wrong(C.TUTTI_ERR_FULL, "request", "there are too many requests")
	}
	return 0
}

//export tuttigo_isend
func tuttigo_isend(p unsafe.Pointer, count C.int64_t, t C.int32_t, to, tag C.int, h C.int32_t, sync C.int, out *C.int32_t) C.int {
	c, b, bad := operand(h, "Isend", p, count, t)
	if c == nil {
		return bad
	}
	r, err := c.Raw.Isend(b, typeOf(t), int(to), int(tag), sync != 0)
	return c.begun(r, err, out)
}

//export tuttigo_irecv
func tuttigo_irecv(p unsafe.Pointer, count C.int64_t, t C.int32_t, from, tag C.int, h C.int32_t, out *C.int32_t) C.int {
	c, b, bad := operand(h, "Irecv", p, count, t)
	if c == nil {
		return bad
	}
	r, err := c.Raw.Irecv(b, typeOf(t), int(from), int(tag))
	return c.begun(r, err, out)
}

// noRequest is the error of a handle that stands for nothing.
func noRequest(h C.int32_t, op string) C.int {
	return (*comm)(nil).wrong(C.TUTTI_ERR_REQUEST, op, "%d is no request, or one that is done", h)
}

// pending finds the requests of an array, nil for those that are null or done already.
func pending(n C.int, hs *C.int32_t, op string) (handles []C.int32_t, out []*request, bad C.int) {
	if n < 0 {
		return nil, nil, (*comm)(nil).wrong(C.TUTTI_ERR_COUNT, op, "%d requests", n)
	}
	handles = unsafe.Slice(hs, n)
	out = make([]*request, n)
	for i, h := range handles {
		if h > C.TUTTI_REQUEST_DONE || h < 0 {
			if out[i] = requests.get(h); out[i] == nil {
				return nil, nil, noRequest(h, op)
			}
		}
	}
	return handles, out, 0
}

// end gives the answer of a request that is done, and forgets it.
func (r *request) end(h *C.int32_t, st mpi.Status, err error, status *C.tutti_status) C.int {
	bad := r.c.result(err)
	requests.drop(*h)
	*h = C.TUTTI_REQUEST_NULL
	fill(status, st, bad)
	return bad
}

// endDone is end for a handle that stands for no operation any more; it says whether this is one.
func endDone(h *C.int32_t, status *C.tutti_status) bool {
	if *h != C.TUTTI_REQUEST_NULL && *h != C.TUTTI_REQUEST_DONE {
		return false
	}
	*h = C.TUTTI_REQUEST_NULL
	fill(status, empty, 0)
	return true
}

//export tuttigo_wait
func tuttigo_wait(h *C.int32_t, status *C.tutti_status) C.int {
	if endDone(h, status) {
		return 0
	}
	r := requests.get(*h)
	if r == nil {
		return noRequest(*h, "Wait")
	}
	st, err := r.Wait()
	return r.end(h, st, err, status)
}

//export tuttigo_test
func tuttigo_test(h *C.int32_t, flag *C.int, status *C.tutti_status) C.int {
	if *flag = 1; endDone(h, status) {
		return 0
	}
	r := requests.get(*h)
	if r == nil {
		return noRequest(*h, "Test")
	}
	st, done, err := r.Test()
	if *flag = truth(done); !done {
		return 0
	}
	return r.end(h, st, err, status)
}

// place is the i-th of an array of statuses, or nil where none are wanted.
func place(statuses *C.tutti_status, i int) *C.tutti_status {
	if statuses == nil {
		return nil
	}
	return (*C.tutti_status)(unsafe.Add(unsafe.Pointer(statuses), uintptr(i)*unsafe.Sizeof(*statuses)))
}

//export tuttigo_wait_all
func tuttigo_wait_all(n C.int, hs *C.int32_t, flag *C.int, statuses *C.tutti_status) C.int {
	handles, rs, bad := pending(n, hs, "WaitAll")
	if bad != 0 {
		return bad
	}
	if flag != nil {
		_, done, _ := mpi.TestAll(bare(rs)...)
		if *flag = truth(done); !done {
			return 0
		}
	}
	for i, r := range rs {
		if r == nil {
			endDone(&handles[i], place(statuses, i))
			continue
		}
		st, err := r.Wait()
		if r.end(&handles[i], st, err, place(statuses, i)) != 0 {
			bad = C.TUTTI_ERR_IN_STATUS
		}
	}
	return bad
}

// bare is the requests as package mpi knows them.
func bare(rs []*request) []*mpi.Request {
	out := make([]*mpi.Request, len(rs))
	for i, r := range rs {
		if r != nil {
			out[i] = r.Request
		}
	}
	return out
}

// firstDone is the index of a request that is done without an operation behind it, -1 if none.
func firstDone(handles []C.int32_t) int {
	for i, h := range handles {
		if h == C.TUTTI_REQUEST_DONE {
			return i
		}
	}
	return -1
}

//export tuttigo_wait_any
func tuttigo_wait_any(n C.int, hs *C.int32_t, index, flag *C.int, status *C.tutti_status) C.int {
	handles, rs, bad := pending(n, hs, "WaitAny")
	if bad != 0 {
		return bad
	}
	if flag != nil {
		*flag = 1
	}
	if i := firstDone(handles); i >= 0 {
		*index = C.int(i)
		endDone(&handles[i], status)
		return 0
	}
	var i int
	var st mpi.Status
	var err error
	if flag == nil {
		i, st, err = mpi.WaitAny(bare(rs)...)
	} else {
		var done bool
		i, st, done, err = mpi.TestAny(bare(rs)...)
		*flag = truth(done)
	}
	if i == mpi.Undefined {
		*index = C.TUTTI_UNDEFINED
		if err != nil {
			return (*comm)(nil).fail(err)
		}
		fill(status, empty, 0)
		return 0
	}
	*index = C.int(i)
	return rs[i].end(&handles[i], st, err, status)
}

//export tuttigo_wait_some
func tuttigo_wait_some(n C.int, hs *C.int32_t, block C.int, done, indices *C.int, statuses *C.tutti_status) C.int {
	handles, rs, bad := pending(n, hs, "WaitSome")
	if bad != 0 {
		return bad
	}
	k, active := 0, false
	for i := range handles {
		active = active || handles[i] != C.TUTTI_REQUEST_NULL
		if handles[i] == C.TUTTI_REQUEST_DONE {
			store1(indices, k, i)
			endDone(&handles[i], place(statuses, k))
			k++
		}
	}
	if *done = C.int(k); !active {
		*done = C.TUTTI_UNDEFINED
		return 0
	}
	some := mpi.TestSome
	if k == 0 && block != 0 {
		some = mpi.WaitSome
	}
	which, _, _ := some(bare(rs)...)
	for _, i := range which {
		st, err := rs[i].Wait() // known: it gives the same answer again
		if rs[i].end(&handles[i], st, err, place(statuses, k)) != 0 {
			bad = C.TUTTI_ERR_IN_STATUS
		}
		store1(indices, k, i)
		k++
	}
	*done = C.int(k)
	return bad
}

func store1(p *C.int, i, v int) { unsafe.Slice(p, i+1)[i] = C.int(v) }

//export tuttigo_cancel
func tuttigo_cancel(h C.int32_t) C.int {
	if h == C.TUTTI_REQUEST_DONE {
		return 0
	}
	r := requests.get(h)
	if r == nil {
		return noRequest(h, "Cancel")
	}
	return r.c.result(r.Cancel())
}

//export tuttigo_request_free
func tuttigo_request_free(h C.int32_t) C.int {
	if requests.get(h) == nil {
		return noRequest(h, "request free")
	}
	requests.drop(h)
	return 0
}

//export tuttigo_request_status
func tuttigo_request_status(h C.int32_t, flag *C.int, status *C.tutti_status) C.int {
	r := requests.get(h)
	if r == nil {
		return noRequest(h, "request status")
	}
	st, done, err := r.Test()
	if *flag = truth(done); done {
		bad := C.int(0)
		if err != nil {
			bad = codeOf(err, r.c)
		}
		fill(status, st, bad)
	}
	return 0
}
