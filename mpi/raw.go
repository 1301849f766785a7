package mpi

import (
	"context"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
	"github.com/tutti-hpc/tutti/mpi/internal/shmdev"
)

// What follows is for bindings of other languages, whose buffers are bytes and whose types are
// numbers. It does what the typed functions do, with the same checks and errors.

// Datatype is the type of the elements of a buffer of bytes.
type Datatype uint8

// The types that [Elem] lists; a Loc is a value padded to 8 bytes and an int64.
const (
	TypeInt8       = Datatype(device.Int8)
	TypeInt16      = Datatype(device.Int16)
	TypeInt32      = Datatype(device.Int32)
	TypeInt64      = Datatype(device.Int64)
	TypeUint8      = Datatype(device.Uint8)
	TypeUint16     = Datatype(device.Uint16)
	TypeUint32     = Datatype(device.Uint32)
	TypeUint64     = Datatype(device.Uint64)
	TypeFloat32    = Datatype(device.Float32)
	TypeFloat64    = Datatype(device.Float64)
	TypeComplex64  = Datatype(device.Complex64)
	TypeComplex128 = Datatype(device.Complex128)
	TypeBool       = Datatype(device.Bool)
	TypeLocInt32   = Datatype(device.LocInt32)
	TypeLocInt64   = Datatype(device.LocInt64)
	TypeLocFloat32 = Datatype(device.LocFloat32)
	TypeLocFloat64 = Datatype(device.LocFloat64)
	datatypes      = Datatype(device.Types)
)

// Size is the number of bytes of an element, 0 for a number that is no type.
func (t Datatype) Size() int {
	if t >= datatypes {
		return 0
	}
	return device.Type(t).Size()
}

// Collective names a collective operation; the v forms are those whose counts are given.
type Collective uint8

// The collective operations.
const (
	CollBarrier       = Collective(device.Barrier)
	CollBcast         = Collective(device.Bcast)
	CollReduce        = Collective(device.Reduce)
	CollAllreduce     = Collective(device.Allreduce)
	CollGather        = Collective(device.Gather)
	CollScatter       = Collective(device.Scatter)
	CollAllgather     = Collective(device.Allgather)
	CollAlltoall      = Collective(device.Alltoall)
	CollScan          = Collective(device.Scan)
	CollExscan        = Collective(device.Exscan)
	CollReduceScatter = Collective(device.ReduceScatter)
)

// RawCall is a collective call as a value. Counts and displacements are in elements; nil counts
// mean equal blocks. ReduceScatter has its counts in RecvCounts. What a rank's part in the call
// does not need is not looked at.
type RawCall struct {
	Kind                                           Collective
	Type                                           Datatype
	Op                                             Op
	Root                                           int
	Vector                                         bool // a v form, on ranks too that need no counts
	Send, Recv                                     []byte
	SendCounts, SendDispls, RecvCounts, RecvDispls []int
}

// Raw is a communicator with operations on bytes. Buffers must be aligned for their elements
// where values are computed.
type Raw struct{ *Comm }

// Send is [Send], or with sync [Ssend].
func (r Raw) Send(buf []byte, t Datatype, to, tag int, sync bool) error {
	c, op, mode := r.Comm, "Send", device.Standard
	if sync {
		op, mode = "Ssend", device.Synchronous
	}
	if err := c.checkTo(op, to, tag); err != nil || to == ProcNull {
		return err
	}
	if err := c.dev.Send(buf, device.Type(t), to, tag, mode); err != nil {
		return c.failedWith(op, to, tag, err)
	}
	return nil
}

// Recv is [Recv].
func (r Raw) Recv(buf []byte, t Datatype, from, tag int) (Status, error) {
	c := r.Comm
	if err := c.checkFrom("Recv", from, tag); err != nil || from == ProcNull {
		return nobody, err
	}
	st, err := c.dev.Recv(buf, device.Type(t), from, tag)
	if err != nil {
		return statusOf(st), c.failedWith("Recv", from, tag, err)
	}
	return statusOf(st), nil
}

