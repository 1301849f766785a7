package cluster

import (
	"context"
	"syscall"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// SignalEngine sends a signal to an engine's process and its children. SIGINT interrupts what runs
// there. Kinds: NotFound, Lost while its agent is away, Unsupported, Invalid for what is no signal.
func (c *Client) SignalEngine(ctx context.Context, id tutti.EngineID, sig syscall.Signal) error {
	return c.ask(ctx, "signal", wire.SignalEngine{Engine: id, Signal: int(sig)}, nil)
}

// RestartEngine ends an engine's process, with what runs there, and waits until it has come back: the
// same number, no variables. Tasks that ran there are lost, and repeated as lost ones are.
func (c *Client) RestartEngine(ctx context.Context, id tutti.EngineID) error {
	return c.ask(ctx, "restart-engine", wire.EndEngine{Engine: id, Why: "it was started again by " + c.hello.Name}, nil)
}

// StopEngine ends an engine for good, with what runs there, and waits for that. Its number does not
// come back, and its node has one engine less.
func (c *Client) StopEngine(ctx context.Context, id tutti.EngineID) error {
	return c.ask(ctx, "stop-engine", wire.EndEngine{Engine: id, Why: "it was stopped by " + c.hello.Name}, nil)
}

// MoreEngines asks for n more engines of a program that somebody has brought. They come in time:
// see WatchEngines.
func (c *Client) MoreEngines(ctx context.Context, program string, n int) error {
	return c.ask(ctx, "more-engines", wire.MoreEngines{Program: program, N: n}, nil)
}

// AddSetup adds to the code that engines of a program run at their start, and names those that were
// started without it.
func (c *Client) AddSetup(ctx context.Context, program, code string) (without []tutti.EngineID, err error) {
	err = c.ask(ctx, "setup", wire.SetUp{Program: program, Code: []string{code}}, &without)
	return without, err
}
