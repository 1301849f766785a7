package main

import (
	"context"
	"encoding/json"
	"log/slog"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/gateway"
)

type gatewayVerb struct {
	Socket   string  `required:"" placeholder:"PATH" help:"The socket at which clients come, in a folder that is yours alone."`
	Embedded bool    `help:"Start a cluster of its own, which ends with it, in place of joining one."`
	Engines  int     `placeholder:"N" help:"Engines to start on each node, if the cluster has none for Python (default: one for each core)."`
	Python   string  `placeholder:"EXE" help:"Their interpreter (default: the first client's)."`
	Linger   float64 `default:"2" placeholder:"SECONDS" help:"How long to stay after the last client has gone; negative: for ever."`

	ReadyFD int `name:"ready-fd" hidden:""`
}

func (gatewayVerb) Teach() string {
	return `
Speaks for Python programs: they come to its socket, it is the client of the cluster. The Python
package starts one when it needs it, so that you seldom do.

Examples:
  tutti gateway --socket /run/user/1000/tutti/gw.sock --embedded --engines 4
  TUTTI_GATEWAY=/run/user/1000/tutti/gw.sock python3 analysis.py
`
}

// readiness is what the gateway reports to whoever started it.
type readiness struct {
	Socket  string           `json:"socket,omitempty"`
	Pid     int              `json:"pid,omitempty"`
	Cluster string           `json:"cluster,omitempty"`
	Error   *gateway.Failure `json:"error,omitempty"`
}

// report writes it, once.
func (g *gatewayVerb) report(r readiness) {
	if g.ReadyFD <= 0 {
		return
	}
	f := os.NewFile(uintptr(g.ReadyFD), "ready")
	g.ReadyFD = 0
	if f == nil {
		return
	}
	defer f.Close()
	_ = json.NewEncoder(f).Encode(r) // nobody may be there any more to hear it
}

// Run is the gateway, until the end.
func (g *gatewayVerb) Run(v *invocation) error {
	cluster.HoldReady(g.ReadyFD)
	signal.Ignore(syscall.SIGHUP) // it outlives the terminal of its first client
	err := g.serve(v)
	if err != nil {
		g.report(readiness{Error: gateway.FailureOf(err)})
	}
	return err
}

func (g *gatewayVerb) serve(v *invocation) error {
	path, err := filepath.Abs(g.Socket)
	if err != nil {
		return tutti.E("start gateway", tutti.Invalid, err)
	}
	cfg := gateway.Config{
		Socket: path, Engines: g.Engines, Python: g.Python, Linger: time.Duration(g.Linger * float64(time.Second)),
		Log: slog.New(slog.NewTextHandler(v.err, nil)),
	}
	cfg.Ready = func() { g.report(readiness{Socket: path, Pid: os.Getpid(), Cluster: cfg.Name}) }
	var end func()
	if g.Embedded {
		end, err = g.host(v.ctx, &cfg)
	} else {
		end, err = g.join(v, &cfg)
	}
	if err != nil {
		return err
	}
	defer end()
	return gateway.Serve(v.ctx, cfg)
}

// blobsSuffix makes the name of an embedded cluster's blob socket of the gateway's.
const blobsSuffix = ".blobs"

// host starts a cluster of the gateway's own.
func (g *gatewayVerb) host(ctx context.Context, cfg *gateway.Config) (end func(), err error) {
	cfg.Own, cfg.Name = true, "embedded"
	cfg.Blobs = cfg.Socket + blobsSuffix
	sweep(cfg.Socket)
	if err := os.MkdirAll(filepath.Dir(cfg.Socket), 0o700); err != nil {
		return nil, tutti.E("start gateway", tutti.KindOf(err), err)
	}
	if cfg.Engines <= 0 {
		cfg.Engines = runtime.GOMAXPROCS(0)
	}
	h, err := cluster.Embedded{Engines: cfg.Engines, Socket: cfg.Blobs}.Host(ctx)
	if err != nil {
		return nil, err
	}
	cfg.Door = h.Door()
	return h.Close, nil
}

// join finds a cluster that runs.
func (g *gatewayVerb) join(v *invocation, cfg *gateway.Config) (end func(), err error) {
	p, err := v.profile()
	if err != nil {
		return nil, err
	}
	cfg.Name = p.Name
	if cfg.Door, err = p.Door(); err != nil {
		return nil, err
	}
	space, blobs, err := p.LocalBlobs()
	if err != nil {
		return func() {}, nil // no agent runs on this host: large values go by the controller
	}
	cfg.Door.Space, cfg.Blobs = space, blobs
	return func() { space.Close() }, nil
}
