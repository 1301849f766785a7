package engine

import (
	"context"
	"net"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// withStore gives an engine a blob store; the store is closed after the engine's end.
func withStore(t testing.TB, memory int64, start func(edit func(*Spec)) *rig) (*rig, *blob.Store) {
	store, err := blob.Open(blob.Config{Node: 1, Life: 1, Memory: memory, Spill: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan struct{})
	t.Cleanup(func() {
		<-served
		store.Close()
	})
	g := start(func(s *Spec) {
		s.ServeBlobs = func(c *net.UnixConn) {
			defer close(served)
			if err := store.Serve(context.Background(), c, "engine"); err != nil {
				t.Error(err)
			}
		}
	})
	return g, store
}

// pyRef makes a run whose argument is what a result says.
func (g *rig) pyRef(n uint64, name, code string, args ...tutti.Value) Run {
	r := g.run(n, name)
	list := make([]tutti.Arg, len(args))
	for i := range args {
		list[i].Value = args[i]
	}
	r.Args = packArgs(list...)
	if code != "" {
		r.Code = pyPacked(code)
	}
	return r
}

// good waits for a result that must be good.
func (g *rig) good(run Run) wire.Result {
	g.t.Helper()
	g.p.Send([]Run{run})
	for {
		switch e := g.next().(type) {
		case Results:
			r := e.Results[0]
			if r.Run != run.ID || r.Ending != Succeeded {
				g.t.Fatalf("%v: ending %d: %v", r.Run, r.Ending, r.Fail.Error())
			}
			return r
		case Exited:
			g.t.Fatalf("the engine ended: %+v", e)
		}
	}
}

// pyBuffers defines a type whose memory travels outside of the pickle, without numpy.
const pyBuffers = `import pickle
class Buffer:
    def __init__(self, data): self.data = data
    def __reduce_ex__(self, protocol): return Buffer, (pickle.PickleBuffer(self.data),)
    def __len__(self): return len(self.data)
None`

// leased waits until that many blobs are leased: who stops reading says so without waiting.
func leased(t *testing.T, s *blob.Store, n int) {
	t.Helper()
	for end := time.Now().Add(patience); s.Stats().Leased != n; time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("%d blobs are leased, not %d", s.Stats().Leased, n)
		}
	}
}

// Large values come and go as blobs, are read where they lie, and cannot be written there.
func TestPythonBlobs(t *testing.T) {
	for name, path := range interpreters(t) {
		t.Run(name, func(t *testing.T) {
			g, store := withStore(t, 64<<20, func(edit func(*Spec)) *rig { return startPython(t, path, edit) })
			g.good(g.cell(1, pyBuffers))
			g.good(g.cell(2, "call = ((Buffer(bytearray(b'ab' * 500000)),), {})"))
			v := g.good(g.py(3, "py.pull", "", pyStr("call"))).Value
			if v.Ref.Size < 1e6 || v.Ref.Size > 1e6+10000 || len(v.Data) > 0 {
				t.Fatalf("%d bytes inline, %v", len(v.Data), v.Ref)
			}
			length := pyGlobal("builtins", "len")
			if r := g.good(g.pyRef(4, "py.apply", length, v)); string(r.Value.Data[packHead+3:]) == "" {
				t.Error("no length")
			}
			leased(t, store, 0)
			g.good(g.cell(5, "kept = None\ndef keep(x):\n    global kept\n    kept = x.data\n    return kept.readonly, len(kept), bytes(kept[-4:])\nimport __main__"))
			r := g.good(g.pyRef(6, "py.apply", pyGlobal("__main__", "keep"), v))
			if !strings.Contains(string(r.Value.Data), "abab") {
				t.Errorf("%q", r.Value.Data)
			}
			leased(t, store, 1)
			if s := g.cellValue(7, "part = kept[10:20]\ndel kept\nbytes(part)"); s != "b'ababababab'" {
				t.Error(s)
			}
			leased(t, store, 1)
			g.good(g.cell(8, "del part"))
			leased(t, store, 0)
			// Many, one after the other, use the same memory.
			for i := range uint64(50) {
				w := g.good(g.py(20+i, "py.pull", "", pyStr("call"))).Value
				store.As("engine").Drop(w.Ref)
			}
			if n := store.Stats().Memory; n > 8<<20 {
				t.Errorf("the store holds %d bytes", n)
			}
			gone := tutti.Value{Codec: tutti.Pickle, Ref: tutti.Ref{Blob: tutti.BlobID{Node: 1, Life: 1, N: 999}, Size: 8}}
			g.p.Send([]Run{g.pyRef(100, "py.apply", length, gone)})
			if res := g.result(100); res.Ending != MachineFailed || !strings.Contains(res.Fail.Error().Error(), "not found") {
				t.Errorf("a blob that is not there: ending %d, %v", res.Ending, res.Fail.Error())
			}
			// Arguments in other forms: from other tasks, and by the numbers of Go.
			raw, _ := tutti.Encode([]int64{1, 2, 3, 4})
			run := g.run(101, "py.apply")
			run.Code = length2
			run.Args = packArgs(tutti.Arg{Value: tutti.Value{Codec: tutti.Pickle, Data: pyPacked(pyTuple(pyTuple(pyTuple(pyStr("arg"), pyInt(0))+"Q"), pyDict()))}}, tutti.Arg{From: 77})
			run.Deps = []wire.DepValue{{Task: 77, Value: raw}}
			if r := g.good(run); r.Value.Data[len(r.Value.Data)-2] != 4 {
				t.Errorf("%q", r.Value.Data)
			}
		})
	}
}

