package cluster

import (
	"context"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Plane is how large values come and go: the node's own blob store, or another's by way of a
// socket or the network. Safe for concurrent use.
type Plane interface {
	// Put keeps the bytes of v, and gives the value that refers to them. free gives them up.
	Put(ctx context.Context, v tutti.Value) (ref tutti.Value, free func(), err error)
	// Get gives the bytes that v refers to, read-only, until release.
	Get(ctx context.Context, v tutti.Value) (data []byte, release func(), err error)
}

// fill makes the travelling form of a task. Values of more than tutti.InlineLimit bytes become
// blobs, kept until the task has ended.
func (c *Client) fill(ctx context.Context, cl *call, t *tutti.Task) error {
	if t.Func != "" && t.Program == "" {
		t.Program = c.program
	}
	args, err := c.layOut(ctx, cl, t.Args)
	if err != nil {
		return err
	}
	cl.msg.Args, err = wire.PackArgs(nil, args)
	cl.msg.Deps, cl.msg.After, cl.msg.Follow = t.Deps, t.After, t.Follow
	if n := len(cl.msg.Args); err == nil && n > mostInside {
		err = tooLarge(n)
	}
	return err
}

func tooLarge(n int) error {
	return tutti.Errorf("submit", tutti.Invalid, "arguments of %s do not fit into a message, and this host has no blob store of the cluster", tutti.FormatBytes(int64(n))).
		WithHint("run an agent on this host: `tutti agent`")
}

// mostInside is how much of arguments travels inside a message, with room for all else that the
// message may hold: one that is too long for the link would hold up everything behind it.
const mostInside = wire.DefaultMaxFrame - 1<<20

// layOut puts the large values among args into blobs.
func (c *Client) layOut(ctx context.Context, cl *call, args []tutti.Arg) ([]tutti.Arg, error) {
	large := false
	for i := range args {
		large = large || len(args[i].Value.Data) > tutti.InlineLimit || args[i].Items != nil || !args[i].Value.Ref.IsZero()
	}
	if !large {
		return args, nil
	}
	out := make([]tutti.Arg, len(args))
	for i, a := range args {
		if len(a.Value.Data) > tutti.InlineLimit {
			v, free, err := c.data.Put(ctx, a.Value)
			if err != nil {
				return nil, err
			}
			a.Value = v
			cl.whenEnded(free)
		}
		if !a.Value.Ref.IsZero() {
			cl.msg.Blobs = append(cl.msg.Blobs, a.Value.Ref)
		}
		if a.Items != nil {
			items, err := c.layOut(ctx, cl, a.Items)
			if err != nil {
				return nil, err
			}
			a.Items = items
		}
		out[i] = a
	}
	return out, nil
}

// whenEnded adds to what is given up when the call has ended.
func (c *call) whenEnded(free func()) {
	before := c.free
	c.free = func() {
		free()
		if before != nil {
			before()
		}
	}
}

// outcomeOf is a task's end as its promise tells it.
func outcomeOf(id tutti.TaskID, o *wire.Outcome) tutti.Outcome {
	out := tutti.Outcome{Value: o.Value, Info: tutti.TaskInfo{
		ID: id, State: o.State, Attempt: o.Attempt, Engine: o.Engine,
	}}
	if o.Started != 0 {
		out.Info.Started, out.Info.Finished = time.Unix(0, o.Started), time.Unix(0, o.Finished)
	}
	out.Err = errorOf(id, o)
	return out
}

// errorOf is the error of an end that is not good, nil of one that is. It names task and engine.
func errorOf(id tutti.TaskID, o *wire.Outcome) error {
	err := o.Fail.Error()
	if err == nil && o.State == tutti.Stopped {
		err = tutti.E("run task", tutti.Canceled, nil)
	}
	if e, ok := err.(*tutti.Error); ok {
		if e.Task == 0 {
			e.Task = id
		}
		if e.Engine == tutti.NoEngine {
			e.Engine = o.Engine
		}
	}
	return err
}

// infoOf is what a row says of a task.
func infoOf(r *wire.TaskRow) tutti.TaskInfo {
	i := tutti.TaskInfo{ID: r.Task, State: r.State, Label: r.Label, Attempt: r.Attempt, Engine: r.Engine, Host: r.Host}
	if r.Started != 0 {
		i.Started = time.Unix(0, r.Started)
	}
	if r.Finished != 0 {
		i.Finished = time.Unix(0, r.Finished)
	}
	return i
}
