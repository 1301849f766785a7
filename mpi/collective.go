package mpi

import (
	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// do carries out a collective call.
func (c *Comm) do(call device.Call, err error) error {
	if err == nil {
		err = c.dev.Do(call)
	}
	if err != nil {
		return c.failedWith(call.Kind.String(), call.Root, -1, err)
	}
	return nil
}

// start begins one.
func (c *Comm) start(call device.Call, err error) (*Request, error) {
	op := "I" + call.Kind.String()
	var d device.Request
	if err == nil {
		d, err = c.dev.Start(call)
	}
	if err != nil {
		return nil, c.failedWith(op, call.Root, -1, err)
	}
	return &Request{c: c, dev: d, op: op, peer: call.Root, tag: -1}, nil
}

func (c *Comm) root(root int) error {
	if root < 0 || root >= c.size {
		return device.Errorf(tutti.Invalid, "there is no root %d: the communicator has %d ranks", root, c.size)
	}
	return nil
}

func lengths(what string, have, want int) error {
	if have < want {
		return device.Errorf(tutti.Invalid, "%s has %d elements, %d are needed", what, have, want)
	}
	return nil
}

// The functions below make the value of a call and check what can be checked on one rank.

func barrier() device.Call { return device.Call{Kind: device.Barrier, Root: -1} }

func bcast[T Elem](c *Comm, buf []T, root int) (device.Call, error) {
	return device.Call{Kind: device.Bcast, Type: typeOf[T](), Recv: device.Bytes(buf), Root: root}, c.root(root)
}

func reduce[T Elem](c *Comm, k device.Kind, send, recv []T, op Op, root int) (device.Call, error) {
	call := device.Call{Kind: k, Type: typeOf[T](), Send: device.Bytes(send), Root: root}
	d, err := reduction(op, call.Type)
	call.Op = d
	if err == nil && k == device.Reduce {
		err = c.root(root)
	}
	if k == device.Reduce && c.rank != root || k == device.Exscan && c.rank == 0 && len(recv) == 0 {
		return call, err
	}
	if err == nil {
		err = lengths("the receive buffer", len(recv), len(send))
	}
	if err == nil {
		call.Recv = device.Bytes(recv[:len(send)])
	}
	return call, err
}

func gather[T Elem](c *Comm, k device.Kind, send, recv []T, root int) (device.Call, error) {
	call := device.Call{Kind: k, Type: typeOf[T](), Send: device.Bytes(send), Root: root}
	if k == device.Gather {
		if err := c.root(root); err != nil || c.rank != root {
			return call, err
		}
	}
	err := lengths("the receive buffer", len(recv), c.size*len(send))
	if err == nil {
		call.Recv = device.Bytes(recv[:c.size*len(send)])
	}
	return call, err
}

func scatter[T Elem](c *Comm, send, recv []T, root int) (device.Call, error) {
	call := device.Call{Kind: device.Scatter, Type: typeOf[T](), Recv: device.Bytes(recv), Root: root}
	if err := c.root(root); err != nil || c.rank != root {
		return call, err
	}
	err := lengths("the send buffer", len(send), c.size*len(recv))
	if err == nil {
		call.Send = device.Bytes(send[:c.size*len(recv)])
	}
	return call, err
}

func alltoall[T Elem](c *Comm, send, recv []T) (device.Call, error) {
	call := device.Call{Kind: device.Alltoall, Type: typeOf[T](), Send: device.Bytes(send), Root: -1}
	if len(send)%c.size != 0 {
		return call, device.Errorf(tutti.Invalid, "%d elements cannot be dealt to %d ranks", len(send), c.size)
	}
	err := lengths("the receive buffer", len(recv), len(send))
	if err == nil {
		call.Recv = device.Bytes(recv[:len(send)])
	}
	return call, err
}

// layout checks counts and displacements of all ranks against a buffer of length n; without
// displacements blocks lie one behind the other.
func (c *Comm) layout(n int, counts, displs []int) ([]int, error) {
	if len(counts) != c.size || displs != nil && len(displs) != c.size {
		return nil, device.Errorf(tutti.Invalid, "%d counts and %d displacements for %d ranks", len(counts), len(displs), c.size)
	}
	if displs == nil {
		displs = make([]int, c.size)
		for r := 1; r < c.size; r++ {
			displs[r] = displs[r-1] + counts[r-1]
		}
	}
	for r, k := range counts {
		if k < 0 || displs[r] < 0 || displs[r] > n-k {
			return nil, device.Errorf(tutti.Invalid, "the block of rank %d, %d elements from %d, lies outside the buffer of %d", r, k, displs[r], n)
		}
	}
	return displs, nil
}

// Barrier returns when all ranks have called it. Collective, as all of these.
func (c *Comm) Barrier() error { return c.do(barrier(), nil) }

// Bcast copies buf of the root to buf of all others, which has the same length there.
func Bcast[T Elem](c *Comm, buf []T, root int) error { return c.do(bcast(c, buf, root)) }

// Reduce combines the send buffers of all ranks, element by element, into recv of the root; the
// others' recv is not used. send may be recv. Results are combined in the order of ranks unless
// op commutes.
func Reduce[T Elem](c *Comm, send, recv []T, op Op, root int) error {
	return c.do(reduce(c, device.Reduce, send, recv, op, root))
}

// Allreduce is Reduce with the result on all ranks.
func Allreduce[T Elem](c *Comm, send, recv []T, op Op) error {
	return c.do(reduce(c, device.Allreduce, send, recv, op, -1))
}

// Scan gives each rank the combination of the contributions of ranks up to its own. send may be recv.
func Scan[T Elem](c *Comm, send, recv []T, op Op) error {
	return c.do(reduce(c, device.Scan, send, recv, op, -1))
}

// Exscan is Scan without the rank's own contribution; recv of rank 0 is left as it is.
func Exscan[T Elem](c *Comm, send, recv []T, op Op) error {
	return c.do(reduce(c, device.Exscan, send, recv, op, -1))
}

// ReduceScatter combines as Reduce does and deals the result out: counts[r] elements to rank r,
// whose recv has room for them.
func ReduceScatter[T Elem](c *Comm, send, recv []T, counts []int, op Op) error {
	call := device.Call{Kind: device.ReduceScatter, Type: typeOf[T](), Root: -1, RecvCounts: counts}
	displs, err := c.layout(len(send), counts, nil)
	if err == nil {
		call.RecvDispls = displs
		call.Send = device.Bytes(send[:displs[c.size-1]+counts[c.size-1]])
		err = lengths("the receive buffer", len(recv), counts[c.rank])
	}
	if err == nil {
		call.Recv = device.Bytes(recv[:counts[c.rank]])
		call.Op, err = reduction(op, call.Type)
	}
	return c.do(call, err)
}

// ReduceScatterBlock is ReduceScatter with len(recv) elements for each rank.
func ReduceScatterBlock[T Elem](c *Comm, send, recv []T, op Op) error {
	counts := make([]int, c.size)
	for r := range counts {
		counts[r] = len(recv)
	}
	return ReduceScatter(c, send, recv, counts, op)
}

// Gather puts the send buffers of all ranks, of equal length, one behind the other into recv of the root. send
// may be the rank's own part of recv.
func Gather[T Elem](c *Comm, send, recv []T, root int) error {
	return c.do(gather(c, device.Gather, send, recv, root))
}

// Allgather is Gather with the result on all ranks.
func Allgather[T Elem](c *Comm, send, recv []T) error {
	return c.do(gather(c, device.Allgather, send, recv, -1))
}

// Scatter deals the root's send buffer out, len(recv) elements to each rank. recv may be the
// rank's own part of send.
func Scatter[T Elem](c *Comm, send, recv []T, root int) error {
	return c.do(scatter(c, send, recv, root))
}

// Alltoall sends the r-th part of send to rank r and receives the r-th part of recv from it.
// send may be recv.
func Alltoall[T Elem](c *Comm, send, recv []T) error { return c.do(alltoall(c, send, recv)) }

// Gatherv is Gather of buffers of unequal length: counts[r] elements of rank r go to recv from
// displs[r] on; without displs they lie one behind the other. Only the root's recv, counts and
// displs are used.
func Gatherv[T Elem](c *Comm, send, recv []T, counts, displs []int, root int) error {
	call := device.Call{Kind: device.Gather, Type: typeOf[T](), Send: device.Bytes(send), Root: root, Vector: true}
	err := c.root(root)
	if err == nil && c.rank == root {
		call.Recv, call.RecvCounts = device.Bytes(recv), counts
		call.RecvDispls, err = c.layout(len(recv), counts, displs)
	}
	return c.do(call, err)
}

// Scatterv is Scatter of unequal parts: counts[r] elements from displs[r] on go to rank r, whose
// recv has just that length. Only the root's send, counts and displs are used.
func Scatterv[T Elem](c *Comm, send []T, counts, displs []int, recv []T, root int) error {
	call := device.Call{Kind: device.Scatter, Type: typeOf[T](), Recv: device.Bytes(recv), Root: root, Vector: true}
	err := c.root(root)
	if err == nil && c.rank == root {
		call.Send, call.SendCounts = device.Bytes(send), counts
		call.SendDispls, err = c.layout(len(send), counts, displs)
	}
	return c.do(call, err)
}

// Allgatherv is Gatherv with the result, and so counts and displs, on all ranks.
func Allgatherv[T Elem](c *Comm, send, recv []T, counts, displs []int) error {
	call := device.Call{Kind: device.Allgather, Type: typeOf[T](), Root: -1, Vector: true,
		Send: device.Bytes(send), Recv: device.Bytes(recv), RecvCounts: counts}
	var err error
	call.RecvDispls, err = c.layout(len(recv), counts, displs)
	if err == nil && counts[c.rank] != len(send) {
		err = device.Errorf(tutti.Invalid, "counts say %d elements for this rank, it sends %d", counts[c.rank], len(send))
	}
	return c.do(call, err)
}

// Alltoallv is Alltoall of unequal parts.
func Alltoallv[T Elem](c *Comm, send []T, sendCounts, sendDispls []int, recv []T, recvCounts, recvDispls []int) error {
	call := device.Call{Kind: device.Alltoall, Type: typeOf[T](), Root: -1, Vector: true,
		Send: device.Bytes(send), SendCounts: sendCounts, Recv: device.Bytes(recv), RecvCounts: recvCounts}
	var err error
	if call.SendDispls, err = c.layout(len(send), sendCounts, sendDispls); err == nil {
		call.RecvDispls, err = c.layout(len(recv), recvCounts, recvDispls)
	}
	return c.do(call, err)
}
