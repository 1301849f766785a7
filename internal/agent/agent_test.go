package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

func TestMain(m *testing.M) {
	engine.Main() // the test binary is its own engine, and its own guard
	if addr := os.Getenv("AGENT_TEST_ADDR"); addr != "" {
		os.Exit(agentMain(addr))
	}
	code := m.Run()
	if left := children(); code == 0 && len(left) > 0 {
		fmt.Fprintln(os.Stderr, "processes left behind:", left)
		code = 1
	}
	if left := leftGoroutines(); code == 0 && len(left) > 0 {
		fmt.Fprintln(os.Stderr, "goroutines left behind:", strings.Join(left, "\n\n"))
		code = 1
	}
	os.Exit(code)
}

// leftGoroutines are those of this module that are still there a while after all tests, but for the one
// that starts processes.
func leftGoroutines() (left []string) {
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		b := make([]byte, 1<<20)
		left = nil
		for g := range strings.SplitSeq(string(b[:runtime.Stack(b, true)]), "\n\n") {
			if strings.Contains(g, "tutti/internal/") && !strings.Contains(g, "engine.spawn") && !strings.Contains(g, "TestMain") {
				left = append(left, g)
			}
		}
		if len(left) == 0 {
			return nil
		}
	}
	return left
}

// children lists this process's living children other than the guard.
func children() (out []string) {
	if runtime.GOOS != "linux" {
		return nil
	}
	threads, _ := os.ReadDir("/proc/self/task")
	for _, t := range threads {
		b, _ := os.ReadFile("/proc/self/task/" + t.Name() + "/children")
		for pid := range strings.FieldsSeq(string(b)) {
			cmd, _ := os.ReadFile("/proc/" + pid + "/cmdline")
			if !strings.HasPrefix(string(cmd), "tutti-guard") {
				out = append(out, pid+" "+strings.ReplaceAll(string(cmd), "\x00", " "))
			}
		}
	}
	return out
}

var (
	_ = tutti.Func("test.double", func(_ context.Context, x int) (int, error) { return 2 * x, nil })
	_ = tutti.Func("test.fail", func(context.Context, int) (int, error) { return 0, errors.New("no such star") })
	_ = tutti.Func("test.wait", func(ctx context.Context, _ int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	_ = tutti.Func("test.sleep", func(_ context.Context, ms int) (int, error) {
		time.Sleep(time.Duration(ms) * time.Millisecond)
		return ms, nil
	})
	_ = tutti.Func("test.rank", func(ctx context.Context, _ int) (int, error) {
		w, _ := engine.WorldOf(ctx)
		if len(w.Engines) == 0 {
			return -1, nil
		}
		return w.Rank, nil
	})
	_ = tutti.Func("test.rankFails", func(ctx context.Context, rank int) (int, error) {
		if w, _ := engine.WorldOf(ctx); w.Rank == rank {
			return 0, errors.New("rank fails")
		}
		<-ctx.Done()
		return 0, ctx.Err()
	})
	_ = tutti.Func("test.show", func(ctx context.Context, _ int) (int, error) {
		return 0, tutti.Display(ctx, "text/plain", []byte("hello"))
	})
)

func value[T any](t *testing.T, r wire.Result) T {
	t.Helper()
	if r.Ending != engine.Succeeded {
		t.Fatalf("ending %d: %v", r.Ending, errorOf(r))
	}
	var v T
	if err := tutti.Decode(r.Value, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// An agent says who it is, starts engines and runs functions on them.
func TestFunctions(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, a *Agent) {
		if h := b.hello; h.Node != tutti.NoNode || h.Host != "node7" || h.Has.Cores != 4 || a.Node() != 0 {
			t.Errorf("%+v, node %d", h, a.Node())
		}
		b.engine(3)
		var list []work
		for i := range 1000 {
			list = append(list, call("test.double", 3, i))
		}
		ids := b.assign(list...)
		all := b.results(len(ids))
		for i, id := range ids {
			if v := value[int](t, all[id]); v != 2*i || all[id].Engine != 3 {
				t.Fatalf("run %d: %d on engine %d", i, v, all[id].Engine)
			}
		}
		b.ack(ids...)
		r := b.result(b.assign(call("test.fail", 3, 0))[0])
		if err := errorOf(r); r.Ending != engine.UserFailed || !strings.Contains(err.Error(), "no such star") ||
			!strings.Contains(err.Error(), "at node7") {
			t.Errorf("ending %d: %v", r.Ending, err)
		}
		synctest.Wait()
		a.call(func() {
			if len(a.runs) != 1 {
				t.Errorf("%d runs are kept, of which one is not acknowledged", len(a.runs))
			}
		})
	})
}

// Long runs are told of when they last, short ones are not.
func TestStartedIsTold(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, _ *Agent) {
		b.engine(1)
		ids := b.assign(call("test.double", 1, 1), call("test.sleep", 1, 100))
		s := hear[*wire.Started](b)
		if len(s.Runs) != 1 || s.Runs[0].Run != ids[1] {
			t.Errorf("%+v", s)
		}
		r := b.result(ids[1])
		if took := time.Duration(r.Took); took != 100*time.Millisecond {
			t.Errorf("it took %v", took)
		}
	})
}

