package agent

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"log/slog"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

var (
	_ = tutti.Func("test.pid", func(context.Context, int) (int, error) { return os.Getpid(), nil })
	_ = tutti.Func("test.exit", func(_ context.Context, n int) (int, error) { fmt.Print("goodbye"); os.Exit(n); return 0, nil })
	_ = tutti.Func("test.goPanic", func(context.Context, int) (int, error) {
		go func() { panic("in a goroutine of its own") }()
		select {}
	})
	_ = tutti.Func("test.deaf", func(context.Context, int) (int, error) { select {} })
	_ = tutti.Func("test.print", func(_ context.Context, n int) (int, error) {
		line := strings.Repeat("x", 1023) + "\n"
		for range n {
			fmt.Print(line)
		}
		return n, nil
	})
	_ = tutti.Func("test.family", func(context.Context, int) ([]int, error) { // itself, a child, a grandchild
		c := exec.Command("sh", "-c", "trap '' TERM INT HUP; sleep 1000 & echo $!; wait")
		out, err := c.StdoutPipe()
		if err == nil {
			err = c.Start()
		}
		if err != nil {
			return nil, err
		}
		b := make([]byte, 32)
		n, err := out.Read(b)
		if err != nil {
			return nil, err
		}
		grandchild, err := strconv.Atoi(strings.TrimSpace(string(b[:n])))
		return []int{os.Getpid(), c.Process.Pid, grandchild}, err
	})
	_ = tutti.Func("test.big", func(_ context.Context, n int) ([]float64, error) {
		x := make([]float64, n)
		for i := range x {
			x[i] = 1
		}
		return x, nil
	})
	_ = tutti.Func("test.sum", func(_ context.Context, x []float64) (float64, error) {
		s := 0.0
		for _, v := range x {
			s += v
		}
		return s, nil
	})
)

func goSpec(t testing.TB) wire.ProgramSpec {
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	return wire.ProgramSpec{Name: "go:test", Path: exe, Host: "node7"}
}

// realConfig is an agent with real processes and a blob store.
func realConfig(t testing.TB, b *boss) Config {
	return Config{
		Network: b.net, Addr: b.addr, Link: quick, Host: "node7", Has: tutti.Resources{Cores: 4, Memory: 1 << 30},
		GPUs: []string{}, Grace: 200 * time.Millisecond,
		Blobs: Blobs{Store: blob.Config{Memory: 64 << 20, Spill: t.TempDir()}},
	}
}

// withProcesses runs a test with an agent of real processes.
func withProcesses(t testing.TB, edit func(*Config), test func(b *boss, a *Agent)) {
	b := newBoss(t, wire.NewMemory(1), "controller")
	b.spec = goSpec(t)
	cfg := realConfig(t, b)
	if edit != nil {
		edit(&cfg)
	}
	a, err := Start(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		a.Close()
		b.srv.Abort()
	}()
	hear[joined](b)
	test(b, a)
}

