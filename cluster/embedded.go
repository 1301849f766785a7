package cluster

import (
	"context"
	"os"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/agent"
	"github.com/tutti-hpc/tutti/internal/controller"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// embeddedAddr is the controller's address on an embedded cluster's network.
const embeddedAddr = "controller"

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
	has.Cores = max(has.Cores, float64(engines)) // as many tasks at once as there are engines
	ctl, err := controller.Start(ctx, controller.Config{Name: "embedded", Version: tutti.Release})
	if err != nil {
		return nil, err
	}
	var ends ending
	ends.add(func() { ctl.Close() })
	net := wire.NewMemory(1)
	srv, err := accept(ctl, net, embeddedAddr)
	if err != nil {
		ends.run()
		return nil, err
	}
	ends.add(srv.Close)
	a, err := agent.Start(ctx, agent.Config{Network: net, Addr: embeddedAddr, Has: has, Orphan: forever})
	if err != nil {
		ends.run()
		return nil, err
	}
	ends.add(func() { a.Close() })
	data := &plane{space: a.Space()}
	c, err := Join(ctx, Door{
		Network: net, Addr: embeddedAddr, Data: data, Warn: warnTo(s),
		Want: wire.Want{PerNode: engines, Spec: wire.ProgramSpec{Name: "go:self", Path: exe}},
	})
	if err != nil {
		ends.run()
		return nil, err
	}
	data.c = c
	c.onEnd = ends
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
