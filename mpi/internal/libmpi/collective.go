//go:build cgo && linux

package libmpi

// #include "glue.h"
import "C"

import (
	"math"
	"runtime"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// inPlace is the address that stands for MPI_IN_PLACE.
const inPlace = 1

// prepared is a collective call in the words of the glue, with the memory that it names.
type prepared struct {
	c       C.tutti_call
	call    device.Call
	scratch []byte
	arrays  [4]any // counts and displacements
	after   func() // what to do when the call is over; may be nil
}

// Do implements device.Comm.
func (c *comm) Do(call device.Call) error {
	if err := c.enter(); err != nil {
		return err
	}
	if c.w.opt.Check {
		if err := c.compare(&call); err != nil {
			return err
		}
	}
	var p prepared
	if err := c.prepare(&p, call); err != nil {
		return err
	}
	w := c.w
	w.doing.Store(int64(call.Kind) + 1)
	var err error
	if w.direct {
		err = fault(C.tutti_collective(p.c).err)
		runtime.KeepAlive(&p)
	} else {
		q := p // the goroutine may outlive this call
		err = w.aside(func() C.int {
			code := C.tutti_collective(q.c).err
			runtime.KeepAlive(&q)
			return code
		})
	}
	w.doing.Store(0)
	if p.after != nil && w.stop.Load() == nil {
		p.after()
	}
	return err
}

// Start implements device.Comm.
func (c *comm) Start(call device.Call) (device.Request, error) {
	if err := c.enter(); err != nil {
		return nil, err
	}
	if c.w.opt.Check {
		if err := c.compare(&call); err != nil {
			return nil, err
		}
	}
	if n := len(call.Send) / call.Type.Size(); call.Op != nil && call.Kind != device.ReduceScatter && int64(n) > c.w.most {
		return c.startInChunks(call)
	}
	return c.start(call)
}

// startInChunks begins a reduction of more elements than the library can count, as several.
func (c *comm) startInChunks(call device.Call) (device.Request, error) {
	b := new(batch)
	chunk := int(c.w.most) * call.Type.Size()
	for at := 0; at < len(call.Send); at += chunk {
		end := min(at+chunk, len(call.Send))
		part := call
		part.Send = call.Send[at:end]
		if len(call.Recv) > 0 {
			part.Recv = call.Recv[at:end]
		}
		r, err := c.start(part)
		if err != nil {
			return nil, err
		}
		b.parts = append(b.parts, r)
	}
	return b, nil
}

// start begins a collective operation by one call of the library.
func (c *comm) start(call device.Call) (*request, error) {
	var p prepared
	if err := c.prepare(&p, call); err != nil {
		return nil, err
	}
	p.c.start = 1
	r := &request{c: c, room: -1, what: what{"I" + call.Kind.String(), none, 0}, after: p.after}
	r.hold(p.call.Send)
	r.hold(p.call.Recv)
	r.hold(p.scratch)
	for _, a := range p.arrays {
		switch a := a.(type) {
		case []C.int:
			r.pin.Pin(&a[0])
		case []int:
			r.pin.Pin(&a[0])
		}
	}
	return r.begun(C.tutti_collective(p.c))
}

// compare finds collective calls that do not fit each other before they hang: all ranks show all
// what they are about to do.
func (c *comm) compare(call *device.Call) error {
	mine := call.Sign().Encode()
	all := make([]byte, len(mine)*c.Size())
	var p prepared
	if err := c.prepare(&p, device.Call{Kind: device.Allgather, Type: device.Uint8, Send: mine, Recv: all}); err != nil {
		return err
	}
	err := c.w.aside(func() C.int {
		code := C.tutti_collective(p.c).err
		runtime.KeepAlive(&p)
		return code
	})
	if err != nil {
		return err
	}
	return call.Sign().Against(all)
}

func same(a, b []byte) bool {
	return len(a) > 0 && len(b) > 0 && unsafe.SliceData(a) == unsafe.SliceData(b)
}

// prepare puts a call into the words of the glue.
func (c *comm) prepare(p *prepared, call device.Call) error {
	n, me, size := c.Size(), c.rank, call.Type.Size()
	root := call.Root == me
	elems := func(b []byte) C.int64_t { return C.int64_t(len(b) / size) }
	x := &p.c
	x.kind, x._type, x.op, x.root, x.comm = C.int32_t(call.Kind), C.int32_t(call.Type), -1, C.int32_t(call.Root), c.h
	if call.Kind == device.Alltoall && call.SendCounts != nil && same(call.Send, call.Recv) {
		call.Send = append([]byte(nil), call.Send...)
	}
	if call.Kind == device.Exscan && me == 0 {
		p.scratch = make([]byte, len(call.Send)) // what the library leaves in rank 0's buffer is not defined
		call.Recv = p.scratch
	}
	p.call = call
	x.send, x.recv = address(call.Send), address(call.Recv)
	switch call.Kind {
	case device.Barrier:
	case device.Bcast:
		x.recv_count = elems(call.Recv)
	case device.Reduce, device.Allreduce, device.Scan, device.Exscan:
		x.send_count = elems(call.Send)
		switch {
		case !same(call.Send, call.Recv) || call.Kind == device.Reduce && !root:
		case call.Kind == device.Reduce && call.Root != 0 && c.w.mpich:
			// MPICH 4.0 crashes in an in-place Reduce to another root than 0.
			p.scratch = append([]byte(nil), call.Send...)
			x.send = address(p.scratch)
		default:
			x.send = inPlace
		}
	case device.ReduceScatter:
		if same(call.Send, call.Recv) {
			x.send = inPlace
		}
	case device.Gather, device.Allgather:
		x.send_count = elems(call.Send)
		if call.Kind == device.Allgather || root {
			if call.RecvCounts == nil {
				x.recv_count = elems(call.Recv) / C.int64_t(n)
			}
			if same(call.Send, call.RecvBlock(me, n)) {
				x.send = inPlace
			}
		}
	case device.Scatter:
		x.recv_count = elems(call.Recv)
		if root {
			if call.SendCounts == nil {
				x.send_count = elems(call.Send) / C.int64_t(n)
			}
			if same(call.Recv, call.SendBlock(me, n)) {
				x.recv = inPlace
			}
		}
	case device.Alltoall:
		if call.SendCounts == nil {
			x.send_count, x.recv_count = elems(call.Send)/C.int64_t(n), elems(call.Recv)/C.int64_t(n)
			if same(call.Send, call.Recv) {
				x.send = inPlace
			}
		}
	}
	if err := c.counts(p, &call); err != nil {
		return err
	}
	if call.Op != nil {
		return c.w.ops.choose(p, call.Op, call.Type)
	}
	return nil
}

// counts hands the arrays of counts over, as int where all fit.
func (c *comm) counts(p *prepared, call *device.Call) error {
	x := &p.c
	from := [4][]int{call.SendCounts, call.SendDispls, call.RecvCounts, call.RecvDispls}
	to := [4]*C.uintptr_t{&x.send_counts, &x.send_displs, &x.recv_counts, &x.recv_displs}
	highest := max(int(x.send_count), int(x.recv_count))
	for _, a := range from {
		for _, v := range a {
			highest = max(highest, v)
		}
	}
	arrays := call.Vector || call.Kind == device.ReduceScatter
	if highest > math.MaxInt32 && arrays && c.w.most != math.MaxInt64 {
		return device.Errorf(tutti.Unsupported, "a count or displacement of %d: this MPI library goes to %d there", highest, math.MaxInt32)
	}
	if highest > math.MaxInt32 && c.w.most == math.MaxInt64 {
		x.wide = 1
	}
	if !arrays {
		return nil
	}
	for i, a := range from {
		// A rank whose arrays do not matter hands some over all the same, to call the same function.
		if a == nil && !(call.Kind == device.Gather && i >= 2) && !(call.Kind == device.Scatter && i < 2) {
			continue
		}
		if x.wide != 0 {
			wide := append([]int(nil), a...)
			wide = append(wide, make([]int, max(0, c.Size()-len(a)))...)
			p.arrays[i], *to[i] = wide, C.uintptr_t(uintptr(unsafe.Pointer(&wide[0])))
			continue
		}
		narrow := make([]C.int, c.Size())
		for r, v := range a {
			narrow[r] = C.int(v)
		}
		p.arrays[i], *to[i] = narrow, C.uintptr_t(uintptr(unsafe.Pointer(&narrow[0])))
	}
	return nil
}
