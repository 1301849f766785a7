package gateway

import (
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// One client and two engines that are goroutines: what the way itself costs.
func BenchmarkTasks(b *testing.B) {
	for _, size := range []struct {
		name string
		n    int
	}{{"batches of 256", 256}, {"frames of 16", 16}, {"frames of 1", 1}} {
		b.Run(size.name, func(b *testing.B) {
			u := start(b, 2, nil).client(b)
			u.waitEngines(2)
			u.work(1, `{"func":"gw.echo"}`, nil)
			payloads := make([][]byte, size.n)
			for i := range payloads {
				payloads[i] = make([]byte, 48)
			}
			b.ResetTimer()
			for i := 0; i < b.N; i += size.n {
				u.tasks(1, payloads...)
			}
			last := u.last
			u.until("all", func() bool { return u.count == int(last) })
			b.ReportMetric(float64(last)/b.Elapsed().Seconds(), "tasks/s")
		})
	}
}

// A task at a time.
func BenchmarkTrip(b *testing.B) {
	u := start(b, 2, nil).client(b)
	u.waitEngines(2)
	u.work(1, `{"func":"gw.echo"}`, nil)
	payload := make([]byte, 48)
	b.ResetTimer()
	for b.Loop() {
		u.end(u.tasks(1, payload))
	}
}

// counter counts ends.
type counter struct {
	n    int
	left int
	over chan struct{}
}

func (c *counter) Settle(uint64, *wire.Outcome) {
	if c.n++; c.n == c.left {
		close(c.over)
	}
}

// The raw face alone, without a gateway: how fast tasks are taken, and how fast they end.
func BenchmarkRaw(b *testing.B) {
	h, err := cluster.Embedded{Engines: 2, Runtimes: engine.Table{programKind: &engine.Memory{}}}.Host(b.Context())
	if err != nil {
		b.Fatal(err)
	}
	defer h.Close()
	door := h.Door()
	door.Want = wire.Want{Spec: programSpec{Name: "python:3.11"}, PerNode: 2}
	me, err := cluster.Join(b.Context(), door)
	if err != nil {
		b.Fatal(err)
	}
	defer me.Close()
	if _, err := me.WaitForEngines(b.Context(), 2); err != nil {
		b.Fatal(err)
	}
	work := &tutti.Work{Program: "python:3.11", Func: "gw.echo"}
	args := appendArgs(nil, make([]byte, 48))
	const batch = 256
	tasks := make([]cluster.RawTask, batch)
	for i := range tasks {
		tasks[i].Args = args
	}
	count := &counter{left: (b.N + batch - 1) / batch * batch, over: make(chan struct{})}
	b.ResetTimer()
	submitting := time.Duration(0)
	for first := 1; first <= b.N; first += batch {
		begun := time.Now()
		if err := me.SubmitBatch(b.Context(), work, uint64(first), tasks, count); err != nil {
			b.Fatal(err)
		}
		submitting += time.Since(begun)
	}
	<-count.over
	b.ReportMetric(float64(count.left)/submitting.Seconds(), "submits/s")
	b.ReportMetric(float64(count.left)/b.Elapsed().Seconds(), "tasks/s")
}
