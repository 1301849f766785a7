package controller

import (
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

func (c *Controller) engineRows(program string) []wire.EngineRow {
	rows := []wire.EngineRow{}
	for info := range c.mind.Engines() {
		e := c.engines[info.Engine]
		if e == nil || e.life != info.Life || program != "" && e.program != program {
			continue
		}
		row := wire.EngineRow{
			Engine: info.Engine, Node: info.Node, Program: e.program, Pid: e.pid, Life: e.life,
			Running: info.Task, Queued: max(info.Runs-1, 0) + info.Waiting, Waiting: info.Waiting, State: info.State,
			Ended: c.endedOn.of(info.Engine),
		}
		if a := c.agents[e.node]; a != nil {
			row.Host = a.hello.Host
		}
		rows = append(rows, row)
	}
	return rows
}

func (c *Controller) programRows() []wire.ProgramRow {
	rows := []wire.ProgramRow{}
	for _, name := range slices.Sorted(maps.Keys(c.programs)) {
		p := c.programs[name]
		rows = append(rows, wire.ProgramRow{Spec: p.spec, PerNode: p.perNode, Users: len(p.users)})
	}
	return rows
}

func (c *Controller) nodeRows() []wire.NodeRow {
	rows := []wire.NodeRow{}
	for info := range c.mind.Nodes() {
		a := c.agents[info.Node]
		if a == nil {
			continue
		}
		rows = append(rows, wire.NodeRow{
			Node: info.Node, Host: info.Name, Pid: a.hello.Pid, Has: info.Has, Free: info.Free, Blobs: a.hello.BlobAddr,
			Engines: info.Engines, Running: info.Runs, Drained: info.Drained,
		})
	}
	return rows
}

func (c *Controller) status() wire.Status {
	s := wire.Status{
		Cluster: c.cfg.Name, Life: c.life, Epoch: c.epoch, Version: c.cfg.Version, Pid: os.Getpid(), Since: c.since, Now: time.Now(),
		Nodes: len(c.agents), Engines: len(c.engines), Clients: len(c.clients), Tasks: c.counts(), Journal: "well",
	}
	switch {
	case c.rec.j == nil:
		s.Journal = "none"
	case c.rec.trouble != nil:
		s.Journal = c.rec.trouble.Error()
	}
	return s
}

// counts gives the number of tasks by the word for their state.
func (c *Controller) counts() map[string]int {
	m := map[string]int{}
	for state, n := range c.mind.Counts() {
		m[tutti.State(state).String()] = n
	}
	return m
}

func (c *Controller) taskRow(id tutti.TaskID, r *record) wire.TaskRow {
	w := &r.work.work
	row := wire.TaskRow{
		Task: id, State: r.state, Label: w.Label, What: w.Func, Durable: w.Durable,
		Engine: tutti.NoEngine, Node: tutti.NoNode,
	}
	switch {
	case len(w.Argv) > 0:
		row.What = strings.Join(w.Argv, " ")
	case w.Script != "":
		row.What = w.Script
	}
	if r.state.Final() {
		o := c.outcome(id, r)
		row.Engine, row.Node, row.Attempt, row.Started, row.Finished = o.Engine, o.Node, o.Attempt, o.Started, o.Finished
		if err := o.Fail.Error(); err != nil {
			row.Error = err.Error()
		}
	} else if info, ok := c.mind.Task(id); ok {
		row.State, row.Engine, row.Node, row.Attempt = info.State, info.Engine, info.Node, info.Run.Attempt
	}
	if a := c.agents[row.Node]; a != nil {
		row.Host = a.hello.Host
	}
	row.Word = row.State.String()
	return row
}
