package tutti

import (
	"errors"
	"math"
	"net/netip"
	"reflect"
	"testing"
	"testing/quick"
	"time"
)

type point struct {
	X, Y float64
	Name string
	Next *point
}

// roundTrip encodes v, moves the bytes, and decodes into a fresh R.
func roundTrip[R any](t *testing.T, v any) R {
	t.Helper()
	val, err := Encode(v)
	if err != nil {
		t.Fatalf("encode %T: %v", v, err)
	}
	val.Data = append([]byte(nil), val.Data...)
	var r R
	if err := Decode(val, &r); err != nil {
		t.Fatalf("decode %T: %v", r, err)
	}
	return r
}

func same[T any](t *testing.T, v T) {
	t.Helper()
	if got := roundTrip[T](t, v); !reflect.DeepEqual(got, v) {
		t.Errorf("%T: got %v, want %v", v, got, v)
	}
}

func TestValuesRoundTrip(t *testing.T) {
	same(t, true)
	same(t, "ä\x00z")
	same(t, int8(-5))
	same(t, uint64(math.MaxUint64))
	same(t, math.Inf(-1))
	same(t, []float64{1, math.MaxFloat64, math.Copysign(0, -1)})
	same(t, []int{1, -2, math.MinInt64})
	same(t, []byte{0, 255})
	same(t, []complex128{complex(1, -2)})
	same(t, []int16{})
	same(t, []string{"a", ""})
	same(t, [][]float64{{1}, {2, 3}})
	same(t, map[string]int{"a": 1})
	same(t, point{1, 2, "p", &point{Name: "q"}})
	same(t, &point{X: 3})
	same(t, time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC))
	same(t, netip.MustParseAddr("::1")) // a BinaryMarshaler
	same(t, Pair[int, string]{1, "x"})
	type meters []float64
	same(t, meters{1, 2})
	large := make([]float64, 10_000)
	large[9999] = 7
	same(t, large)
}

// The fast paths for plain numbers must write and read what the general ones do.
func TestFastPathsAgreeWithCBOR(t *testing.T) {
	ints := func(n int64) bool {
		fast, err := Encode(int(n))
		slow, err2 := encMode.Marshal(n)
		back := roundTrip[int](t, int(n))
		wide := roundTrip[int64](t, int(n))
		return err == nil && err2 == nil && reflect.DeepEqual(fast.Data, slow) && int64(back) == n && wide == n
	}
	floats := func(f float64) bool {
		return roundTrip[float64](t, f) == f && roundTrip[any](t, f) == any(f)
	}
	for _, n := range []int64{0, 23, 24, 255, 256, 65535, 65536, math.MaxUint32, math.MaxUint32 + 1, math.MaxInt64, -1, -24, -25, math.MinInt64} {
		if !ints(n) {
			t.Errorf("%d", n)
		}
	}
	if err := quick.Check(ints, nil); err != nil {
		t.Error(err)
	}
	if err := quick.Check(floats, nil); err != nil {
		t.Error(err)
	}
	if err := Decode(Value{Codec: CBOR, Data: []byte{0xfb, 0, 0, 0, 0, 0, 0, 0, 0}}, new(int)); !errors.Is(err, Invalid) {
		t.Errorf("a float read as int: %v", err)
	}
}

// Slices of numbers are not copied by Encode; Decode copies small ones, and shares large ones.
func TestRawSlicesShareMemory(t *testing.T) {
	for n, shared := range map[int]bool{8: false, 4096: true} {
		in := make([]float64, n)
		v, err := Encode(in)
		if err != nil || v.Codec != RawFloat64 || len(v.Data) != 8*n {
			t.Fatal(v.Codec, len(v.Data), err)
		}
		in[0] = 42
		var out []float64
		if err := Decode(v, &out); err != nil || out[0] != 42 {
			t.Fatal("Encode copied", err)
		}
		in[0] = 43
		if (out[0] == 43) != shared {
			t.Errorf("%d elements: shared = %v, want %v", n, out[0] == 43, shared)
		}
	}
	odd := append(make([]byte, 1, 1+8*4096), make([]byte, 8*4096)...)[1:]
	var out []float64
	if err := Decode(Value{Codec: RawFloat64, Data: odd}, &out); err != nil || len(out) != 4096 {
		t.Errorf("unaligned: %v", err)
	}
}

func TestBadValues(t *testing.T) {
	ring := &point{}
	ring.Next = ring
	for _, v := range []any{func() {}, make(chan int), struct{ F func() }{}} {
		if _, err := Encode(v); !errors.Is(err, Invalid) || HintOf(err) == "" {
			t.Errorf("encode %T: %v", v, err)
		}
	}
	decode := func(c Codec, data string, into any, kind Kind) {
		t.Helper()
		if err := Decode(Value{Codec: c, Data: []byte(data)}, into); !errors.Is(err, kind) {
			t.Errorf("decode %q as codec %d into %T: %v, want kind %v", data, c, into, err, kind)
		}
	}
	var f []float64
	var n int
	var s string
	var a any
	decode(RawFloat64, "123", &f, Corrupt)
	decode(RawInt32, "1234", &f, Invalid)
	decode(RawFloat64, "12345678", &n, Invalid)
	decode(CBOR, "\x1b\x00", &n, Corrupt)
	decode(CBOR, "", &n, Corrupt)
	decode(CBOR, "\x61a", &n, Invalid)
	decode(CBOR, "\x9b\x7f\xff\xff\xff\xff\xff\xff\xff", &f, Corrupt)
	decode(Marshaled, "x", &s, Invalid)
	decode(Pickle, "x", &a, Unsupported)
	decode(99, "x", &a, Invalid)
	if err := Decode(Value{Codec: CBOR, Ref: Ref{Blob: BlobID{N: 1}}}, &a); !errors.Is(err, Internal) {
		t.Errorf("a reference: %v", err)
	}
}

func FuzzDecode(f *testing.F) {
	for _, v := range []any{1, "a", []float64{1}, point{Name: "x"}, map[string][]int{"a": {1}}} {
		val, err := Encode(v)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(uint8(val.Codec), val.Data)
	}
	f.Fuzz(func(t *testing.T, codec uint8, data []byte) {
		v := Value{Codec: Codec(codec), Data: data}
		_ = Decode(v, new(any))
		_ = Decode(v, new(int))
		_ = Decode(v, new([]float64))
		_ = Decode(v, new(point))
		_ = Decode(v, new(time.Time))
	})
}
