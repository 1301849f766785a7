package mpi

import (
	"reflect"

	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Elem is what slices in messages may be made of: numbers, truth values, and pairs for [MinLoc]
// and [MaxLoc]. An int or uint travels as 64 bits.
type Elem interface {
	~int8 | ~int16 | ~int32 | ~int64 | ~int |
		~uint8 | ~uint16 | ~uint32 | ~uint64 | ~uint |
		~float32 | ~float64 | ~complex64 | ~complex128 | ~bool |
		Loc[int32] | Loc[int64] | Loc[float32] | Loc[float64]
}

// Loc is a value together with the place where it was found, for [MinLoc] and [MaxLoc].
type Loc[T int32 | int64 | float32 | float64] struct {
	Value T
	Index int64
}

var locs = map[reflect.Type]device.Type{
	reflect.TypeFor[Loc[int32]](): device.LocInt32, reflect.TypeFor[Loc[int64]](): device.LocInt64,
	reflect.TypeFor[Loc[float32]](): device.LocFloat32, reflect.TypeFor[Loc[float64]](): device.LocFloat64,
}

// typeOf is the device's word for T.
func typeOf[T Elem]() device.Type {
	t := reflect.TypeFor[T]()
	if k, ok := device.NumberType(t.Kind()); ok {
		return k
	}
	return locs[t]
}
