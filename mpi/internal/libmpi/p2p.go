//go:build cgo && linux

package libmpi

// #include "glue.h"
import "C"

import (
	"runtime"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// tagTooHigh is the error for a tag that the library cannot carry.
func (c *comm) tagTooHigh(tag int) error {
	return device.Errorf(tutti.Unsupported, "tag %d: the highest that %s carries is %d", tag, libraryName(), c.w.tagUB)
}

// Send implements device.Comm.
func (c *comm) Send(buf []byte, t device.Type, to, tag int, m device.Mode) error {
	if err := c.enter(); err != nil {
		return err
	}
	if tag > c.w.tagUB {
		return c.tagTooHigh(tag)
	}
	res := C.tutti_send(address(buf), C.int64_t(len(buf)/t.Size()), C.int(t), C.int(to), C.int(tag), C.int(m), c.h, c.w.spins, c.w.yield)
	if res.done != 0 {
		runtime.KeepAlive(buf)
		return fault(res.err)
	}
	r := &request{c: c, h: res.handle, room: -1, what: what{"Send to", to, tag}}
	r.hold(buf)
	_, err := r.finish()
	return err
}

// finish waits for a request that has been asked for in vain for some time.
func (r *request) finish() (device.Status, error) {
	if err := r.c.w.await([]*request{r}, 1); err != nil && !r.done {
		r.abandon(err)
	}
	return r.st, r.err
}

// Recv implements device.Comm.
func (c *comm) Recv(buf []byte, t device.Type, from, tag int) (device.Status, error) {
	if err := c.enter(); err != nil {
		return device.Status{}, err
	}
	if tag > c.w.tagUB {
		return device.Status{}, c.tagTooHigh(tag)
	}
	if c.w.opt.Check {
		return c.recvChecked(buf, from, tag)
	}
	res := C.tutti_recv(address(buf), C.int64_t(len(buf)/t.Size()), C.int(t), C.int(from), C.int(tag), c.h, c.w.spins, c.w.yield)
	if res.done != 0 && res.err == 0 {
		runtime.KeepAlive(buf)
		return statusOf(res, len(buf)), nil
	}
	r := &request{c: c, h: res.handle, room: len(buf), what: what{"Recv from", from, tag}}
	r.hold(buf)
	if res.done != 0 {
		r.settle(res)
		return r.st, r.err
	}
	return r.finish()
}

// recvChecked looks how long a message is before it receives it. Libraries may leave the buffer
// empty where the message is too long for it, or crash.
func (c *comm) recvChecked(buf []byte, from, tag int) (device.Status, error) {
	m, _, err := c.Mprobe(from, tag, true)
	if err != nil {
		return device.Status{}, err
	}
	st := m.Status()
	if st.Bytes <= len(buf) {
		return m.Recv(buf)
	}
	all := make([]byte, st.Bytes)
	if _, err := m.Recv(all); err != nil {
		return st, err
	}
	st.Bytes = copy(buf, all)
	return st, device.Errorf(tutti.Truncated, "the message has %d bytes, the buffer %d", len(all), len(buf))
}

// Isend implements device.Comm.
func (c *comm) Isend(buf []byte, t device.Type, to, tag int, m device.Mode) (device.Request, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	if tag > c.w.tagUB {
		return nil, c.tagTooHigh(tag)
	}
	r := &request{c: c, room: -1, what: what{"Isend to", to, tag}}
	r.hold(buf)
	return r.begun(C.tutti_send(address(buf), C.int64_t(len(buf)/t.Size()), C.int(t), C.int(to), C.int(tag), C.int(m), c.h, 1, 1))
}

// begun takes the result of an operation that was begun.
func (r *request) begun(res C.tutti_result) (*request, error) {
	if res.done != 0 {
		r.settle(res)
		if r.err != nil && r.room < 0 {
			return nil, r.err
		}
	}
	r.h = res.handle
	return r, nil
}

// Irecv implements device.Comm.
func (c *comm) Irecv(buf []byte, t device.Type, from, tag int) (device.Request, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	if tag > c.w.tagUB {
		return nil, c.tagTooHigh(tag)
	}
	r := &request{c: c, room: len(buf), what: what{"Irecv from", from, tag}}
	r.hold(buf)
	return r.begun(C.tutti_recv(address(buf), C.int64_t(len(buf)/t.Size()), C.int(t), C.int(from), C.int(tag), c.h, 0, 1))
}

// probe looks for a message, as long as it takes if it is to block.
func (c *comm) probe(from, tag int, matched C.int, block bool) (C.tutti_result, bool, error) {
	var res C.tutti_result
	if tag > c.w.tagUB {
		return res, false, c.tagTooHigh(tag)
	}
	questions := C.int(1)
	if block {
		questions = c.w.spins
	}
	for {
		if err := c.enter(); err != nil {
			return res, false, err
		}
		res = C.tutti_probe(C.int(from), C.int(tag), c.h, matched, questions, c.w.yield)
		if res.done != 0 || !block {
			return res, res.done != 0, fault(res.err)
		}
		runtime.Gosched()
	}
}

// Probe implements device.Comm.
func (c *comm) Probe(from, tag int) (device.Status, error) {
	res, _, err := c.probe(from, tag, 0, true)
	if err != nil {
		return device.Status{}, err
	}
	return statusOf(res, -1), nil
}

// Iprobe implements device.Comm.
func (c *comm) Iprobe(from, tag int) (device.Status, bool, error) {
	res, ok, err := c.probe(from, tag, 0, false)
	if err != nil || !ok {
		return device.Status{}, false, err
	}
	return statusOf(res, -1), true, nil
}

// message is one that the library has set aside.
type message struct {
	c  *comm
	h  C.tutti_handle
	st device.Status
}

// Mprobe implements device.Comm.
func (c *comm) Mprobe(from, tag int, block bool) (device.Message, bool, error) {
	res, ok, err := c.probe(from, tag, 1, block)
	if err != nil || !ok {
		return nil, false, err
	}
	return &message{c, res.handle, statusOf(res, -1)}, true, nil
}

// Status implements device.Message.
func (m *message) Status() device.Status { return m.st }

// Recv implements device.Message.
func (m *message) Recv(buf []byte) (device.Status, error) {
	c := m.c
	if c == nil {
		return device.Status{}, device.Errorf(tutti.Closed, "the message has been received")
	}
	m.c = nil
	if err := c.enter(); err != nil {
		return device.Status{}, err
	}
	r := &request{c: c, room: len(buf), what: what{"Mrecv from", m.st.Source, m.st.Tag}}
	r.hold(buf)
	res := C.tutti_mrecv(address(buf), C.int64_t(len(buf)), C.int(device.Uint8), m.h, c.w.spins, c.w.yield)
	if res.done != 0 {
		r.settle(res)
		return r.st, r.err
	}
	r.h = res.handle
	return r.finish()
}
