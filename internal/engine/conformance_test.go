package engine

import (
	"context"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// runtimes is the table that the suite below goes through.
func runtimes() map[string]Runtime {
	return map[string]Runtime{"process": Go{}, "memory": &Memory{}}
}

// eachRuntime runs a test on every runtime.
func eachRuntime(t *testing.T, test func(t *testing.T, r Runtime)) {
	for name, r := range runtimes() {
		t.Run(name, func(t *testing.T) { test(t, r) })
	}
}

// Functions answer, in order, with their values, places and times.
func TestRuns(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		const n = 1000
		var runs []Run
		for i := range uint64(n) {
			runs = append(runs, g.run(i+1, "test.double", int(i)))
		}
		g.p.Send(runs)
		var all []wire.Result // looked at when all have come: they are the receiver's, and stay as they are
		for len(all) < n {
			all = append(all, wait[Results](g).Results...)
		}
		for i, res := range all {
			if res.Run != id(uint64(i+1)) || value[int](g, res) != 2*i {
				t.Fatalf("result %d is of %v", i, res.Run)
			}
			if res.Engine != 3 || res.Started == 0 || res.Took < 0 {
				t.Fatalf("engine %d, started %d, took %d", res.Engine, res.Started, res.Took)
			}
		}
	})
}

// What goes wrong in user code is told as what it was, and the engine lives on.
func TestFailures(t *testing.T) {
	table := []struct {
		name   string
		fn     string
		arg    any
		ending Ending
		kind   tutti.Kind
		text   string
		stack  string
		hint   string
	}{
		{"error", "test.fail", "x", UserFailed, tutti.Failed, "no such star", "", ""},
		{"panic", "test.panic", "fury", UserFailed, tutti.Panicked, "panicked with fury", "main_test.go", ""},
		{"fault", "test.segv", 0, UserFailed, tutti.Panicked, "nil pointer", "main_test.go", ""},
		{"goexit", "test.goexit", 0, UserFailed, tutti.Failed, "Goexit", "", "FailNow"},
		{"bad argument", "test.double", "text", Rejected, tutti.Invalid, "does not fit", "", ""},
		{"unknown function", "test.nothing", 1, Rejected, tutti.NotFound, "test.nothing", "", "test.double"},
		{"result that cannot travel", "test.chan", 1, Rejected, tutti.Invalid, "chan int", "", ""},
		{"panic while encoding", "test.badMarshal", 1, UserFailed, tutti.Panicked, "cannot marshal", "main_test.go", ""},
	}
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		for i, c := range table {
			res := g.call(uint64(i+1), c.fn, c.arg)
			err := res.Fail.Error()
			e, ok := err.(*tutti.Error)
			if res.Ending != c.ending || !ok || tutti.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: ending %d, kind %v: %v", c.name, res.Ending, tutti.KindOf(err), err)
				continue
			}
			if e.Engine != 3 || e.Host != "here" || e.Task != id(uint64(i+1)).Task {
				t.Errorf("%s: the error does not say where: %+v", c.name, e)
			}
			if !strings.Contains(e.Stack, c.stack) || !strings.Contains(tutti.HintOf(err), c.hint) {
				t.Errorf("%s: stack %q, hint %q", c.name, e.Stack, tutti.HintOf(err))
			}
		}
		if v := value[int](g, g.call(100, "test.double", 21)); v != 42 {
			t.Errorf("afterwards 21 doubled is %d", v)
		}
	})
}

// Results of other tasks and lists come to stand in the arguments' places.
func TestArguments(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		val := func(x float64) tutti.Value { v, _ := tutti.Encode(x); return v }
		run := g.run(1, "test.sum", tutti.Arg{Items: []tutti.Arg{{From: 7}, {Value: val(0.5)}, {From: 8}}})
		run.Deps = []wire.DepValue{{Task: 8, Value: val(4)}, {Task: 7, Value: val(2)}}
		g.p.Send([]Run{run})
		if v := value[float64](g, g.result(1)); v != 6.5 {
			t.Errorf("the sum is %v", v)
		}
		run = g.run(2, "test.sum", tutti.Arg{From: 9})
		g.p.Send([]Run{run})
		if res := g.result(2); res.Ending != Rejected {
			t.Errorf("a result that did not come along: ending %d", res.Ending)
		}
		run = g.run(3, "test.sum")
		run.Args = []byte{0x91, 0x93, 0xc0, 0xc0, 0xc0}
		g.p.Send([]Run{run})
		if res := g.result(3); res.Ending != Rejected || tutti.KindOf(res.Fail.Error()) != tutti.Corrupt {
			t.Errorf("bytes that are no arguments: ending %d, %v", res.Ending, res.Fail.Error())
		}
	})
}

// Variables stay between tasks, and tasks can write into them.
func TestVariables(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		g.call(1, "tutti.push", "x", []float64{1, 2, 3}, "name", "vega")
		if n := value[int](g, g.call(2, "test.setVar", 9.0)); n != 3 {
			t.Fatalf("x has %d elements", n)
		}
		if x := value[[]float64](g, g.call(3, "tutti.pull", "x")); x[0] != 9 || len(x) != 3 {
			t.Errorf("pulled %v", x)
		}
		if n := value[[]string](g, g.call(4, "tutti.names")); len(n) != 2 || n[0] != "name" {
			t.Errorf("names %v", n)
		}
		g.call(5, "tutti.delete", "name")
		if res := g.call(6, "tutti.pull", "name"); res.Ending != UserFailed || tutti.KindOf(res.Fail.Error()) != tutti.NotFound {
			t.Errorf("pull of what was deleted: ending %d, %v", res.Ending, res.Fail.Error())
		}
		if res := g.call(7, "tutti.push", "x"); res.Ending != Rejected {
			t.Errorf("push of half a pair: ending %d", res.Ending)
		}
	})
}

