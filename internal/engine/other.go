//go:build !linux

package engine

import (
	"context"

	"github.com/tutti-hpc/tutti"
)

func (g *guards) start() {}

func guardMain() int { return exitSetup }

func processMain(string) int { return exitSetup }

// exitSetup is the status of an engine that could not even begin.
const exitSetup = 120

// Go is the runtime of the user's own binary. It needs Linux.
type Go struct{}

// Start fails here with kind Unsupported.
func (Go) Start(context.Context, Spec, func(Event)) (Process, error) {
	return nil, tutti.Errorf("start engine", tutti.Unsupported, "engine processes need Linux").
		WithHint("the memory runtime works everywhere")
}

// Python is the runtime of Python interpreters. It needs Linux.
type Python struct{}

// Start fails here with kind Unsupported.
func (*Python) Start(context.Context, Spec, func(Event)) (Process, error) {
	return nil, tutti.Errorf("start engine", tutti.Unsupported, "engines in Python need Linux")
}

// Commands executes commands on this machine. It needs Linux.
type Commands struct{}

// Start fails here with kind Unsupported.
func (Commands) Start(Command, func(Event)) (Job, error) {
	return nil, tutti.Errorf("run command", tutti.Unsupported, "commands need Linux")
}
