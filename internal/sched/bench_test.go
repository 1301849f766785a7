package sched

import (
	"runtime"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// cluster is the least that keeps a scheduler busy: nodes that hand back what they were given in
// batches, in the order in which they got it, so that benchmarks measure the scheduler alone.
type cluster struct {
	s        *State
	now      time.Time
	runs     [][]tutti.RunID // by node
	results  []Result
	took     time.Duration
	finished int
	assigned int
	ids      []tutti.TaskID
	next     uint64
	tasks    []NewTask
	class    *Class
}

// newCluster brings up engines, 64 to a node.
func newCluster(engines int, took time.Duration) *cluster {
	c := &cluster{s: New(Config{Epoch: 1, High: Mark{Tasks: 1 << 30, Bytes: 1 << 60}}), now: time.Unix(1000, 0), took: took,
		class: &Class{Program: "p", Func: "f", Target: tutti.NoEngine}}
	c.step(ProgramUp{Program: "p"})
	for n := 0; n*64 < engines; n++ {
		c.runs = append(c.runs, nil)
		cores := min(64, engines-n*64)
		var up []EngineUp
		for _, a := range c.s.Step(c.now, NodeUp{Node: tutti.NodeID(n), Name: "h", Has: tutti.Resources{Cores: float64(cores)}}) {
			if e, ok := a.(StartEngine); ok {
				up = append(up, EngineUp{Engine: e.Engine, Life: e.Life, Node: e.Node, Program: e.Program})
			}
		}
		for _, e := range up {
			c.step(e)
		}
	}
	return c
}

func (c *cluster) step(ev Event) {
	for _, a := range c.s.Step(c.now, ev) {
		switch a := a.(type) {
		case *Assign:
			c.runs[a.Node] = append(c.runs[a.Node], a.Run)
			c.assigned++
		case *Finish:
			c.finished++
			c.ids = append(c.ids, a.Task)
		}
	}
}

// submit brings n tasks in batches.
func (c *cluster) submit(n, batch int) {
	for n > 0 {
		c.tasks = c.tasks[:0]
		for range min(n, batch) {
			c.next++
			c.tasks = append(c.tasks, NewTask{ID: tutti.MakeTaskID(1, c.next), Class: c.class, Bytes: 100})
		}
		n -= len(c.tasks)
		c.step(Submit{Client: 1, Tasks: c.tasks})
	}
}

// round lets every node report up to batch runs; false if none had any.
func (c *cluster) round(batch int) bool {
	busy := false
	for n := range c.runs {
		k := min(batch, len(c.runs[n]))
		if k == 0 {
			continue
		}
		busy = true
		c.results = c.results[:0]
		for _, r := range c.runs[n][:k] {
			c.results = append(c.results, Result{Run: r, Took: c.took, Size: 8})
		}
		c.runs[n] = append(c.runs[n][:0], c.runs[n][k:]...)
		c.now = c.now.Add(10 * time.Microsecond)
		c.step(Done{Node: tutti.NodeID(n), Results: c.results})
	}
	return busy
}

// forget lets the clients forget what has ended.
func (c *cluster) forget() {
	c.step(Forget{Tasks: c.ids})
	c.ids = c.ids[:0]
}

// BenchmarkStep measures tasks that go through submit, assign, done and forget with 10,000
// engines, one operation being one task.
func BenchmarkStep(b *testing.B) {
	for name, took := range map[string]time.Duration{"short": 50 * time.Microsecond, "long": time.Minute} {
		b.Run(name, func(b *testing.B) {
			c := newCluster(10_000, took)
			c.submit(100_000, 1000)
			for range 3 {
				done := c.finished
				if !c.round(64) {
					b.Fatal("nothing runs")
				}
				c.submit(c.finished-done, 1000)
				c.forget()
			}
			b.ReportAllocs()
			b.ResetTimer()
			start := c.finished
			for c.finished-start < b.N {
				done := c.finished
				if !c.round(64) {
					b.Fatal("nothing runs")
				}
				c.submit(c.finished-done, 1000)
				c.forget()
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "steps/s")
		})
	}
}

// BenchmarkQueued measures the memory of a task that waits: for its turn, or for another.
func BenchmarkQueued(b *testing.B) {
	for name, chain := range map[string]bool{"plain": false, "chain": true} {
		b.Run(name, func(b *testing.B) {
			for range b.N {
				b.ReportMetric(queuedBytes(chain), "B/task")
			}
		})
	}
}

// queuedBytes measures half a million tasks. The slices that name dependencies are the caller's and
// do not count.
func queuedBytes(chain bool) float64 {
	const n = 500_000
	c := newCluster(64, time.Minute)
	c.submit(1000, 1000)
	tasks := make([]NewTask, n)
	ids := make([]tutti.TaskID, n)
	for i := range tasks {
		ids[i] = tutti.MakeTaskID(1, uint64(i+1000))
		tasks[i] = NewTask{ID: ids[i] + 1, Class: c.class}
		if chain {
			tasks[i].Deps = ids[i : i+1]
		}
	}
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	for i := 0; i < n; i += 1000 {
		c.step(Submit{Client: 1, Tasks: tasks[i : i+1000]})
	}
	runtime.GC()
	runtime.ReadMemStats(&after)
	runtime.KeepAlive(c)
	runtime.KeepAlive(tasks)
	return float64(after.HeapAlloc-before.HeapAlloc) / n
}
