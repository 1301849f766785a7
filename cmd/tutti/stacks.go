package main

import (
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type stacksVerb struct {
	Engine tutti.EngineID `arg:"" help:"The engine's number, as tutti engines shows it."`
}

func (stacksVerb) Teach() string {
	return `
Shows where every thread of an engine is at this moment, which tells why a task does not end. The
engine is not disturbed.

Example:
  tutti stacks 3
`
}

// Run shows an engine's stacks.
func (s *stacksVerb) Run(v *invocation) error {
	return v.watch(func(c *cluster.Client) error {
		text, err := c.Stacks(v.ctx, s.Engine)
		if err != nil {
			return err
		}
		text = strings.TrimSpace(text)
		return v.out.answer(text, map[string]any{"engine": s.Engine, "stacks": text}, text)
	})
}
