package engine

import (
	"sync/atomic"
	"testing"
)

// BenchmarkTasks measures no-op tasks through a real engine process, in batches.
func BenchmarkTasks(b *testing.B) {
	const batch, ahead = 512, 8
	var done atomic.Int64
	room := make(chan struct{}, 1)
	g := start(b, Go{}, nil)
	go func() {
		for e := range g.events {
			if r, ok := e.(Results); ok {
				done.Add(int64(len(r.Results)))
				select {
				case room <- struct{}{}:
				default:
				}
			}
		}
	}()
	runs := make([]Run, batch)
	for i := range runs {
		runs[i] = g.run(uint64(i+1), fnNoop.Name(), 7)
	}
	b.ReportAllocs()
	b.ResetTimer()
	sent := int64(0)
	for sent < int64(b.N) {
		for sent-done.Load() > batch*ahead {
			<-room
		}
		g.p.Send(runs)
		sent += batch
	}
	for done.Load() < sent {
		<-room
	}
	b.ReportMetric(float64(sent)/b.Elapsed().Seconds(), "tasks/s")
}

// BenchmarkRoundTrip measures one task at a time.
func BenchmarkRoundTrip(b *testing.B) {
	g := start(b, Go{}, nil)
	run := []Run{g.run(1, fnNoop.Name(), 7)}
	for b.Loop() {
		g.p.Send(run)
		for {
			if _, ok := (<-g.events).(Results); ok {
				break
			}
		}
	}
}
