package gateway

import (
	"testing"
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
