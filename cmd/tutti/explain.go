package main

import (
	"fmt"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type explainVerb struct {
	Jobs []selector `arg:"" name:"job" help:"Jobs or tasks; last, all."`
}

func (explainVerb) Teach() string {
	return `
Says of a task what it waits for (resources, other tasks, an engine), where it runs, or how it
ended. Of a job with many tasks, the ones that have not ended come first, and equal answers stand
once.

Examples:
  tutti explain last
  tutti explain 7.2
`
}

// explainTime bounds a question about a task that is asked in passing.
const explainTime = 3 * time.Second

// maxExplained is how many tasks of one job are asked about.
const maxExplained = 200

// explained is an answer and the tasks that it holds for.
type explained struct {
	Tasks []string `json:"tasks"`
	State string   `json:"state"`
	Text  string   `json:"text"`
}

// Run explains.
func (x *explainVerb) Run(v *invocation) error {
	return v.watch(func(c *cluster.Client) error {
		found, err := resolve(v, c, x.Jobs)
		if err != nil {
			return err
		}
		list := []explained{}
		for i := range found {
			some, err := explainOne(v, c, &found[i])
			if err != nil {
				return err
			}
			list = append(list, some...)
		}
		if v.out.form == asJSON {
			return v.out.json(list)
		}
		for _, e := range list {
			name := "task " + e.Tasks[0]
			if n := len(e.Tasks) - 1; n > 0 {
				name += fmt.Sprintf(" and %d more", n)
			}
			fmt.Fprintf(v.out.w, "%s: %s\n", name, e.Text)
		}
		return nil
	})
}

// explainOne asks about the tasks of one target: those that have not ended, else those that did not
// end well, else the first.
func explainOne(v *invocation, c *cluster.Client, t *target) ([]explained, error) {
	rows := t.open()
	for _, r := range t.rows {
		if len(rows) < maxExplained && r.State.Final() && r.State != tutti.Done {
			rows = append(rows, r)
		}
	}
	if len(rows) == 0 {
		rows = t.rows[:1]
	}
	var list []explained
	place := map[string]int{} // of an answer in list
	for _, r := range rows[:min(len(rows), maxExplained)] {
		text, err := c.Explain(v.ctx, r.Task)
		if err != nil {
			return nil, err
		}
		key := r.State.String() + text
		if _, ok := place[key]; !ok {
			place[key] = len(list)
			list = append(list, explained{State: r.State.String(), Text: text})
		}
		e := &list[place[key]]
		e.Tasks = append(e.Tasks, r.Task.String())
	}
	return list, nil
}
