package engine

import (
	"os"
	"sync/atomic"
)

// The environment by which a process knows what it was started as.
const (
	engineEnv = "TUTTI_ENGINE" // an engine: its identity, as JSON
	guardEnv  = "TUTTI_GUARD"  // a guard: see guard.go
)

// initialised is set by Main: this program may be started again as an engine or a guard.
var initialised atomic.Bool

// Main is called first thing by a program that uses a cluster. In a process that was started as
// an engine, or as the guard of an agent, it never returns.
func Main() {
	if initialised.Swap(true) {
		return
	}
	if os.Getenv(guardEnv) != "" {
		os.Exit(guardMain())
	}
	if id := os.Getenv(engineEnv); id != "" {
		os.Unsetenv(engineEnv) // the user's child processes are no engines
		os.Exit(processMain(id))
	}
}