// Runs that have not begun are given back when asked for, wherever they wait.
func TestRecall(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, _ *Agent) {
		b.engine(1)
		list := []work{call("test.wait", 1, 0)}
		for i := range 100 { // more than a process is given ahead of time
			list = append(list, call("test.double", 1, i))
		}
		ids := b.assign(list...)
		hear[*wire.Started](b)
		b.post(wire.KindRecall, &wire.Runs{Runs: ids})
		back := map[tutti.RunID]bool{}
		for len(back) < 100 {
			for _, id := range hear[*wire.Runs](b).Runs {
				if back[id] || id == ids[0] {
					t.Fatalf("%v was given back twice, or although it runs", id)
				}
				back[id] = true
			}
		}
		b.post(wire.KindAbort, &wire.Runs{Runs: ids[:1]})
		if r := b.result(ids[0]); r.Ending != engine.WasCanceled {
			t.Errorf("%+v", r)
		}
	})
}

// Runs stop when asked: those that wait at once, those that run by their context, those that do
// not listen with their engine.
func TestAbort(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, _ *Agent) {
		b.engine(1)
		ids := b.assign(call("test.wait", 1, 0), call("test.double", 1, 1), call("test.sleep", 1, 60_000), call("test.double", 1, 2))
		b.post(wire.KindAbort, &wire.Runs{Runs: ids[1:2]})
		if r := b.result(ids[1]); r.Ending != engine.WasCanceled || tutti.KindOf(errorOf(r)) != tutti.Canceled {
			t.Errorf("one that waits: %+v %v", r, errorOf(r))
		}
		b.post(wire.KindAbort, &wire.Runs{Runs: ids[:1], Timeout: true})
		if r := b.result(ids[0]); r.Ending != engine.WasCanceled || tutti.KindOf(errorOf(r)) != tutti.Timeout {
			t.Errorf("one that runs: %+v %v", r, errorOf(r))
		}
		hear[*wire.Started](b)
		began := time.Now()
		b.post(wire.KindAbort, &wire.Runs{Runs: ids[2:3]})
		r := b.result(ids[2])
		if took := time.Since(began); r.Ending != engine.WasCanceled || took < time.Second || took > 3*time.Second {
			t.Errorf("one that does not listen, after %v: %+v %v", took, r, errorOf(r))
		}
		if back := hear[*wire.Runs](b).Runs; len(back) != 1 || back[0] != ids[3] {
			t.Errorf("the one behind was not given back: %v", back)
		}
		if d := hear[*wire.EngineDown](b); d.Engine != 1 || !strings.Contains(d.Why, "did not stop") {
			t.Errorf("%+v", d)
		}
	})
}

