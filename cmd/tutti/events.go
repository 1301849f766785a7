package main

import (
	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type eventsVerb struct {
	Count int `short:"n" placeholder:"N" help:"End after so many."`
}

func (eventsVerb) Teach() string {
	return `
One JSON object a line, from now on, until interrupted. A gap in "seq" means that this reader was
too slow for what happened. It goes on when a controller that died is started again.

Examples:
  tutti events
  tutti events | jq -r 'select(.kind == "task.failed") | .task'
`
}

// eventLine is an event with its task in the form that people type.
type eventLine struct {
	tutti.Event
	Task string `json:"task,omitempty"`
}

// Run shows events.
func (e *eventsVerb) Run(v *invocation) error {
	c, err := v.attach(cluster.Attachment{Patient: true})
	if err != nil {
		return err
	}
	defer c.Close()
	n := 0
	for ev, err := range c.Events(v.ctx) {
		if err != nil {
			if v.ctx.Err() != nil {
				return nil // interrupted: its only end
			}
			return err
		}
		line := eventLine{Event: ev}
		if ev.Task != 0 {
			line.Task = ev.Task.String()
		}
		if err := v.out.line(line); err != nil {
			return err
		}
		if n++; n == e.Count {
			return nil
		}
	}
	return nil
}