var length2 = pyPacked(pyGlobal("builtins", "len"))

// Without a store large values travel inside messages, also those that do not fit into the ring.
func TestPythonLargeInline(t *testing.T) {
	eachPython(t, func(t *testing.T, g *rig) {
		g.good(g.cell(1, "x = ((b'ab' * 3000000,), {})"))
		v := g.good(g.py(2, "py.pull", "", pyStr("x"))).Value
		if len(v.Data) < 6e6 {
			t.Fatalf("%d bytes", len(v.Data))
		}
		for i := range uint64(3) {
			r := g.good(g.pyRef(3+i, "py.apply", pyGlobal("builtins", "len"), v))
			if !strings.Contains(string(r.Value.Data), "J\x80\x8d\x5b\x00") {
				t.Errorf("%q", r.Value.Data)
			}
		}
	})
}

// Three gigabytes come and go: no length is cut to 32 bits. It takes memory and time, and has to be asked for.
func TestPythonHuge(t *testing.T) {
	const size = 3 << 30
	if os.Getenv("TUTTI_TEST_HUGE") == "" || available() < 3*size {
		t.Skip("it is run with TUTTI_TEST_HUGE=1 and 9 GB of free memory")
	}
	g, store := withStore(t, size+1<<20, func(edit func(*Spec)) *rig { return anyPython(t, edit) })
	g.good(g.cell(1, pyBuffers))
	g.good(g.cell(2, "import mmap\ndata = mmap.mmap(-1, 3 << 30)\ndata[-1] = 7\ncall = ((Buffer(data),), {})"))
	v := g.good(g.py(3, "py.pull", "", pyStr("call"))).Value
	if v.Ref.Size < size {
		t.Fatalf("%v", v.Ref)
	}
	g.good(g.cell(4, "del data, call\ndef last(b): return len(b), b.data[-1]"))
	r := g.good(g.pyRef(5, "py.apply", pyGlobal("__main__", "last"), v))
	if !strings.HasSuffix(string(r.Value.Data), "\x8a\x05\x00\x00\x00\xc0\x00K\x07\x86\x94.") {
		t.Errorf("%q", r.Value.Data)
	}
	store.As("engine").Drop(v.Ref)
}

// available is how much memory is free, in bytes, 0 if that is not known.
func available() int {
	b, err := os.ReadFile("/proc/meminfo")
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(b), "MemAvailable:")
	kib, _ := strconv.Atoi(strings.Fields(rest + " 0")[0])
	return kib << 10
}
