package mpi

import (
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Window is memory that all ranks of a communicator read and write directly: each offers a part,
// and sees those of all.
type Window[T Elem] struct {
	c   *Comm
	dev device.Window
}

// NewWindow makes a window to which the calling rank contributes n elements, zero at first. All
// ranks of c must share memory (see [Comm.SplitShared]). Collective. Errors: Full.
func NewWindow[T Elem](c *Comm, n int) (*Window[T], error) {
	var z T
	if n < 0 {
		return nil, c.failed("NewWindow", device.Errorf(tutti.Invalid, "%d elements", n))
	}
	d, err := c.dev.Window(n * int(unsafe.Sizeof(z)))
	if err != nil {
		return nil, c.failed("NewWindow", err)
	}
	return &Window[T]{c, d}, nil
}

// Part is the part of a rank: the same memory on all ranks, valid until Free. Who writes what
// others read must order it by [Window.Sync], other messages, or atomic operations.
func (w *Window[T]) Part(rank int) []T { return device.View[T](w.dev.Segment(rank)) }

// Sync is a barrier: what was written before it on any rank is seen after it on all. Collective.
func (w *Window[T]) Sync() error { return w.c.orNil("Window.Sync", w.dev.Sync()) }

// Free gives the window up, after a barrier; the slices of Part must not be used any more. Collective.
func (w *Window[T]) Free() error { return w.c.orNil("Window.Free", w.dev.Free()) }
