package agent

import (
	"errors"
	"os"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// session is the agent's connection with the controller: at most one link, and what was said of
// this node when it began.
type session struct {
	link   *wire.Link // nil while there is none, or it is not yet welcome
	number uint64     // counts the links: a word from an older one is dropped
	hello  wire.AgentHello
	alone  *time.Timer // runs while there is no controller
	asked  uint64
	asks   map[uint64]func([]byte, error)
}

// dialFor is how long one attempt takes before what the agent says of itself is brought up to date.
const dialFor = 5 * time.Second

// dial looks for the controller in the background. When it has been alone for too long the agent ends.
func (a *Agent) dial() {
	if a.stopping {
		return
	}
	if a.up.alone == nil {
		a.up.alone = a.after(a.cfg.Orphan, func() {
			if a.up.link == nil {
				a.quit(tutti.Errorf("agent", tutti.Lost, "no controller at %s for %v", a.cfg.Addr, a.cfg.Orphan))
			}
		})
	}
	a.up.number++
	number := a.up.number
	a.up.hello = a.hello()
	info, err := a.up.hello.MarshalMsg(nil)
	if err != nil {
		a.quit(tutti.E("join cluster", tutti.Internal, err))
		return
	}
	h := wire.Hello{Role: wire.RoleAgent, Name: "agent " + a.cfg.Host, Software: a.cfg.Version, Info: info}
	cfg := a.cfg.Link
	cfg.Patience = dialFor
	a.aside(func() {
		link, err := wire.Connect(a.ctx, a.cfg.Network, a.cfg.Addr, h, cfg)
		if err != nil {
			a.do(func() { a.notConnected(err) })
			return
		}
		a.read(link, number)
		if a.ctx.Err() != nil { // the end closes the link in use; this one may not have come to that
			<-a.done
			_ = link.Close()
		}
	})
}

// hello describes the node and what it holds.
func (a *Agent) hello() wire.AgentHello {
	h := wire.AgentHello{
		Node: a.node, Life: a.life, Host: a.cfg.Host, Pid: os.Getpid(), Pool: a.cfg.Pool, Job: a.cfg.Job,
		Has: a.cfg.Has, BlobAddr: a.blobs.addr, Version: a.cfg.Version,
	}
	if !a.cfg.Until.IsZero() {
		h.Until = a.cfg.Until.UnixNano()
	}
	for _, e := range a.engines {
		if e.ready && !e.forsaken {
			h.Engines = append(h.Engines, wire.HeldEngine{Engine: e.id, Life: e.life, Program: e.program.name, Pid: e.pid})
		}
	}
	for _, r := range a.runs {
		h.Runs = append(h.Runs, wire.HeldRun{Run: r.id, Engines: r.engines, Started: r.begun, Ended: r.result != nil})
	}
	return h
}

// notConnected decides what an attempt that failed means.
func (a *Agent) notConnected(err error) {
	switch tutti.KindOf(err) {
	case tutti.Denied, tutti.Version, tutti.Invalid, tutti.Unsupported:
		a.quit(err)
		return
	}
	a.log.Info("no controller", "addr", a.cfg.Addr, "err", err)
	a.dial()
}

// read takes the link's messages until it ends. They are decoded here and dealt with in the loop.
func (a *Agent) read(l *wire.Link, number uint64) {
	defer a.do(func() { a.linkEnded(l, number) })
	m, err := l.Recv(a.ctx)
	if err != nil {
		return
	}
	var w wire.AgentWelcome
	if m.Kind != wire.KindWelcome || wire.Unpack(m, &w) != nil {
		l.Abort("the first message was no welcome")
		return
	}
	a.do(func() { a.welcomed(l, &w) })
	for {
		m, err := l.Recv(a.ctx)
		if err != nil {
			return
		}
		d, ok := fromController[m.Kind]
		if !ok {
			l.Abort("a message of an unknown kind")
			return
		}
		msg := d.make()
		if err := wire.Unpack(m, msg); err != nil {
			l.Abort(err.Error())
			return
		}
		a.do(func() {
			if a.up.number == number && !a.stopping {
				d.take(a, msg)
			}
		})
	}
}

// decoder says how a kind of message is read and who in the loop takes it.
type decoder struct {
	make func() msgp.Unmarshaler
	take func(*Agent, msgp.Unmarshaler)
}

func row[M any, P interface {
	*M
	msgp.Unmarshaler
}](take func(*Agent, P)) decoder {
	return decoder{
		make: func() msgp.Unmarshaler { return P(new(M)) },
		take: func(a *Agent, m msgp.Unmarshaler) { take(a, m.(P)) },
	}
}

var fromController map[uint16]decoder

func init() { // not in the declaration: the handlers refer back to the table
	fromController = map[uint16]decoder{
		wire.KindAssign:      row(func(a *Agent, m *wire.Assign) { a.assign(m) }),
		wire.KindRecall:      row(func(a *Agent, m *wire.Runs) { a.recall(m.Runs) }),
		wire.KindAbort:       row(func(a *Agent, m *wire.Runs) { a.abort(m) }),
		wire.KindAck:         row(func(a *Agent, m *wire.Runs) { a.acked(m.Runs) }),
		wire.KindStartEngine: row(func(a *Agent, m *wire.StartEngine) { a.startEngine(m) }),
		wire.KindStopEngine:  row(func(a *Agent, m *wire.StopEngine) { a.stopEngine(m) }),
		wire.KindCredit:      row(func(a *Agent, m *wire.Credit) { a.credited(m) }),
		wire.KindDropBlobs:   row(func(a *Agent, m *wire.DropBlobs) { a.blobs.drop(m.Blobs) }),
		wire.KindAsk:         row(func(a *Agent, m *wire.Ask) { a.asked(m) }),
		wire.KindAnswer:      row(func(a *Agent, m *wire.Answer) { a.answered(m) }),
	}
}

// welcomed begins a session. If the controller takes this for another node than it was, the
// engines and runs of that node are nobody's.
func (a *Agent) welcomed(l *wire.Link, w *wire.AgentWelcome) {
	if a.stopping {
		return
	}
	a.up.alone.Stop()
	a.up.alone = nil
	a.up.link, a.up.asked, a.up.asks = l, 0, map[uint64]func([]byte, error){}
	clear(a.works)
	clear(a.peers)
	a.asking = false
	if a.life != w.Life || a.node != w.Node {
		if a.node != tutti.NoNode {
			a.log.Warn("the cluster does not know this node any more", "node", a.node)
			a.dropAll()
		}
		a.node, a.life = w.Node, w.Life
		if err := a.blobs.open(w.Node, w.Epoch); err != nil {
			a.quit(err)
			return
		}
	} else {
		a.resync()
	}
	a.log.Info("joined", "cluster", w.Cluster, "node", w.Node, "epoch", w.Epoch)
	for _, p := range a.programs {
		if p.asking {
			a.askProgram(p)
		}
	}
	if len(a.unplaced) > 0 {
		a.askPeers()
	}
	select {
	case <-a.joined:
	default:
		close(a.joined)
	}
}

// resync tells a controller that has this node back what has changed since the hello was written,
// and all that it may have missed: ends that are not acknowledged, and output.
func (a *Agent) resync() {
	a.reports.init()
	for _, h := range a.up.hello.Engines {
		if e := a.engines[h.Engine]; e == nil || e.life != h.Life || e.forsaken {
			a.tell(wire.KindEngineDown, &wire.EngineDown{Engine: h.Engine, Life: h.Life, Why: "it ended while the controller was away"})
		}
	}
	held := map[tutti.EngineID]uint32{}
	for _, h := range a.up.hello.Engines {
		held[h.Engine] = h.Life + 1
	}
	for _, e := range a.engines {
		if e.ready && !e.forsaken && held[e.id] != e.life+1 {
			e.tellUp(a)
		}
	}
	for _, h := range a.up.hello.Runs {
		if a.runs[h.Run] == nil {
			a.reports.returned(h.Run)
		}
	}
	for _, r := range a.runs {
		r.payAll()
		r.resendOutput(a)
		switch {
		case r.result != nil:
			a.reports.ended(r.result)
		case r.begun:
			a.reports.begun(wire.RunStart{Run: r.id, At: r.began})
		}
	}
	a.flush()
}

// linkEnded looks for the controller again, unless it has said that this is over.
func (a *Agent) linkEnded(l *wire.Link, number uint64) {
	if a.up.number != number || a.stopping {
		return
	}
	err := l.Err()
	a.log.Warn("link to the controller ended", "err", err)
	asks := a.up.asks
	a.up.link, a.up.asks = nil, nil
	for _, f := range asks {
		f(nil, tutti.Errorf("ask controller", tutti.Lost, "the link ended: %w", err))
	}
	switch {
	case a.cfg.QuitIfFenced && errors.Is(err, wire.ErrFenced):
		a.quit(err)
	case tutti.KindOf(err) == tutti.Closed: // in order: the controller needs no agent any more
		a.quit(tutti.Errorf("agent", tutti.Closed, "the controller has closed the link"))
	default:
		a.dial()
	}
}

// tell sends a message after all that was gathered. Without a controller it goes nowhere: resync
// will make up for it.
func (a *Agent) tell(kind uint16, header msgp.Marshaler) {
	a.flush()
	a.post(kind, header)
}

func (a *Agent) post(kind uint16, header msgp.Marshaler) {
	if a.up.link == nil {
		return
	}
	m, err := wire.Pack(kind, header)
	if err == nil {
		err = a.up.link.Post(m)
	}
	if k := tutti.KindOf(err); err != nil && k != tutti.Closed && k != tutti.Lost {
		a.log.Error("message not sent", "kind", kind, "err", err)
	}
}
