package engine

import (
	"fmt"
	"sync/atomic"
	"testing"
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
