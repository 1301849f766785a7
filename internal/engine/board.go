package engine

import "sync/atomic"

// board is what an engine leaves behind whatever happens to it: how far it came. It lies in memory
// that the agent maps too. The engine alone writes it.
type board struct {
	begun atomic.Uint64 // the serial number of the last run that began
	ended atomic.Uint64 // of the last that ended
}

// boardSize is the size of a board in shared memory: its two numbers, little endian.
const boardSize = 16
