package shmdev

import (
	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// request is a send, a receive or a collective operation under way. The engine's lock guards it.
type request struct {
	e    *engine
	c    *comm
	node device.Node[*request] // a receive's place among the posted
	done bool
	err  error
	st   device.Status

	buf    []byte // what is sent, or where it goes
	plane  uint32 // 0: point to point, 1: collective
	dst    int    // a send's receiver in the world
	tag    int
	sync   bool
	id     uint64 // number among the engine's numbered requests, 0 if it has none
	remote uint64 // the peer's number for it
	peer   int    // the peer in the world, of an accepted message
	off    int    // bytes sent or received so far
	total  int    // bytes of the message
	limit  int    // bytes of it that fit
	fins   int    // parts that others still copy
	run    *running

	nextFree *request // in the engine's free list
}

// message is one that came before its receive.
type message struct {
	node    device.Node[*message]
	e       *engine
	c       *comm
	world   int // the sender in the world
	total   int
	data    []byte
	got     int
	offered bool // not here: the sender waits to be asked
	remote  uint64
	where   uint64
	claimed *request // the receive that took it before it was complete
	self    *request // a synchronous send of this rank to itself
}

// take gives a request from the free list; blocking operations give theirs back. Fields are reset
// one by one: clearing all of it is a tenth of the time of a short message.
func (e *engine) take(c *comm, buf []byte) *request {
	r := e.free
	if r == nil {
		return &request{e: e, c: c, buf: buf}
	}
	e.free = r.nextFree
	r.c, r.buf, r.done, r.plane, r.sync = c, buf, false, 0, false
	r.id, r.off, r.total, r.limit, r.fins = 0, 0, 0, 0, 0
	return r
}

func (e *engine) give(r *request) {
	r.buf, r.err, r.node.Val = nil, nil, nil
	r.nextFree, e.free = e.free, r
}

// number enters r among those that peers name in slots.
func (e *engine) number(r *request) uint64 {
	e.lastID++
	r.id = e.lastID
	e.numbered[r.id] = r
	return r.id
}

// complete ends a request; its owner sees it at its next look.
func (e *engine) complete(r *request, err error) {
	if r.done {
		return
	}
	if r.id != 0 {
		delete(e.numbered, r.id)
		e.unlend(r.id)
	}
	r.done, r.err = true, err
	e.nudge()
}

// nudge wakes the goroutine that polls, if it sleeps, to look at what another one has changed.
func (e *engine) nudge() {
	if e.polling {
		e.ring(e.me)
	}
}

// finish ends a receive whose message is all here.
func (e *engine) finish(r *request) {
	if r.total > len(r.buf) {
		r.st.Bytes = len(r.buf)
		e.complete(r, truncated(r.total, len(r.buf)))
		return
	}
	e.complete(r, nil)
}

func truncated(total, room int) error {
	return device.Errorf(tutti.Truncated, "the message has %d bytes, the buffer room for %d", total, room).
		WithHint("probe for the size first, or post a larger buffer")
}

// Wait implements device.Request.
func (r *request) Wait() (device.Status, error) {
	e := r.e
	e.lock()
	defer e.unlock()
	if err := e.wait(cond{r: r}, r.what(), nil); err != nil && !r.done {
		e.abandon(r, err)
	}
	return r.st, r.err
}

// Test implements device.Request.
func (r *request) Test() (device.Status, bool, error) {
	e := r.e
	e.lock()
	defer e.unlock()
	if !r.done {
		e.look()
	}
	return r.st, r.done, r.err
}

// Done implements device.Request.
func (r *request) Done() bool {
	r.e.lock()
	defer r.e.unlock()
	return r.done
}

// Cancel implements device.Request.
func (r *request) Cancel() error {
	e := r.e
	e.lock()
	defer e.unlock()
	e.progress()
	if !r.done && r.c.match[r.plane].Withdraw(&r.node) {
		r.st = device.Status{Source: device.Undefined, Tag: device.Undefined, Cancelled: true}
		e.complete(r, nil)
	}
	return nil
}
