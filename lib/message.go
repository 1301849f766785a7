package main

// #include "internal.h"
import "C"

import (
	"unsafe"

	"github.com/tutti-hpc/tutti/mpi"
)

// most is the longest buffer there can be; beyond it count times size might not be a number.
const most = 1 << 47

// typeOf is package mpi's word for a type.
func typeOf(t C.int32_t) mpi.Datatype { return mpi.Datatype(t - 1) }

// buffer sees count elements of memory as bytes. code is not 0 where that cannot be.
func buffer(p unsafe.Pointer, count C.int64_t, t C.int32_t) (b []byte, code C.int) {
	size := typeOf(t).Size()
	switch {
	case size == 0 || t < 1:
		return nil, C.TUTTI_ERR_TYPE
	case count < 0 || count > most/16:
		return nil, C.TUTTI_ERR_COUNT
	case count == 0:
		return nil, 0
	case p == nil:
		return nil, C.TUTTI_ERR_BUFFER
	}
	return unsafe.Slice((*byte)(p), int(count)*size), 0
}

// badBuffer is the error of a buffer that cannot be.
func (c *comm) badBuffer(code C.int, op string) C.int {
	switch code {
	case C.TUTTI_ERR_TYPE:
		return c.wrong(code, op, "there is no such type of elements")
	case C.TUTTI_ERR_COUNT:
		return c.wrong(code, op, "a count is negative or too large")
	}
	return c.wrong(code, op, "a buffer is NULL, its count is not 0")
}

// operand finds what a call is about: a communicator, and the buffer as bytes. Where one of them cannot
// be, c is nil and bad what the call returns.
func operand(h C.int32_t, op string, p unsafe.Pointer, count C.int64_t, t C.int32_t) (c *comm, b []byte, bad C.int) {
	if c, bad = lookup(h, op); c == nil {
		return nil, nil, bad
	}
	if b, bad = buffer(p, count, t); bad != 0 {
		return nil, nil, c.badBuffer(bad, op)
	}
	return c, b, 0
}

func fill(to *C.tutti_status, s mpi.Status, code C.int) {
	if to == nil {
		return
	}
	*to = C.tutti_status{source: C.int32_t(s.Source), tag: C.int32_t(s.Tag), error: C.int32_t(code), bytes: C.int64_t(s.Bytes)}
	if s.Cancelled {
		to.cancelled = 1
	}
}

//export tuttigo_send
func tuttigo_send(p unsafe.Pointer, count C.int64_t, t C.int32_t, to, tag C.int, h C.int32_t, sync C.int) C.int {
	c, b, bad := operand(h, "Send", p, count, t)
	if c == nil {
		return bad
	}
	if err := c.Raw.Send(b, typeOf(t), int(to), int(tag), sync != 0); err != nil {
		return c.fail(err)
	}
	return 0
}

//export tuttigo_recv
func tuttigo_recv(p unsafe.Pointer, count C.int64_t, t C.int32_t, from, tag C.int, h C.int32_t, status *C.tutti_status) C.int {
	c, b, bad := operand(h, "Recv", p, count, t)
	if c == nil {
		return bad
	}
	st, err := c.Raw.Recv(b, typeOf(t), int(from), int(tag))
	bad = c.result(err)
	fill(status, st, bad)
	return bad
}

//export tuttigo_sendrecv
func tuttigo_sendrecv(out unsafe.Pointer, outCount C.int64_t, outType C.int32_t, to, outTag C.int,
	in unsafe.Pointer, inCount C.int64_t, inType C.int32_t, from, inTag C.int, h C.int32_t, status *C.tutti_status) C.int {
	c, bad := lookup(h, "Sendrecv")
	if c == nil {
		return bad
	}
	b, bad := buffer(out, outCount, outType)
	if bad != 0 {
		return c.badBuffer(bad, "Sendrecv")
	}
	room, bad := buffer(in, inCount, inType)
	if bad != 0 {
		return c.badBuffer(bad, "Sendrecv")
	}
	return c.exchange(b, outType, to, outTag, room, inType, from, inTag, status)
}