// An engine that is killed in a run, or stopped, or that ends itself, costs that run alone, and
// everybody is told of what it died.
func TestEngineDeaths(t *testing.T) {
	kill := func(sig syscall.Signal) func(b *boss, pid int) {
		return func(b *boss, pid int) {
			hear[*wire.Started](b)
			if err := syscall.Kill(pid, sig); err != nil {
				b.t.Error(err)
			}
		}
	}
	for _, c := range []struct {
		name   string
		fn     string
		arg    int
		strike func(b *boss, pid int)
		ending engine.Ending
		kind   tutti.Kind
		text   string
	}{
		{"kill -9", "test.deaf", 0, kill(syscall.SIGKILL), engine.MachineFailed, tutti.Lost, "signal KILL"},
		{"stopped", "test.deaf", 0, kill(syscall.SIGSTOP), engine.MachineFailed, tutti.Lost, "did not answer"},
		{"exit", "test.exit", 3, nil, engine.UserFailed, tutti.Failed, "status 3"},
		{"panic elsewhere", "test.goPanic", 0, nil, engine.UserFailed, tutti.Panicked, "in a goroutine of its own"},
	} {
		t.Run(c.name, func(t *testing.T) {
			withProcesses(t, func(cfg *Config) { cfg.Hang = 400 * time.Millisecond }, func(b *boss, _ *Agent) {
				b.engine(1)
				pid := value[int](t, b.result(b.assign(call("test.pid", 1, 0))[0]))
				ids := b.assign(call("test.double", 1, 1), call(c.fn, 1, c.arg), call("test.double", 1, 2))
				if c.strike != nil {
					c.strike(b, pid)
				}
				r := b.result(ids[1])
				err := errorOf(r)
				if r.Ending != c.ending || tutti.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
					t.Errorf("ending %d, %v: %v", r.Ending, tutti.KindOf(err), err)
				}
				// The first had ended; its result may have been lost with the engine, unread.
				if back := hear[*wire.Runs](b).Runs; back[len(back)-1] != ids[2] || len(back) == 2 && back[0] != ids[0] || len(back) > 2 {
					t.Errorf("given back %v", back)
				}
				hear[*wire.EngineDown](b)
				b.post(wire.KindStartEngine, &wire.StartEngine{Engine: 1, Life: 2, Program: b.spec.Name})
				hear[*wire.EngineUp](b)
				if v := value[int](t, b.result(b.assign(call("test.double", 1, 21))[0])); v != 42 {
					t.Errorf("the next engine says %d", v)
				}
			})
		})
	}
}

// What an engine printed last is told although it died before it could say so.
func TestLastWords(t *testing.T) {
	withProcesses(t, nil, func(b *boss, _ *Agent) {
		b.engine(1)
		id := b.assign(call("test.exit", 1, 3))[0]
		b.result(id)
		text := ""
		for _, m := range b.heard {
			if o, ok := m.(*wire.Output); ok && o.Run == id {
				text += string(o.Data)
			}
		}
		if text != "goodbye" {
			t.Errorf("its output was %q", text)
		}
	})
}

// A function that does not stop when asked loses its engine.
func TestDeafFunction(t *testing.T) {
	withProcesses(t, nil, func(b *boss, _ *Agent) {
		b.engine(1)
		ids := b.assign(call("test.deaf", 1, 0))
		hear[*wire.Started](b)
		b.post(wire.KindAbort, &wire.Runs{Runs: ids, Timeout: true})
		if r := b.result(ids[0]); r.Ending != engine.WasCanceled || tutti.KindOf(errorOf(r)) != tutti.Timeout {
			t.Errorf("%+v %v", r, errorOf(r))
		}
		if d := hear[*wire.EngineDown](b); !strings.Contains(d.Why, "did not stop") {
			t.Errorf("%+v", d)
		}
	})
}

// 100 MB of output pass from a function and from a command without filling anything.
func TestMuchOutput(t *testing.T) {
	withProcesses(t, nil, func(b *boss, a *Agent) {
		b.engine(1)
		const lines = 100_000
		for _, w := range []work{
			call("test.print", 1, lines),
			{Work: tutti.Work{Script: fmt.Sprintf("head -c %d /dev/zero", lines<<10)}},
		} {
			id := b.assign(w)[0]
			total := int64(0)
			for total < lines<<10 {
				o := hear[*wire.Output](b)
				if o.Run != id || o.Offset != total {
					t.Fatalf("a piece at %d of %v after %d bytes", o.Offset, o.Run, total)
				}
				total += int64(len(o.Data))
				b.heard = nil
			}
			b.result(id)
			a.call(func() {
				if n := len(a.runs[id].printed[0].data); n > 2*ringSize {
					t.Errorf("%d bytes are kept", n)
				}
			})
			b.ack(id)
		}
	})
}

