package mpi

import (
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Request is an operation under way. It is to be used by one goroutine at a time, and the
// operation's buffers belong to it until Wait returned or Test said true. These may be called
// again then and give the same answer.
type Request struct {
	c         *Comm
	dev       device.Request // nil when the answer is known
	op        string
	peer, tag int
	st        Status
	err       error
}

// Isend begins to send buf, which must not be changed until the request is done.
func Isend[T Elem](c *Comm, buf []T, to, tag int) (*Request, error) {
	return isend("Isend", c, buf, to, tag, device.Standard)
}

// Issend is Isend of a request that is done only when the receive has begun.
func Issend[T Elem](c *Comm, buf []T, to, tag int) (*Request, error) {
	return isend("Issend", c, buf, to, tag, device.Synchronous)
}

func isend[T Elem](op string, c *Comm, buf []T, to, tag int, m device.Mode) (*Request, error) {
	if err := c.checkTo(op, to, tag); err != nil || to == ProcNull {
		return &Request{c: c, st: nobody}, err
	}
	d, err := c.dev.Isend(device.Bytes(buf), typeOf[T](), to, tag, m)
	if err != nil {
		return nil, c.failedWith(op, to, tag, err)
	}
	return &Request{c: c, dev: d, op: op, peer: to, tag: tag}, nil
}

// Irecv begins to receive into buf, which must not be used until the request is done.
func Irecv[T Elem](c *Comm, buf []T, from, tag int) (*Request, error) {
	if err := c.checkFrom("Irecv", from, tag); err != nil || from == ProcNull {
		return &Request{c: c, st: nobody}, err
	}
	d, err := c.dev.Irecv(device.Bytes(buf), typeOf[T](), from, tag)
	if err != nil {
		return nil, c.failedWith("Irecv", from, tag, err)
	}
	return &Request{c: c, dev: d, op: "Irecv", peer: from, tag: tag}, nil
}

// settle keeps the answer, so that it can be given again.
func (r *Request) settle(st device.Status, err error) (Status, error) {
	r.dev, r.st = nil, statusOf(st)
	if err != nil {
		r.err = r.c.failedWith(r.op, r.peer, r.tag, err)
	}
	return r.st, r.err
}

// Wait blocks until the operation is done.
func (r *Request) Wait() (Status, error) {
	if r.dev == nil {
		return r.st, r.err
	}
	return r.settle(r.dev.Wait())
}

// Test makes progress without blocking and says whether the operation is done.
func (r *Request) Test() (st Status, done bool, err error) {
	if r.dev == nil {
		return r.st, true, r.err
	}
	d, done, err := r.dev.Test()
	if !done {
		return Status{}, false, nil
	}
	st, err = r.settle(d, err)
	return st, true, err
}

// Cancel takes back a receive that no message has matched yet: it is then done, with a Status
// that says Cancelled. Any other operation goes on. Either way Wait must be called.
func (r *Request) Cancel() error {
	if r.dev == nil {
		return nil
	}
	return r.c.orNil("Cancel", r.dev.Cancel())
}

// WaitAll waits for all requests and gives their statuses and the first error in their order.
// Nil requests are done.
func WaitAll(rs ...*Request) ([]Status, error) {
	out := make([]Status, len(rs))
	var first error
	for i, r := range rs {
		if r == nil {
			continue
		}
		var err error
		if out[i], err = r.Wait(); err != nil && first == nil {
			first = err
		}
	}
	return out, first
}

// active lists the requests whose answers are not known, by their index.
func active(rs []*Request) (index []int, devs []device.Request) {
	for i, r := range rs {
		if r != nil && r.dev != nil {
			index, devs = append(index, i), append(devs, r.dev)
		}
	}
	return index, devs
}

// WaitAny waits until one of the requests is done that was not before, and says which. When all
// have been before, or there are none, the index is [Undefined].
func WaitAny(rs ...*Request) (int, Status, error) {
	index, devs := active(rs)
	if len(devs) == 0 {
		return Undefined, Status{}, nil
	}
	c := rs[index[0]].c
	if err := c.dev.Await(devs, 1); err != nil {
		return Undefined, Status{}, c.failed("WaitAny", err)
	}
	for i, d := range devs {
		if d.Done() {
			st, err := rs[index[i]].Wait()
			return index[i], st, err
		}
	}
	return Undefined, Status{}, nil
}

// WaitSome waits until at least one of the requests is done that was not before, and gives the
// indices of all such, and the first error among them.
func WaitSome(rs ...*Request) ([]int, []Status, error) {
	_, devs := active(rs)
	if len(devs) == 0 {
		return nil, nil, nil
	}
	for _, r := range rs {
		if r != nil && r.dev != nil {
			if err := r.c.dev.Await(devs, 1); err != nil {
				return nil, nil, r.c.failed("WaitSome", err)
			}
			break
		}
	}
	return TestSome(rs...)
}

// TestAll says whether all requests are done; only then are statuses and the first error given.
func TestAll(rs ...*Request) ([]Status, bool, error) {
	for _, r := range rs {
		if r == nil || r.dev == nil {
			continue
		}
		if _, _, err := r.dev.Test(); err == nil && !r.dev.Done() {
			return nil, false, nil
		}
	}
	out, err := WaitAll(rs...)
	return out, true, err
}

// TestAny is WaitAny that does not wait: ok says whether one is done.
func TestAny(rs ...*Request) (index int, st Status, ok bool, err error) {
	at, _ := active(rs)
	for _, i := range at {
		if st, ok, err := rs[i].Test(); ok {
			return i, st, true, err
		}
	}
	return Undefined, Status{}, len(at) == 0, nil
}

// TestSome is WaitSome that does not wait.
func TestSome(rs ...*Request) (done []int, sts []Status, first error) {
	at, _ := active(rs)
	for _, i := range at {
		st, ok, err := rs[i].Test()
		if !ok {
			continue
		}
		done, sts = append(done, i), append(sts, st)
		if err != nil && first == nil {
			first = err
		}
	}
	return done, sts, first
}
