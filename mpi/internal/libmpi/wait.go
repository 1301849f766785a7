//go:build cgo && linux

package libmpi

// #include "glue.h"
import "C"

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// waiting is what the goroutines of this rank wait for. Any number may wait; one of them, the
// leader, asks the library for all, so that a wait costs no thread. A leader whose own wait is over
// makes one of the others the leader.
type waiting struct {
	stirred *atomic.Int32 // not 0: the leader must look up from asking

	mu      sync.Mutex
	waiters []*waiter
	reqs    []*request // all that they wait for
	led     bool
	idle    sync.Cond // led has become false

	// The leader's own.
	asked   []*request
	handles []C.tutti_handle
	results []C.tutti_result
}

// waiter is a goroutine that waits until need of its requests are done.
type waiter struct {
	reqs  []*request
	need  int
	since time.Time
	err   error
	done  chan struct{} // what it waits for has come, or err
	lead  chan struct{} // it is to lead
}

func (q *waiting) init() {
	q.stirred = new(atomic.Int32)
	q.idle.L = &q.mu
}

func (q *waiting) stir() { q.stirred.Store(1) }

// await blocks until need of the requests are done, or the world or a communicator ends; then the
// error says so, and the requests are as they were.
func (w *World) await(reqs []*request, need int) error {
	q := &w.wait
	q.mu.Lock()
	x := &waiter{need: need, since: time.Now()}
	for _, r := range reqs {
		if r.done {
			x.need--
		} else {
			x.reqs = append(x.reqs, r)
		}
	}
	if x.need <= 0 {
		q.mu.Unlock()
		return nil
	}
	for _, r := range x.reqs {
		r.waiter = x
	}
	q.reqs = append(q.reqs, x.reqs...)
	q.waiters = append(q.waiters, x)
	if q.led {
		x.done, x.lead = make(chan struct{}, 1), make(chan struct{}, 1)
		q.stir()
		q.mu.Unlock()
		select {
		case <-x.done:
			return x.err
		case <-x.lead:
		}
		q.mu.Lock()
	}
	q.led = true
	w.leads(x)
	q.remove(x)
	if q.led = len(q.waiters) > 0; q.led {
		q.waiters[0].lead <- struct{}{}
	} else {
		q.idle.Broadcast()
	}
	q.mu.Unlock()
	return x.err
}

// leads asks the library for everything anybody waits for, until x has what it needs. The lock is
// held, except while asking.
func (w *World) leads(x *waiter) {
	q := &w.wait
	for x.need > 0 && x.err == nil {
		q.stirred.Store(0)
		if q.giveUp(w.stop.Load()); x.err != nil {
			return
		}
		q.asked = append(q.asked[:0], q.reqs...)
		n := len(q.asked)
		q.handles, q.results = slices.Grow(q.handles[:0], n)[:n], slices.Grow(q.results[:0], n)[:n]
		for i, r := range q.asked {
			q.handles[i] = r.h
		}
		q.mu.Unlock()
		found := C.tutti_poll(unsafe.SliceData(q.handles), unsafe.SliceData(q.results), C.int(n), w.spins, w.yield,
			(*C.int)(unsafe.Pointer(q.stirred)))
		q.mu.Lock()
		for i := 0; found > 0; i++ {
			if q.results[i].done != 0 {
				found--
				q.finished(q.asked[i], q.results[i])
			}
		}
	}
}

// finished notes that a request is done, and wakes who waits for it.
func (q *waiting) finished(r *request, res C.tutti_result) {
	r.settle(res)
	x := r.waiter
	if x == nil {
		return // another request found in the same round was all that its waiter needed
	}
	q.forget(r)
	if x.need--; x.need == 0 {
		q.release(x)
	}
}

// giveUp ends the waits that cannot come to anything: all if the world has ended, else those on
// communicators that have been freed.
func (q *waiting) giveUp(stop *tutti.Error) {
	for _, x := range slices.Clone(q.waiters) {
		why := stop
		if why == nil && slices.ContainsFunc(x.reqs, func(r *request) bool { return !r.done && r.c.freed.Load() }) {
			why = errFreed()
		}
		if why != nil {
			x.err = why
			q.release(x)
		}
	}
}

// release wakes a waiter; the leader finds out by itself.
func (q *waiting) release(x *waiter) {
	q.remove(x)
	if x.done != nil {
		x.done <- struct{}{}
	}
}

func (q *waiting) remove(x *waiter) {
	if i := slices.Index(q.waiters, x); i >= 0 {
		q.waiters = slices.Delete(q.waiters, i, i+1)
	}
	for _, r := range x.reqs {
		if r.waiter == x {
			q.forget(r)
		}
	}
}

func (q *waiting) forget(r *request) {
	r.waiter = nil
	if i := slices.Index(q.reqs, r); i >= 0 {
		q.reqs = slices.Delete(q.reqs, i, i+1)
	}
}

// drain returns when nobody waits any more; the world has been halted.
func (q *waiting) drain() {
	q.mu.Lock()
	defer q.mu.Unlock()
	for q.led {
		q.idle.Wait()
	}
}

// describe says what the goroutines of this rank have waited for for long.
func (q *waiting) describe() string {
	q.mu.Lock()
	defer q.mu.Unlock()
	var b strings.Builder
	for _, x := range q.waiters {
		for _, r := range x.reqs {
			if !r.done {
				fmt.Fprintf(&b, "rank %d waits in %s, communicator %d, for %v\n",
					r.c.w.comm.rank, r.what, r.c.id, time.Since(x.since).Round(10*time.Millisecond))
			}
		}
	}
	return b.String()
}

// what a request is, for a person.
type what struct {
	op        string
	peer, tag int
}

func (w what) String() string {
	if w.peer == none {
		return w.op
	}
	name := func(n, wild int) string {
		if n == wild {
			return "any"
		}
		return fmt.Sprint(n)
	}
	return w.op + " " + name(w.peer, device.AnySource) + ", tag " + name(w.tag, device.AnyTag)
}

const none = -100
