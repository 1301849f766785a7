package cluster

import (
	"context"
	"log/slog"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/controller"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// ServeConfig is how the controller of a detached cluster is run.
type ServeConfig struct {
	Profile *Profile
	Listen  string // host:port for other machines, "" for this host's socket only
	Log     *slog.Logger
	Ready   func(addr string) // called when clients and agents can come; may be nil
}

// Serve runs the controller of a detached cluster in this process, until ctx ends or a client asks
// the cluster to stop. What an earlier controller of the same name left in its journal is taken up
// again. A cluster that is running already is an error of kind Exists.
func Serve(ctx context.Context, cfg ServeConfig) error {
	p := cfg.Profile
	if err := wire.EnsureKeys(p.Keys(), p.Name); err != nil {
		return err
	}
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	c, err := controller.Start(ctx, controller.Config{
		Name: p.Name, Dir: p.State, Version: tutti.Release, Log: cfg.Log, OnStop: stop,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	local, err := accept(c, wire.Unix{}, p.Socket())
	if err != nil {
		return err
	}
	defer local.Close()
	addr := ""
	if cfg.Listen != "" {
		keys, err := wire.LoadKeys(p.Keys(), wire.RoleServer)
		if err != nil {
			return err
		}
		remote, err := accept(c, wire.TCP{Keys: keys}, cfg.Listen)
		if err != nil {
			return err
		}
		defer remote.Close()
		addr = remote.Addr()
	}
	if err := p.WriteRunning("controller", addr); err != nil {
		return err
	}
	defer p.RemoveRunning("controller")
	if cfg.Ready != nil {
		cfg.Ready(addr)
	}
	select {
	case <-ctx.Done():
		return nil
	case <-c.Done():
		return c.Close()
	}
}

// localPatience is how long a peer on the controller's own host may be silent: where no network can
// fail, silence means that it died, or hangs.
const localPatience = 10 * time.Second

// accept opens a controller's door on a network, until the server is closed.
func accept(c *controller.Controller, n wire.Network, addr string) (*wire.Server, error) {
	ln, err := n.Listen(context.Background(), addr)
	if err != nil {
		return nil, err
	}
	var terms wire.LinkConfig
	if n == (wire.Unix{}) {
		terms.LostAfter = localPatience
	}
	s := wire.Serve(ln, wire.ServerConfig{
		Hello: wire.Hello{Role: wire.RoleServer, Name: "controller", Software: tutti.Release}, Link: terms,
		Admit: c.Admit,
	})
	go func() {
		for {
			l, err := s.Accept(context.Background())
			if err != nil {
				return // closed
			}
			c.Serve(l)
		}
	}()
	return s, nil
}
