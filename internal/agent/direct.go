package agent

import (
	"slices"
	"syscall"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// What people who use engines directly ask of an agent.

// signaller is a process to which any signal can be sent.
type signaller interface {
	Signal(sig syscall.Signal) error
}

// engineNamed finds an engine that has a process.
func (a *Agent) engineNamed(op string, id tutti.EngineID) (*engineState, error) {
	if e := a.engines[id]; e != nil && e.proc != nil {
		return e, nil
	}
	return nil, tutti.Errorf(op, tutti.NotFound, "engine %d is not running on this node", id)
}

func (a *Agent) askedSignal(body []byte, reply func(any, error)) {
	q, err := question[wire.SignalEngine](body)
	var e *engineState
	if err == nil {
		e, err = a.engineNamed("signal engine", q.Engine)
	}
	if err != nil {
		reply(nil, err)
		return
	}
	s, ok := e.proc.(signaller)
	if !ok {
		reply(nil, tutti.Errorf("signal engine", tutti.Unsupported, "engines of %s take no signals", e.program.name))
		return
	}
	reply(nil, s.Signal(syscall.Signal(q.Signal)))
}

// askedEnd ends an engine's process: asked at first, made to after a grace.
func (a *Agent) askedEnd(body []byte, reply func(any, error)) {
	q, err := question[wire.EndEngine](body)
	e := a.engines[q.Engine]
	if err == nil && (e == nil || q.Life != 0 && e.life != q.Life) {
		err = tutti.Errorf("end engine", tutti.NotFound, "engine %d is not on this node", q.Engine)
	}
	if err != nil {
		reply(nil, err)
		return
	}
	switch {
	case e.proc != nil:
		e.terminate(q.Why)
		a.after(a.cfg.Grace, func() { e.proc.Kill() })
	case e.timer != nil: // it is just being started
		e.kill(q.Why)
	default:
		e.ending = q.Why
		e.program.notWaiting(e)
		e.gone(q.Why)
	}
	reply(nil, nil)
}

// askedSetup takes in what engines of a program run at their start from now on. The answer names
// those that were started without it.
func (a *Agent) askedSetup(body []byte, reply func(any, error)) {
	q, err := question[wire.SetUp](body)
	if err != nil {
		reply(nil, err)
		return
	}
	p := a.program(q.Program)
	p.setup = q.Code
	if p.spec != nil {
		p.spec.Setup = q.Code
	}
	without := []tutti.EngineID{}
	for id, e := range a.engines {
		if e.program == p && !slices.Contains(p.wait, e) {
			without = append(without, id)
		}
	}
	slices.Sort(without)
	reply(without, nil)
}
