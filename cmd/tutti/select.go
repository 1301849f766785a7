package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

// selector is how people name work: a job ("7"), a task ("7.2"), "last" or "all".
type selector struct {
	text string
	job  tutti.ClientID // 0 for a task
	task tutti.TaskID   // 0 for a job
}

// UnmarshalText lets the command line read it, so that a wrong one is an error in its usage.
func (s *selector) UnmarshalText(text []byte) error {
	s.text = strings.ToLower(string(text))
	if s.text == "last" || s.text == "all" {
		return nil
	}
	if n, err := strconv.ParseUint(s.text, 10, 24); err == nil && n > 0 {
		s.job = tutti.ClientID(n)
		return nil
	}
	id, err := tutti.ParseTaskID(s.text)
	if err != nil {
		return tutti.Errorf("", tutti.Invalid, "%q names no job or task: they look like 7 and 7.2, or are last or all", s.text)
	}
	s.task = id
	return nil
}

// target is what a selector has found: a job with its tasks, or one task of it.
type target struct {
	name string // "job 7", "task 7.2"
	id   string // "7", "7.2"
	rows []cluster.TaskRow
}

// resolve finds the work that selectors name. Kind NotFound where there is none.
func resolve(v *invocation, c *cluster.Client, sels []selector) ([]target, error) {
	var found []target
	for _, s := range sels {
		some, err := resolveOne(v, c, s)
		if err != nil {
			return nil, err
		}
		found = append(found, some...)
	}
	return found, nil
}

func resolveOne(v *invocation, c *cluster.Client, s selector) ([]target, error) {
	switch {
	case s.task != 0:
		row, err := c.Task(v.ctx, s.task)
		if err != nil {
			return nil, err
		}
		return []target{{"task " + s.task.String(), s.task.String(), []cluster.TaskRow{row}}}, nil
	case s.job != 0:
		jobs, err := jobsOf(v, c, s.job)
		if err == nil && len(jobs) == 0 {
			err = tutti.Errorf("find job", tutti.NotFound, "there is no job %d, or it is not kept any more", s.job).WithHint("see: tutti jobs")
		}
		return jobs, err
	}
	jobs, err := jobsOf(v, c, 0)
	if err == nil && len(jobs) == 0 {
		err = tutti.Errorf("find job", tutti.NotFound, "the cluster has no jobs").WithHint("submit one: tutti submit -- CMD ARGS...")
	}
	if err == nil && s.text == "last" {
		jobs = jobs[len(jobs)-1:]
	}
	return jobs, err
}

// jobsOf gathers the tasks of a client, or of all, into jobs, by number.
func jobsOf(v *invocation, c *cluster.Client, of tutti.ClientID) ([]target, error) {
	var jobs []target
	last := tutti.ClientID(0)
	for row, err := range c.Tasks(v.ctx, of) {
		if err != nil {
			return nil, err
		}
		if n := row.Task.Client(); n != last {
			last = n
			id := strconv.FormatUint(uint64(n), 10)
			jobs = append(jobs, target{"job " + id, id, nil})
		}
		j := &jobs[len(jobs)-1]
		j.rows = append(j.rows, row)
	}
	return jobs, nil
}

// open are the tasks of a target that have not ended.
func (t *target) open() []cluster.TaskRow {
	return slices.DeleteFunc(slices.Clone(t.rows), func(r cluster.TaskRow) bool { return r.State.Final() })
}

// size reads "4GB" on the command line.
type size int64

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *size) UnmarshalText(text []byte) error {
	n, err := tutti.ParseBytes(string(text))
	*s = size(n)
	return err
}

// span reads a duration on the command line: "90s", "1h30m", "02:30:00", or seconds.
type span time.Duration

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *span) UnmarshalText(text []byte) error {
	t := strings.ReplaceAll(string(text), " ", "")
	bad := tutti.Errorf("", tutti.Invalid, "%q is no time: they look like 90s, 1h30m or 02:30:00", t)
	if d, err := time.ParseDuration(t); err == nil {
		*s = span(d)
		return nil
	}
	total := 0.0
	parts := strings.Split(t, ":")
	for i, p := range parts {
		n, err := strconv.ParseFloat(p, 64)
		if err != nil || len(parts) > 3 || !(n >= 0 && n < 1e9) || i > 0 && n >= 60 {
			return bad
		}
		total = total*60 + n
	}
	*s = span(total * float64(time.Second))
	return nil
}
