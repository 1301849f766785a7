package clustertest

import (
	"context"
	"maps"
	"slices"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/agent"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/engine"
)

// Node is an agent with its engines, on a host of its own.
type Node struct {
	Host  string
	Agent *agent.Agent
	c     *Cluster
	once  sync.Once

	mu      sync.Mutex
	engines map[tutti.EngineID]*engine.MemoryProcess
}

// Engine is one engine of a node, with the misfortunes that may befall it: Kill, Exit, Hang, Unhang.
type Engine struct {
	ID tutti.EngineID
	*engine.MemoryProcess
}

// AddNode starts a node, and returns when its agent has joined.
func (c *Cluster) AddNode() *Node {
	c.t.Helper()
	n := &Node{Host: c.name("node", &c.hosts), c: c, engines: map[tutti.EngineID]*engine.MemoryProcess{}}
	cfg := agent.Config{
		Network: c.Net.Host(n.Host), Addr: Controller, Link: Link, Host: n.Host, Has: c.spec.Has, GPUs: []string{},
		Runtimes: engine.Table{"mem:": &watched{node: n}}, Commands: c.spec.Commands, Grace: time.Second,
		Blobs: agent.Blobs{Off: !c.spec.Blobs},
	}
	if c.spec.Commands == nil {
		cfg.Commands = engine.MemoryCommands{}
	}
	if c.spec.Blobs {
		cfg.Blobs.Store = blob.Config{Memory: 64 << 20, Spill: c.t.TempDir(), Poison: true}
	}
	if c.spec.Agent != nil {
		c.spec.Agent(&cfg)
	}
	a, err := agent.Start(context.Background(), cfg)
	if err != nil {
		c.t.Fatal(err)
	}
	n.Agent = a
	c.mu.Lock()
	defer c.mu.Unlock()
	c.nodes = append(c.nodes, n)
	return n
}

// Stop ends the node in order: its agent tells the controller.
func (n *Node) Stop() {
	n.once.Do(func() {
		n.c.mu.Lock()
		n.c.nodes = slices.DeleteFunc(n.c.nodes, func(x *Node) bool { return x == n })
		n.c.mu.Unlock()
		if err := n.Agent.CheckBlobs(); err != nil {
			n.c.t.Errorf("blobs of %s: %v", n.Host, err)
		}
		n.Agent.Close()
	})
}

// Kill ends the node as the death of its machine would: nobody is told.
func (n *Node) Kill() {
	n.Partition()
	n.c.Net.Cut(n.Host, Controller)
	n.Stop()
}

// Cut breaks the node's connections; it may come back at once.
func (n *Node) Cut() { n.c.Net.Cut(n.Host, Controller) }

// Partition lets nothing pass between the node and the controller until Mend.
func (n *Node) Partition() { n.c.Net.Partition(n.Host, Controller) }

// Silence swallows what the node says until Mend; it still hears.
func (n *Node) Silence() { n.c.Net.Silence(n.Host, Controller) }

// Mend ends a partition or silence.
func (n *Node) Mend() { n.c.Net.Mend(n.Host, Controller) }

// Engines are those that live on the node, by number.
func (n *Node) Engines() []Engine {
	n.mu.Lock()
	defer n.mu.Unlock()
	var list []Engine
	for _, id := range slices.Sorted(maps.Keys(n.engines)) {
		list = append(list, Engine{id, n.engines[id]})
	}
	return list
}

// watched is the memory runtime, which tells its node of each engine that comes and goes.
type watched struct {
	engine.Memory
	node *Node
}

// Start implements engine.Runtime.
func (w *watched) Start(ctx context.Context, s engine.Spec, sink func(engine.Event)) (engine.Process, error) {
	n := w.node
	n.mu.Lock() // so that no end is told before the beginning
	defer n.mu.Unlock()
	var proc *engine.MemoryProcess
	p, err := w.Memory.Start(ctx, s, func(e engine.Event) {
		if _, over := e.(engine.Exited); over {
			n.mu.Lock()
			if n.engines[s.Engine] == proc {
				delete(n.engines, s.Engine)
			}
			n.mu.Unlock()
		}
		sink(e)
	})
	if err != nil {
		return nil, err
	}
	proc = p.(*engine.MemoryProcess)
	n.engines[s.Engine] = proc
	return p, nil
}
