package shmdev

import (
	"encoding/binary"
	"unsafe"

	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// directMin is the length from which a reduction for all reads the contributions where they lie,
// in the other processes, rather than through shared buffers.
const directMin = 128 << 10

// reduceDirect is reduceLong between processes that may read each other's memory: each rank
// combines its part of all contributions, and then fetches the other parts of the result. Ranks
// only read from each other, so one that gives up harms nobody. done is false where some rank
// cannot reach another; all ranks agree in that.
func (c *comm) reduceDirect(call *device.Call) (done bool, err error) {
	at, done, err := c.exchangePlaces(call)
	if err != nil || !done {
		return done, err
	}
	defer func() {
		if err != nil {
			err = c.reason(err)
		}
	}()
	n, size := len(c.members), call.Type.Size()
	elems := len(call.Send) / size
	part := func(r int) (lo, hi int) { return elems * r / n * size, elems * (r + 1) / n * size }
	lo, hi := part(c.rank)
	for step := bigMax / size * size; lo < hi; lo += step {
		if err := c.combineDirect(call, at, lo, min(lo+step, hi)); err != nil {
			return true, err
		}
	}
	c.publish(c.step + 1)
	if err := c.gathered(c.step, device.Allreduce); err != nil {
		return true, err
	}
	for i := 1; i < n; i++ {
		r := (c.rank + i) % n
		lo, hi := part(r)
		if err := c.e.readPeer(c.members[r], at[r][1]+uint64(lo), call.Recv[lo:hi]); err != nil {
			return true, err
		}
	}
	// Nobody may touch his result before all have fetched their parts of it.
	c.leave(c.step)
	c.publish(c.step + 1)
	err = c.gathered(c.step, device.Allreduce)
	c.leave(c.step)
	return true, err
}

// reason is why the communicator is broken, if it is: then a peer's memory could not be read because
// the peer has died, or has given up the call that it lent it for.
func (c *comm) reason(err error) error {
	if e := c.e; e.hdr.epoch.Load() != e.epoch {
		e.news()
	}
	if c.broken != nil {
		return c.broken
	}
	return err
}

// exchangePlaces tells all ranks where the buffers of all lie: those to send and to receive.
func (c *comm) exchangePlaces(call *device.Call) (at [][2]uint64, ok bool, err error) {
	s := c.step + 1
	a, err := c.mine(s, device.Allreduce)
	if err != nil {
		return nil, false, err
	}
	able := uint64(1)
	for _, w := range c.members {
		if w != c.e.me && !c.e.reaches(w) {
			able = 0
		}
	}
	b := a.small[s&1][:]
	binary.NativeEndian.PutUint64(b, able)
	binary.NativeEndian.PutUint64(b[8:], uint64(uintptr(unsafe.Pointer(unsafe.SliceData(call.Send)))))
	binary.NativeEndian.PutUint64(b[16:], uint64(uintptr(unsafe.Pointer(unsafe.SliceData(call.Recv)))))
	c.publish(s)
	if err := c.gathered(s, device.Allreduce); err != nil {
		return nil, false, err
	}
	at, ok = make([][2]uint64, len(c.members)), true
	for r := range at {
		b := c.shared.ranks[r].small[s&1][:]
		ok = ok && binary.NativeEndian.Uint64(b) == 1
		at[r] = [2]uint64{binary.NativeEndian.Uint64(b[8:]), binary.NativeEndian.Uint64(b[16:])}
	}
	c.leave(s)
	return at, ok, nil
}

// combineDirect reduces one piece in the order of ranks. The large buffers serve as scratch:
// nobody reads them, since everybody has come here.
func (c *comm) combineDirect(call *device.Call, at [][2]uint64, lo, hi int) error {
	own := &c.shared.ranks[c.rank]
	acc, in := own.big[0][:hi-lo], own.big[1][:hi-lo]
	fetch := func(r int, into []byte) ([]byte, error) {
		if r == c.rank {
			return call.Send[lo:hi], nil
		}
		return into, c.e.readPeer(c.members[r], at[r][0]+uint64(lo), into)
	}
	sum, err := fetch(0, acc)
	for r := 1; r < len(c.members) && err == nil; r++ {
		var b []byte
		if b, err = fetch(r, in); err == nil {
			call.Op.Apply(acc, sum, b)
			sum = acc
		}
	}
	copy(call.Recv[lo:hi], acc)
	return err
}
