package agent

import (
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// drive assigns n runs of one work to an agent, at most ahead of them unfinished, and acknowledges
// their ends.
func (b *boss) drive(n, batch, ahead int, on []tutti.EngineID, w tutti.Work, args []byte) {
	m := wire.Assign{Reset: true, Works: []wire.Work{{No: 1, Work: w}}}
	given, ended := 0, 0
	for ended < n {
		for given < n && given-ended <= ahead-batch {
			for range min(batch, n-given) {
				b.n++
				given++
				r := wire.Run{Run: tutti.RunID{Task: tutti.MakeTaskID(1, b.n), Attempt: 1, Epoch: 1}, Work: 1, Args: args}
				if len(on) > 0 {
					r.Engines = on[given%len(on):][:1]
				}
				m.Runs = append(m.Runs, r)
			}
			b.post(wire.KindAssign, &m)
			m = wire.Assign{}
		}
		d := hear[*wire.Done](b)
		ids := make([]tutti.RunID, len(d.Results))
		for i := range d.Results {
			ids[i] = d.Results[i].Run
		}
		ended += len(ids)
		b.ack(ids...)
		b.heard = nil
	}
}

// BenchmarkAgentTasks measures no-op functions through an agent and two engine processes, over a
// memory link, with this process as the controller.
func BenchmarkAgentTasks(b *testing.B) {
	withProcesses(b, nil, func(boss *boss, _ *Agent) {
		boss.engine(1)
		boss.engine(2)
		v, _ := tutti.Encode(7)
		args, err := wire.PackArgs(nil, []tutti.Arg{{Value: v}})
		if err != nil {
			b.Fatal(err)
		}
		b.ReportAllocs()
		b.ResetTimer()
		boss.drive(b.N, 200, 2000, []tutti.EngineID{1, 2}, tutti.Work{Program: "go:test", Func: "test.double"}, args)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tasks/s")
		b.StopTimer()
	})
}

// BenchmarkAgentCommands measures `bash -c :` through an agent with two cores.
func BenchmarkAgentCommands(b *testing.B) {
	withProcesses(b, func(c *Config) { c.Has.Cores = 2 }, func(boss *boss, _ *Agent) {
		b.ResetTimer()
		boss.drive(b.N, 1, 4, nil, tutti.Work{Argv: []string{"bash", "-c", ":"}}, nil)
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
		b.StopTimer()
	})
}
