package cluster

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/agent"
	"github.com/tutti-hpc/tutti/internal/controller"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
	"github.com/tutti-hpc/tutti/provider"
)

// Spec says what cluster [Start] is to make of a provider's nodes.
type Spec struct {
	Nodes   int             // asked for at once, 1 if 0
	Most    int             // at the same time, when work waits; Nodes if 0
	Engines int             // of this program on each node; 0: one for each core
	Has     tutti.Resources // of one node; what is 0 is found out by its agent
	Idle    time.Duration   // a node without work for so long is given back; 0 never
}

// Start makes a cluster of nodes that a provider gives: the controller is in this process, and the
// provider's jobs are this program again, as agents ([Init] sees to that). Close, and the end of
// this process, end the nodes.
func Start(ctx context.Context, from provider.Config, s Spec, opts ...tutti.Option) (*Client, error) {
	exe, err := os.Executable()
	if err != nil {
		return nil, tutti.E("start cluster", tutti.NotFound, err)
	}
	dir, err := os.MkdirTemp("", "tutti-")
	if err != nil {
		return nil, tutti.E("start cluster", tutti.KindOf(err), err)
	}
	ends := ending{func() { os.RemoveAll(dir) }}
	socket := filepath.Join(dir, "run", "controller.sock")
	from.State = cmp.Or(from.State, filepath.Join(dir, "provider"))
	has := s.Has
	has.Cores = max(has.Cores, float64(s.Engines), 1) // what the scheduler expects before a node has come
	ctl, err := controller.Start(ctx, controller.Config{
		Name: fmt.Sprintf("started-by-%d", os.Getpid()), Version: tutti.Release,
		Pools: []controller.Pool{{
			Name: "nodes", Provider: from, Has: has, First: max(s.Nodes, 1), Most: max(s.Most, s.Nodes, 1), Idle: s.Idle,
			Job: provider.Job{Argv: []string{exe}, Env: agentEnv(socket, s)},
		}},
	})
	if err != nil {
		ends.run()
		return nil, err
	}
	ends.add(func() { ctl.Close() })
	srv, err := accept(ctl, wire.Unix{}, socket)
	if err != nil {
		ends.run()
		return nil, err
	}
	ends.add(srv.Close)
	c, err := Join(ctx, Door{
		Network: wire.Unix{}, Addr: socket, Warn: warnTo(tutti.Apply(opts...)),
		Want: wire.Want{PerNode: s.Engines, Spec: wire.ProgramSpec{Name: "go:self", Path: exe}},
	})
	if err != nil {
		ends.run()
		return nil, err
	}
	c.onEnd = ends
	return c, nil
}

// The environment by which a process of this program knows that it is an agent.
const (
	envAgent  = "TUTTI_AGENT" // the controller's socket
	envCores  = "TUTTI_AGENT_CORES"
	envMemory = "TUTTI_AGENT_MEMORY"
)

func agentEnv(socket string, s Spec) []string {
	cores := max(s.Has.Cores, float64(s.Engines))
	return []string{
		envAgent + "=" + socket,
		fmt.Sprintf("%s=%g", envCores, cores),
		fmt.Sprintf("%s=%d", envMemory, s.Has.Memory),
	}
}

// orphanTime is how long the agent of a started cluster outlives its controller.
const orphanTime = 30 * time.Second

// Init makes the program able to be an engine and an agent: call it first in main. In such a
// process it serves and never returns; elsewhere it does nothing.
func Init() {
	if socket := os.Getenv(envAgent); socket != "" {
		os.Exit(beAgent(socket))
	}
	engine.Main()
}

// beAgent runs this process as an agent, and gives its exit status.
func beAgent(socket string) int {
	for _, name := range []string{envAgent} {
		os.Unsetenv(name) // or its engines would be agents
	}
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	var has tutti.Resources
	fmt.Sscanf(os.Getenv(envCores), "%g", &has.Cores)
	fmt.Sscanf(os.Getenv(envMemory), "%d", &has.Memory)
	err := agent.Run(ctx, agent.Config{
		Network: wire.Unix{}, Addr: socket, Has: has, Orphan: orphanTime, QuitIfFenced: true,
		Pool: os.Getenv(controller.EnvPool), Job: os.Getenv(controller.EnvJob),
	})
	if err == nil || errors.Is(err, tutti.Closed) {
		return 0
	}
	fmt.Fprintln(os.Stderr, "tutti: agent:", err)
	return 1
}

// forever is a time that does not pass.
const forever = time.Duration(math.MaxInt64)
