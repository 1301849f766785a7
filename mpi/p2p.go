package mpi

import (
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Status says what was received or found by a probe.
type Status struct {
	Source, Tag int
	Bytes       int  // length of the message
	Cancelled   bool // the receive was taken back by [Request.Cancel]
}

func statusOf(s device.Status) Status { return Status(s) }

// nobody is the status of a receive from ProcNull.
var nobody = Status{Source: ProcNull, Tag: AnyTag}

// Count is the number of elements of type T in a message, [Undefined] if its length is not a multiple.
func Count[T Elem](s Status) int {
	var z T
	if s.Bytes%int(unsafe.Sizeof(z)) != 0 {
		return Undefined
	}
	return s.Bytes / int(unsafe.Sizeof(z))
}

// checkTo looks at the arguments of a send.
func (c *Comm) checkTo(op string, to, tag int) error {
	if uint(to) < uint(c.size) && tag >= 0 && tag <= device.MaxTag || to == ProcNull {
		return nil
	}
	if to < 0 || to >= c.size {
		return c.failedWith(op, to, tag, device.Errorf(tutti.Invalid, "there is no rank %d: the communicator has %d", to, c.size))
	}
	return c.failedWith(op, to, tag, badTag(tag))
}

func badTag(tag int) error {
	return device.Errorf(tutti.Invalid, "tag %d: from 0 to %d can be", tag, device.MaxTag)
}

// checkFrom looks at the arguments of a receive.
func (c *Comm) checkFrom(op string, from, tag int) error {
	if (uint(from) < uint(c.size) || from == AnySource) && (tag >= 0 && tag <= device.MaxTag || tag == AnyTag) || from == ProcNull {
		return nil
	}
	if from != AnySource && (from < 0 || from >= c.size) {
		return c.failedWith(op, from, tag, device.Errorf(tutti.Invalid, "there is no rank %d: the communicator has %d", from, c.size))
	}
	return c.failedWith(op, from, tag, badTag(tag))
}

// Send sends buf to a rank. It returns when buf may be used again, which for short messages is
// at once and for long ones when the receive has begun: two ranks that send each other long
// messages before they receive wait for ever ([Sendrecv] does not). Errors: Invalid (rank, tag), Full (no memory
// for the connection), and those of the package.
func Send[T Elem](c *Comm, buf []T, to, tag int) error {
	return send("Send", c, buf, to, tag, device.Standard)
}

// Ssend is Send that returns only when the receive has begun.
func Ssend[T Elem](c *Comm, buf []T, to, tag int) error {
	return send("Ssend", c, buf, to, tag, device.Synchronous)
}

func send[T Elem](op string, c *Comm, buf []T, to, tag int, m device.Mode) error {
	if err := c.checkTo(op, to, tag); err != nil || to == ProcNull {
		return err
	}
	if err := c.dev.Send(device.Bytes(buf), typeOf[T](), to, tag, m); err != nil {
		return c.failedWith(op, to, tag, err)
	}
	return nil
}

// Recv receives a message from a rank or [AnySource], with a tag or [AnyTag], into buf, which may
// be longer than the message. Of several messages that fit, the one sent first by its sender is
// taken. Errors: Truncated where the message is longer than buf, which then holds its beginning.
func Recv[T Elem](c *Comm, buf []T, from, tag int) (Status, error) {
	if err := c.checkFrom("Recv", from, tag); err != nil || from == ProcNull {
		return nobody, err
	}
	st, err := c.dev.Recv(device.Bytes(buf), typeOf[T](), from, tag)
	if err != nil {
		return statusOf(st), c.failedWith("Recv", from, tag, err)
	}
	return statusOf(st), nil
}

// Sendrecv sends and receives at once, so that rings and exchanges cannot wait for each other.
// The buffers must not overlap.
func Sendrecv[T, U Elem](c *Comm, out []T, to, outTag int, in []U, from, inTag int) (Status, error) {
	r, err := Irecv(c, in, from, inTag)
	if err != nil {
		return Status{}, err
	}
	if err := Send(c, out, to, outTag); err != nil {
		_ = r.Cancel() // the receive must not fill a buffer that the caller has back
		_, _ = r.Wait()
		return Status{}, err
	}
	return r.Wait()
}

// SendrecvReplace sends buf and receives into it.
func SendrecvReplace[T Elem](c *Comm, buf []T, to, outTag, from, inTag int) (Status, error) {
	return Sendrecv(c, append([]T(nil), buf...), to, outTag, buf, from, inTag)
}

// Probe waits until a message is there that a receive with these arguments would take, and says
// what it is.
func (c *Comm) Probe(from, tag int) (Status, error) {
	if err := c.checkFrom("Probe", from, tag); err != nil || from == ProcNull {
		return nobody, err
	}
	st, err := c.dev.Probe(from, tag)
	if err != nil {
		return Status{}, c.failedWith("Probe", from, tag, err)
	}
	return statusOf(st), nil
}

// Iprobe is Probe that does not wait: ok says whether there is a message.
func (c *Comm) Iprobe(from, tag int) (st Status, ok bool, err error) {
	if err := c.checkFrom("Iprobe", from, tag); err != nil || from == ProcNull {
		return nobody, err == nil, err
	}
	d, ok, err := c.dev.Iprobe(from, tag)
	if err != nil {
		return Status{}, false, c.failedWith("Iprobe", from, tag, err)
	}
	return statusOf(d), ok, nil
}

// Message is a message that a probe has set aside: no receive but [Mrecv] gets it.
type Message struct {
	c   *Comm
	dev device.Message
}

// Status says what the message is.
func (m *Message) Status() Status {
	if m.dev == nil {
		return nobody
	}
	return statusOf(m.dev.Status())
}

// Mprobe is Probe that sets the message aside, so that of several goroutines the one that probed
// receives it.
func (c *Comm) Mprobe(from, tag int) (*Message, error) {
	m, _, err := c.mprobe("Mprobe", from, tag, true)
	return m, err
}

// Improbe is Mprobe that does not wait: ok says whether there is a message.
func (c *Comm) Improbe(from, tag int) (m *Message, ok bool, err error) {
	return c.mprobe("Improbe", from, tag, false)
}

func (c *Comm) mprobe(op string, from, tag int, block bool) (*Message, bool, error) {
	if err := c.checkFrom(op, from, tag); err != nil || from == ProcNull {
		return &Message{c: c}, err == nil, err
	}
	d, ok, err := c.dev.Mprobe(from, tag, block)
	if err != nil {
		return nil, false, c.failedWith(op, from, tag, err)
	}
	if !ok {
		return nil, false, nil
	}
	return &Message{c, d}, true, nil
}

// Mrecv receives a message set aside by a probe, once.
func Mrecv[T Elem](m *Message, buf []T) (Status, error) {
	if m.dev == nil {
		return nobody, nil
	}
	st, err := m.dev.Recv(device.Bytes(buf))
	if err != nil {
		return statusOf(st), m.c.failedWith("Mrecv", st.Source, st.Tag, err)
	}
	return statusOf(st), nil
}