// With Force nobody is asked any more.
func TestAbortForced(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, _ *Agent) {
		b.engine(1)
		ids := b.assign(call("test.sleep", 1, 60_000))
		hear[*wire.Started](b)
		began := time.Now()
		b.post(wire.KindAbort, &wire.Runs{Runs: ids, Force: true})
		if r := b.result(ids[0]); r.Ending != engine.WasCanceled || time.Since(began) > 500*time.Millisecond {
			t.Errorf("%v: %+v", time.Since(began), r)
		}
	})
}

// An engine that dies takes one run with it; its end is told after the runs'.
func TestEngineDies(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, a *Agent) {
		b.engine(1)
		ids := b.assign(call("test.double", 1, 1), call("test.wait", 1, 0), call("test.double", 1, 2), call("test.double", 1, 3))
		hear[*wire.Started](b)
		a.call(func() { a.engines[1].proc.Kill() })
		r := b.result(ids[1])
		if err := errorOf(r); r.Ending != engine.MachineFailed || tutti.KindOf(err) != tutti.Lost || !strings.Contains(err.Error(), "KILL") {
			t.Errorf("%+v: %v", r, err)
		}
		if back := hear[*wire.Runs](b).Runs; len(back) != 2 || back[0] != ids[2] || back[1] != ids[3] {
			t.Errorf("given back: %v", back)
		}
		if d := hear[*wire.EngineDown](b); d.Engine != 1 || d.Life != 1 {
			t.Errorf("%+v", d)
		}
		b.assign(call("test.double", 1, 1)) // was on its way
		if back := hear[*wire.Runs](b).Runs; len(back) != 1 {
			t.Errorf("given back: %v", back)
		}
	})
}

// An engine that does not answer is replaced.
func TestEngineHangs(t *testing.T) {
	inBubble(t, func(c *Config) { c.Hang = 4 * time.Second }, func(t *testing.T, b *boss, a *Agent) {
		b.engine(1)
		ids := b.assign(call("test.wait", 1, 0))
		hear[*wire.Started](b)
		time.Sleep(time.Minute) // busy is not hung
		a.call(func() { a.engines[1].proc.(*engine.MemoryProcess).Hang() })
		if _, err := b.ask("stacks", wire.EngineName{Engine: 1}); tutti.KindOf(err) != tutti.Timeout && tutti.KindOf(err) != tutti.Closed {
			t.Errorf("stacks of a hung engine: %v", err)
		}
		r := wire.Result{}
		for _, m := range b.heard {
			if d, ok := m.(*wire.Done); ok {
				r = d.Results[0]
			}
		}
		if r.Run == (tutti.RunID{}) {
			r = b.result(ids[0])
		}
		if r.Run != ids[0] || r.Ending != engine.MachineFailed || !strings.Contains(errorOf(r).Error(), "did not answer") {
			t.Errorf("%+v %v", r, errorOf(r))
		}
	})
}

// A program that nobody knows, and an engine that is asked for in vain, are told of.
func TestEngineCannotStart(t *testing.T) {
	inBubble(t, func(c *Config) {
		c.Runtimes = engine.Table{"mem:": &engine.Memory{Refuse: func(engine.Spec) error {
			return tutti.Errorf("start engine", tutti.Full, "no processes are left")
		}}}
	}, func(t *testing.T, b *boss, _ *Agent) {
		for program, text := range map[string]string{"mem:test": "no processes", "mem:other": "no program", "fortran:77": "no program"} {
			b.post(wire.KindStartEngine, &wire.StartEngine{Engine: 1, Life: 1, Program: program})
			if d := hear[*wire.EngineDown](b); d.Engine != 1 || !strings.Contains(d.Why, text) {
				t.Errorf("%s: %+v", program, d)
			}
		}
	})
}

