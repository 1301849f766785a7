package engine

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// theEnd lets functions go that listen to nothing, in engines that are goroutines.
var theEnd = make(chan struct{})

// The test binary is its own engine.
func TestMain(m *testing.M) {
	Main()
	code := m.Run()
	close(theEnd)
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
	fnNoop = tutti.Func("test.noop", func(context.Context, int) (int, error) { return 0, nil })
	_      = tutti.Func("test.double", func(_ context.Context, x int) (int, error) { return 2 * x, nil })
	_      = tutti.Func("test.sum", func(_ context.Context, x []float64) (float64, error) {
		s := 0.0
		for _, v := range x {
			s += v
		}
		return s, nil
	})
	_ = tutti.Func("test.fail", func(context.Context, string) (int, error) { return 0, errors.New("no such star") })
	_ = tutti.Func("test.panic", func(_ context.Context, s string) (int, error) { panic("panicked with " + s) })
	_ = tutti.Func("test.goexit", func(context.Context, int) (int, error) { runtime.Goexit(); return 0, nil })
	_ = tutti.Func("test.exit", func(_ context.Context, n int) (int, error) { os.Exit(n); return 0, nil })
	_ = tutti.Func("test.chan", func(context.Context, int) (chan int, error) { return make(chan int), nil })
	_ = tutti.Func("test.badMarshal", func(context.Context, int) (badMarshal, error) { return badMarshal{}, nil })
	_ = tutti.Func("test.wait", func(ctx context.Context, _ int) (int, error) {
		<-ctx.Done()
		return 0, ctx.Err()
	})
	_ = tutti.Func("test.deaf", func(context.Context, int) (int, error) { <-theEnd; return 0, nil })
	_ = tutti.Func("test.big", func(_ context.Context, n int) ([]float64, error) {
		x := make([]float64, n)
		for i := range x {
			x[i] = float64(i)
		}
		return x, nil
	})
	_ = tutti.Func("test.show", func(ctx context.Context, mime string) (int, error) {
		return 0, tutti.Display(ctx, mime, []byte("<svg/>"))
	})
	_ = tutti.Func("test.world", func(ctx context.Context, _ int) (string, error) {
		w, ok := WorldOf(ctx)
		return fmt.Sprint(w.Name, " ", w.Rank, " of ", w.Engines, " ", ok), nil
	})
	_ = tutti.Func("test.setVar", func(ctx context.Context, x float64) (int, error) {
		v, err := tutti.Var[[]float64](ctx, "x")
		if err != nil {
			return 0, err
		}
		v[0] = x
		return len(v), nil
	})
	_ = tutti.Func("test.scribble", func(_ context.Context, x []float64) (int, error) {
		x[0] = 1
		return 0, nil
	})
	_ = tutti.Func("test.print", func(_ context.Context, s string) (int, error) {
		fmt.Print(s)
		fmt.Fprint(os.Stderr, "err:", s)
		return len(s), nil
	})
	_ = tutti.Func("test.printMuch", func(_ context.Context, n int) (int, error) {
		line := strings.Repeat("x", 4095) + "\n"
		for i := 0; i < n; i += len(line) {
			fmt.Print(line)
		}
		return n, nil
	})
	_ = tutti.Func("test.childPrint", func(ctx context.Context, s string) (int, error) {
		c := exec.CommandContext(ctx, "echo", s)
		c.Stdout = os.Stdout
		return 0, c.Run()
	})
	_ = tutti.Func("test.orphan", func(context.Context, int) (int, error) {
		c := exec.Command("sleep", "1000")
		if err := c.Start(); err != nil {
			return 0, err
		}
		return c.Process.Pid, nil
	})
	_ = tutti.Func("test.env", func(_ context.Context, name string) (string, error) { return os.Getenv(name), nil })
	_ = tutti.Func("test.goPanic", func(context.Context, int) (int, error) {
		go func() { panic("in a goroutine of its own") }()
		select {}
	})
	_ = tutti.Func("test.segv", func(context.Context, int) (int, error) {
		var p *int
		return *p, nil
	})
)

type badMarshal struct{}

func (badMarshal) MarshalBinary() ([]byte, error) { panic("cannot marshal") }

// rig is a process under test with what it has said.
type rig struct {
	t      testing.TB
	p      Process
	events chan Event
	serial uint64
	seen   []Event
}

const patience = 20 * time.Second

// start begins an engine and waits until it is ready.
func start(t testing.TB, r Runtime, edit func(*Spec)) *rig {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := Spec{Engine: 3, Life: 1, Host: "here", Program: wire.ProgramSpec{Name: "go:test", Path: exe}}
	if edit != nil {
		edit(&s)
	}
	g := &rig{t: t, events: make(chan Event, 1024)}
	over := make(chan struct{})
	p, err := r.Start(t.Context(), s, func(e Event) {
		g.events <- e
		if _, ok := e.(Exited); ok {
			close(over)
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	g.p = p
	t.Cleanup(func() {
		p.Kill()
		for {
			select {
			case <-over:
				return
			case <-g.events:
			}
		}
	})
	wait[Ready](g)
	return g
}

// next gives the next event.
func (g *rig) next() Event {
	g.t.Helper()
	select {
	case e := <-g.events:
		g.seen = append(g.seen, e)
		return e
	case <-time.After(patience):
		g.t.Fatalf("nothing was heard of the engine; before that: %+v", g.seen)
		return nil
	}
}

// wait skips events until one of a kind.
func wait[E Event](g *rig) E {
	g.t.Helper()
	for {
		switch e := g.next().(type) {
		case E:
			return e
		case Exited:
			g.t.Fatalf("the engine ended: %+v", e)
		}
	}
}

// run makes a run of the n-th task.
func (g *rig) run(n uint64, name string, args ...any) Run {
	g.t.Helper()
	list := make([]tutti.Arg, len(args))
	for i, a := range args {
		v, err := tutti.Encode(a)
		if err != nil {
			g.t.Fatal(err)
		}
		list[i].Value = v
		if d, ok := a.(tutti.Arg); ok {
			list[i] = d
		}
	}
	g.serial++
	return Run{ID: id(n), Serial: g.serial, Func: name, Args: packArgs(list...)}
}

func packArgs(list ...tutti.Arg) []byte {
	b := append([]byte(nil), 0x90|byte(len(list)))
	for i := range list {
		b, _ = list[i].MarshalMsg(b)
	}
	return b
}

func id(n uint64) tutti.RunID {
	return tutti.RunID{Task: tutti.MakeTaskID(1, n), Attempt: 1, Epoch: 1}
}

// result waits for the end of one run and reports what was printed before it.
func (g *rig) result(n uint64) wire.Result {
	g.t.Helper()
	for {
		switch e := g.next().(type) {
		case Results:
			for _, r := range e.Results {
				if r.Run == id(n) {
					if len(e.Results) > 1 {
						g.t.Fatalf("more than one result at once: ask for all")
					}
					return r
				}
			}
		case Exited:
			g.t.Fatalf("the engine ended: %+v", e)
		}
	}
}

// call runs one function and gives its result.
func (g *rig) call(n uint64, name string, args ...any) wire.Result {
	g.t.Helper()
	g.p.Send([]Run{g.run(n, name, args...)})
	return g.result(n)
}

// value decodes a result that must be good.
func value[T any](g *rig, r wire.Result) T {
	g.t.Helper()
	if r.Ending != Succeeded {
		g.t.Fatalf("ending %d: %v", r.Ending, r.Fail.Error())
	}
	var v T
	if err := tutti.Decode(r.Value, &v); err != nil {
		g.t.Fatal(err)
	}
	return v
}
