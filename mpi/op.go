package mpi

import (
	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Op combines the contributions of ranks in a reduction: one of the predefined ones, or made by
// [OpOf].
type Op interface{ op() }

type builtin device.OpCode

func (builtin) op() {}

// The predefined reductions. Sum and Prod are for numbers; Max and Min for ordered ones; LAnd, LOr
// and LXor for truth values and numbers (true if not zero; the result is 0 or 1); BAnd, BOr and
// BXor for integers; MinLoc and MaxLoc for [Loc], of equal values taking the lowest index.
const (
	Sum    = builtin(device.Sum)
	Prod   = builtin(device.Prod)
	Max    = builtin(device.Max)
	Min    = builtin(device.Min)
	LAnd   = builtin(device.LAnd)
	LOr    = builtin(device.LOr)
	LXor   = builtin(device.LXor)
	BAnd   = builtin(device.BAnd)
	BOr    = builtin(device.BOr)
	BXor   = builtin(device.BXor)
	MinLoc = builtin(device.MinLoc)
	MaxLoc = builtin(device.MaxLoc)
)

// own is an operation of the program on elements of one type.
type own struct {
	t  device.Type
	do *device.Op
}

func (own) op() {}

// OpOf makes an Op of f, which sets acc[i] to acc[i] op in[i]; acc comes from lower ranks than
// in. The operation must be associative. With commutes, contributions may be combined in any
// order. f may be called on several ranks at once.
func OpOf[T Elem](f func(acc, in []T), commutes bool) Op {
	apply := device.Over(func(dst, a, b []T) {
		switch {
		case &dst[0] == &a[0]:
			f(dst, b)
		case &dst[0] == &b[0]: // the accumulator would overwrite what is still to be read
			in := append([]T(nil), b...)
			copy(dst, a)
			f(dst, in)
		default:
			copy(dst, a)
			f(dst, b)
		}
	})
	return own{typeOf[T](), &device.Op{Code: device.User, Commutes: commutes, Apply: apply}}
}

// reduction finds what o means for elements of type t.
func reduction(o Op, t device.Type) (*device.Op, error) {
	switch o := o.(type) {
	case builtin:
		if d := device.Builtin(device.OpCode(o), t); d != nil {
			return d, nil
		}
		return nil, device.Errorf(tutti.Invalid, "%v has no meaning for elements of type %v", device.OpCode(o), t)
	case own:
		if o.t == t {
			return o.do, nil
		}
		return nil, device.Errorf(tutti.Invalid, "the operation is for elements of type %v, these are %v", o.t, t)
	}
	return nil, device.Errorf(tutti.Invalid, "no operation given")
}
