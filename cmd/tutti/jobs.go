package main

import (
	"cmp"
	"fmt"
	"slices"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type jobsVerb struct {
	Jobs []selector `arg:"" optional:"" name:"job" help:"Show the tasks of these."`
	Open bool       `help:"Only what has not ended."`
}

func (jobsVerb) Teach() string {
	return `
A job is what one client has submitted: one command by "tutti submit", or all the calls of a
program. What has ended stays in the list until its results are fetched or forgotten.

Examples:
  tutti jobs                all jobs
  tutti jobs --open         what has not ended
  tutti jobs last           the tasks of the newest
  tutti jobs -q --open | xargs tutti cancel
`
}

// jobRow is a job as JSON shows it.
type jobRow struct {
	Job      tutti.ClientID `json:"job"`
	State    string         `json:"state"`
	Tasks    int            `json:"tasks"`
	States   map[string]int `json:"states"`
	Label    string         `json:"label,omitempty"`
	What     string         `json:"what"`
	Durable  bool           `json:"durable"`
	Started  *time.Time     `json:"started,omitempty"`
	Finished *time.Time     `json:"finished,omitempty"`
}

// Run lists jobs, or tasks.
func (j *jobsVerb) Run(v *invocation) error {
	return v.watch(func(c *cluster.Client) error {
		if len(j.Jobs) > 0 {
			return j.tasks(v, c)
		}
		jobs, err := jobsOf(v, c, 0)
		if err != nil {
			return err
		}
		values, rows := []jobRow{}, [][]string{}
		for i := range jobs {
			r := summary(&jobs[i])
			if j.Open && len(jobs[i].open()) == 0 {
				continue
			}
			values = append(values, r)
			rows = append(rows, []string{
				jobs[i].id, r.State, counts(r.States), begun(r.Started), lasted(r.Started, r.Finished), cmp.Or(r.Label, "-"), shorten(r.What, 48),
			})
		}
		return v.out.table([]string{"JOB", "STATE", "TASKS", "STARTED", "TOOK", "LABEL", "COMMAND"}, rows, values,
			"There are no jobs. Submit one: tutti submit -- CMD ARGS...")
	})
}

// summary adds up a job's tasks.
func summary(t *target) jobRow {
	first := &t.rows[0]
	r := jobRow{Job: first.Task.Client(), Tasks: len(t.rows), States: map[string]int{}, Label: first.Label, What: first.What, Durable: first.Durable}
	var from, to int64
	for i := range t.rows {
		row := &t.rows[i]
		r.States[row.State.String()]++
		if row.Started != 0 && (from == 0 || row.Started < from) {
			from = row.Started
		}
		to = max(to, row.Finished)
	}
	r.State = stateOf(t.rows).String()
	r.Started = moment(from)
	if len(t.open()) == 0 {
		r.Finished = moment(to)
	}
	return r
}

// stateOf is the state of a job: that of its task which is furthest if one runs, else what it waits
// for, else its worst end.
func stateOf(rows []cluster.TaskRow) tutti.State {
	rank := []tutti.State{tutti.Running, tutti.Assigned, tutti.Ready, tutti.Waiting, tutti.Errored, tutti.Stopped, tutti.Done}
	best := len(rank) - 1
	for _, r := range rows {
		best = min(best, slices.Index(rank, r.State))
	}
	return rank[best]
}

func moment(ns int64) *time.Time {
	if ns == 0 {
		return nil
	}
	t := time.Unix(0, ns)
	return &t
}

func begun(t *time.Time) string {
	if t == nil {
		return "-"
	}
	return ago(*t)
}

func lasted(from, to *time.Time) string {
	if from == nil || to == nil {
		return "-"
	}
	return period(to.Sub(*from))
}

// taskLine is a task as JSON shows it.
type taskLine struct {
	Task     string         `json:"task"`
	State    string         `json:"state"`
	Label    string         `json:"label,omitempty"`
	What     string         `json:"what"`
	Attempt  tutti.Attempt  `json:"attempt"`
	Engine   tutti.EngineID `json:"engine"`
	Node     tutti.NodeID   `json:"node"`
	Host     string         `json:"host,omitempty"`
	Started  *time.Time     `json:"started,omitempty"`
	Finished *time.Time     `json:"finished,omitempty"`
	Error    string         `json:"error,omitempty"`
	Durable  bool           `json:"durable"`
}

func lineOf(r *cluster.TaskRow) taskLine {
	return taskLine{
		Task: r.Task.String(), State: r.State.String(), Label: r.Label, What: r.What, Attempt: r.Attempt, Engine: r.Engine,
		Node: r.Node, Host: r.Host, Started: moment(r.Started), Finished: moment(r.Finished), Error: r.Error, Durable: r.Durable,
	}
}

// tasks lists the tasks of jobs.
func (j *jobsVerb) tasks(v *invocation, c *cluster.Client) error {
	found, err := resolve(v, c, j.Jobs)
	if err != nil {
		return err
	}
	values, rows := []taskLine{}, [][]string{}
	for _, t := range found {
		for i := range t.rows {
			r := &t.rows[i]
			if j.Open && r.State.Final() {
				continue
			}
			l := lineOf(r)
			values = append(values, l)
			rows = append(rows, []string{
				l.Task, l.State, place(r), fmt.Sprint(l.Attempt), begun(l.Started), lasted(l.Started, l.Finished), shorten(cmp.Or(l.Error, l.What), 64),
			})
		}
	}
	return v.out.table([]string{"TASK", "STATE", "WHERE", "ATTEMPT", "STARTED", "TOOK", "COMMAND OR ERROR"}, rows, values, "None of them is open.")
}

// place says where a task runs or ran.
func place(r *cluster.TaskRow) string {
	switch {
	case r.Engine != tutti.NoEngine:
		return fmt.Sprintf("engine %d", r.Engine)
	case r.Host != "":
		return r.Host
	case r.Node != tutti.NoNode:
		return fmt.Sprintf("node %d", r.Node)
	}
	return "-"
}
