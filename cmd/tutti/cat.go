package main

import (
	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type catVerb struct {
	Job    selector `arg:"" help:"A job or a task; last, all."`
	Stderr bool     `short:"e" help:"What it printed on standard error, instead of standard output."`
	Follow bool     `short:"f" help:"Until it has ended, as it is printed."`
}

func (catVerb) Teach() string {
	return `
The bytes as they were printed. Of a job with several tasks, one after the other. What a task
printed is kept as long as its result.

Examples:
  tutti cat last
  tutti cat 7 --stderr
  tutti cat 7.2 --follow
`
}

// Run shows output.
func (k *catVerb) Run(v *invocation) error {
	c, err := v.attach(cluster.Attachment{Patient: k.Follow})
	if err != nil {
		return err
	}
	defer c.Close()
	found, err := resolve(v, c, []selector{k.Job})
	if err != nil {
		return err
	}
	stream := cluster.Stdout
	if k.Stderr {
		stream = cluster.Stderr
	}
	for _, t := range found {
		for _, r := range t.rows {
			if err := c.CopyOutput(v.ctx, v.out.w, r.Task, stream, k.Follow); err != nil {
				if v.ctx.Err() != nil {
					err = tutti.Errorf("show output", tutti.Canceled, "%s has not ended, and goes on", t.name)
				}
				return err
			}
		}
	}
	return nil
}
