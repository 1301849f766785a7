package clustertest

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/agent"
	"github.com/tutti-hpc/tutti/internal/controller"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Spec says which cluster there is to be. Zero fields take the values in brackets.
type Spec struct {
	Seed    uint64          // of what the weather hits
	Nodes   int             // to begin with [none]
	Engines int             // that a client wants on each node [2]
	Has     tutti.Resources // of each node [a core for each engine, 1 GiB]
	Dir     string          // the controller's state [none: a crash forgets everything]
	Blobs   bool            // nodes keep large values in shared memory [they travel in messages]

	Commands   engine.MemoryCommands    // programs that a command may name, besides engine.Words
	Controller func(*controller.Config) // changes what controllers are started with
	Agent      func(*agent.Config)      // changes what agents are started with
}

// Controller is the host on which the controller runs, as the network knows it. Nodes are called
// "node0", "node1", ..., clients "client1", ....
const Controller = "controller"

// Program is the name of the engines' program.
const Program = "mem:test"

// Link is the terms of all links: a peer is given up after five seconds.
var Link = wire.LinkConfig{
	Heartbeat: 500 * time.Millisecond, LostAfter: 5 * time.Second, Linger: time.Second,
	Handshake: 2 * time.Second, RetryMax: time.Second,
}

// Cluster is a cluster in this process. Its methods may be called concurrently, but Crash and
// Restart only by one goroutine.
type Cluster struct {
	Net  *wire.Memory // for misfortunes of one's own
	t    testing.TB
	spec Spec

	mu      sync.Mutex // guards what follows
	ctl     *controller.Controller
	srv     *wire.Server
	nodes   []*Node
	clients []*cluster.Client
	hosts   int // that were named
	guests  int // clients that were named
	wrong   error
}

// Start starts a cluster, which ends with the test.
func Start(t testing.TB, s Spec) *Cluster {
	t.Helper()
	if s.Engines == 0 {
		s.Engines = 2
	}
	if s.Has.Cores == 0 {
		s.Has.Cores = float64(s.Engines)
	}
	if s.Has.Memory == 0 {
		s.Has.Memory = 1 << 30
	}
	c := &Cluster{Net: wire.NewMemory(s.Seed), t: t, spec: s}
	c.Restart()
	t.Cleanup(c.Close)
	for range s.Nodes {
		c.AddNode()
	}
	return c
}

// Restart starts a controller, after a crash or a stop.
func (c *Cluster) Restart() {
	c.t.Helper()
	cfg := controller.Config{
		Name: "test", Dir: c.spec.Dir, Version: tutti.Release, Probe: controller.Probe{Check: c.found},
	}
	cfg.Journal.SegmentSize = 64 << 10
	cfg.Journal.SyncEvery = time.Hour // what is written is as good as durable: no machine crashes here
	if c.spec.Controller != nil {
		c.spec.Controller(&cfg)
	}
	ctl, err := controller.Start(context.Background(), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	ln, err := c.Net.Host(Controller).Listen(context.Background(), Controller)
	if err != nil {
		c.t.Fatal(err)
	}
	srv := wire.Serve(ln, wire.ServerConfig{
		Hello: wire.Hello{Role: wire.RoleServer, Name: Controller}, Link: Link, Admit: ctl.Admit,
	})
	c.mu.Lock()
	c.ctl, c.srv = ctl, srv
	c.mu.Unlock()
	go func() {
		for {
			l, err := srv.Accept(context.Background())
			if err != nil {
				return
			}
			ctl.Serve(l)
		}
	}()
}

// found notes what the scheduler's Check says; the first is told.
func (c *Cluster) found(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.wrong == nil {
		c.wrong = err
		c.t.Error(err)
	}
}

// Crash ends the controller as kill -9 would. Restart starts another.
func (c *Cluster) Crash() {
	ctl, srv := c.running()
	ctl.Crash()
	srv.Abort()
}

// Crashed is closed when the controller has ended, by Crash or by a Probe. Crash is still to be
// called after the latter, to break the links.
func (c *Cluster) Crashed() <-chan struct{} {
	ctl, _ := c.running()
	return ctl.Done()
}

func (c *Cluster) running() (*controller.Controller, *wire.Server) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.ctl, c.srv
}

// Weather is what befalls every frame from now on; the zero Misfortune is fair.
func (c *Cluster) Weather(m wire.Misfortune) { c.Net.Set(m) }

// Client joins a new client, which wants Spec.Engines engines on each node.
func (c *Cluster) Client() *cluster.Client {
	c.t.Helper()
	me, err := c.Join(nil)
	if err != nil {
		c.t.Fatal(err)
	}
	return me
}

// Join is Client with a door that may be changed before it goes through it.
func (c *Cluster) Join(change func(*cluster.Door)) (*cluster.Client, error) {
	d := cluster.Door{
		Network: c.Net.Host(c.name("client", &c.guests)), Addr: Controller, Link: Link, Again: true,
		Want: wire.Want{Spec: wire.ProgramSpec{Name: Program}, PerNode: c.spec.Engines},
		Warn: func(string) {},
	}
	d.Link.Patience = 10 * time.Minute
	if nodes := c.Nodes(); c.spec.Blobs && len(nodes) > 0 {
		d.Space = nodes[0].Agent.Space()
	}
	if change != nil {
		change(&d)
	}
	me, err := cluster.Join(context.Background(), d)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.clients = append(c.clients, me)
	return me, nil
}

// name names the next host of a sort.
func (c *Cluster) name(sort string, count *int) string {
	c.mu.Lock()
	defer c.mu.Unlock()
	*count++
	return fmt.Sprintf("%s%d", sort, *count)
}

// Close ends everything: clients, controller and agents.
func (c *Cluster) Close() {
	c.mu.Lock()
	clients, ctl, srv, nodes := c.clients, c.ctl, c.srv, c.nodes
	c.clients, c.nodes = nil, nil
	c.mu.Unlock()
	var all sync.WaitGroup
	for _, me := range clients {
		all.Go(func() { me.Close() })
	}
	all.Wait()
	ctl.Close()
	srv.Close()
	for _, n := range nodes {
		all.Go(n.Stop)
	}
	all.Wait()
}

// Nodes are those that live, oldest first.
func (c *Cluster) Nodes() []*Node {
	c.mu.Lock()
	defer c.mu.Unlock()
	return slices.Clone(c.nodes)
}
