package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"

	"github.com/fxamacker/cbor/v2"
	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type waitVerb struct {
	Jobs []selector `arg:"" name:"job" help:"Jobs or tasks; last, all."`
}

func (waitVerb) Teach() string {
	return `
Ends with the exit status of the first job, in the order named, that did not end well: the job's
own, 128+N if signal N killed it, 124 if its time limit passed, 130 if it was cancelled, 1 for
anything else. Ctrl-C ends the waiting, not the job. If the controller dies, the waiting goes on
when it is started again.

Examples:
  tutti wait last && echo well
  tutti wait 7 8 9
  tutti wait all
`
}

// ending is how a target ended.
type ending struct {
	ID     string `json:"id"`
	State  string `json:"state"`
	Status int    `json:"status"`
	Failed int    `json:"failed"` // tasks that did not end well
	Error  string `json:"error,omitempty"`
}

// Run waits.
func (w *waitVerb) Run(v *invocation) error {
	c, err := v.attach(cluster.Attachment{Patient: true})
	if err != nil {
		return err
	}
	defer c.Close()
	found, err := resolve(v, c, w.Jobs)
	if err != nil {
		return err
	}
	ends, first := make([]ending, len(found)), status(0)
	for i := range found {
		if ends[i], err = await(v.ctx, c, &found[i]); err != nil {
			return err
		}
		if first == 0 {
			first = status(ends[i].Status)
		}
		if v.out.form == human {
			fmt.Fprintln(v.out.w, ends[i].sentence(v, &found[i]))
		}
	}
	if v.out.form == asJSON {
		if err := v.out.json(ends); err != nil {
			return err
		}
	}
	if first != 0 {
		return first
	}
	return nil
}

func (e *ending) sentence(v *invocation, t *target) string {
	s := t.name + ": " + v.out.tint(e.State)
	if len(t.rows) > 1 {
		s = fmt.Sprintf("%s, %d of %d tasks did not end well", s, e.Failed, len(t.rows))
	}
	if e.Error != "" {
		s += ": " + e.Error
	}
	return s
}

// await waits until all tasks of a target have ended.
func await(ctx context.Context, c *cluster.Client, t *target) (e ending, err error) {
	e = ending{ID: t.id}
	for i := range t.rows {
		r := &t.rows[i]
		if r.State == tutti.Done {
			continue
		}
		o, err := c.Outcome(ctx, r.Task)
		if r.State = o.Info.State; !r.State.Final() {
			return e, waitError(ctx, c, t, r.Task, err)
		}
		if r.State == tutti.Done {
			continue
		}
		if e.Failed++; e.Failed == 1 {
			e.Status, e.Error = statusOf(o), err.Error()
		}
	}
	e.State = stateOf(t.rows).String()
	return e, nil
}

// waitError is why waiting was given up, and what was waited for.
func waitError(ctx context.Context, c *cluster.Client, t *target, id tutti.TaskID, err error) error {
	if ctx.Err() == nil {
		return err
	}
	e := tutti.Errorf("wait", tutti.Canceled, "%s has not ended, and goes on", t.name)
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), explainTime)
	defer cancel()
	if why, err := c.Explain(look, id); err == nil {
		e = tutti.Errorf("wait", tutti.Canceled, "%s has not ended, and goes on: %s", t.name, why)
	}
	return e.WithHint("stop it: tutti cancel %s", t.id)
}

// The statuses of ends that have none of their own.
const (
	statusTimeout   = 124
	statusCancelled = 130
	statusSignal    = 128 // and the signal's number
)

// statusOf is the exit status of a task that did not end well.
func statusOf(o tutti.Outcome) int {
	var exit struct {
		Code   int
		Signal string
	}
	if o.Value.Codec == tutti.CBOR && cbor.Unmarshal(o.Value.Data, &exit) == nil {
		if n := int(unix.SignalNum("SIG" + exit.Signal)); n != 0 && tutti.KindOf(o.Err) == tutti.Failed {
			return statusSignal + n
		}
		if exit.Code != 0 {
			return exit.Code
		}
	}
	switch {
	case tutti.KindOf(o.Err) == tutti.Timeout:
		return statusTimeout
	case tutti.KindOf(o.Err) == tutti.Canceled || o.Info.State == tutti.Stopped:
		return statusCancelled
	}
	return statusFailed
}

// follow shows what a task prints until its end, and ends with its status.
func follow(v *invocation, c *cluster.Client, id tutti.TaskID) error {
	var both sync.WaitGroup
	var failed [2]error
	for i, to := range []io.Writer{v.out.w, v.err} {
		if v.out.form == asJSON {
			to = io.Discard
		}
		both.Go(func() { failed[i] = c.CopyOutput(v.ctx, to, id, uint8(i+1), true) })
	}
	both.Wait()
	t := target{"job " + fmt.Sprint(id.Client()), fmt.Sprint(id.Client()), []cluster.TaskRow{{Task: id}}}
	e, err := await(v.ctx, c, &t)
	if err == nil {
		err = errors.Join(failed[:]...)
	}
	switch {
	case err != nil:
		return err
	case v.out.form == asJSON:
		err = v.out.json(e)
	case e.Error != "" && v.out.form == human:
		fmt.Fprintln(v.err, "tutti:", e.Error)
	}
	if err == nil && e.Status != 0 {
		return status(e.Status)
	}
	return err
}
