package tutti

//msgp:tuple Value
//msgp:ignore Codec
//msgp:shim Codec as:uint8 using:uint8/Codec

import (
	"encoding"
	"encoding/binary"
	"math"
	"reflect"
	"unsafe"

	"github.com/fxamacker/cbor/v2"
)

// Codec says how the bytes of a [Value] are to be read.
type Codec uint8

// The codecs. Their numbers travel and are stored: never renumber, only add.
const (
	None      Codec = 0 // no value
	CBOR      Codec = 1 // RFC 8949, structs as maps by field name
	Marshaled Codec = 2 // what the type's own encoding.BinaryMarshaler wrote
	Pickle    Codec = 3 // a Python object: opaque to Go

	// Slices of numbers, little-endian, as they lie in memory.
	RawInt8       Codec = 16
	RawInt16      Codec = 17
	RawInt32      Codec = 18
	RawInt64      Codec = 19
	RawUint8      Codec = 20 // also plain bytes
	RawUint16     Codec = 21
	RawUint32     Codec = 22
	RawUint64     Codec = 23
	RawFloat32    Codec = 24
	RawFloat64    Codec = 25
	RawComplex64  Codec = 26
	RawComplex128 Codec = 27
)

// InlineLimit is how many bytes of one value travel inside messages; more becomes a blob.
const InlineLimit = 64 << 10

// Value is an encoded value: its bytes, or a reference to them where they are many.
type Value struct {
	Codec Codec  `msg:"c"`
	Data  []byte `msg:"d,zerocopy"`  // the bytes, when Ref is zero
	Ref   Ref    `msg:"r,omitempty"` // where they lie instead
}

// Size is the number of encoded bytes, wherever they lie.
func (v Value) Size() int64 {
	if !v.Ref.IsZero() {
		return v.Ref.Size
	}
	return int64(len(v.Data))
}

var (
	encMode = must(cbor.EncOptions{Sort: cbor.SortNone, Time: cbor.TimeRFC3339NanoUTC}.EncMode())
	decMode = must(cbor.DecOptions{MaxArrayElements: math.MaxInt32, MaxMapPairs: math.MaxInt32}.DecMode())
)

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// Encode makes a Value of v. A slice of numbers is not copied: Data shares its memory, so that
// one copy, into a message or a segment, is all there is; the caller may not let v change before
// that. Other values are encoded by their BinaryMarshaler or as CBOR. What cannot be encoded
// (functions, channels, cycles) gives an error of kind [Invalid].
func Encode(v any) (Value, error) {
	switch x := v.(type) {
	case nil:
		return Value{}, nil
	case int:
		return Value{Codec: CBOR, Data: appendCBORInt(nil, int64(x))}, nil
	case float64:
		return Value{Codec: CBOR, Data: binary.BigEndian.AppendUint64([]byte{0xfb}, math.Float64bits(x))}, nil
	case Value:
		return x, nil
	}
	if m, ok := v.(encoding.BinaryMarshaler); ok {
		data, err := m.MarshalBinary()
		if err != nil {
			return Value{}, E("encode value", Invalid, err)
		}
		return Value{Codec: Marshaled, Data: data}, nil
	}
	if data, codec, ok := rawView(v); ok {
		return Value{Codec: codec, Data: data}, nil
	}
	data, err := encMode.Marshal(v)
	if err != nil {
		return Value{}, Errorf("encode value", Invalid, "a %T cannot travel: %w", v, err).
			WithHint("numbers, strings, slices, maps, structs with exported fields and BinaryMarshalers can")
	}
	return Value{Codec: CBOR, Data: data}, nil
}

