package device

import "unsafe"

// OpCode names a reduction.
type OpCode uint8

// The reductions; User stands for one that the program defined.
const (
	Sum OpCode = iota
	Prod
	Max
	Min
	LAnd
	LOr
	LXor
	BAnd
	BOr
	BXor
	MinLoc
	MaxLoc
	User
	opCodes
)

var opNames = [opCodes]string{"Sum", "Prod", "Max", "Min", "LAnd", "LOr", "LXor", "BAnd", "BOr", "BXor", "MinLoc", "MaxLoc", "an operation of the program"}

func (c OpCode) String() string { return opNames[c] }

// Op combines two buffers of equal length: dst = a op b, a coming from the lower ranks. dst may
// be a or b.
type Op struct {
	Code     OpCode
	Commutes bool
	Apply    func(dst, a, b []byte)
}

// Loc is a value and where it was found. The value is padded to 8 bytes.
type Loc[T int32 | int64 | float32 | float64] struct {
	Value T
	Index int64
}

// Builtin is the predefined reduction for a type, nil where it has no meaning.
func Builtin(c OpCode, t Type) *Op { return table[c][t] }

var table [User][Types]*Op

func init() {
	integers[int8](Int8)
	integers[int16](Int16)
	integers[int32](Int32)
	integers[int64](Int64)
	integers[uint8](Uint8)
	integers[uint16](Uint16)
	integers[uint32](Uint32)
	integers[uint64](Uint64)
	ordered[float32](Float32)
	ordered[float64](Float64)
	numbers[complex64](Complex64)
	numbers[complex128](Complex128)
	truths()
	places[int32](LocInt32)
	places[int64](LocInt64)
	places[float32](LocFloat32)
	places[float64](LocFloat64)
}

type integer interface {
	int8 | int16 | int32 | int64 | uint8 | uint16 | uint32 | uint64
}
type real interface {
	integer | float32 | float64
}
type number interface {
	real | complex64 | complex128
}

func put[T any](c OpCode, t Type, f func(dst, a, b []T)) {
	table[c][t] = &Op{Code: c, Commutes: true, Apply: Over(f)}
}

// Over makes of a function over elements one over bytes. The bytes must be aligned for T.
func Over[T any](f func(dst, a, b []T)) func(dst, a, b []byte) {
	return func(dst, a, b []byte) {
		if len(dst) > 0 {
			f(View[T](dst), View[T](a), View[T](b))
		}
	}
}

// View sees bytes as elements.
func View[T any](b []byte) []T {
	var z T
	if len(b) == 0 {
		return nil
	}
	return unsafe.Slice((*T)(unsafe.Pointer(unsafe.SliceData(b))), len(b)/int(unsafe.Sizeof(z)))
}

// Bytes sees elements as bytes.
func Bytes[T any](s []T) []byte {
	var z T
	if len(s) == 0 {
		return nil
	}
	return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(s))), len(s)*int(unsafe.Sizeof(z)))
}

func numbers[T number](t Type) {
	put(Sum, t, sum[T])
	put(Prod, t, func(dst, a, b []T) {
		a, b = a[:len(dst)], b[:len(dst)]
		for i := range dst {
			dst[i] = a[i] * b[i]
		}
	})
	// In MPI a number is true when it is not zero.
	put(LAnd, t, logical[T](func(x, y bool) bool { return x && y }))
	put(LOr, t, logical[T](func(x, y bool) bool { return x || y }))
	put(LXor, t, logical[T](func(x, y bool) bool { return x != y }))
}

// sum is unrolled by hand: the compiler does not, and allreduce of large arrays is bound by it.
func sum[T number](dst, a, b []T) {
	a, b = a[:len(dst)], b[:len(dst)]
	for len(dst) >= 8 {
		d, x, y := (*[8]T)(dst), (*[8]T)(a), (*[8]T)(b)
		d[0], d[1], d[2], d[3] = x[0]+y[0], x[1]+y[1], x[2]+y[2], x[3]+y[3]
		d[4], d[5], d[6], d[7] = x[4]+y[4], x[5]+y[5], x[6]+y[6], x[7]+y[7]
		dst, a, b = dst[8:], a[8:], b[8:]
	}
	for i := range dst {
		dst[i] = a[i] + b[i]
	}
}

func logical[T number](f func(x, y bool) bool) func(dst, a, b []T) {
	return func(dst, a, b []T) {
		for i := range dst {
			var v T
			if f(a[i] != 0, b[i] != 0) {
				v = 1
			}
			dst[i] = v
		}
	}
}

func ordered[T real](t Type) {
	numbers[T](t)
	put(Max, t, func(dst, a, b []T) {
		for i := range dst {
			dst[i] = max(a[i], b[i])
		}
	})
	put(Min, t, func(dst, a, b []T) {
		for i := range dst {
			dst[i] = min(a[i], b[i])
		}
	})
}

func integers[T integer](t Type) {
	ordered[T](t)
	put(BAnd, t, func(dst, a, b []T) {
		for i := range dst {
			dst[i] = a[i] & b[i]
		}
	})
	put(BOr, t, func(dst, a, b []T) {
		for i := range dst {
			dst[i] = a[i] | b[i]
		}
	})
	put(BXor, t, func(dst, a, b []T) {
		for i := range dst {
			dst[i] = a[i] ^ b[i]
		}
	})
}

func truths() {
	each := func(f func(x, y bool) bool) func(dst, a, b []bool) {
		return func(dst, a, b []bool) {
			for i := range dst {
				dst[i] = f(a[i], b[i])
			}
		}
	}
	put(LAnd, Bool, each(func(x, y bool) bool { return x && y }))
	put(LOr, Bool, each(func(x, y bool) bool { return x || y }))
	put(LXor, Bool, each(func(x, y bool) bool { return x != y }))
}

// places defines MinLoc and MaxLoc: of equal values the one with the lower index wins.
func places[T int32 | int64 | float32 | float64](t Type) {
	pick := func(better func(x, y T) bool) func(dst, a, b []Loc[T]) {
		return func(dst, a, b []Loc[T]) {
			for i := range dst {
				x, y := a[i], b[i]
				if better(y.Value, x.Value) || y.Value == x.Value && y.Index < x.Index {
					x = y
				}
				dst[i] = x
			}
		}
	}
	put(MinLoc, t, pick(func(x, y T) bool { return x < y }))
	put(MaxLoc, t, pick(func(x, y T) bool { return x > y }))
}