// A large result is a blob that outlives its engine; large arguments come from it.
func TestLargeValues(t *testing.T) {
	withProcesses(t, nil, func(b *boss, a *Agent) {
		b.engine(1)
		b.engine(2)
		r := b.result(b.assign(call("test.big", 1, 1_000_000))[0])
		if r.Value.Ref.Size != 8_000_000 || r.Value.Ref.Blob.Node != 0 {
			t.Fatalf("%+v", r.Value)
		}
		a.call(func() { a.engines[1].proc.Kill() })
		hear[*wire.EngineDown](b)
		if s := value[float64](t, b.result(b.assign(call("test.sum", 2, tutti.Arg{Value: r.Value}))[0])); s != 1_000_000 {
			t.Errorf("the sum is %v", s)
		}
		b.post(wire.KindDropBlobs, &wire.DropBlobs{Blobs: []tutti.BlobID{r.Value.Ref.Blob}})
		if r := b.result(b.assign(call("test.sum", 2, tutti.Arg{Value: r.Value}))[0]); r.Ending != engine.MachineFailed {
			t.Errorf("of a blob that was dropped: %+v", r)
		}
	})
}

// A blob of another node comes over the relay where there is no door, and goes with the run.
func TestRelay(t *testing.T) {
	far, err := blob.Open(blob.Config{Node: 9, Life: 1, Memory: 64 << 20, Spill: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer far.Close()
	v, err := tutti.Encode(make([]float64, 400_000))
	if err != nil {
		t.Fatal(err)
	}
	ref, err := blob.Put(t.Context(), far.As("x"), v.Data)
	if err != nil {
		t.Fatal(err)
	}
	withProcesses(t, nil, func(b *boss, a *Agent) {
		b.blob = func(q wire.ReadBlob) ([]byte, error) {
			l, err := far.As("x").Open(t.Context(), q.Ref, blob.View)
			if err != nil {
				return nil, err
			}
			defer l.Release()
			return bytes.Clone(l.Bytes()[q.Offset:][:q.Most]), nil
		}
		b.nodes = []wire.NodeRow{{Node: 9}}
		b.engine(1)
		arg := tutti.Arg{Value: tutti.Value{Codec: v.Codec, Ref: ref}}
		ids := b.assign(call("test.sum", 1, arg), call("test.sum", 1, arg))
		for id, r := range b.results(2) {
			if s := value[float64](t, r); s != 0 {
				t.Errorf("%v: %v", id, s)
			}
		}
		b.ack(ids...)
		if n := a.blobs.store.Stats().Blobs; n != 0 {
			t.Errorf("%d copies are left", n)
		}
		gone := arg
		gone.Value.Ref.Blob.N = 999
		if r := b.result(b.assign(call("test.sum", 1, gone))[0]); r.Ending != engine.MachineFailed || tutti.KindOf(errorOf(r)) != tutti.NotFound {
			t.Errorf("a blob that nobody has: %+v %v", r, errorOf(r))
		}
	})
}

// This node's blobs are passed on in pieces.
func TestAskedBlob(t *testing.T) {
	withProcesses(t, nil, func(b *boss, a *Agent) {
		data := bytes.Repeat([]byte("0123456789abcdef"), 100_000)
		ref, err := blob.Put(t.Context(), a.Space(), data)
		if err != nil {
			t.Fatal(err)
		}
		var got []byte
		for len(got) < len(data) {
			ans, err := b.ask("blob", wire.ReadBlob{Ref: ref, Offset: int64(len(got)), Most: 1 << 30})
			if err != nil || len(ans.Body) == 0 || len(ans.Body) > maxRelay {
				t.Fatalf("%d bytes, %v", len(ans.Body), err)
			}
			got = append(got, ans.Body...)
		}
		if !bytes.Equal(got, data) {
			t.Error("other bytes")
		}
		if _, err := b.ask("blob", wire.ReadBlob{Ref: ref, Offset: -1}); tutti.KindOf(err) != tutti.Invalid {
			t.Error(err)
		}
	})
}

// A program that is not on this host comes as a blob, is checked, and is kept.
func TestProgramIsFetched(t *testing.T) {
	exe, err := os.ReadFile(goSpec(t).Path)
	if err != nil {
		t.Fatal(err)
	}
	sum := sha256.Sum256(exe)
	cache := t.TempDir()
	for range 2 { // the second finds it there
		withProcesses(t, func(c *Config) { c.Cache = cache }, func(b *boss, a *Agent) {
			ref, err := blob.Put(t.Context(), a.Space(), exe)
			if err != nil {
				t.Fatal(err)
			}
			b.spec = wire.ProgramSpec{Name: "go:" + hex.EncodeToString(sum[:]), Path: "/elsewhere/x", Host: "elsewhere", Bin: ref}
			b.engine(1)
			if v := value[int](t, b.result(b.assign(call("test.double", 1, 4))[0])); v != 8 {
				t.Error(v)
			}
		})
	}
	files, _ := filepath.Glob(cache + "/*")
	if len(files) != 1 || filepath.Base(files[0]) != hex.EncodeToString(sum[:]) {
		t.Errorf("the cache has %v", files)
	}
	withProcesses(t, func(c *Config) { c.Cache = t.TempDir() }, func(b *boss, a *Agent) {
		ref, err := blob.Put(t.Context(), a.Space(), []byte("something else"))
		if err != nil {
			t.Fatal(err)
		}
		b.spec = wire.ProgramSpec{Name: "go:" + hex.EncodeToString(sum[:]), Bin: ref}
		b.post(wire.KindStartEngine, &wire.StartEngine{Engine: 1, Life: 1, Program: b.spec.Name})
		if d := hear[*wire.EngineDown](b); !strings.Contains(d.Why, "not what was asked for") {
			t.Errorf("%+v", d)
		}
		b.spec = wire.ProgramSpec{Name: "go:" + strings.Repeat("0", 64), Path: goSpec(t).Path, Host: "node7"}
		b.post(wire.KindStartEngine, &wire.StartEngine{Engine: 1, Life: 1, Program: b.spec.Name})
		if d := hear[*wire.EngineDown](b); !strings.Contains(d.Why, "has changed") {
			t.Errorf("%+v", d)
		}
	})
}

// agentMain is an agent in a process of its own, for being killed.
func agentMain(socket string) int {
	cfg := Config{
		Network: wire.Unix{}, Addr: socket, Host: "node7", Has: tutti.Resources{Cores: 4}, Grace: time.Second,
		Blobs: Blobs{Off: true}, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
	}
	if err := Run(context.Background(), cfg); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	return 0
}

// When an agent is killed, nothing of what it started lives on: engines, their children and
// grandchildren, commands and theirs, though they do not listen to signals, and a stopped engine.
func TestNoOrphans(t *testing.T) {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	b := newBoss(t, wire.Unix{}, filepath.Join(dir, "s"))
	defer b.srv.Abort()
	b.spec = goSpec(t)
	agent := exec.Command(b.spec.Path)
	agent.Env = append(os.Environ(), "AGENT_TEST_ADDR="+b.addr)
	agent.Stderr = os.Stderr
	if err := agent.Start(); err != nil {
		t.Fatal(err)
	}
	defer agent.Wait()
	defer agent.Process.Kill()
	hear[joined](b)
	b.engine(1)
	b.engine(2)
	pids := value[[]int](t, b.result(b.assign(call("test.family", 1, 0))[0]))
	stopped := value[int](t, b.result(b.assign(call("test.pid", 2, 0))[0]))
	if err := syscall.Kill(stopped, syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	pids = append(pids, stopped)
	b.assign(work{Work: tutti.Work{Script: "trap '' TERM INT HUP; echo $$; (trap '' TERM; sleep 1000 & echo $!; wait) & wait"}})
	text := ""
	for strings.Count(text, "\n") < 2 {
		text += string(hear[*wire.Output](b).Data)
	}
	for line := range strings.FieldsSeq(text) {
		pid, err := strconv.Atoi(line)
		if err != nil {
			t.Fatal(err)
		}
		pids = append(pids, pid)
	}
	for _, pid := range pids {
		if !lives(pid) {
			t.Fatalf("process %d is not there", pid)
		}
	}
	if err := agent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	for _, pid := range pids {
		for end := time.Now().Add(20 * time.Second); lives(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d lives on", pid)
			}
		}
	}
}

// lives reports whether a process runs: neither gone nor a zombie.
func lives(pid int) bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err == nil && !strings.Contains(string(b), ") Z ") && !strings.Contains(string(b), ") X ")
}
