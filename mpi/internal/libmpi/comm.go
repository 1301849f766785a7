//go:build cgo && linux

package libmpi

// #include "glue.h"
import "C"

import (
	"math"
	"sync/atomic"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// comm is a communicator of the library.
type comm struct {
	w       *World
	h       C.tutti_handle
	rank    int
	members []int // ranks in the world
	id      int   // on this rank only
	freed   atomic.Bool
}

func (c *comm) Rank() int      { return c.rank }
func (c *comm) Size() int      { return len(c.members) }
func (c *comm) Members() []int { return c.members }
func (c *comm) ID() int        { return c.id }
func (c *comm) TagUB() int     { return c.w.tagUB }

func errFreed() *tutti.Error { return device.Errorf(tutti.Closed, "the communicator has been freed") }

// enter says why no call can be made, nil if one can.
func (c *comm) enter() error {
	if why := c.w.stop.Load(); why != nil {
		return why
	}
	if c.freed.Load() {
		return errFreed()
	}
	return nil
}

// made takes up a communicator that the library has made; nil for none.
func (c *comm) made(h C.tutti_handle) (device.Comm, error) {
	if h == 0 {
		return nil, nil
	}
	var rank, size C.int
	if err := fault(C.tutti_rank(h, &rank, &size)); err != nil {
		return nil, err
	}
	ranks := make([]C.int, size)
	if err := fault(C.tutti_members(h, &ranks[0], size)); err != nil {
		return nil, err
	}
	d := &comm{w: c.w, h: h, rank: int(rank), members: make([]int, size), id: int(c.w.ids.Add(1))}
	for i, r := range ranks {
		d.members[i] = int(r)
	}
	return d, nil
}

// derive makes a communicator by a call of the library that blocks.
func (c *comm) derive(call func(made *C.tutti_handle) C.int) (device.Comm, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	h := new(C.tutti_handle)
	if err := c.w.aside(func() C.int { return call(h) }); err != nil {
		return nil, err
	}
	return c.made(*h)
}

// Dup implements device.Comm.
func (c *comm) Dup() (device.Comm, error) {
	return c.derive(func(made *C.tutti_handle) C.int { return C.tutti_dup(c.h, made) })
}

// Split implements device.Comm. Undefined is the same number in all binary interfaces.
func (c *comm) Split(color, key int) (device.Comm, error) {
	if color > math.MaxInt32 || key != int(int32(key)) {
		return nil, device.Errorf(tutti.Unsupported, "color %d and key %d: an MPI library takes no more than 32 bits", color, key)
	}
	return c.derive(func(made *C.tutti_handle) C.int { return C.tutti_split(c.h, C.int(color), C.int(key), 0, made) })
}

// SplitShared implements device.Comm.
func (c *comm) SplitShared(key int) (device.Comm, error) {
	if key != int(int32(key)) {
		return nil, device.Errorf(tutti.Unsupported, "key %d: an MPI library takes no more than 32 bits", key)
	}
	return c.derive(func(made *C.tutti_handle) C.int { return C.tutti_split(c.h, 0, C.int(key), 1, made) })
}

// Free implements device.Comm. The library keeps what is under way until it is done; who waits for
// it here is told that the communicator is closed.
func (c *comm) Free() error {
	if c == c.w.comm {
		return device.Errorf(tutti.Invalid, "the world cannot be freed")
	}
	if err := c.enter(); err != nil {
		return err
	}
	if !c.freed.CompareAndSwap(false, true) {
		return errFreed()
	}
	c.w.wait.stir()
	return c.w.aside(func() C.int { return C.tutti_comm_free(c.h) })
}

// Revoke implements device.Comm: an MPI library cannot.
func (c *comm) Revoke() error {
	return device.Errorf(tutti.Unsupported, "a communicator of an MPI library cannot be revoked").
		WithHint("Abort ends the job on all ranks")
}
