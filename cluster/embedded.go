package cluster

import (
	"context"
	"os"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/agent"
	"github.com/tutti-hpc/tutti/internal/controller"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// embeddedAddr is the controller's address on an embedded cluster's network.
const embeddedAddr = "controller"

// Embedded says what a cluster inside this process consists of. The zero value has as many cores
// as the machine.
type Embedded struct {
	Need     tutti.Resources // what of the machine tasks may use; what is 0 is found out
	Engines  int             // at least so many tasks may run at once
	Socket   string          // where other processes of this user find the node's blobs; "": nowhere
	Runtimes engine.Table    // how engines are started; nil: all that there are
	OnStop   func()          // called when a client asks the cluster to stop; nil: it cannot
}

// Host is a cluster inside this process: a controller and an agent, joined by a network in memory.
// Its engines are children of this process and end with it.
type Host struct {
	net   *wire.Memory
	agent *agent.Agent
	ends  ending
}

// Host starts the cluster, without any engine: those come with the clients that want them. ctx
// bounds the start alone.
func (e Embedded) Host(ctx context.Context) (*Host, error) {
	has, _, err := agent.Resources(e.Need, nil)
	if err != nil {
		return nil, err
	}
	has.Cores = max(has.Cores, float64(e.Engines)) // as many tasks at once as there are engines
	ctl, err := controller.Start(ctx, controller.Config{Name: "embedded", Version: tutti.Release, OnStop: e.OnStop})
	if err != nil {
		return nil, err
	}
	h := &Host{net: wire.NewMemory(1)}
	h.ends.add(func() { ctl.Close() })
	srv, err := accept(ctl, h.net, embeddedAddr)
	if err != nil {
		h.ends.run()
		return nil, err
	}
	h.ends.add(srv.Close)
	cfg := agent.Config{Network: h.net, Addr: embeddedAddr, Has: has, Orphan: forever, Runtimes: e.Runtimes}
	cfg.Blobs.Socket = e.Socket
	if h.agent, err = agent.Start(ctx, cfg); err != nil {
		h.ends.run()
		return nil, err
	}
	h.ends.add(func() { h.agent.Close() })
	return h, nil
}

// Door is how clients come in: each [Join] through it makes another.
func (h *Host) Door() Door {
	return Door{Network: h.net, Addr: embeddedAddr, Space: h.agent.Space()}
}

// Close ends the cluster with all that runs in it.
func (h *Host) Close() { h.ends.run() }

// openEmbedded starts controller, agent and engines for this program alone.
func openEmbedded(ctx context.Context, s *tutti.Settings) (*Client, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, tutti.E("open cluster", tutti.NotFound, err)
	}
	has, _, err := agent.Resources(s.Work.Need, nil)
	if err != nil {
		return nil, err
	}
	engines, _ := s.Get(enginesKey{}).(int)
	if engines <= 0 {
		engines = max(1, int(has.Cores))
	}
	h, err := Embedded{Need: has, Engines: engines}.Host(ctx)
	if err != nil {
		return nil, err
	}
	d := h.Door()
	d.Warn = warnTo(s)
	d.Want = wire.Want{PerNode: engines, Spec: wire.ProgramSpec{Name: "go:self", Path: exe}}
	c, err := Join(ctx, d)
	if err != nil {
		h.Close()
		return nil, err
	}
	c.onEnd = h.ends
	return c, nil
}

// ending is what is to be ended, in the reverse order.
type ending []func()

func (e *ending) add(f func()) { *e = append(*e, f) }

func (e ending) run() {
	for i := len(e) - 1; i >= 0; i-- {
		e[i]()
	}
}
