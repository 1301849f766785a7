//go:build cgo && linux

package libmpi

// #include "glue.h"
import "C"

import (
	"unsafe"

	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// line is what the parts of a window are multiples of, so that each begins on a cache line.
const line = 64

// window is memory that the library shares between the ranks of a communicator.
type window struct {
	c     *comm
	h     C.tutti_handle
	parts [][]byte
}

// Window implements device.Comm. An error of the library says where ranks have no memory in common.
func (c *comm) Window(bytes int) (device.Window, error) {
	mine, all := device.Bytes([]int64{int64(bytes)}), make([]int64, c.Size())
	if err := c.Do(device.Call{Kind: device.Allgather, Type: device.Int64, Send: mine, Recv: device.Bytes(all)}); err != nil {
		return nil, err
	}
	h := new(C.tutti_handle)
	room := C.int64_t((bytes + line) / line * line) // some, also where a rank offers nothing
	if err := c.w.aside(func() C.int { return C.tutti_win_create(c.h, room, h) }); err != nil {
		return nil, err
	}
	w := &window{c: c, h: *h, parts: make([][]byte, c.Size())}
	for r := range w.parts {
		var base C.uintptr_t
		if err := fault(C.tutti_win_part(w.h, C.int(r), &base)); err != nil {
			return nil, err
		}
		w.parts[r] = unsafe.Slice((*byte)(*(*unsafe.Pointer)(unsafe.Pointer(&base))), all[r])
	}
	return w, w.Sync() // each has cleared its own part
}

// Segment implements device.Window.
func (w *window) Segment(rank int) []byte { return w.parts[rank] }

// Sync implements device.Window.
func (w *window) Sync() error { return w.c.Do(device.Call{Kind: device.Barrier}) }

// Free implements device.Window.
func (w *window) Free() error {
	if err := w.Sync(); err != nil {
		return err
	}
	w.parts = nil
	return w.c.w.aside(func() C.int { return C.tutti_win_free(w.h) })
}