// Decode reads v into *into. A slice of numbers may share v.Data's memory, so v.Data must stay as
// it is while the result is used. An Interface or a Value as the target takes anything. Bytes
// that do not fit give an error of kind [Corrupt], a type that does not one of kind [Invalid].
func Decode(v Value, into any) error {
	if !v.Ref.IsZero() {
		return Errorf("decode value", Internal, "the blob %v was not fetched", v.Ref.Blob)
	}
	switch p := into.(type) {
	case *Value:
		*p = v
		return nil
	case *int:
		if n, ok := cborInt(v); ok {
			*p = int(n)
			return nil
		}
	case *float64:
		if v.Codec == CBOR && len(v.Data) == 9 && v.Data[0] == 0xfb {
			*p = math.Float64frombits(binary.BigEndian.Uint64(v.Data[1:]))
			return nil
		}
	}
	switch {
	case v.Codec == None:
		reflect.ValueOf(into).Elem().SetZero()
		return nil
	case v.Codec >= RawInt8:
		return decodeRaw(v, into)
	case v.Codec == Marshaled:
		return decodeMarshaled(v.Data, into)
	case v.Codec == CBOR:
		return decodeCBOR(v.Data, into)
	}
	return Errorf("decode value", Unsupported, "codec %d cannot be read by Go", v.Codec)
}

// decodeMarshaled reads into a T or a *T whose UnmarshalBinary has a pointer receiver.
func decodeMarshaled(data []byte, into any) error {
	if p := reflect.ValueOf(into).Elem(); p.Kind() == reflect.Pointer {
		p.Set(reflect.New(p.Type().Elem()))
		into = p.Interface()
	}
	u, ok := into.(encoding.BinaryUnmarshaler)
	if !ok {
		return Errorf("decode value", Invalid, "a %T cannot read what a BinaryMarshaler wrote", into)
	}
	if err := u.UnmarshalBinary(data); err != nil {
		return E("decode value", Corrupt, err)
	}
	return nil
}

func decodeCBOR(data []byte, into any) error {
	err := decMode.Unmarshal(data, into)
	if err == nil {
		return nil
	}
	if _, ok := err.(*cbor.UnmarshalTypeError); ok {
		return Errorf("decode value", Invalid, "the value does not fit a %v: %w", reflect.TypeOf(into).Elem(), err)
	}
	return E("decode value", Corrupt, err)
}

// appendCBORInt writes an int as CBOR does, without the cost of reflection: most calls over a
// range of numbers pass here.
func appendCBORInt(dst []byte, n int64) []byte {
	major, u := byte(0), uint64(n)
	if n < 0 {
		major, u = 0x20, ^u
	}
	switch {
	case u < 24:
		return append(dst, major|byte(u))
	case u <= math.MaxUint8:
		return append(dst, major|24, byte(u))
	case u <= math.MaxUint16:
		return binary.BigEndian.AppendUint16(append(dst, major|25), uint16(u))
	case u <= math.MaxUint32:
		return binary.BigEndian.AppendUint32(append(dst, major|26), uint32(u))
	}
	return binary.BigEndian.AppendUint64(append(dst, major|27), u)
}

// cborInt reads what appendCBORInt writes; ok is false for everything else.
func cborInt(v Value) (n int64, ok bool) {
	d := v.Data
	if v.Codec != CBOR || len(d) == 0 || d[0]&^0x3f != 0 {
		return 0, false
	}
	var u uint64
	switch size := d[0] & 0x1f; {
	case size < 24 && len(d) == 1:
		u = uint64(size)
	case size == 24 && len(d) == 2:
		u = uint64(d[1])
	case size == 25 && len(d) == 3:
		u = uint64(binary.BigEndian.Uint16(d[1:]))
	case size == 26 && len(d) == 5:
		u = uint64(binary.BigEndian.Uint32(d[1:]))
	case size == 27 && len(d) == 9:
		u = binary.BigEndian.Uint64(d[1:])
	default:
		return 0, false
	}
	if u > math.MaxInt64 {
		return 0, false
	}
	if d[0]&0x20 != 0 {
		return int64(^u), true
	}
	return int64(u), true
}