// Isend is [Isend], or with sync [Issend].
func (r Raw) Isend(buf []byte, t Datatype, to, tag int, sync bool) (*Request, error) {
	c, op, mode := r.Comm, "Isend", device.Standard
	if sync {
		op, mode = "Issend", device.Synchronous
	}
	if err := c.checkTo(op, to, tag); err != nil || to == ProcNull {
		return &Request{c: c, st: nobody}, err
	}
	d, err := c.dev.Isend(buf, device.Type(t), to, tag, mode)
	if err != nil {
		return nil, c.failedWith(op, to, tag, err)
	}
	return &Request{c: c, dev: d, op: op, peer: to, tag: tag}, nil
}

// Irecv is [Irecv].
func (r Raw) Irecv(buf []byte, t Datatype, from, tag int) (*Request, error) {
	c := r.Comm
	if err := c.checkFrom("Irecv", from, tag); err != nil || from == ProcNull {
		return &Request{c: c, st: nobody}, err
	}
	d, err := c.dev.Irecv(buf, device.Type(t), from, tag)
	if err != nil {
		return nil, c.failedWith("Irecv", from, tag, err)
	}
	return &Request{c: c, dev: d, op: "Irecv", peer: from, tag: tag}, nil
}

// Do carries out a collective call.
func (r Raw) Do(q RawCall) error { return r.do(r.call(q)) }

// Start begins one.
func (r Raw) Start(q RawCall) (*Request, error) { return r.start(r.call(q)) }

// call checks what can be checked on one rank.
func (r Raw) call(q RawCall) (device.Call, error) {
	c, t := r.Comm, device.Type(q.Type)
	call := device.Call{Kind: device.Kind(q.Kind), Type: t, Root: -1, Vector: q.Vector, Send: q.Send, Recv: q.Recv}
	if q.Kind > CollReduceScatter || q.Type >= datatypes {
		return device.Call{}, device.Errorf(tutti.Invalid, "there is no collective operation %d of type %d", q.Kind, q.Type)
	}
	root := true // whether this rank does what the root does; all do where there is none
	switch q.Kind {
	case CollBcast, CollReduce, CollGather, CollScatter:
		if call.Root = q.Root; c.root(q.Root) != nil {
			return call, c.root(q.Root)
		}
		root = c.rank == q.Root
	}
	switch q.Kind {
	case CollReduce, CollAllreduce, CollScan, CollExscan:
		return r.reduction(call, q, root)
	case CollReduceScatter:
		return r.deal(call, q)
	case CollGather, CollAllgather:
		return r.collect(call, q, root)
	case CollScatter:
		if !root {
			call.Send = nil
			return call, nil
		}
		return r.blocks(call, q, len(q.Recv)*c.size, 0)
	case CollAlltoall:
		return r.blocks(call, q, len(q.Send), len(q.Send))
	}
	return call, nil
}

func (r Raw) reduction(call device.Call, q RawCall, root bool) (device.Call, error) {
	var err error
	if call.Op, err = reduction(q.Op, call.Type); err != nil {
		return call, err
	}
	if !root || q.Kind == CollExscan && r.rank == 0 && len(q.Recv) == 0 {
		call.Recv = nil
		return call, nil
	}
	if err := lengths("the receive buffer", len(q.Recv), len(q.Send)); err != nil {
		return call, err
	}
	call.Recv = q.Recv[:len(q.Send)]
	return call, nil
}

func (r Raw) deal(call device.Call, q RawCall) (device.Call, error) {
	size := call.Type.Size()
	displs, err := r.layout(len(q.Send)/size, q.RecvCounts, nil)
	if err != nil {
		return call, err
	}
	n := q.RecvCounts[r.rank] * size
	if err := lengths("the receive buffer", len(q.Recv), n); err != nil {
		return call, err
	}
	call.Send = q.Send[:(displs[r.size-1]+q.RecvCounts[r.size-1])*size]
	call.Recv, call.RecvCounts, call.RecvDispls = q.Recv[:n], q.RecvCounts, displs
	call.Op, err = reduction(q.Op, call.Type)
	return call, err
}

