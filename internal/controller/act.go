package controller

import (
	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// act carries out one wish of the scheduler.
func (c *Controller) act(action sched.Action) {
	switch a := action.(type) {
	case sched.Assign:
		c.assign(&a)
	case sched.Finish:
		c.finish(&a)
	case sched.Ack:
		c.ack(a.Node, a.Runs)
	case sched.Drop:
		if r, ok := a.Tag.(*record); ok {
			c.dropRecord(a.Task, r)
		}
	case sched.Recall:
		c.toAgent(a.Node, wire.KindRecall, &wire.Runs{Runs: a.Runs})
	case sched.Abort:
		c.toAgent(a.Node, wire.KindAbort, &wire.Runs{Runs: a.Runs, Timeout: a.Timeout, Force: a.Force})
	case sched.StartEngine:
		c.rec.engineNew(a.Engine)
		c.toAgent(a.Node, wire.KindStartEngine, &wire.StartEngine{Engine: a.Engine, Life: a.Life, Program: a.Program})
	case sched.StopEngine:
		c.toAgent(a.Node, wire.KindStopEngine, &wire.StopEngine{Engine: a.Engine, Life: a.Life})
	case sched.Repeat:
		c.publish(tutti.Event{Kind: tutti.TaskRepeated, Task: a.Task, Attempt: a.Attempt, Text: a.Why, Engine: tutti.NoEngine, Node: tutti.NoNode})
	case sched.Recompute:
		c.recompute(a.Task)
	case sched.Throttle:
		if cl := c.clients[a.Client]; cl != nil && cl.link != nil {
			post(c, cl.link, wire.KindThrottle, &wire.Throttle{On: a.On})
		}
	case sched.Warn:
		c.warn(&a)
	case sched.Acquire:
		c.later(func() { c.acquire(a.Pool, a.Nodes) })
	case sched.NodeIdle:
		c.later(func() { c.giveBack(a.Node) })
	default:
		c.cfg.Log.Error("unknown action", "action", action)
	}
}

// toAgent sends a message to a node's agent, after the runs that are queued for it. One that is
// away is told nothing: when it comes back everything is put right by what it brings.
func (c *Controller) toAgent(node tutti.NodeID, kind uint16, m marshaler) {
	if a := c.agents[node]; a != nil && a.link != nil {
		a.sendRuns()
		post(c, a.link, kind, m)
	}
}

// assign makes a run of a task.
func (c *Controller) assign(a *sched.Assign) {
	r, ok := a.Tag.(*record)
	ag := c.agents[a.Node]
	if !ok || ag == nil {
		return
	}
	run := wire.Run{Run: a.Run, Work: r.work.no, Args: r.args}
	if len(a.Engines) > 0 {
		run.Engines = append([]tutti.EngineID(nil), a.Engines...)
	}
	for _, d := range a.Deps {
		if dep := c.record(d); dep != nil && dep.last != nil {
			run.Deps = append(run.Deps, wire.DepValue{Task: d, Value: dep.last.Value})
		}
	}
	ag.assign(run, r.work)
}

// ack tells a node that it may forget the ends of runs, as soon as they are durable.
func (c *Controller) ack(node tutti.NodeID, runs []tutti.RunID) {
	if c.rec.idle() {
		if a := c.agents[node]; a != nil {
			a.ack(runs)
		}
		return
	}
	runs = append([]tutti.RunID(nil), runs...)
	c.rec.afterSure(func() {
		if a := c.agents[node]; a != nil {
			a.ack(runs)
		}
	})
}

// finalKinds tells events of ends apart.
var finalKinds = map[tutti.State]tutti.EventKind{
	tutti.Done: tutti.TaskDone, tutti.Errored: tutti.TaskFailed, tutti.Stopped: tutti.TaskCancelled,
}

// finish ends a task: for its client, for the record, and for who waits for it.
func (c *Controller) finish(f *sched.Finish) {
	r, ok := f.Tag.(*record)
	if !ok || r.state.Final() {
		return
	}
	r.state = f.State
	if f.State != tutti.Done {
		c.explainEnd(r, f)
	}
	ev := tutti.Event{Kind: finalKinds[f.State], Task: f.Task, Attempt: f.Run.Attempt, Engine: tutti.NoEngine, Node: tutti.NoNode}
	if r.last != nil {
		ev.Engine, ev.Node = r.last.Engine, r.node
		c.endedOn.add(r.last.Engine)
	}
	c.publish(ev)
	if r.work.work.Durable {
		c.rec.finished(f.Task, r)
	}
	if cl := c.clients[f.Task.Client()]; cl != nil {
		c.tellEnd(cl, f.Task, r)
	}
	c.kept.add(c, f.Task, r)
}

// explainEnd sees to it that an end which is not good has an error that says why: what the run
// reported if it did, else what the scheduler knows.
func (c *Controller) explainEnd(r *record, f *sched.Finish) {
	if r.last != nil && r.last.Run == f.Run && r.last.Fail != nil {
		// A run that was stopped may end in any way: its engine may have died of something else
		// in the meantime. What counts is why it was stopped.
		stopped := f.State == tutti.Stopped || f.Kind == tutti.Timeout
		if !stopped || tutti.KindOf(r.last.Fail.Error()) == f.Kind {
			return
		}
	}
	op := "run task"
	if r.work.work.Func != "" {
		op = "call " + r.work.work.Func
	}
	e := tutti.Errorf(op, f.Kind, "%s", f.Why)
	if f.Why == "" {
		e.Err = nil
	}
	if f.Cause != 0 {
		if root := c.record(f.Cause); root != nil && root.last != nil && root.last.Fail != nil {
			e.Err = tutti.Errorf("", f.Kind, "task %v, which it needs: %w", f.Cause, root.last.Fail.Error()).Err
		}
	}
	end := &wire.Result{Run: f.Run, Fail: wire.PackError(e), Engine: tutti.NoEngine}
	if r.last != nil {
		end.Engine, end.Started, end.Took = r.last.Engine, r.last.Started, r.last.Took
		c.dropRefs(r.last.Value.Ref)
	}
	r.last = end
}

// recompute forgets a result that was lost; the task's end stays told.
func (c *Controller) recompute(id tutti.TaskID) {
	if r := c.record(id); r != nil && r.last != nil {
		c.blobs.drop(r.last.Value.Ref)
		r.last = nil
	}
	c.publish(tutti.Event{Kind: tutti.TaskRepeated, Task: id, Text: "its result was lost and is needed", Engine: tutti.NoEngine, Node: tutti.NoNode})
}

// warn passes a warning on to the task's owner.
func (c *Controller) warn(w *sched.Warn) {
	c.publish(tutti.Event{Kind: tutti.TaskWarning, Task: w.Task, Text: w.Text, Engine: tutti.NoEngine, Node: tutti.NoNode})
	if cl := c.clients[w.Task.Client()]; cl != nil && cl.link != nil {
		post(c, cl.link, wire.KindNotice, &wire.Notice{Task: w.Task, Text: w.Text})
	}
}
