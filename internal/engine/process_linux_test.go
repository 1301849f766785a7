package engine

import (
	"fmt"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// printed gathers a run's output until its result has come.
func (g *rig) printed(n uint64) (out, errOut string) {
	g.t.Helper()
	var text [3]strings.Builder
	for {
		switch e := g.next().(type) {
		case Output:
			if e.Run != id(n) {
				g.t.Errorf("%q belongs to %v", e.Data, e.Run)
			}
			if e.Offset != int64(text[e.Stream].Len()) {
				g.t.Errorf("a piece at %d comes after %d bytes", e.Offset, text[e.Stream].Len())
			}
			text[e.Stream].Write(e.Data)
			g.p.Credit(len(e.Data))
		case Results:
			return text[1].String(), text[2].String()
		case Exited:
			g.t.Fatalf("the engine ended: %+v", e)
		}
	}
}

// What is printed is told apart by run and stream, also what child processes print.
func TestOutput(t *testing.T) {
	g := start(t, Go{}, nil)
	for i := uint64(1); i <= 20; i++ {
		text := fmt.Sprintf("run %d\n", i)
		g.p.Send([]Run{g.run(i, "test.print", text)})
		if out, errOut := g.printed(i); out != text || errOut != "err:"+text {
			t.Fatalf("run %d printed %q and %q", i, out, errOut)
		}
	}
	g.p.Send([]Run{g.run(30, "test.childPrint", "from a child")})
	if out, _ := g.printed(30); out != "from a child\n" {
		t.Errorf("a child printed %q", out)
	}
}

// 100 MB of output pass in bounded pieces; without credit the printing run waits.
func TestMuchOutput(t *testing.T) {
	g := start(t, Go{}, nil)
	g.p.Send([]Run{g.run(1, "test.printMuch", 100<<20)})
	held, total := 0, 0
	for held < OutputWindow { // no credit is given
		o := wait[Output](g)
		held += len(o.Data)
		g.seen = nil
	}
	if held > OutputWindow {
		t.Fatalf("%d bytes came with credit for %d", held, OutputWindow)
	}
	total = held
	g.p.Credit(held)
	for total < 100<<20 {
		o := wait[Output](g)
		total += len(o.Data)
		g.p.Credit(len(o.Data))
		g.seen = nil
	}
	if r := g.result(1); r.Ending != Succeeded {
		t.Errorf("%+v", r)
	}
}

// An engine that dies of its own code says of what.
func TestDeaths(t *testing.T) {
	for _, c := range []struct {
		fn     string
		arg    int
		status int
		stack  string
	}{
		{"test.exit", 7, 7, ""},
		{"test.goPanic", 0, 2, "in a goroutine of its own"},
	} {
		g := start(t, Go{}, nil)
		g.p.Send([]Run{g.run(1, c.fn, c.arg)})
		x := g.exited()
		if x.Status != c.status || x.Signal != "" || !strings.Contains(x.Stack, c.stack) || x.Begun != 1 || x.Ended != 0 {
			t.Errorf("%s: %+v", c.fn, x)
		}
	}
}

// A stopped process is found out and killed; one that is merely busy is not.
func TestHung(t *testing.T) {
	g := start(t, Go{}, func(s *Spec) { s.Hang = 400 * time.Millisecond })
	g.p.Send([]Run{g.run(1, "test.deaf", 0)})
	wait[Started](g)
	if _, err := g.p.Stacks(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(g.p.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if x := g.exited(); !x.Hung || x.Signal != "KILL" || !strings.Contains(x.Why, "did not answer") {
		t.Errorf("%+v", x)
	}
}

// What a program says before it fails to become an engine is in the reason.
func TestNoEngine(t *testing.T) {
	events := make(chan Event, 16)
	p, err := Go{}.Start(t.Context(), Spec{Program: wire.ProgramSpec{Name: "go:sh", Path: "/bin/sh", Args: []string{"-c", "echo no luck >&2; exit 5"}}},
		func(e Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	x := (<-events).(Exited)
	if x.Status != 5 || !strings.Contains(x.Why, "before it was ready") || !strings.Contains(x.Why, "no luck") {
		t.Errorf("%+v", x)
	}
	p.Kill() // nothing is left to kill
}

// A program that cannot be started says why.
func TestStartErrors(t *testing.T) {
	plain := t.TempDir() + "/plain"
	if err := os.WriteFile(plain, []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		spec wire.ProgramSpec
		kind tutti.Kind
		text string
	}{
		{wire.ProgramSpec{Name: "go:x"}, tutti.NotFound, "no file"},
		{wire.ProgramSpec{Name: "go:x", Path: "/nowhere/x"}, tutti.NotFound, "/nowhere/x"},
		{wire.ProgramSpec{Name: "go:x", Path: plain}, tutti.Denied, plain},
		{wire.ProgramSpec{Name: "go:x", Path: "/bin/sh", Dir: "/nowhere"}, tutti.NotFound, "working directory"},
	} {
		_, err := Go{}.Start(t.Context(), Spec{Program: c.spec}, func(Event) {})
		if tutti.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v", c.spec, err)
		}
	}
}

// Children of the user's code go with the engine.
func TestNoOrphans(t *testing.T) {
	g := start(t, Go{}, nil)
	child := value[int](g, g.call(1, "test.orphan", 0))
	if err := syscall.Kill(child, 0); err != nil {
		t.Fatal("the child is not there:", err)
	}
	g.p.Kill()
	g.exited()
	waitGone(t, child)
}

// waitGone waits until a process that is not our child is no more.
func waitGone(t *testing.T, pid int) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(time.Millisecond) {
		if err := syscall.Kill(pid, 0); err == syscall.ESRCH {
			return
		}
		if b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid)); strings.Contains(string(b), ") Z ") {
			return // dead; whoever is to collect it has not come yet
		}
		if time.Now().After(end) {
			t.Fatalf("process %d lives on", pid)
		}
	}
}

// The environment follows what a run was given.
func TestAllotment(t *testing.T) {
	g := start(t, Go{}, func(s *Spec) { s.Env = []string{"CUDA_VISIBLE_DEVICES=-1"}; s.Threads = 2 })
	if v := value[string](g, g.call(1, "test.env", "OMP_NUM_THREADS")); v != "2" {
		t.Errorf("OMP_NUM_THREADS=%q", v)
	}
	run := g.run(2, "test.env", "CUDA_VISIBLE_DEVICES")
	run.GPUs, run.Threads = []string{"3", "5"}, 4
	g.p.Send([]Run{run})
	if v := value[string](g, g.result(2)); v != "3,5" {
		t.Errorf("CUDA_VISIBLE_DEVICES=%q", v)
	}
	if v := value[string](g, g.call(3, "test.env", "CUDA_VISIBLE_DEVICES")); v != "-1" {
		t.Errorf("CUDA_VISIBLE_DEVICES=%q afterwards", v)
	}
	if v := value[string](g, g.call(4, "test.env", "OMP_NUM_THREADS")); v != "2" {
		t.Errorf("OMP_NUM_THREADS=%q", v)
	}
	if v := value[string](g, g.call(5, "test.env", "TUTTI_ENGINE")); v != "" {
		t.Errorf("children would take themselves for engines: %q", v)
	}
}