// An engine that is not needed ends.
func TestStopEngine(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, _ *Agent) {
		b.engine(1)
		b.post(wire.KindStopEngine, &wire.StopEngine{Engine: 1, Life: 1})
		if d := hear[*wire.EngineDown](b); d.Engine != 1 || d.Life != 1 {
			t.Errorf("%+v", d)
		}
	})
}

// Commands run within the node's cores, in order; output, results and ends are told.
func TestCommands(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, _ *Agent) {
		id := b.assign(command("echo", "a", "b"))[0]
		if o := hear[*wire.Output](b); o.Run != id || o.Stream != 1 || string(o.Data) != "a b\n" {
			t.Errorf("%+v", o)
		}
		r := b.result(id)
		if e := value[engine.Exit](t, r); e != (engine.Exit{}) || r.Engine != tutti.NoEngine {
			t.Errorf("%+v %+v", e, r)
		}
		if r := b.result(b.assign(command("exit", "3"))[0]); r.Ending != engine.UserFailed || !strings.Contains(errorOf(r).Error(), "exit status 3: exit with 3") {
			t.Errorf("%+v %v", r, errorOf(r))
		}
		if r := b.result(b.assign(command("nonesuch"))[0]); r.Ending != engine.Rejected || tutti.KindOf(errorOf(r)) != tutti.NotFound {
			t.Errorf("%+v %v", r, errorOf(r))
		}
		began := time.Now()
		var list []work
		for range 8 { // two rounds on four cores
			list = append(list, command("sleep", "10s"))
		}
		b.results(len(b.assign(list...)))
		if took := time.Since(began).Round(time.Second); took != 20*time.Second {
			t.Errorf("eight commands of 10 s took %v on four cores", took)
		}
	})
}

// Commands stop when asked, waiting or running.
func TestAbortCommands(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, _ *Agent) {
		big := command("sleep", "1h")
		big.Need.Cores = 4
		ids := b.assign(big, command("sleep", "1h"))
		hear[*wire.Started](b)
		b.post(wire.KindAbort, &wire.Runs{Runs: ids, Timeout: true})
		for id, r := range b.results(2) {
			if r.Ending != engine.WasCanceled || tutti.KindOf(errorOf(r)) != tutti.Timeout {
				t.Errorf("%v: %+v %v", id, r, errorOf(r))
			}
		}
		ids = b.assign(big, command("sleep", "1h"))
		hear[*wire.Started](b)
		b.post(wire.KindRecall, &wire.Runs{Runs: ids})
		if back := hear[*wire.Runs](b).Runs; len(back) != 1 || back[0] != ids[1] {
			t.Errorf("given back %v", back)
		}
	})
}

// A gang's parts run together, and their values come as one; one that fails ends the others.
func TestGang(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, a *Agent) {
		for i := range tutti.EngineID(3) {
			b.engine(i)
		}
		w := call("test.rank", 0, 0)
		w.engines = []tutti.EngineID{2, 0, 1}
		r := b.result(b.assign(w)[0])
		var list []rankValue
		if err := cbor.Unmarshal(r.Value.Data, &list); err != nil || len(list) != 3 || r.Ending != engine.Succeeded {
			t.Fatalf("%v %+v", err, r)
		}
		for i, v := range list {
			if n := value[int](t, wire.Result{Value: tutti.Value{Codec: tutti.Codec(v.Codec), Data: v.Data}}); n != i {
				t.Errorf("rank %d says it is %d", i, n)
			}
		}
		w = call("test.rankFails", 0, 1)
		w.engines = []tutti.EngineID{0, 1, 2}
		r = b.result(b.assign(w)[0])
		if err := errorOf(r); r.Ending != engine.UserFailed || !strings.Contains(err.Error(), "rank fails") || !strings.Contains(err.Error(), "on rank 1") {
			t.Errorf("%+v %v", r, err)
		}
		w = call("test.wait", 0, 0)
		w.engines = []tutti.EngineID{0, 1, 2}
		id := b.assign(w)[0]
		hear[*wire.Started](b)
		a.call(func() { a.engines[2].proc.Kill() })
		hear[*wire.EngineDown](b)
		if r := b.result(id); r.Ending != engine.MachineFailed { // when the others have stopped
			t.Errorf("%+v %v", r, errorOf(r))
		}
		if v := value[int](t, b.result(b.assign(call("test.double", 1, 4))[0])); v != 8 {
			t.Errorf("afterwards engine 1 says %d", v)
		}
	})
}

