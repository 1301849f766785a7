package agent

import (
	"bytes"
	"net"
	"path/filepath"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// A node with a door serves others, and they come to it rather than to the relay.
func TestBlobsBetweenNodes(t *testing.T) {
	withProcesses(t, func(c *Config) { c.Blobs.Listen = "127.0.0.1:0" }, func(here *boss, a *Agent) {
		if len(here.hello.BlobAddr) != 1 {
			t.Fatalf("%+v", here.hello)
		}
		v, err := tutti.Encode(bytes.Repeat([]byte{1}, 3_000_000))
		if err != nil {
			t.Fatal(err)
		}
		ref, err := blob.Put(t.Context(), a.Space(), v.Data)
		if err != nil {
			t.Fatal(err)
		}
		there := newBoss(t, wire.NewMemory(1), "controller")
		defer there.srv.Abort()
		there.node, there.spec = 5, goSpec(t)
		there.nodes = []wire.NodeRow{{Node: 0, Blobs: here.hello.BlobAddr}}
		there.blob = func(wire.ReadBlob) ([]byte, error) {
			t.Error("the relay was asked")
			return nil, tutti.E("relay", tutti.Lost, nil)
		}
		b, err := Start(t.Context(), realConfig(t, there))
		if err != nil {
			t.Fatal(err)
		}
		defer b.Close()
		hear[joined](there)
		there.engine(1)
		w := call("tutti.push", 1, "x", tutti.Arg{Value: tutti.Value{Codec: v.Codec, Ref: ref}})
		if r := there.result(there.assign(w)[0]); r.Ending != engine.Succeeded {
			t.Fatalf("%+v %v", r, errorOf(r))
		}
		r := there.result(there.assign(call("tutti.pull", 1, "x"))[0])
		if r.Value.Ref.Size != 3_000_000 || r.Value.Ref.Blob.Node != 5 {
			t.Errorf("%+v", r.Value)
		}
		// A result that is gone from its node, be it this or another, is named by its task.
		made := tutti.MakeTaskID(1, 77)
		for _, gone := range []tutti.NodeID{0, 5} {
			lost := tutti.Value{Codec: v.Codec, Ref: ref}
			lost.Ref.Blob.Node, lost.Ref.Blob.N = gone, 12345
			w := call("tutti.push", 1, "y", tutti.Arg{From: made})
			w.deps = []wire.DepValue{{Task: made, Value: lost}}
			if r := there.result(there.assign(w)[0]); r.Ending != engine.MachineFailed || r.Fail.Missing() != made {
				t.Errorf("of node %d: %+v %v", gone, r, errorOf(r))
			}
		}
	})
}

// Clients of this user put blobs into the store; they stay when the client leaves, until nobody
// wants them.
func TestClientSocket(t *testing.T) {
	socket := filepath.Join(t.TempDir(), "run", "agent.sock")
	withProcesses(t, func(c *Config) { c.Blobs.Socket = socket }, func(b *boss, a *Agent) {
		conn, err := net.Dial("unix", socket)
		if err != nil {
			t.Fatal(err)
		}
		space := blob.Connect(conn.(*net.UnixConn))
		v, err := tutti.Encode([]float64{1, 2, 3})
		if err != nil {
			t.Fatal(err)
		}
		ref, err := blob.Put(t.Context(), space, v.Data)
		if err != nil {
			t.Fatal(err)
		}
		if err := space.Close(); err != nil {
			t.Fatal(err)
		}
		b.engine(1)
		if s := value[float64](t, b.result(b.assign(call("test.sum", 1, tutti.Arg{Value: tutti.Value{Codec: v.Codec, Ref: ref}}))[0])); s != 6 {
			t.Error(s)
		}
		b.post(wire.KindDropBlobs, &wire.DropBlobs{Blobs: []tutti.BlobID{ref.Blob}})
		b.ask("logs", nil)
		a.call(func() {
			if n := a.blobs.store.Stats().Blobs; n != 0 {
				t.Errorf("%d blobs are left", n)
			}
		})
	})
}

// A gang's large values become one blob.
func TestGangOfLargeValues(t *testing.T) {
	withProcesses(t, nil, func(b *boss, a *Agent) {
		b.engine(1)
		b.engine(2)
		w := call("test.big", 1, 50_000)
		w.engines = []tutti.EngineID{1, 2}
		r := b.result(b.assign(w)[0])
		if r.Ending != engine.Succeeded || r.Value.Ref.Size < 800_000 {
			t.Fatalf("%+v %v", r, errorOf(r))
		}
		a.call(func() {
			if n := a.blobs.store.Stats().Blobs; n != 1 {
				t.Errorf("%d blobs are kept: the ranks' own should have gone", n)
			}
		})
	})
}

// Who prints without end while the controller is away waits for it, and goes on afterwards.
func TestOutputWaitsForController(t *testing.T) {
	withProcesses(t, nil, func(b *boss, a *Agent) {
		id := b.assign(work{Work: tutti.Work{Argv: []string{"yes"}}})[0]
		hear[*wire.Output](b)
		b.srv.Abort()
		for owed := 0; owed < engine.OutputWindow; time.Sleep(time.Millisecond) {
			owed = 0
			a.call(func() {
				for _, d := range a.owed {
					owed += d.n
				}
				if l := a.up.link; l != nil && l.Backlog() > 2*backlogLimit {
					t.Errorf("%d bytes wait on the link", l.Backlog())
				}
			})
		}
		var end int64
		a.call(func() { end = a.runs[id].printed[0].end })
		b.epoch++
		b.open()
		for b.link = nil; b.link == nil; {
			b.next()
		}
		for {
			if o := hear[*wire.Output](b); o.Offset > end {
				break
			}
		}
		b.post(wire.KindAbort, &wire.Runs{Runs: []tutti.RunID{id}})
		if r := b.result(id); r.Ending != engine.WasCanceled {
			t.Errorf("%+v", r)
		}
	})
}
