// Package device holds what package mpi and the things that carry its messages agree on: the
// element types, the reductions, a collective call as a value, and the two interfaces a device
// implements, [World] and [Comm].
//
// A unit of work travels like this: package mpi checks the arguments of a typed call, turns its
// slices into bytes and hands the whole operation to a Comm. A device that stands on an MPI
// library forwards it as it is; our own transports match messages with a [Matcher] and run
// collective operations as a [Plan], so that neither is written twice.
package device

import (
	"reflect"

	"github.com/tutti-hpc/tutti"
)

// The special ranks and tags. A device that stands on an MPI library translates them.
const (
	AnySource = -1
	ProcNull  = -2
	AnyTag    = -31
	Undefined = -32766
)

// MaxTag is the highest tag our own transports carry.
const MaxTag = 1<<31 - 1

// Type is the type of the elements of a buffer.
type Type uint8

// The element types. A Loc type is a value of the type named, padded to 8 bytes, and an int64.
const (
	Int8 Type = iota
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Float32
	Float64
	Complex64
	Complex128
	Bool
	LocInt32
	LocInt64
	LocFloat32
	LocFloat64
	Types
)

var types = [Types]struct {
	name string
	size int
}{
	{"int8", 1}, {"int16", 2}, {"int32", 4}, {"int64", 8}, {"uint8", 1}, {"uint16", 2}, {"uint32", 4}, {"uint64", 8},
	{"float32", 4}, {"float64", 8}, {"complex64", 8}, {"complex128", 16}, {"bool", 1},
	{"Loc[int32]", 16}, {"Loc[int64]", 16}, {"Loc[float32]", 16}, {"Loc[float64]", 16},
}

// Size is the number of bytes of one element.
func (t Type) Size() int { return types[t].size }

func (t Type) String() string { return types[t].name }

// kinds maps the kinds of Go's numbers to Types; 0xff where there is none.
var kinds = func() (k [reflect.UnsafePointer + 1]Type) {
	for i := range k {
		k[i] = 0xff
	}
	for kind, t := range map[reflect.Kind]Type{
		reflect.Int8: Int8, reflect.Int16: Int16, reflect.Int32: Int32, reflect.Int64: Int64, reflect.Int: Int64,
		reflect.Uint8: Uint8, reflect.Uint16: Uint16, reflect.Uint32: Uint32, reflect.Uint64: Uint64, reflect.Uint: Uint64,
		reflect.Float32: Float32, reflect.Float64: Float64, reflect.Complex64: Complex64, reflect.Complex128: Complex128,
		reflect.Bool: Bool,
	} {
		k[kind] = t
	}
	return k
}()

// NumberType is the Type of numbers and truth values of a Go kind, or false.
func NumberType(k reflect.Kind) (Type, bool) {
	t := kinds[k]
	return t, t != 0xff
}

// Status says what was received.
type Status struct {
	Source, Tag int
	Bytes       int
	Cancelled   bool
}

// Mode says when a send is complete.
type Mode uint8

const (
	Standard    Mode = iota // when the buffer may be used again
	Synchronous             // when, in addition, the receive has begun
)

// Request is an operation under way. Its methods may be called from any goroutine, by one at a
// time; after Wait or a Test that said true it must not be used again.
type Request interface {
	Wait() (Status, error)
	Test() (Status, bool, error)
	// Done says whether Wait would return at once; it makes no progress by itself.
	Done() bool
	// Cancel takes back a receive that no message has matched; otherwise it does nothing.
	Cancel() error
}

// Message is one that a probe has taken out of matching: only its Recv gives it out.
type Message interface {
	Status() Status
	Recv(buf []byte) (Status, error)
}

// Window is memory that all ranks of a communicator have mapped. The slices stay valid until
// Free, which is collective.
type Window interface {
	Segment(rank int) []byte
	Sync() error
	Free() error
}

// Comm is one communicator on a device. Ranks are ranks in it; tags and ranks have been checked
// by the caller. All methods may be called concurrently except that the collective ones must be
// called in the same order on all ranks. Every blocking method returns with an error of kind
// Canceled when the world's context is done, and Revoked when the communicator was revoked.
type Comm interface {
	Rank() int
	Size() int
	// Members lists the ranks in the world; the caller must not change it.
	Members() []int
	// ID names the communicator in messages for people.
	ID() int

	Send(buf []byte, t Type, to, tag int, m Mode) error
	Recv(buf []byte, t Type, from, tag int) (Status, error)
	Isend(buf []byte, t Type, to, tag int, m Mode) (Request, error)
	Irecv(buf []byte, t Type, from, tag int) (Request, error)
	Probe(from, tag int) (Status, error)
	Iprobe(from, tag int) (Status, bool, error)
	// Mprobe is Probe, or Iprobe if not blocking, that takes the message out of matching.
	Mprobe(from, tag int, block bool) (Message, bool, error)
	// Await blocks until at least need of the requests are done.
	Await(reqs []Request, need int) error

	// Do carries out a collective operation, Start begins one.
	Do(c Call) error
	Start(c Call) (Request, error)

	Dup() (Comm, error)
	// Split makes one communicator per color; nil for a rank whose color is Undefined.
	Split(color, key int) (Comm, error)
	// SplitShared makes one communicator per set of ranks that can share memory.
	SplitShared(key int) (Comm, error)
	Free() error
	Revoke() error
	// Window is collective; each rank says how many bytes it offers.
	Window(bytes int) (Window, error)
	TagUB() int
}

// World is one rank's place in a running job.
type World interface {
	Comm() Comm
	// Finalize completes what is under way and leaves the world.
	Finalize() error
	// Abort ends the job on all ranks, as the world's policy has it, and gives the reason.
	Abort(code int, reason string)
	// Waiting says for every rank what it waits for, a line each.
	Waiting() string
}

// Errorf makes the error of a device; package mpi adds what was being done.
func Errorf(kind tutti.Kind, format string, args ...any) *tutti.Error {
	return tutti.Errorf("mpi", kind, format, args...)
}