// What is shown is told.
func TestDisplayIsTold(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, _ *Agent) {
		b.engine(1)
		id := b.assign(call("test.show", 1, 0))[0]
		if d := hear[*wire.Display](b); d.Run != id || d.Engine != 1 || d.MIME != "text/plain" || string(d.Value.Data) != "hello" {
			t.Errorf("%+v", d)
		}
	})
}

// Accelerators are allotted by name, and only to as many as there are.
func TestGPUs(t *testing.T) {
	cmds := engine.MemoryCommands{}
	var mu sync.Mutex
	var seen []string
	cmds["gpu"] = func(ctx context.Context, c engine.Command, print func(uint8, string)) int {
		mu.Lock()
		seen = append(seen, strings.Join(c.GPUs, ","))
		mu.Unlock()
		return engine.Words["sleep"](ctx, engine.Command{Argv: []string{"sleep", "10s"}}, print)
	}
	inBubble(t, func(c *Config) { c.Commands = cmds; c.GPUs = []string{"4", "7"}; c.Has.GPUs = 2; c.Has.Cores = 16 },
		func(t *testing.T, b *boss, _ *Agent) {
			w := command("gpu")
			w.Need.GPUs = 1
			began := time.Now()
			b.results(len(b.assign(w, w, w, w)))
			if took := time.Since(began).Round(time.Second); took != 20*time.Second {
				t.Errorf("four commands of 10 s took %v on two accelerators", took)
			}
			mu.Lock()
			defer mu.Unlock()
			counts := map[string]int{}
			for _, s := range seen {
				counts[s]++
			}
			if counts["4"] != 2 || counts["7"] != 2 {
				t.Errorf("allotted %v", seen)
			}
		})
}

// Questions are answered: logs, output, usage, and what nobody knows.
func TestQuestions(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, _ *Agent) {
		b.engine(1)
		id := b.assign(call("test.wait", 1, 0))[0]
		hear[*wire.Started](b)
		ans, err := b.ask("stacks", wire.EngineName{Engine: 1})
		if err != nil || !strings.Contains(string(ans.Body), "goroutine") {
			t.Errorf("stacks: %v %.100s", err, ans.Body)
		}
		if _, err := b.ask("stacks", wire.EngineName{Engine: 9}); tutti.KindOf(err) != tutti.NotFound {
			t.Errorf("stacks of nobody: %v", err)
		}
		if ans, err := b.ask("logs", nil); err != nil || !strings.Contains(string(ans.Body), "joined") {
			t.Errorf("logs: %v %s", err, ans.Body)
		}
		if ans, err = b.ask("usage", nil); err != nil {
			t.Error(err)
		}
		var u []Usage
		if err := cbor.Unmarshal(ans.Body, &u); err != nil || len(u) != 1 || u[0].Engine != 1 || u[0].Run != id {
			t.Errorf("usage: %v %+v", err, u)
		}
		cmd := b.assign(command("echo", "hello"))[0]
		b.result(cmd)
		ans, err = b.ask("output", wire.ReadOutput{Task: cmd.Task, Stream: 1, Offset: 2})
		var part wire.OutputPart
		if err != nil || cbor.Unmarshal(ans.Body, &part) != nil || string(part.Data) != "llo\n" || !part.End || part.From != 2 {
			t.Errorf("output: %v %+v", err, part)
		}
		if _, err := b.ask("weather", nil); tutti.KindOf(err) != tutti.Unsupported {
			t.Errorf("a question that nobody answers: %v", err)
		}
	})
}
