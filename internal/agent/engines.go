package agent

import (
	"context"
	"net"
	"slices"
	"strconv"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// engineState is one engine of this node. It is the loop's.
type engineState struct {
	id       tutti.EngineID
	life     uint32
	program  *program
	proc     engine.Process // nil until it was started
	pid      int
	ready    bool   // it takes runs
	stopping bool   // it was asked to end
	forsaken bool   // nobody is told what becomes of it
	ending   string // why we end it, "" if we do not
	timer    *time.Timer
	a        *Agent

	queue  []*run // not handed to the process
	sent   []part // handed over, in order, without a result
	bytes  int    // of arguments in sent
	serial uint64
	dirty  bool // in Agent.toPump
}

// part is a run in the hands of a process.
type part struct {
	run    *run
	serial uint64
	size   int
}

const (
	// aheadRuns and aheadBytes bound what a process is given before it needs it: enough that it
	// never waits for us, little enough that it can be taken back.
	aheadRuns  = 64
	aheadBytes = 256 << 10
)

// holder names the engine to the blob store.
func (e *engineState) holder() blob.Holder {
	return blob.Holder("engine " + strconv.Itoa(int(e.id)) + "." + strconv.FormatUint(uint64(e.life), 10))
}

// startEngine begins an engine. The controller hears of it by EngineUp or EngineDown.
func (a *Agent) startEngine(m *wire.StartEngine) {
	if old := a.engines[m.Engine]; old != nil {
		if old.life == m.Life {
			if old.ready {
				old.tellUp(a)
			}
			return
		}
		a.forsake(old, "a later life of it was asked for")
	}
	e := &engineState{id: m.Engine, life: m.Life, program: a.program(m.Program), a: a}
	a.engines[e.id] = e
	e.program.whenReady(a, e)
}

// launch starts the engine's process, when its program is there.
func (e *engineState) launch(path wire.ProgramSpec) {
	a := e.a
	rt, err := a.cfg.Runtimes.Runtime(e.program.name)
	if err != nil {
		e.failed(err)
		return
	}
	s := engine.Spec{
		Engine: e.id, Life: e.life, Host: a.cfg.Host, Program: path, Hang: a.cfg.Hang,
		Env: append(a.gpuEnv(), a.cfg.Env...),
	}
	if a.blobs.store != nil {
		s.Blobs = a.blobs.store.As(e.holder())
		store, holder := a.blobs.store, e.holder()
		s.ServeBlobs = func(c *net.UnixConn) {
			if err := store.Serve(context.Background(), c, holder); err != nil {
				a.log.Warn("engine's blobs", "engine", e.id, "err", err)
			}
		}
	}
	e.timer = a.after(a.cfg.StartTimeout, func() {
		if !e.ready {
			e.kill("it was not ready after " + a.cfg.StartTimeout.String())
		}
	})
	a.aside(func() {
		p, err := rt.Start(a.ctx, s, func(ev engine.Event) { a.do(func() { e.event(ev) }) })
		a.do(func() { e.started(p, err) })
	})
}

// gpuEnv hides the node's accelerators from engines until a run is given some.
func (a *Agent) gpuEnv() []string {
	if len(a.cfg.GPUs) == 0 {
		return nil
	}
	return []string{"CUDA_VISIBLE_DEVICES="}
}

// started notes the process. Its first words may have come before.
func (e *engineState) started(p engine.Process, err error) {
	if err != nil {
		e.failed(err)
		return
	}
	e.proc, e.pid = p, p.Pid()
	if e.ending != "" { // it was given up while it was being started
		p.Kill()
	}
	e.becomeReady()
}

// failed reports an engine that cannot be started.
func (e *engineState) failed(err error) {
	why := err.Error()
	if h := tutti.HintOf(err); h != "" {
		why += " (" + h + ")"
	}
	e.gone(why)
}

func (e *engineState) becomeReady() {
	if !e.ready || e.proc == nil || e.forsaken {
		return
	}
	if e.timer != nil {
		e.timer.Stop()
	}
	e.tellUp(e.a)
	e.a.pumpSoon(e)
	e.a.pumpAll()
}

func (e *engineState) tellUp(a *Agent) {
	a.tell(wire.KindEngineUp, &wire.EngineUp{Engine: e.id, Life: e.life, Program: e.program.name, Pid: e.pid})
}

// kill ends the process now; the first reason is the one that is told.
func (e *engineState) kill(why string) {
	if e.ending == "" {
		e.ending = why
	}
	if e.proc != nil {
		e.proc.Kill()
	}
}

func (e *engineState) terminate(why string) {
	if e.ending == "" {
		e.ending = why
	}
	if e.proc != nil {
		e.proc.Terminate()
	}
}

// forsake takes an engine out of the books; its process goes.
func (a *Agent) forsake(e *engineState, why string) {
	if e.forsaken {
		return
	}
	e.forsaken = true
	delete(a.engines, e.id)
	if e.proc == nil && e.timer == nil { // no process is on its way
		e.program.notWaiting(e)
		return
	}
	a.dying[e] = struct{}{}
	e.kill(why)
}

// stopEngine ends an engine that nobody needs: politely, then not.
func (a *Agent) stopEngine(m *wire.StopEngine) {
	e := a.engines[m.Engine]
	if e == nil || e.life != m.Life || e.stopping {
		return
	}
	e.stopping = true
	if e.proc == nil {
		e.kill("it was not needed any more")
		if e.timer == nil {
			e.program.notWaiting(e)
			e.gone(e.ending)
		}
		return
	}
	e.ending = "it was not needed any more"
	e.proc.Stop()
	e.timer = a.after(a.cfg.Grace, func() {
		e.proc.Terminate()
		e.timer = a.after(a.cfg.Grace, e.proc.Kill)
	})
}

// event takes in what the process has said.
func (e *engineState) event(ev engine.Event) {
	a := e.a
	switch ev := ev.(type) {
	case engine.Ready:
		e.ready = true
		e.becomeReady()
	case engine.Results:
		e.results(ev.Results)
	case engine.Started:
		if r := a.runs[ev.Run.Run]; r != nil && !r.begun && r.state == sent && e.has(r) {
			r.begun, r.began = true, ev.Run.At
			a.reports.begun(ev.Run)
		}
	case engine.GivenBack:
		for _, id := range ev.Runs {
			if r := a.runs[id]; r != nil && e.take(r) != nil {
				a.giveBack(r)
			}
		}
	case engine.Output:
		a.output(e.proc, ev.Output)
	case engine.Display:
		a.display(e, ev.Display)
	case engine.Exited:
		e.exited(ev)
	}
	a.pumpSoon(e)
	a.pumpAll()
}

// has reports whether a run is in the hands of the process.
func (e *engineState) has(r *run) bool {
	return slices.ContainsFunc(e.sent, func(p part) bool { return p.run == r })
}

// take removes a run from those that the process has, nil if it is not there. Almost always it is
// the first.
func (e *engineState) take(r *run) *part {
	i := slices.IndexFunc(e.sent, func(p part) bool { return p.run == r })
	if i < 0 {
		return nil
	}
	p := e.sent[i]
	e.bytes -= p.size
	if i == 0 {
		e.sent[0] = part{}
		e.sent = e.sent[1:]
	} else {
		e.sent = slices.Delete(e.sent, i, i+1)
	}
	return &p
}

// results takes in ends of runs.
func (e *engineState) results(list []wire.Result) {
	for i := range list {
		res := &list[i]
		r := e.a.runs[res.Run]
		if r == nil || e.take(r) == nil || r.state == ended {
			e.a.blobs.discard(e, res.Value.Ref) // nobody's
			continue
		}
		e.a.blobs.adopt(e, res.Value.Ref)
		if r.gang != nil {
			e.a.partEnded(r, e, *res)
		} else {
			e.a.end(r, res)
		}
	}
}

// pumpSoon notes that an engine may take more; pumpAll sees to it at the end of the event.
func (a *Agent) pumpSoon(e *engineState) {
	if !e.dirty {
		e.dirty = true
		a.toPump = append(a.toPump, e)
	}
}

// pumpAll hands engines what they can take, and starts the commands for which there is room.
func (a *Agent) pumpAll() {
	for i := 0; i < len(a.toPump); i++ {
		e := a.toPump[i]
		e.dirty = false
		e.pump()
	}
	clear(a.toPump)
	a.toPump = a.toPump[:0]
	a.startCommands()
}

// pump hands the process the first runs of its queue, as far as it makes sense ahead of time.
func (e *engineState) pump() {
	if !e.ready || e.proc == nil || e.ending != "" || e.forsaken {
		return
	}
	batch := e.a.batch[:0]
	n := 0
	for n < len(e.queue) && e.room(e.queue[n]) {
		r := e.queue[n]
		g, ok := grant{}, true
		if r.grant.gpus == nil && r.work.Need.GPUs > 0 {
			if g, ok = e.a.gpus.take(r.work.Need.GPUs); !ok {
				break // until another run ends
			}
			r.grant = g
		}
		n++
		batch = append(batch, e.hand(r))
	}
	if n == 0 {
		return
	}
	clear(e.queue[:n])
	if e.queue = e.queue[n:]; len(e.queue) == 0 {
		e.queue = nil
	}
	e.proc.Send(batch)
	clear(batch)
	e.a.batch = batch[:0]
}

// room reports whether the process should have one more. Runs that hold accelerators are not
// handed over ahead of time, nor is anything behind them.
func (e *engineState) room(r *run) bool {
	if len(e.sent) == 0 {
		return true
	}
	exclusive := r.work.Need.GPUs > 0 || e.sent[len(e.sent)-1].run.work.Need.GPUs > 0
	return !exclusive && len(e.sent) < aheadRuns && e.bytes < aheadBytes
}

// hand makes the form in which a run goes to the process.
func (e *engineState) hand(r *run) engine.Run {
	size := len(r.args)
	for i := range r.deps {
		size += len(r.deps[i].Value.Data)
	}
	e.serial++
	e.sent = append(e.sent, part{r, e.serial, size})
	e.bytes += size
	r.state = sent
	x := engine.Run{
		ID: r.id, Serial: e.serial, Func: r.work.Func, Code: r.work.Code, Args: r.args, Deps: r.deps,
		GPUs: e.a.gpus.of(r.grant), Threads: r.threads(),
	}
	if r.gang != nil {
		r.gang.sent++
		x.World = r.gang.world(slices.Index(r.engines, e.id))
	}
	return x
}
