package mpi

import "github.com/tutti-hpc/tutti/mpi/internal/device"

// The non-blocking collective operations begin what their blocking forms do; their buffers must
// not be touched until the request is done. They may overlap with each other and with anything
// else, as long as all ranks begin the collective operations of a communicator in the same order.

// Ibarrier begins a Barrier.
func (c *Comm) Ibarrier() (*Request, error) { return c.start(barrier(), nil) }

// Ibcast begins a [Bcast].
func Ibcast[T Elem](c *Comm, buf []T, root int) (*Request, error) {
	return c.start(bcast(c, buf, root))
}

// Ireduce begins a [Reduce].
func Ireduce[T Elem](c *Comm, send, recv []T, op Op, root int) (*Request, error) {
	return c.start(reduce(c, device.Reduce, send, recv, op, root))
}

// Iallreduce begins an [Allreduce].
func Iallreduce[T Elem](c *Comm, send, recv []T, op Op) (*Request, error) {
	return c.start(reduce(c, device.Allreduce, send, recv, op, -1))
}

// Igather begins a [Gather].
func Igather[T Elem](c *Comm, send, recv []T, root int) (*Request, error) {
	return c.start(gather(c, device.Gather, send, recv, root))
}

// Iscatter begins a [Scatter].
func Iscatter[T Elem](c *Comm, send, recv []T, root int) (*Request, error) {
	return c.start(scatter(c, send, recv, root))
}

// Iallgather begins an [Allgather].
func Iallgather[T Elem](c *Comm, send, recv []T) (*Request, error) {
	return c.start(gather(c, device.Allgather, send, recv, -1))
}

// Ialltoall begins an [Alltoall].
func Ialltoall[T Elem](c *Comm, send, recv []T) (*Request, error) {
	return c.start(alltoall(c, send, recv))
}