// rawCodecs is the table of slices that travel as they lie in memory.
var rawCodecs = map[reflect.Kind]Codec{
	reflect.Int8: RawInt8, reflect.Int16: RawInt16, reflect.Int32: RawInt32, reflect.Int64: RawInt64,
	reflect.Uint8: RawUint8, reflect.Uint16: RawUint16, reflect.Uint32: RawUint32, reflect.Uint64: RawUint64,
	reflect.Float32: RawFloat32, reflect.Float64: RawFloat64,
	reflect.Complex64: RawComplex64, reflect.Complex128: RawComplex128,
	reflect.Int: RawInt64, reflect.Uint: RawUint64,
}

// rawView gives the memory of a slice of numbers as bytes. Every system Go runs tutti on is
// little-endian and 64 bits wide, which the constants below hold it to.
func rawView(v any) ([]byte, Codec, bool) {
	if f, ok := v.([]float64); ok { // by far the commonest: no reflection
		return unsafe.Slice((*byte)(unsafe.Pointer(unsafe.SliceData(f))), 8*len(f)), RawFloat64, true
	}
	rv := reflect.ValueOf(v)
	if rv.Kind() != reflect.Slice {
		return nil, None, false
	}
	codec, ok := rawCodecs[rv.Type().Elem().Kind()]
	if !ok {
		return nil, None, false
	}
	n := rv.Len() * int(rv.Type().Elem().Size())
	return unsafe.Slice((*byte)(rv.UnsafePointer()), n), codec, true
}

const (
	_ = uint(unsafe.Sizeof(int(0)) - 8) // 64-bit ints only: raw slices of int travel as int64
	_ = uint(8 - unsafe.Sizeof(int(0)))
)

// copyBelow is the size under which decoding copies, so that a few numbers do not keep a whole
// message alive.
const copyBelow = 4 << 10

// decodeRaw reads a slice of numbers into *[]T (sharing memory where it is aligned and large) or
// into an interface.
func decodeRaw(v Value, into any) error {
	target := reflect.ValueOf(into).Elem()
	t := target.Type()
	if t.Kind() == reflect.Interface {
		t = rawTypes[v.Codec]
	}
	if t == nil || t.Kind() != reflect.Slice || rawCodecs[t.Elem().Kind()] != v.Codec {
		return Errorf("decode value", Invalid, "the value, %v, does not fit a %v", rawTypes[v.Codec], target.Type())
	}
	size := int(t.Elem().Size())
	if len(v.Data)%size != 0 {
		return Errorf("decode value", Corrupt, "%d bytes are no whole number of elements of %d", len(v.Data), size)
	}
	n := len(v.Data) / size
	p := unsafe.Pointer(unsafe.SliceData(v.Data))
	if n > 0 && (len(v.Data) < copyBelow || uintptr(p)%uintptr(t.Elem().Align()) != 0) {
		fresh := reflect.MakeSlice(t, n, n)
		copy(unsafe.Slice((*byte)(fresh.UnsafePointer()), len(v.Data)), v.Data)
		target.Set(fresh)
		return nil
	}
	if n == 0 {
		target.Set(reflect.MakeSlice(t, 0, 0))
		return nil
	}
	target.Set(reflect.SliceAt(t.Elem(), p, n).Convert(t))
	return nil
}

// rawTypes are the types that an interface receives.
var rawTypes = map[Codec]reflect.Type{
	RawInt8: reflect.TypeFor[[]int8](), RawInt16: reflect.TypeFor[[]int16](),
	RawInt32: reflect.TypeFor[[]int32](), RawInt64: reflect.TypeFor[[]int64](),
	RawUint8: reflect.TypeFor[[]uint8](), RawUint16: reflect.TypeFor[[]uint16](),
	RawUint32: reflect.TypeFor[[]uint32](), RawUint64: reflect.TypeFor[[]uint64](),
	RawFloat32: reflect.TypeFor[[]float32](), RawFloat64: reflect.TypeFor[[]float64](),
	RawComplex64: reflect.TypeFor[[]complex64](), RawComplex128: reflect.TypeFor[[]complex128](),
}
