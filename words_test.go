package tutti

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"testing"
)

func TestErrorsAreKinds(t *testing.T) {
	inner := Errorf("read", NotFound, "no file").WithHint("look elsewhere")
	err := fmt.Errorf("outside: %w", E("load", Failed, inner))
	for _, k := range []error{Failed, NotFound, fs.ErrNotExist} {
		if !errors.Is(err, k) {
			t.Errorf("not %v", k)
		}
	}
	if errors.Is(err, Lost) || KindOf(err) != Failed || HintOf(err) != "look elsewhere" {
		t.Error(KindOf(err), HintOf(err))
	}
	for k := Other; k < kinds; k++ {
		if KindNamed(k.String()) != k {
			t.Errorf("kind %d is named %q, which is %v", k, k, KindNamed(k.String()))
		}
	}
	for want, err := range map[Kind]error{
		Canceled: context.Canceled, Timeout: os.ErrDeadlineExceeded, Denied: fs.ErrPermission,
		Exists: fs.ErrExist, Lost: Lost, Other: errors.New("x"),
	} {
		if KindOf(err) != want {
			t.Errorf("%v is of kind %v", err, KindOf(err))
		}
	}
	e := &Error{Op: "call f", Kind: Lost, Task: MakeTaskID(7, 3), Engine: 2, Rank: 1, Host: "h1", Err: errors.New("killed")}
	if got := e.Error(); got != "call f (task 7.3) on rank 1 on engine 2 at h1: lost: killed" {
		t.Error(got)
	}
}

// The text of a deep chain is made in time proportional to its depth.
func TestDeepErrors(t *testing.T) {
	err := error(errors.New("cause"))
	for range 10_000 {
		err = E("", Lost, err)
	}
	if got := err.Error(); got != "lost: cause" {
		t.Errorf("%.100s", got)
	}
}

func TestTaskIDs(t *testing.T) {
	id := MakeTaskID(7, 12)
	if id.String() != "7.12" || id.Client() != 7 || id.N() != 12 {
		t.Error(id)
	}
	if back, err := ParseTaskID("7.12"); back != id || err != nil {
		t.Error(back, err)
	}
	for _, s := range []string{"", "7", "0.1", "1.0", "-1.2", "1.2.3", "16777216.1", "1.1099511627776", "x.y"} {
		if _, err := ParseTaskID(s); !errors.Is(err, Invalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
	b := BlobID{Node: 3, Life: 1, N: 42}
	if back, err := ParseBlobID(b.String()); back != b || err != nil {
		t.Error(back, err)
	}
	for _, s := range []string{"", "1-2", "1-2-0", "-1-2-3", "1-2-3x", "01-2-3"} {
		if _, err := ParseBlobID(s); !errors.Is(err, Invalid) {
			t.Errorf("%q: %v", s, err)
		}
	}
}

func TestBytes(t *testing.T) {
	for s, want := range map[string]int64{"0": 0, "1000": 1000, "64KiB": 65536, "4 GB": 4e9, "1.5g": 3 << 29, "2b": 2, "1m": 1 << 20} {
		if got, err := ParseBytes(s); got != want || err != nil {
			t.Errorf("%q: %d %v", s, got, err)
		}
	}
	for _, s := range []string{"", "x", "1q", "-1", "1e99g", "1kbb", "NaN"} {
		if n, err := ParseBytes(s); !errors.Is(err, Invalid) {
			t.Errorf("%q: %d %v", s, n, err)
		}
	}
	if got := FormatBytes(3 << 29); got != "1.5 GiB" {
		t.Error(got)
	}
	r := Resources{Cores: 2, Memory: 4 << 30, GPUs: 1, Custom: map[string]float64{"licence": 1}}
	if got := r.String(); got != "2 cores, 1 GPU, 4.0 GiB, 1 licence" {
		t.Error(got)
	}
}

func TestNamespace(t *testing.T) {
	n := NewNamespace()
	ctx := WithNamespace(context.Background(), n)
	released := 0
	n.Put("x", value(t, []float64{1, 2}), func() { released++ })
	x, err := Var[[]float64](ctx, "x")
	if err != nil || x[1] != 2 {
		t.Fatal(x, err)
	}
	x[1] = 5 // the engine's own: the next task sees it
	if again, _ := Var[[]float64](ctx, "x"); again[1] != 5 {
		t.Error(again)
	}
	if v, err := n.Get("x"); err != nil || roundTrip[[]float64](t, v)[1] != 5 {
		t.Error("Get gives what was pushed, not what it has become", err)
	}
	if err := SetVar(ctx, "n", 3); err != nil {
		t.Error(err)
	}
	if f, err := Var[float64](ctx, "n"); f != 3 || err != nil {
		t.Error("another type:", f, err)
	}
	if _, err := Var[int](ctx, "y"); !errors.Is(err, NotFound) {
		t.Error(err)
	}
	if _, err := Var[int](context.Background(), "x"); !errors.Is(err, Unsupported) {
		t.Error(err)
	}
	n.Delete()
	if len(n.Names()) != 0 || released != 1 {
		t.Error(n.Names(), released)
	}
}

func TestDisplay(t *testing.T) {
	t.Chdir(t.TempDir())
	var got string
	sink := func(_ context.Context, mime string, data []byte) error { got = mime + string(data); return nil }
	ctx := context.Background()
	if err := Display(WithSink(ctx, sink), "text/plain", []byte("a")); err != nil || got != "text/plaina" {
		t.Error(got, err)
	}
	old := SetSink(sink)
	if err := Display(ctx, "x", []byte("b")); err != nil || got != "xb" {
		t.Error(got, err)
	}
	SetSink(old)
	if err := Display(ctx, "image/svg+xml; charset=utf-8", []byte("<svg/>")); err != nil {
		t.Error(err)
	}
	files, _ := os.ReadDir(".")
	if len(files) != 1 || files[0].Name()[len(files[0].Name())-4:] != ".svg" {
		t.Error(files)
	}
}
