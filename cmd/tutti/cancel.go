package main

import (
	"fmt"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type cancelVerb struct {
	Jobs   []selector `arg:"" name:"job" help:"Jobs or tasks; last, all."`
	NoWait bool       `help:"Do not wait until they have ended."`
}

func (cancelVerb) Teach() string {
	return `
What waits ends at once. A command that runs gets SIGINT, then SIGTERM, then SIGKILL, with its
whole process group; a function has its context cancelled, and its engine is replaced if it does
not come back. When this verb returns they have ended, and will not begin again.

Examples:
  tutti cancel 7
  tutti cancel 7.2 7.3
  tutti cancel all
`
}

// Run cancels.
func (k *cancelVerb) Run(v *invocation) error {
	return v.watch(func(c *cluster.Client) error {
		found, err := resolve(v, c, k.Jobs)
		if err != nil {
			return err
		}
		var ids []tutti.TaskID
		for i := range found {
			for _, r := range found[i].open() {
				ids = append(ids, r.Task)
			}
		}
		if len(ids) > 0 {
			if err := k.cancel(v, c, ids); err != nil {
				return err
			}
		}
		text := fmt.Sprintf("Cancelled %d tasks.", len(ids))
		switch len(ids) {
		case 0:
			text = "Nothing to cancel: all of it has ended."
		case 1:
			text = "Cancelled task " + ids[0].String() + "."
		}
		names := make([]string, len(ids))
		for i, id := range ids {
			names[i] = id.String()
		}
		return v.out.answer(text, map[string]any{"cancelled": names}, "")
	})
}

// cancel stops tasks and waits until that is on the controller's disk.
func (k *cancelVerb) cancel(v *invocation, c *cluster.Client, ids []tutti.TaskID) error {
	if err := c.CancelTasks(v.ctx, ids...); err != nil || k.NoWait {
		return err
	}
	for _, id := range ids {
		if _, err := c.Outcome(v.ctx, id); v.ctx.Err() != nil {
			return tutti.Errorf("cancel", tutti.Canceled, "task %v was asked to stop, and has not ended yet: %w", id, err)
		}
	}
	return c.Sync(v.ctx)
}
