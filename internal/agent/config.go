package agent

import (
	"crypto/tls"
	"log/slog"
	"os"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Config says which cluster to join and what this node is. Zero fields take the values in
// brackets.
type Config struct {
	Network wire.Network
	Addr    string          // of the controller
	Link    wire.LinkConfig // [wire.DefaultLink]
	Version string          // [tutti.Release]

	Host      string          // ["hostname"]
	Pool, Job string          // what a provider started this agent for
	Until     time.Time       // when the allocation ends, zero for never
	Has       tutti.Resources // [each amount that is 0 is found out: see Resources]
	GPUs      []string        // names of accelerators [found out], as CUDA_VISIBLE_DEVICES has them

	Runtimes engine.Table     // Go binaries and Python interpreters, where nil
	Commands engine.Commander // [this machine's]
	Env      []string         // on top of this process's, for engines
	Cache    string           // folder for programs that came over the network [a temporary one]

	Blobs Blobs // the node's blob store

	Grace        time.Duration // for each step from asking to killing [engine.DefaultGrace]
	StartTimeout time.Duration // for an engine to become ready [a minute]
	Hang         time.Duration // see engine.Spec
	Orphan       time.Duration // without a controller for so long, everything ends [10 minutes]
	QuitIfFenced bool          // end when the controller had given this node up [join again with all it has]

	Log *slog.Logger // [none]
}

// Blobs says how the node keeps and moves large data.
type Blobs struct {
	Off    bool        // no store: large values travel inside messages
	Store  blob.Config // Node and Life are filled in
	Listen string      // host:port at which other nodes fetch blobs, "" if they cannot
	Socket string      // path at which this user's clients use the store, "" if they cannot
	TLS    *tls.Config // for serving, mutual; nil: plain, for tests
	Fetch  blob.FetchConfig
}

func (c *Config) fill() error {
	if c.Network == nil || c.Addr == "" {
		return tutti.Errorf("start agent", tutti.Invalid, "no controller's address")
	}
	var err error
	if c.Host == "" {
		if c.Host, err = os.Hostname(); err != nil {
			return tutti.E("start agent", tutti.KindOf(err), err)
		}
	}
	if c.Version == "" {
		c.Version = tutti.Release
	}
	if c.Runtimes == nil {
		c.Runtimes = engine.Table{"go:": engine.Go{}, "python:": &engine.Python{}}
	}
	if c.Commands == nil {
		c.Commands = engine.Commands{}
	}
	orElse(&c.Grace, engine.DefaultGrace)
	orElse(&c.StartTimeout, time.Minute)
	orElse(&c.Orphan, 10*time.Minute)
	if c.Log == nil {
		c.Log = slog.New(slog.DiscardHandler)
	}
	c.Has, c.GPUs, err = Resources(c.Has, c.GPUs)
	return err
}

func orElse(d *time.Duration, other time.Duration) {
	if *d == 0 {
		*d = other
	}
}
