//go:build cgo && linux

package libmpi

// #include "glue.h"
import "C"

import (
	"runtime"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// request is an operation under way. Its goroutine owns it; while that waits, the leader does.
type request struct {
	c      *comm
	h      C.tutti_handle
	what   what
	room   int // length of the buffer of a receive, -1 otherwise
	done   bool
	st     device.Status
	err    error
	pin    runtime.Pinner // holds what the library reads or writes
	after  func()         // what is left to do when it is done; may be nil
	waiter *waiter        // the lock of waiting guards it
}

// address is where a buffer lies. That the buffer stays there is seen to by the caller, who holds it
// during the call, and by pin beyond it.
func address(b []byte) C.uintptr_t { return C.uintptr_t(uintptr(unsafe.Pointer(unsafe.SliceData(b)))) }

// hold pins a buffer until the request is done.
func (r *request) hold(b []byte) {
	if len(b) > 0 {
		r.pin.Pin(unsafe.SliceData(b))
	}
}

// statusOf reads what the glue found out. The message of a receive into room bytes may have been
// longer; what came is no more than there was room for.
func statusOf(res C.tutti_result, room int) device.Status {
	st := device.Status{Source: int(res.source), Tag: int(res.tag), Bytes: int(res.bytes)}
	if res.cancelled != 0 {
		return device.Status{Cancelled: true}
	}
	if room >= 0 && st.Bytes > room {
		st.Bytes = room
	}
	return st
}

// settle takes the result of a request that is done.
func (r *request) settle(res C.tutti_result) {
	r.done = true
	if r.room >= 0 {
		r.st = statusOf(res, r.room)
	}
	if res.err != 0 {
		r.fail(fault(res.err))
	}
	r.pin.Unpin()
	if r.after != nil {
		r.after()
	}
}

func (r *request) fail(err error) {
	r.err = err
	if tutti.KindOf(err) == tutti.Truncated {
		r.st.Bytes = r.room // the buffer is full
	}
}

// Done implements device.Request.
func (r *request) Done() bool { return r.done }

// Test implements device.Request.
func (r *request) Test() (device.Status, bool, error) {
	if !r.done {
		if err := r.c.enter(); err != nil {
			r.abandon(err)
		} else if res := C.tutti_test(r.h, 1, 1); res.done != 0 {
			r.settle(res)
		}
	}
	return r.st, r.done, r.err
}

// Wait implements device.Request.
func (r *request) Wait() (device.Status, error) {
	w := r.c.w
	if !r.done {
		if err := r.c.enter(); err != nil {
			r.abandon(err)
		} else if res := C.tutti_test(r.h, w.spins, w.yield); res.done != 0 {
			r.settle(res)
		} else if err := w.await([]*request{r}, 1); err != nil && !r.done {
			r.abandon(err)
		}
	}
	return r.st, r.err
}

// Cancel implements device.Request.
func (r *request) Cancel() error {
	if r.done || r.room < 0 {
		return nil
	}
	return fault(C.tutti_cancel(r.h))
}

// abandon gives up a request because its world or communicator has ended. A receive is taken
// back first, so that nothing is written into its buffer any more; what cannot be taken back keeps its
// buffer for as long as the process lives.
func (r *request) abandon(err error) {
	r.done, r.err = true, err
	if r.room >= 0 && C.tutti_cancel(r.h) == 0 && C.tutti_test(r.h, r.c.w.spins, 1).done != 0 {
		r.pin.Unpin()
		return
	}
	w := r.c.w
	w.lost.Lock()
	w.never = append(w.never, r)
	w.lost.Unlock()
}

// batch is an operation that took several of the library's, because of its length.
type batch struct{ parts []*request }

// next is a part that is not done, nil if all are.
func (b *batch) next() *request {
	for _, r := range b.parts {
		if !r.done {
			return r
		}
	}
	return nil
}

// Wait implements device.Request.
func (b *batch) Wait() (device.Status, error) {
	var first error
	for _, r := range b.parts {
		if _, err := r.Wait(); first == nil {
			first = err
		}
	}
	return device.Status{}, first
}

// Test implements device.Request.
func (b *batch) Test() (device.Status, bool, error) {
	for r := b.next(); r != nil; r = b.next() {
		if _, done, _ := r.Test(); !done {
			return device.Status{}, false, nil
		}
	}
	st, err := b.Wait()
	return st, true, err
}

// Done implements device.Request.
func (b *batch) Done() bool { return b.next() == nil }

// Cancel implements device.Request: a collective operation cannot be taken back.
func (b *batch) Cancel() error { return nil }

// Await implements device.Comm.
func (c *comm) Await(reqs []device.Request, need int) error {
	for {
		var left []*request
		for _, q := range reqs {
			switch q := q.(type) {
			case *request:
				if !q.done {
					left = append(left, q)
				}
			case *batch:
				if r := q.next(); r != nil {
					left = append(left, r)
				}
			}
		}
		if len(reqs)-len(left) >= need {
			return nil
		}
		if err := c.w.await(left, 1); err != nil {
			return err
		}
	}
}
