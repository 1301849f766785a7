package main

// #include "internal.h"
import "C"

import (
	"unsafe"

	"github.com/tutti-hpc/tutti/mpi"
)

// window is memory in common. Its communicator is needed to tell its errors.
type window struct {
	*mpi.Window[byte]
	c *comm
}

var windows = newTable[window](1)

func lookupWindow(h C.int32_t, op string) (*window, C.int) {
	if w := windows.get(h); w != nil {
		return w, 0
	}
	return nil, (*comm)(nil).wrong(C.TUTTI_ERR_WIN, op, "%d is no window, or was freed", h)
}

//export tuttigo_win_allocate_shared
func tuttigo_win_allocate_shared(bytes C.int64_t, h C.int32_t, out *C.int32_t, base *unsafe.Pointer) C.int {
	c, bad := lookup(h, "NewWindow")
	if c == nil {
		return bad
	}
	w, err := mpi.NewWindow[byte](c.Comm, int(bytes))
	if err != nil {
		return c.fail(err)
	}
	if *out = windows.put(window{w, c}); *out == 0 {
		return c.wrong(C.TUTTI_ERR_FULL, "NewWindow", "there are too many windows")
	}
	*base = unsafe.Pointer(unsafe.SliceData(w.Part(c.Rank())))
	return 0
}

//export tuttigo_win_query
func tuttigo_win_query(h C.int32_t, rank C.int, bytes *C.int64_t, base *unsafe.Pointer) C.int {
	w, bad := lookupWindow(h, "window query")
	if w == nil {
		return bad
	}
	if rank < 0 || int(rank) >= w.c.Size() {
		return w.c.wrong(C.TUTTI_ERR_RANK, "window query", "there is no rank %d: the window has %d", rank, w.c.Size())
	}
	part := w.Part(int(rank))
	*bytes, *base = C.int64_t(len(part)), unsafe.Pointer(unsafe.SliceData(part))
	return 0
}

//export tuttigo_win_sync
func tuttigo_win_sync(h C.int32_t) C.int {
	w, bad := lookupWindow(h, "Window.Sync")
	if w == nil {
		return bad
	}
	return w.c.result(w.Sync())
}

//export tuttigo_win_free
func tuttigo_win_free(h C.int32_t) C.int {
	w, bad := lookupWindow(h, "Window.Free")
	if w == nil {
		return bad
	}
	if err := w.Free(); err != nil {
		return w.c.fail(err)
	}
	windows.drop(h)
	return 0
}
