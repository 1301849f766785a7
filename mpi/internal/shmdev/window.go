package shmdev

import (
	"encoding/binary"
	"sync/atomic"

	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// window is memory in common for the ranks of a communicator: one piece, each rank's part
// beginning on a cache line of its own.
type window struct {
	c     *comm
	mem   []byte
	parts []int // bytes of each rank
}

// Window implements device.Comm.
func (c *comm) Window(bytes int) (device.Window, error) {
	n := len(c.members)
	mine := binary.NativeEndian.AppendUint64(nil, uint64(bytes))
	all := make([]byte, 8*n)
	if err := c.Do(device.Call{Kind: device.Allgather, Type: device.Uint8, Send: mine, Recv: all}); err != nil {
		return nil, err
	}
	w := &window{c: c, parts: make([]int, n)}
	total := line
	for r := range w.parts {
		w.parts[r] = int(binary.NativeEndian.Uint64(all[8*r:]))
		total += int(roundUp(uint64(w.parts[r]), line))
	}
	var err error
	if c.e.a.inProcess() {
		w.mem, err = c.shareHeap(total)
	} else {
		w.mem, err = c.mapWindow(total)
	}
	if err != nil {
		return nil, err
	}
	return w, nil
}

var windows atomic.Uint64

// shareHeap makes ordinary memory known to the goroutines that are the other ranks.
func (c *comm) shareHeap(total int) ([]byte, error) {
	h := c.e.a.(*heap)
	id := make([]byte, 8)
	if c.rank == 0 {
		// Of words, so that a part is aligned for every element.
		mem := device.Bytes(make([][8]uint64, (total+line-1)/line))
		v := windows.Add(1)
		h.shared.Store(v, mem)
		binary.NativeEndian.PutUint64(id, v)
	}
	if err := c.Do(device.Call{Kind: device.Bcast, Type: device.Uint8, Recv: id}); err != nil {
		return nil, err
	}
	v := binary.NativeEndian.Uint64(id)
	mem, _ := h.shared.Load(v)
	err := c.Do(device.Call{Kind: device.Barrier})
	if c.rank == 0 {
		h.shared.Delete(v) // all have it
	}
	return mem.([]byte), err
}

// Segment implements device.Window.
func (w *window) Segment(rank int) []byte {
	off := 0
	for r := range rank {
		off += int(roundUp(uint64(w.parts[r]), line))
	}
	return w.mem[off : off+w.parts[rank] : off+w.parts[rank]]
}

// Sync implements device.Window: a barrier, which orders what was written before it.
func (w *window) Sync() error { return w.c.Do(device.Call{Kind: device.Barrier}) }

// Free implements device.Window.
func (w *window) Free() error {
	err := w.Sync()
	if !w.c.e.a.inProcess() && w.mem != nil {
		err = firstError(err, unmapWindow(w.mem))
	}
	w.mem = nil
	return err
}
