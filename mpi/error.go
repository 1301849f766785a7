package mpi

import (
	"fmt"
	"strings"

	"github.com/tutti-hpc/tutti"
)

// Error says which operation failed and where. It unwraps to a [tutti.Error] that has the kind.
type Error struct {
	Op   string // "Send", "Allreduce"
	Rank int    // the rank that called it, in the communicator
	Peer int    // the rank on the other side, or the root; -1 if there is none or it may be any
	Tag  int    // -1 if there is none or it may be any
	Comm string // the communicator's name
	Err  *tutti.Error
}

// Error is one line: where, what, why.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("mpi: " + e.Op)
	if e.Comm != "" { // there is none before Init
		fmt.Fprintf(&b, " on rank %d of %s", e.Rank, e.Comm)
	}
	if e.Peer >= 0 {
		fmt.Fprintf(&b, ", peer %d", e.Peer)
	}
	if e.Tag >= 0 {
		fmt.Fprintf(&b, ", tag %d", e.Tag)
	}
	why := *e.Err
	why.Op, why.Rank = "", -1
	fmt.Fprintf(&b, ": %v", &why)
	return b.String()
}

// Unwrap gives the error with the kind.
func (e *Error) Unwrap() error { return e.Err }

// ErrorHandler is called with every error of a communicator's calls before they return it.
type ErrorHandler func(c *Comm, err error)

// ErrorsReturn does nothing: errors are returned. It is the handler of new worlds.
func ErrorsReturn(*Comm, error) {}

// ErrorsAreFatal ends the job: see [Comm.Abort].
func ErrorsAreFatal(c *Comm, err error) { c.Abort(1, err.Error()) }

// SetErrorHandler sets the handler of c; communicators made of c later inherit it.
func (c *Comm) SetErrorHandler(h ErrorHandler) { c.handler.Store(&h) }

// failed makes the error of a call that has no peer.
func (c *Comm) failed(op string, err error) error { return c.failedWith(op, -1, -1, err) }

// failedWith makes the error of a call and shows it to the handler.
func (c *Comm) failedWith(op string, peer, tag int, err error) error {
	if err == nil {
		return nil
	}
	te, ok := err.(*tutti.Error)
	if !ok {
		te = tutti.E("mpi", tutti.KindOf(err), err)
	}
	e := &Error{Op: op, Rank: c.rank, Peer: peer, Tag: tag, Comm: c.Name(), Err: te}
	if h := c.handler.Load(); h != nil {
		(*h)(c, e)
	}
	return e
}
