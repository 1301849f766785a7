package cluster

import (
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Door is how a client comes to a controller. It is for packages of this module; programs use
// [Open] and [Dial].
type Door struct {
	Network wire.Network
	Addr    string
	Link    wire.LinkConfig
	Again   bool      // come back when the controller has died
	Want    wire.Want // the engines that run this client's functions
	Data    Plane     // how large values come and go; nil: they cannot
	Watch   bool      // only ask questions
	Keep    bool      // tasks go on when the client leaves
	Warn    func(string)
}

// Join joins the cluster behind a door.
func Join(ctx context.Context, d Door) (*Client, error) {
	c := &Client{door: d, program: d.Want.Spec.Name, data: d.Data, warn: d.Warn}
	if c.warn == nil {
		c.warn = func(text string) { fmt.Fprintln(os.Stderr, "tutti:", text) }
	}
	c.hello = wire.ClientHello{Program: c.program, Name: programName(), Version: tutti.Release, Watch: d.Watch, Keep: d.Keep}
	if err := c.join(ctx); err != nil {
		return nil, err
	}
	if c.program != "" {
		if err := c.ask(ctx, "want", d.Want, nil); err != nil {
			c.Close()
			return nil, err
		}
	}
	return c, nil
}

// programName is what people see of a client: "analysis (4711)".
func programName() string {
	return fmt.Sprintf("%s (%d)", filepath.Base(os.Args[0]), os.Getpid())
}