func (r Raw) collect(call device.Call, q RawCall, root bool) (device.Call, error) {
	if !root {
		call.Recv = nil
		return call, nil
	}
	if q.Kind == CollAllgather && len(q.RecvCounts) == r.size && q.RecvCounts[r.rank]*call.Type.Size() != len(q.Send) {
		return call, device.Errorf(tutti.Invalid, "counts say %d elements for this rank, it sends %d", q.RecvCounts[r.rank], len(q.Send)/call.Type.Size())
	}
	return r.blocks(call, q, 0, len(q.Send)*r.size)
}

// blocks holds the buffers against their counts, or against the lengths that equal blocks need.
func (r Raw) blocks(call device.Call, q RawCall, send, recv int) (device.Call, error) {
	var err error
	size := call.Type.Size()
	if q.SendCounts != nil {
		call.SendCounts = q.SendCounts
		if call.SendDispls, err = r.layout(len(q.Send)/size, q.SendCounts, q.SendDispls); err != nil {
			return call, err
		}
	} else if send > 0 {
		if err := lengths("the send buffer", len(q.Send), send); err != nil {
			return call, err
		}
		call.Send = q.Send[:send]
	}
	if q.RecvCounts != nil {
		call.RecvCounts = q.RecvCounts
		call.RecvDispls, err = r.layout(len(q.Recv)/size, q.RecvCounts, q.RecvDispls)
	} else if recv > 0 {
		if err = lengths("the receive buffer", len(q.Recv), recv); err == nil {
			call.Recv = q.Recv[:recv]
		}
	}
	if q.Kind == CollAlltoall && q.SendCounts == nil && len(q.Send)/size%r.size != 0 {
		err = device.Errorf(tutti.Invalid, "%d elements cannot be dealt to %d ranks", len(q.Send)/size, r.size)
	}
	return call, err
}

// RawOp makes an Op for elements of one type of a function that sets inout to in op inout, in
// coming from lower ranks. in and inout are equally long and do not overlap.
func RawOp(t Datatype, commutes bool, f func(in, inout []byte)) Op {
	apply := func(dst, a, b []byte) {
		switch {
		case len(dst) == 0:
		case &dst[0] == &a[0]: // what is still to be read would be overwritten
			acc := append([]byte(nil), b...)
			f(a, acc)
			copy(dst, acc)
		default:
			if &dst[0] != &b[0] {
				copy(dst, b)
			}
			f(a, dst)
		}
	}
	return own{device.Type(t), &device.Op{Code: device.User, Commutes: commutes, Apply: apply}}
}

// sharer is a communicator of a device that lets C pass short messages by itself.
type sharer interface {
	Share(handle int32, f *shmdev.FastComm, memory shmdev.FastMemory) bool
	Unshare()
}

// Share lets code in C pass short messages on the communicator without calling Go, on devices
// where that is possible: ok says so. at is memory for a shmdev.FastComm, which is described there and in
// lib/fast.c; memory gives more.
func (r Raw) Share(handle int32, at unsafe.Pointer, memory func(bytes int) unsafe.Pointer) (ok bool) {
	d, ok := r.dev.(sharer)
	return ok && d.Share(handle, (*shmdev.FastComm)(at), memory)
}

// Unshare takes the communicator from C. It must be called before the communicator is freed.
func (r Raw) Unshare() {
	if d, ok := r.dev.(sharer); ok {
		d.Unshare()
	}
}

// Alone makes a communicator of this process alone, without talking to anybody.
func Alone(ctx context.Context) *Comm {
	c := newWorld(shmdev.Local(ctx, 1, options())[0]).comm
	c.SetName("self")
	return c
}

// InitWithin is [Init] for a library inside a program of another language, to which signals
// belong: none is caught, and SIGUSR1 does not print who waits for what.
func InitWithin(ctx context.Context) (*Comm, error) {
	process.Lock()
	process.guest = true
	process.Unlock()
	return Init(ctx)
}
