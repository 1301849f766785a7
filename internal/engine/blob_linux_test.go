package engine

import (
	"context"
	"net"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
)

// Large values come and go as blobs; what is pushed can be written into and leaves the blob alone.
func TestBlobs(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		store, err := blob.Open(blob.Config{Node: 1, Life: 1, Memory: 64 << 20, Spill: t.TempDir()})
		if err != nil {
			t.Fatal(err)
		}
		defer store.Close()
		served := make(chan struct{})
		g := start(t, r, func(s *Spec) {
			s.Blobs = store.As("engine")
			s.ServeBlobs = func(c *net.UnixConn) {
				defer close(served)
				if err := store.Serve(context.Background(), c, "engine"); err != nil {
					t.Error(err)
				}
			}
		})
		res := g.call(1, "test.big", 100_000)
		if res.Value.Ref.Size != 800_000 || len(res.Value.Data) > 0 {
			t.Fatalf("%d bytes inline, %v", len(res.Value.Data), res.Value.Ref)
		}
		arg := tutti.Arg{Value: res.Value}
		if s := value[float64](g, g.call(2, "test.sum", arg)); s != 100_000*99_999/2 {
			t.Errorf("the sum is %v", s)
		}
		if e := g.call(3, "test.scribble", arg).Fail.Error(); e != nil {
			t.Errorf("a function may write into its argument: %v", e)
		}
		if s := value[float64](g, g.call(2, "test.sum", arg)); s != 100_000*99_999/2 {
			t.Errorf("a function's writing into its argument was seen by the next: %v", s)
		}
		g.call(4, "tutti.push", "x", arg)
		g.call(5, "test.setVar", 7.0)
		if s := value[float64](g, g.call(6, "test.sum", arg)); r == (Go{}) && s != 100_000*99_999/2 {
			t.Errorf("writing into a variable has changed the blob it came from: %v", s)
		}
		if n := store.Stats().Leased; n != 1 {
			t.Errorf("%d blobs are leased, not the variable's alone", n)
		}
		g.call(7, "tutti.delete")
		gone := tutti.Arg{Value: tutti.Value{Codec: tutti.RawFloat64, Ref: tutti.Ref{Blob: tutti.BlobID{Node: 1, Life: 1, N: 999}, Size: 8}}}
		if res := g.call(8, "test.sum", gone); res.Ending != MachineFailed || !strings.Contains(res.Fail.Error().Error(), "not found") {
			t.Errorf("a blob that is not there: ending %d, %v", res.Ending, res.Fail.Error())
		}
		if n := store.Stats().Leased; n != 0 {
			t.Errorf("%d blobs are leased at the end", n)
		}
		if refs := Refs(nil, packArgs(tutti.Arg{Items: []tutti.Arg{{}, arg}}), nil); len(refs) != 1 || refs[0] != res.Value.Ref {
			t.Errorf("refs %v", refs)
		}
	})
}
