//go:build cgo && linux

package libmpi

// #include "glue.h"
import "C"

import (
	"sync"
	"unsafe"

	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// combiner is a reduction that Go carries out when the library asks for it.
type combiner struct {
	apply func(dst, a, b []byte)
	size  int
	op, t C.tutti_handle
}

// combiners finds the reduction for the type that the library names: each has one of its own.
var combiners sync.Map // C.tutti_handle to *combiner

// operations keeps those of the predefined reductions that MPI has no word for.
type operations struct {
	mu   sync.Mutex
	kept map[*device.Op]*combiner
}

// knows says whether MPI has a reduction for elements of a type: logical ones for integers and
// truth values, bitwise ones for integers, the others for all numbers that they make sense for.
func knows(code device.OpCode, t device.Type) bool {
	integer := t <= device.Uint64
	switch code {
	case device.Sum, device.Prod:
		return t <= device.Complex128
	case device.Max, device.Min:
		return t <= device.Float64
	case device.LAnd, device.LOr, device.LXor:
		return integer || t == device.Bool
	case device.BAnd, device.BOr, device.BXor:
		return integer
	}
	return false
}

// choose finds the library's word for a reduction, or makes one that calls Go.
func (o *operations) choose(p *prepared, op *device.Op, t device.Type) error {
	if knows(op.Code, t) {
		p.c.op = C.int32_t(op.Code)
		return nil
	}
	var k *combiner
	var err error
	if op.Code == device.User { // one of many: it goes when the call is over
		if k, err = newCombiner(op, t); err == nil {
			p.after = k.free
		}
	} else {
		o.mu.Lock()
		defer o.mu.Unlock()
		if k = o.kept[op]; k == nil {
			if k, err = newCombiner(op, t); err == nil {
				if o.kept == nil {
					o.kept = map[*device.Op]*combiner{}
				}
				o.kept[op] = k
			}
		}
	}
	if err != nil {
		return err
	}
	p.c.op_handle, p.c.type_handle = k.op, k.t
	return nil
}

func newCombiner(op *device.Op, t device.Type) (*combiner, error) {
	k := &combiner{apply: op.Apply, size: t.Size()}
	commutes := C.int(0)
	if op.Commutes {
		commutes = 1
	}
	if err := fault(C.tutti_op_create(commutes, C.int64_t(k.size), &k.op, &k.t)); err != nil {
		return nil, err
	}
	combiners.Store(k.t, k)
	return k, nil
}

func (k *combiner) free() {
	combiners.Delete(k.t)
	C.tutti_op_free(k.op, k.t)
}

func (o *operations) free() {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, k := range o.kept {
		k.free()
	}
	o.kept = nil
}

// tuttiCombine is called by the library in the middle of one of its calls: inout = in op inout,
// in coming from the lower ranks.
//
//export tuttiCombine
func tuttiCombine(in, inout unsafe.Pointer, n C.int64_t, t C.tutti_handle) {
	k, _ := combiners.Load(t)
	c := k.(*combiner)
	bytes := int(n) * c.size
	dst := unsafe.Slice((*byte)(inout), bytes)
	c.apply(dst, unsafe.Slice((*byte)(in), bytes), dst)
}
