package shmdev

import "unsafe"

// lend makes a buffer known to a peer: between processes by its address.
func (e *engine) lend(id uint64, b []byte) uint64 {
	if h, ok := e.a.(*heap); ok {
		h.lent.Store([2]uint64{uint64(e.me), id}, b)
		return id
	}
	return uint64(uintptr(unsafe.Pointer(unsafe.SliceData(b))))
}

func (e *engine) unlend(id uint64) {
	if h, ok := e.a.(*heap); ok {
		h.lent.Delete([2]uint64{uint64(e.me), id})
	}
}

func (e *engine) borrow(world int, id uint64) []byte {
	b, _ := e.a.(*heap).lent.Load([2]uint64{uint64(world), id})
	s, _ := b.([]byte)
	return s
}

// read fills b from the beginning of what a peer lends.
func (e *engine) read(world int, where uint64, b []byte) error {
	if e.a.inProcess() {
		copy(b, e.borrow(world, where))
		return nil
	}
	return e.readPeer(world, where, b)
}

// write puts b into what a peer lends, from an offset on.
func (e *engine) write(world int, where uint64, off int, b []byte) error {
	if e.a.inProcess() {
		if to := e.borrow(world, where); off <= len(to) {
			copy(to[off:], b)
		}
		return nil
	}
	return e.writePeer(world, where+uint64(off), b)
}
