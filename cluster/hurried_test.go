package cluster

import (
	"os"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/agent"
	"github.com/tutti-hpc/tutti/internal/controller"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Hurried opens a cluster of n engines that are started again at once when they die, each of which
// knows its number.
func Hurried(t *testing.T, n int) *Client {
	t.Helper()
	ctx := t.Context()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cfg := controller.Config{Name: "embedded", Version: tutti.Release}
	cfg.Sched.Restart = time.Millisecond
	ctl, err := controller.Start(ctx, cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ctl.Close() })
	net := wire.NewMemory(1)
	srv, err := accept(ctl, net, embeddedAddr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	a, err := agent.Start(ctx, agent.Config{Network: net, Addr: embeddedAddr, Has: tutti.Resources{Cores: float64(n)}, Orphan: forever})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { a.Close() })
	c, err := Join(ctx, Door{
		Network: net, Addr: embeddedAddr, Data: &plane{}, Warn: func(string) {},
		Want: wire.Want{PerNode: n, Spec: wire.ProgramSpec{Name: "go:self", Path: exe}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	if _, err := c.WaitForEngines(ctx, n); err != nil {
		t.Fatal(err)
	}
	for id := range tutti.EngineID(n) {
		if err := c.Direct(id).Push(ctx, "number", int(id)); err != nil {
			t.Fatal(err)
		}
	}
	return c
}