// A run that is cancelled ends, whether it waits or runs; what was behind it goes on.
func TestCancel(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		g.p.Send([]Run{g.run(1, "test.wait", 0), g.run(2, "test.double", 1), g.run(3, "test.double", 2)})
		if s := wait[Started](g); s.Run.Run != id(1) || s.Run.At == 0 {
			t.Fatalf("started %+v", s)
		}
		g.p.Cancel(id(2), false)
		res := g.result(2)
		if res.Ending != WasCanceled || tutti.KindOf(res.Fail.Error()) != tutti.Canceled {
			t.Fatalf("one that waited: ending %d, %v", res.Ending, res.Fail.Error())
		}
		g.p.Cancel(id(1), true)
		var all []wire.Result
		for len(all) < 2 {
			all = append(all, wait[Results](g).Results...)
		}
		if all[0].Run != id(1) || all[0].Ending != WasCanceled || tutti.KindOf(all[0].Fail.Error()) != tutti.Timeout {
			t.Errorf("one that ran: %+v, %v", all[0], all[0].Fail.Error())
		}
		if all[1].Run != id(3) || all[1].Ending != Succeeded {
			t.Errorf("the one behind: %+v", all[1])
		}
		g.p.Cancel(id(1), false) // over already: nothing
		g.call(4, "test.double", 1)
	})
}

// Runs that have not begun can be taken back, once each.
func TestTakeBack(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		g.p.Send([]Run{g.run(1, "test.wait", 0), g.run(2, "test.double", 1), g.run(3, "test.double", 2), g.run(4, "test.double", 4)})
		wait[Started](g)
		g.p.TakeBack([]tutti.RunID{id(1), id(2), id(4), id(99)})
		if b := wait[GivenBack](g).Runs; len(b) != 2 || b[0] != id(2) || b[1] != id(4) {
			t.Fatalf("given back %v", b)
		}
		g.p.TakeBack([]tutti.RunID{id(2)})
		if b := wait[GivenBack](g).Runs; len(b) != 0 {
			t.Fatalf("given back twice: %v", b)
		}
		g.p.Cancel(id(1), false)
		for n := 0; n < 2; {
			for _, res := range wait[Results](g).Results {
				if res.Run == id(2) || res.Run == id(4) {
					t.Errorf("%v ran although it was given back", res.Run)
				}
				n++
			}
		}
	})
}

// An engine shows what it does while it does it.
func TestStacks(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		g.p.Send([]Run{g.run(1, "test.deaf", 0)})
		wait[Started](g)
		text, err := g.p.Stacks(t.Context())
		if err != nil || !strings.Contains(text, "chan receive") {
			t.Errorf("%v: %q", err, text)
		}
		g.p.Kill()
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		defer cancel()
		for {
			if _, ok := g.next().(Exited); ok {
				break
			}
		}
		if _, err := g.p.Stacks(ctx); tutti.KindOf(err) != tutti.Closed {
			t.Errorf("stacks of a dead engine: %v", err)
		}
	})
}

// The board tells which run was in progress when an engine is killed.
func TestKill(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		g.call(1, "test.double", 1)
		g.p.Send([]Run{g.run(2, "test.deaf", 0), g.run(3, "test.double", 1)})
		wait[Started](g)
		g.p.Kill()
		x := g.exited()
		if x.Signal != "KILL" || x.Begun != 2 || x.Ended != 1 || !strings.Contains(x.Why, "KILL") {
			t.Errorf("%+v", x)
		}
	})
}

// exited waits for the last event.
func (g *rig) exited() Exited {
	g.t.Helper()
	for {
		if x, ok := g.next().(Exited); ok {
			return x
		}
	}
}

// An engine that is asked to stop finishes what it has.
func TestStop(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		g.p.Send([]Run{g.run(1, "test.wait", 0), g.run(2, "test.double", 4)})
		wait[Started](g)
		g.p.Stop()
		g.p.Cancel(id(1), false)
		n := 0
		for n < 2 {
			n += len(wait[Results](g).Results)
		}
		if x := g.exited(); x.Status != 0 || x.Signal != "" || x.Begun != 2 || x.Ended != 2 {
			t.Errorf("%+v", x)
		}
	})
}

// A gang's ranks know their world.
func TestWorld(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		run := g.run(1, "test.world", 0)
		run.World = &World{Name: "w1", Rank: 1, Engines: []tutti.EngineID{5, 3}}
		g.p.Send([]Run{run})
		if s := value[string](g, g.result(1)); s != "w1 1 of [5 3] true" {
			t.Error(s)
		}
		if s := value[string](g, g.call(2, "test.world", 0)); !strings.HasSuffix(s, "false") {
			t.Error(s)
		}
	})
}

// What is shown arrives before the result of the run that shows it.
func TestDisplay(t *testing.T) {
	eachRuntime(t, func(t *testing.T, r Runtime) {
		g := start(t, r, nil)
		g.p.Send([]Run{g.run(1, "test.show", "image/svg+xml")})
		d := wait[Display](g)
		if d.Run != id(1) || d.Engine != 3 || d.MIME != "image/svg+xml" || string(d.Value.Data) != "<svg/>" {
			t.Errorf("%+v", d)
		}
		value[int](g, g.result(1))
	})
}
