package agent

import (
	"slices"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// exited deals with the end of an engine's process. The board has told how far it came, so that
// exactly the run that it was in is lost: those behind it, and those whose ends were not yet told,
// are given back unharmed.
func (e *engineState) exited(x engine.Exited) {
	if e.forsaken {
		e.gone(x.Why)
		return
	}
	left := e.sent
	e.sent = nil
	for _, p := range left {
		r := p.run
		switch {
		case r.state == ended: // a part of a gang that has ended without it
		case p.serial == x.Begun && x.Begun > x.Ended:
			e.lastWords(r, x)
			e.lose(r, e.verdict(r, x))
		case r.gang != nil:
			e.lose(r, e.verdictOf(engine.MachineFailed, tutti.Errorf("run", tutti.Lost, "engine %d: %s", e.id, x.Why)))
		default:
			e.a.giveBack(r)
		}
	}
	e.gone(x.Why)
}

// lose ends a run, or a part of one, with its engine.
func (e *engineState) lose(r *run, res wire.Result) {
	res.Run, res.Started = r.id, r.began
	if r.gang != nil {
		e.a.partEnded(r, e, res)
		return
	}
	e.a.end(r, &res)
}

// gone takes the engine out of the books and tells the controller.
func (e *engineState) gone(why string) {
	a := e.a
	if e.timer != nil {
		e.timer.Stop()
	}
	a.blobs.dropHolder(e)
	if e.forsaken {
		delete(a.dying, e)
		return
	}
	delete(a.engines, e.id)
	waiting := e.queue
	e.queue = nil
	for _, r := range waiting {
		if r.gang != nil {
			e.lose(r, e.verdictOf(engine.MachineFailed, tutti.Errorf("run", tutti.Lost, "engine %d: %s", e.id, why)))
		} else {
			a.giveBack(r)
		}
	}
	if e.ending != "" && !e.stopping {
		why = e.ending + " (" + why + ")"
	}
	a.log.Info("engine ended", "engine", e.id, "life", e.life, "why", why)
	a.tell(wire.KindEngineDown, &wire.EngineDown{Engine: e.id, Life: e.life, Why: why})
}

// fatalSignals are those by which a process dies of its own code; all others come from outside.
var fatalSignals = []string{"SEGV", "BUS", "FPE", "ILL", "ABRT", "SYS", "TRAP"}

// verdict says how the run ended that its engine was in.
func (e *engineState) verdict(r *run, x engine.Exited) wire.Result {
	switch {
	case r.abort:
		return e.verdictOf(engine.WasCanceled, stopped(r.timeout))
	case x.Hung || e.ending != "":
	case strings.HasPrefix(e.program.name, "python:"):
		// To whoever calls Python functions an interpreter that ends is an engine that was lost,
		// whatever it died of. But what it did to itself it would do again: only a death from outside
		// is repeated unasked.
		how := engine.MachineFailed
		if x.Signal == "" || slices.Contains(fatalSignals, x.Signal) {
			how = engine.UserFailed
		}
		return e.verdictOf(how, e.lost(r, x))
	case x.Stack != "":
		err := tutti.Errorf("call "+r.work.Func, tutti.Panicked, "it brought its engine down: %s", firstLine(x.Stack))
		err.Stack = x.Stack
		return e.verdictOf(engine.UserFailed, err)
	case x.Signal == "":
		return e.verdictOf(engine.UserFailed, tutti.Errorf("call "+r.work.Func, tutti.Failed,
			"it ended its engine's process with status %d", x.Status).
			WithHint("os.Exit and log.Fatal end the engine and lose its variables: return an error instead"))
	case slices.Contains(fatalSignals, x.Signal):
		return e.verdictOf(engine.UserFailed, tutti.Errorf("call "+r.work.Func, tutti.Panicked, "it died of signal %s", x.Signal))
	}
	return e.verdictOf(engine.MachineFailed, e.lost(r, x))
}

// lost is the error of a run whose engine ended under it.
func (e *engineState) lost(r *run, x engine.Exited) *tutti.Error {
	why := x.Why
	if e.ending != "" {
		why = e.ending
	}
	err := tutti.Errorf("call "+r.work.Func, tutti.Lost, "engine %d was lost: %s", e.id, why)
	err.Stack = x.Stack
	if x.OOM {
		err = err.WithHint("say how much memory the task needs, and it will not share the node with too many others")
	}
	return err
}

func (e *engineState) verdictOf(how engine.Ending, err *tutti.Error) wire.Result {
	err.Engine, err.Host = e.id, e.a.cfg.Host
	return wire.Result{Ending: how, Engine: e.id, Fail: wire.PackError(err)}
}

func firstLine(s string) string {
	for i, c := range s {
		if c == '\n' {
			return s[:i]
		}
	}
	return s
}

// lastWords reports what the engine's process had printed and nobody had read.
func (e *engineState) lastWords(r *run, x engine.Exited) {
	for i, text := range [][]byte{x.Stdout, x.Stderr} {
		if len(text) == 0 {
			continue
		}
		o := wire.Output{Run: r.id, Stream: uint8(i + 1), Offset: r.printed[i].end, Data: text}
		r.printed[i].add(o.Offset, text)
		e.a.post(wire.KindOutput, &o)
	}
}
