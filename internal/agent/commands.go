package agent

import (
	"errors"
	"slices"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/engine"
)

// coresOf is how many processors a command holds.
func coresOf(r *run) float64 {
	if r.work.Need.Cores > 0 {
		return r.work.Need.Cores
	}
	return 1
}

// slot is the commands that share what they hold on this node: the first runs, or may run as soon as
// there is room; when it has ended the next one follows without a word from the controller. Slots are
// numbered by the controller, in each of its lives anew.
type slot []*run

type slotName struct{ epoch, no uint32 }

// isNext puts a command into its slot, and reports whether it is first there.
func (a *Agent) isNext(r *run) bool {
	if r.slot == 0 {
		return true
	}
	name := slotName{r.id.Epoch, r.slot}
	s := a.slots[name]
	if s == nil {
		s = new(slot)
		a.slots[name] = s
	}
	*s = append(*s, r)
	return len(*s) == 1
}

// leaveSlot takes a command out of its slot. If it was the first there the next may start, before
// others that wait: it has the room that has just become free.
func (a *Agent) leaveSlot(r *run) {
	name := slotName{r.id.Epoch, r.slot}
	s := a.slots[name]
	if r.slot == 0 || s == nil {
		return
	}
	r.slot = 0
	i := slices.Index(*s, r)
	if i < 0 {
		return
	}
	if *s = slices.Delete(*s, i, i+1); len(*s) == 0 {
		delete(a.slots, name)
	} else if i == 0 {
		a.waiting = slices.Insert(a.waiting, 0, (*s)[0])
	}
}

// startCommands begins the commands that wait, in order, as long as the node has cores and
// accelerators for them. The scheduler sends no more than that but for haste; this keeps the haste
// from becoming a crowd.
func (a *Agent) startCommands() {
	for len(a.waiting) > 0 && !a.stopping {
		r := a.waiting[0]
		cores := coresOf(r)
		if cores > a.cores+slack && a.jobs > 0 {
			return
		}
		g, ok := a.gpus.take(r.work.Need.GPUs)
		if !ok {
			return
		}
		r.grant, r.cores = g, cores
		a.cores -= cores
		a.waiting[0] = nil
		a.waiting = a.waiting[1:]
		a.startCommand(r)
	}
	if len(a.waiting) == 0 {
		a.waiting = nil
	}
}

func (a *Agent) startCommand(r *run) {
	r.state = sent
	a.jobs++
	w := r.work
	c := engine.Command{
		Run: r.id, Argv: w.Argv, Script: w.Script, Env: w.Env, Dir: w.Dir, Stdin: w.Stdin,
		GPUs: a.gpus.of(r.grant), NoGPUs: len(a.cfg.GPUs) > 0, Grace: a.cfg.Grace, Host: a.cfg.Host,
		Threads: max(1, r.threads()),
	}
	c.Env = append(a.cfg.Env[:len(a.cfg.Env):len(a.cfg.Env)], c.Env...)
	a.aside(func() { // starting takes a millisecond, and the loop has better things to do
		job, err := a.cfg.Commands.Start(c, func(ev engine.Event) { a.do(func() { a.jobEvent(r, ev) }) })
		a.do(func() { a.jobStarted(r, job, err) })
	})
}

// jobStarted notes a command that was started. It may have ended already.
func (a *Agent) jobStarted(r *run, job engine.Job, err error) {
	if err != nil {
		a.jobs--
		var e *tutti.Error
		if !errors.As(err, &e) {
			e = tutti.E("run command", tutti.KindOf(err), err)
		}
		if r.state != ended {
			a.fail(r, engine.EndingOf(err), e)
		}
		a.startCommands()
		return
	}
	for _, n := range r.credit {
		job.Credit(n)
	}
	r.credit = nil
	switch {
	case r.state == ended && r.result == nil: // forgotten meanwhile
		job.Kill()
	case r.state == ended:
	default:
		r.job = job
		if r.abort {
			stopJob(r, false)
		}
	}
}

// jobEvent takes in what a command has said.
func (a *Agent) jobEvent(r *run, ev engine.Event) {
	switch ev := ev.(type) {
	case engine.Started:
		if !r.begun && r.state != ended {
			r.begun, r.began = true, ev.Run.At
			a.reports.begun(ev.Run)
		}
	case engine.Output:
		a.output(jobOf{a, r}, ev.Output)
	case engine.Results:
		a.jobs--
		if r.state != ended {
			a.end(r, &ev.Results[0])
		}
		a.pumpAll()
	}
}

// jobOf gives credit to a command, also to one of which only the words are here yet.
type jobOf struct {
	a *Agent
	r *run
}

// Credit passes it on when there is a job to pass it to.
func (j jobOf) Credit(n int) {
	switch {
	case j.r.job != nil:
		j.r.job.Credit(n)
	case j.r.state != ended:
		j.r.credit = append(j.r.credit, n)
	}
}
