package cluster

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"path/filepath"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Keys of this package's settings.
type (
	enginesKey struct{}
	nameKey    struct{}
	warnKey    struct{}
	keepKey    struct{}
)

// Engines is how many engines of this program there are to be: on the machine if the cluster is
// embedded, on every node else. Without it, one for each core.
func Engines(n int) tutti.Option { return func(s *tutti.Settings) { s.Set(enginesKey{}, n) } }

// Name says which cluster is meant. Without it Open looks at $TUTTI_CLUSTER.
func Name(name string) tutti.Option { return func(s *tutti.Settings) { s.Set(nameKey{}, name) } }

// Warn has warnings (a task that fits nowhere, a controller that is away) given to f instead of
// written to stderr.
func Warn(f func(text string)) tutti.Option { return func(s *tutti.Settings) { s.Set(warnKey{}, f) } }

// Keep lets tasks go on when the client leaves or dies.
func Keep() tutti.Option { return func(s *tutti.Settings) { s.Set(keepKey{}, true) } }

// Open joins the cluster that [Name] or $TUTTI_CLUSTER names, and otherwise starts an embedded one
// in this process: the same program serves both. It returns as soon as tasks can be submitted;
// engines may still be starting. ctx bounds the opening only; Close ends the membership.
//
// Errors: NotFound (no such cluster), Denied (keys), Version (another tutti), and what else keeps
// a cluster from starting.
func Open(ctx context.Context, opts ...tutti.Option) (*Client, error) {
	s := tutti.Apply(opts...)
	name, named := s.Get(nameKey{}).(string)
	if !named {
		name, named = os.LookupEnv("TUTTI_CLUSTER")
	}
	if named {
		return dial(ctx, name, s)
	}
	return openEmbedded(ctx, s)
}

// Door is how a client comes to a controller. It is for packages of this module; programs use
// [Open] and [Dial].
type Door struct {
	Network wire.Network
	Addr    string
	Link    wire.LinkConfig
	Again   bool       // come back when the controller has died
	Want    wire.Want  // the engines that run this client's functions
	Data    Plane      // how large values come and go; nil: by Space
	Space   blob.Space // the blob store of the client's node; nil: inside messages
	Watch   bool       // only ask questions
	Keep    bool       // tasks go on when the client leaves
	Name    string     // what people see of the client; "": the program's name and process
	Ear     Ear        // hears what tasks print, and warnings; nil: nobody does, and Warn
	Warn    func(string)
}

// Join joins the cluster behind a door.
func Join(ctx context.Context, d Door) (*Client, error) {
	c := &Client{door: d, program: d.Want.Spec.Name, data: d.Data, warn: d.Warn}
	if c.warn == nil {
		c.warn = warnTo(tutti.Apply())
	}
	if c.data == nil {
		c.data = &plane{space: d.Space, c: c}
	}
	c.hello = wire.ClientHello{Program: c.program, Name: cmp.Or(d.Name, programName()), Version: tutti.Release, Watch: d.Watch, Keep: d.Keep}
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

// warnTo is where warnings go.
func warnTo(s *tutti.Settings) func(string) {
	if f, ok := s.Get(warnKey{}).(func(string)); ok && f != nil {
		return f
	}
	return func(text string) { fmt.Fprintln(os.Stderr, "tutti:", text) }
}