// exchange sends and receives at once. When the send fails, the receive is taken back: the buffer
// returns to the caller.
func (c *comm) exchange(b []byte, outType C.int32_t, to, outTag C.int, room []byte, inType C.int32_t, from, inTag C.int, status *C.tutti_status) C.int {
	r, err := c.Raw.Irecv(room, typeOf(inType), int(from), int(inTag))
	if err != nil {
		return c.fail(err)
	}
	if err := c.Raw.Send(b, typeOf(outType), int(to), int(outTag), false); err != nil {
		_ = r.Cancel()
		_, _ = r.Wait()
		return c.fail(err)
	}
	st, err := r.Wait()
	bad := c.result(err)
	fill(status, st, bad)
	return bad
}

//export tuttigo_sendrecv_replace
func tuttigo_sendrecv_replace(p unsafe.Pointer, count C.int64_t, t C.int32_t, to, outTag, from, inTag C.int, h C.int32_t, status *C.tutti_status) C.int {
	c, b, bad := operand(h, "SendrecvReplace", p, count, t)
	if c == nil {
		return bad
	}
	return c.exchange(append([]byte(nil), b...), t, to, outTag, b, t, from, inTag, status)
}

//export tuttigo_probe
func tuttigo_probe(from, tag C.int, h C.int32_t, flag *C.int, status *C.tutti_status) C.int {
	c, bad := lookup(h, "Probe")
	if c == nil {
		return bad
	}
	if flag == nil {
		st, err := c.Probe(int(from), int(tag))
		if err != nil {
			return c.fail(err)
		}
		fill(status, st, 0)
		return 0
	}
	st, ok, err := c.Iprobe(int(from), int(tag))
	if err != nil {
		return c.fail(err)
	}
	if *flag = truth(ok); ok {
		fill(status, st, 0)
	}
	return 0
}

func truth(b bool) C.int {
	if b {
		return 1
	}
	return 0
}

// message is one set aside, with the communicator it came on.
type message struct {
	*mpi.Message
	c *comm
}

// messages: null, that of nobody, and those that probes have found.
var messages = newTable[message](2)

//export tuttigo_mprobe
func tuttigo_mprobe(from, tag C.int, h C.int32_t, flag *C.int, out *C.int32_t, status *C.tutti_status) C.int {
	c, bad := lookup(h, "Mprobe")
	if c == nil {
		return bad
	}
	var m *mpi.Message
	var err error
	ok := true
	if flag == nil {
		m, err = c.Mprobe(int(from), int(tag))
	} else {
		m, ok, err = c.Improbe(int(from), int(tag))
	}
	if err != nil {
		return c.fail(err)
	}
	if flag != nil {
		*flag = truth(ok)
	}
	if !ok {
		return 0
	}
	fill(status, m.Status(), 0)
	if from == C.TUTTI_PROC_NULL {
		*out = C.TUTTI_MESSAGE_NO_PROC
	} else if *out = messages.put(message{m, c}); *out == 0 {
		return c.wrong(C.TUTTI_ERR_FULL, "Mprobe", "there are too many messages set aside")
	}
	return 0
}

//export tuttigo_mrecv
func tuttigo_mrecv(p unsafe.Pointer, count C.int64_t, t C.int32_t, h C.int32_t, status *C.tutti_status) C.int {
	if h == C.TUTTI_MESSAGE_NO_PROC {
		fill(status, mpi.Status{Source: mpi.ProcNull, Tag: mpi.AnyTag}, 0)
		return 0
	}
	m := messages.get(h)
	if m == nil {
		return (*comm)(nil).wrong(C.TUTTI_ERR_REQUEST, "Mrecv", "%d is no message, or was received", h)
	}
	b, bad := buffer(p, count, t)
	if bad != 0 {
		return m.c.badBuffer(bad, "Mrecv")
	}
	messages.drop(h)
	st, err := mpi.Mrecv(m.Message, b)
	bad = m.c.result(err)
	fill(status, st, bad)
	return bad
}
