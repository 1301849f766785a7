package main

import (
	"strconv"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type enginesVerb struct{}

func (enginesVerb) Teach() string {
	return `
An engine is a process that runs a program's functions, one task at a time, and keeps its
variables between them. Commands need no engine: they do not show here.

Examples:
  tutti engines
  tutti stacks 3        where the code of engine 3 is
`
}

// engineRow is an engine as JSON shows it.
type engineRow struct {
	Engine  tutti.EngineID `json:"engine"`
	Node    tutti.NodeID   `json:"node"`
	Host    string         `json:"host"`
	Pid     int            `json:"pid"`
	Program string         `json:"program"`
	State   string         `json:"state"`
	Running string         `json:"running,omitempty"`
	Queued  int            `json:"queued"`
}

// Run lists engines.
func (enginesVerb) Run(v *invocation) error {
	return v.watch(func(c *cluster.Client) error {
		infos, err := c.Engines(v.ctx)
		if err != nil {
			return err
		}
		values, rows := make([]engineRow, len(infos)), make([][]string, len(infos))
		for i, e := range infos {
			r := engineRow{Engine: e.ID, Node: e.Node, Host: e.Host, Pid: e.Pid, Program: e.Program, State: e.State, Queued: e.Queued}
			running := "-"
			if e.Running != 0 {
				r.Running = e.Running.String()
				running = r.Running
			}
			values[i] = r
			rows[i] = []string{
				strconv.Itoa(int(e.ID)), strconv.Itoa(int(e.Node)), e.Host, strconv.Itoa(e.Pid), e.State, running,
				strconv.Itoa(e.Queued), shorten(e.Program, 24),
			}
		}
		return v.out.table([]string{"ENGINE", "NODE", "HOST", "PID", "STATE", "RUNNING", "QUEUED", "PROGRAM"}, rows, values,
			"The cluster has no engines. They come with the programs that use them, or by `tutti start --python EXE`; commands need none.")
	})
}
