package agent

import (
	"math"
	"slices"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// run is one run that the agent has, from Assign to Ack. It is the loop's.
type run struct {
	id      tutti.RunID
	work    *tutti.Work
	engines []tutti.EngineID // empty: a command
	args    msgp.Raw
	deps    []wire.DepValue
	state   runState
	begun   bool  // it was told that it has begun
	began   int64 // when, ns since 1970

	abort, timeout bool        // it was asked to stop
	grace          *time.Timer // after which it is made to

	wants   []tutti.Ref // blobs that are being fetched for it
	fetched []tutti.Ref // blobs of other nodes that are kept here for it
	grant   grant       // accelerators
	cores   float64     // of a command that runs
	credit  []int       // owed to job before it was known
	job     engine.Job  // of a command, when it was started
	gang    *gang       // of a run on several engines
	result  *wire.Result
	printed [2]ring // what it printed last, on stdout and stderr
	lent    []debt  // what a client is being told, and was not yet
}

// runState is how far a run has come; it only grows.
type runState uint8

const (
	fetching runState = iota // waits for blobs; left when they have come
	queued                   // in the queue of its engine or engines, or of commands
	sent                     // handed to a process, or started
	ended                    // result says how; left by Ack
)

// assign takes in runs.
func (a *Agent) assign(m *wire.Assign) {
	if m.Reset {
		clear(a.works)
	}
	for i := range m.Works {
		a.works[m.Works[i].No] = &m.Works[i].Work
	}
	for i := range m.Runs {
		w := &m.Runs[i]
		if a.runs[w.Run] != nil {
			continue // it came twice
		}
		r := &run{id: w.Run, work: a.works[w.Work], engines: w.Engines, args: w.Args, deps: w.Deps}
		a.runs[r.id] = r
		a.accept(r)
	}
	a.pumpAll()
}

// accept finds out what a run needs before it can be queued.
func (a *Agent) accept(r *run) {
	if r.work == nil {
		a.fail(r, engine.MachineFailed, tutti.Errorf("assign", tutti.Internal, "the controller has not said what the run is"))
		return
	}
	for i, id := range r.engines {
		if a.engines[id] == nil || slices.Contains(r.engines[:i], id) {
			a.giveBack(r) // the engine's end is on its way to the controller
			return
		}
	}
	refs := engine.Refs(nil, r.args, r.deps)
	refs = append(refs, r.work.Refs...)
	if a.blobs.store == nil || len(refs) == 0 {
		a.enqueue(r)
		return
	}
	a.fetchFor(r, refs)
}

// enqueue puts a run that has all it needs where it waits for its turn.
func (a *Agent) enqueue(r *run) {
	r.state = queued
	if len(r.engines) == 0 {
		a.waiting = append(a.waiting, r)
		return
	}
	if len(r.engines) > 1 || r.work.Need.Ranks == 1 {
		r.gang = a.newGang(r)
	}
	for _, id := range r.engines {
		e := a.engines[id]
		if e == nil { // it died while blobs were on their way
			a.giveBack(r)
			return
		}
	}
	for _, id := range r.engines {
		e := a.engines[id]
		e.queue = append(e.queue, r)
		a.pumpSoon(e)
	}
}

// threads is how many processors a run may use.
func (r *run) threads() int { return int(math.Ceil(r.work.Need.Cores - slack)) }

// end keeps a run's result and reports it.
func (a *Agent) end(r *run, res *wire.Result) {
	if r.state == ended {
		return
	}
	r.payAll() // a job takes it only before its end
	r.state, r.result = ended, res
	r.args, r.deps, r.job, r.gang = nil, nil, nil, nil
	if r.grace != nil {
		r.grace.Stop()
	}
	a.freeOf(r)
	a.reports.ended(res)
}

// freeOf gives back what the run held of the node.
func (a *Agent) freeOf(r *run) {
	a.gpus.give(r.grant)
	a.cores += r.cores
	r.grant, r.cores = grant{}, 0
	a.blobs.letGo(r)
}

// fail ends a run for a reason of the agent's own.
func (a *Agent) fail(r *run, how engine.Ending, err *tutti.Error) {
	err.Task, err.Host = r.id.Task, a.cfg.Host
	res := &wire.Result{Run: r.id, Ending: how, Engine: tutti.NoEngine, Fail: wire.PackError(err), Started: r.began}
	if len(r.engines) > 0 {
		res.Engine = r.engines[0]
	}
	a.end(r, res)
}

// giveBack returns a run that has not begun, or whose end is unknown through no fault of its own.
func (a *Agent) giveBack(r *run) {
	if r.abort {
		a.fail(r, engine.WasCanceled, stopped(r.timeout))
		return
	}
	r.payAll()
	a.freeOf(r)
	delete(a.runs, r.id)
	a.reports.returned(r.id)
}

// forget lets go of a run that is of no interest any more; dropAll removes it from the table.
func (r *run) forget(a *Agent) {
	r.payAll()
	if r.grace != nil {
		r.grace.Stop()
	}
	if r.job != nil {
		r.job.Kill()
	}
	if r.gang != nil {
		r.gang.close()
	}
	a.freeOf(r)
	r.state = ended
	r.abort = true
}

// recall takes back runs that have not begun. Those that a process has been given are asked of it;
// it answers by engine.GivenBack.
func (a *Agent) recall(ids []tutti.RunID) {
	ask := map[*engineState][]tutti.RunID{}
	for _, id := range ids {
		r := a.runs[id]
		switch {
		case r == nil || r.state == ended || r.gang != nil && r.gang.sent > 0:
		case r.state < sent:
			a.unqueue(r)
			a.giveBack(r)
		case len(r.engines) == 1:
			if e := a.engines[r.engines[0]]; e != nil {
				ask[e] = append(ask[e], id)
			}
		}
	}
	for e, list := range ask {
		e.proc.TakeBack(list)
	}
	a.pumpAll()
}

// unqueue takes a run out of wherever it waits.
func (a *Agent) unqueue(r *run) {
	same := func(x *run) bool { return x == r }
	a.waiting = slices.DeleteFunc(a.waiting, same)
	a.unplaced = slices.DeleteFunc(a.unplaced, same)
	for _, id := range r.engines {
		if e := a.engines[id]; e != nil {
			e.queue = slices.DeleteFunc(e.queue, same)
			a.pumpSoon(e)
		}
	}
}

// abort stops runs.
func (a *Agent) abort(m *wire.Runs) {
	for _, id := range m.Runs {
		if r := a.runs[id]; r != nil && r.state != ended {
			a.abortRun(r, m.Timeout, m.Force)
		}
	}
	a.pumpAll()
}

func (a *Agent) abortRun(r *run, timeout, force bool) {
	if !r.abort {
		r.abort, r.timeout = true, timeout
	} else if !force {
		return
	}
	switch {
	case r.state < sent && (r.gang == nil || r.gang.sent == 0):
		a.unqueue(r)
		a.fail(r, engine.WasCanceled, stopped(timeout))
	case len(r.engines) == 0:
		if r.job != nil { // else when it has started: see jobStarted
			stopJob(r, force)
		}
	default:
		a.abortParts(r, force)
	}
}

func stopJob(r *run, force bool) {
	if force {
		r.job.Kill()
	} else {
		r.job.Cancel(r.timeout)
	}
}

// abortParts asks the engines to stop a run, and makes them after a grace.
func (a *Agent) abortParts(r *run, force bool) {
	if force {
		a.endEnginesOf(r, true)
		return
	}
	for _, id := range r.engines {
		if e := a.engines[id]; e != nil {
			if i := slices.Index(e.queue, r); i >= 0 { // a part that was not handed over
				e.queue = slices.Delete(e.queue, i, i+1)
				a.partEnded(r, e, wire.Result{Run: r.id, Ending: engine.WasCanceled, Engine: id, Fail: wire.PackError(stopped(r.timeout))})
				a.pumpSoon(e)
				continue
			}
			e.proc.Cancel(r.id, r.timeout)
		}
	}
	r.insist(a)
}

// insist ends the engines of a run that does not stop although it was asked to.
func (r *run) insist(a *Agent) {
	if r.state == ended || r.grace != nil {
		return
	}
	r.grace = a.after(a.cfg.Grace, func() {
		a.endEnginesOf(r, false)
		r.grace = a.after(a.cfg.Grace, func() { a.endEnginesOf(r, true) })
	})
}

// endEnginesOf ends the processes in which a run still is.
func (a *Agent) endEnginesOf(r *run, now bool) {
	if r.state == ended {
		return
	}
	for _, id := range r.engines {
		e := a.engines[id]
		if e == nil || !e.has(r) {
			continue
		}
		why := "its run " + r.id.String() + " did not stop when asked"
		if now {
			e.kill(why)
		} else {
			e.terminate(why)
		}
	}
}

// acked forgets results that the controller has.
func (a *Agent) acked(ids []tutti.RunID) {
	for _, id := range ids {
		if r := a.runs[id]; r != nil && r.state == ended {
			delete(a.runs, id)
		}
	}
}

// stopped is the error of a run that was asked to stop.
func stopped(timeout bool) *tutti.Error {
	if timeout {
		return tutti.Errorf("run", tutti.Timeout, "it was stopped when its time limit had passed")
	}
	return tutti.Errorf("run", tutti.Canceled, "it was stopped")
}
