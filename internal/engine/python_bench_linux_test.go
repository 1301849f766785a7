package engine

import (
	"fmt"
	"sync/atomic"
	"testing"

	"github.com/tutti-hpc/tutti"
)

// flood measures a run through an interpreter in batches; each is as many calls as items says.
func flood(b *testing.B, path string, next func(g *rig, n uint64) Run, items int) {
	const batch, ahead = 512, 8
	var done atomic.Int64
	var dead atomic.Pointer[Exited]
	room := make(chan struct{}, 1)
	g := startPython(b, path, nil)
	go func() {
		for e := range g.events {
			switch e := e.(type) {
			case Results:
				done.Add(int64(len(e.Results)))
			case Exited:
				dead.Store(&e)
				close(room)
				return
			}
			select {
			case room <- struct{}{}:
			default:
			}
		}
	}()
	b.ResetTimer()
	sent := int64(0)
	var runs [batch]Run
	for sent*int64(items) < int64(b.N) {
		for sent-done.Load() > batch*ahead {
			<-room
			if x := dead.Load(); x != nil {
				b.Fatalf("%+v", x)
			}
		}
		for i := range runs {
			runs[i] = next(g, 1)
			if i > 0 {
				runs[i].Code = runs[0].Code
			}
		}
		g.p.Send(runs[:])
		sent += batch
	}
	for done.Load() < sent && dead.Load() == nil {
		<-room
	}
	if x := dead.Load(); x != nil {
		b.Fatalf("%+v", x)
	}
	b.ReportMetric(float64(sent)*float64(items)/b.Elapsed().Seconds(), "calls/s")
}

// BenchmarkPythonCalls measures no-op calls.
func BenchmarkPythonCalls(b *testing.B) {
	for name, path := range interpreters(b) {
		b.Run(name, func(b *testing.B) {
			code, args := pyPacked(pyGlobal("builtins", "bool")), packedArg(pyTuple(pyTuple(), pyDict()))
			flood(b, path, func(g *rig, n uint64) Run {
				g.serial++
				return Run{ID: id(n), Serial: g.serial, Func: "py.apply", Code: code, Args: args}
			}, 1)
		})
	}
}

// BenchmarkPythonBatch measures items of py.batch, 100 to a run.
func BenchmarkPythonBatch(b *testing.B) {
	for name, path := range interpreters(b) {
		b.Run(name, func(b *testing.B) {
			const items = 100
			list := make([]string, items)
			for i := range list {
				list[i] = pyTuple(pyTuple(pyInt(i)), "N")
			}
			code, args := pyPacked(pyGlobal("builtins", "abs")), packedArg(pyList(list...))
			flood(b, path, func(g *rig, n uint64) Run {
				g.serial++
				return Run{ID: id(n), Serial: g.serial, Func: "py.batch", Code: code, Args: args}
			}, items)
		})
	}
}

// BenchmarkPythonRoundTrip measures one no-op at a time.
func BenchmarkPythonRoundTrip(b *testing.B) {
	for name, path := range interpreters(b) {
		b.Run(name, func(b *testing.B) {
			g := startPython(b, path, nil)
			run := []Run{g.py(1, "py.apply", pyGlobal("builtins", "bool"), pyTuple(pyTuple(), pyDict()))}
			for b.Loop() {
				g.serial++
				run[0].Serial = g.serial
				g.p.Send(run)
				for {
					e := <-g.events
					if _, ok := e.(Results); ok {
						break
					}
					if _, ok := e.(Exited); ok {
						b.Fatal(fmt.Sprint(e))
					}
				}
			}
		})
	}
}

// BenchmarkPythonArray measures an array of 100 MB: out of an engine into a segment, and from there into a function. The
// segment is warm after the first round. It needs numpy.
func BenchmarkPythonArray(b *testing.B) {
	for _, way := range []string{"out", "in"} {
		b.Run(way, func(b *testing.B) {
			g, store := withStore(b, 1<<30, func(edit func(*Spec)) *rig { return startPython(b, "/usr/bin/python3", edit) })
			g.p.Send([]Run{g.cell(1, "import numpy\ncall = ((numpy.ones(12500000),), {})")})
			if r := g.result(1); r.Ending != Succeeded {
				b.Skip(r.Fail.Error())
			}
			drop := func(v tutti.Value) { store.As("engine").Drop(v.Ref) }
			v := g.good(g.py(2, "py.pull", "", pyStr("call"))).Value
			b.SetBytes(v.Ref.Size)
			for n := uint64(3); b.Loop(); n++ {
				if way == "in" {
					g.good(g.pyRef(n, "py.apply", pyGlobal("builtins", "len"), v))
					continue
				}
				drop(v)
				v = g.good(g.py(n, "py.pull", "", pyStr("call"))).Value
			}
			drop(v)
		})
	}
}
