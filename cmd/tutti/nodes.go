package main

import (
	"strconv"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type nodesVerb struct{}

func (nodesVerb) Teach() string {
	return `
A node is a machine, or a share of one, whose agent runs tasks for the cluster. FREE is what no
running task holds.

Examples:
  tutti nodes
  tutti nodes -o json
`
}

// Run lists nodes.
func (nodesVerb) Run(v *invocation) error {
	return v.watch(func(c *cluster.Client) error {
		nodes, err := c.Nodes(v.ctx)
		if err != nil {
			return err
		}
		rows := make([][]string, len(nodes))
		for i, n := range nodes {
			state := "ok"
			if n.Drained {
				state = "drained"
			}
			rows[i] = []string{
				strconv.Itoa(int(n.Node)), n.Host, state, n.Has.String(), n.Free.String(),
				strconv.Itoa(n.Engines), strconv.Itoa(n.Running), strconv.Itoa(n.Pid),
			}
		}
		return v.out.table([]string{"NODE", "HOST", "STATE", "HAS", "FREE", "ENGINES", "RUNNING", "PID"}, rows, nodes,
			"The cluster has no nodes. Add this machine: tutti agent")
	})
}

type drainVerb struct {
	Node tutti.NodeID `arg:"" help:"The node's number, as tutti nodes shows it."`
}

func (drainVerb) Teach() string {
	return `
What runs on the node may end; nothing new is started there until "tutti undrain".

Examples:
  tutti drain 2
  tutti nodes           RUNNING is 0 when it is idle
`
}

// Run drains a node.
func (d *drainVerb) Run(v *invocation) error { return drain(v, d.Node, false) }

type undrainVerb struct {
	Node tutti.NodeID `arg:"" help:"The node's number, as tutti nodes shows it."`
}

func (undrainVerb) Teach() string {
	return `
Example:
  tutti undrain 2
`
}

// Run gives a node work again.
func (d *undrainVerb) Run(v *invocation) error { return drain(v, d.Node, true) }

func drain(v *invocation, node tutti.NodeID, off bool) error {
	return v.watch(func(c *cluster.Client) error {
		if err := c.Drain(v.ctx, node, off); err != nil {
			return err
		}
		text := "Node " + strconv.Itoa(int(node)) + " gets no new work."
		if off {
			text = "Node " + strconv.Itoa(int(node)) + " gets work again."
		}
		return v.out.answer(text, map[string]any{"node": node, "drained": !off}, "")
	})
}
