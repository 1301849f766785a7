package controller

import "github.com/tutti-hpc/tutti/internal/journal"

// Probe lets a test look into a controller and crash it at a chosen point. The zero Probe does
// neither. Its functions are called by the loop, and must not call the controller.
type Probe struct {
	// Check is told after each step what the scheduler found wrong with itself.
	Check func(error)
	// Crash is asked each time the journal has come to a position; true ends the controller there
	// as [Controller.Crash] would. Done is closed then.
	Crash func(Moment, journal.Pos) bool
}

// Moment is where the way of a record is.
type Moment uint8

// The moments, in order.
const (
	Appended  Moment = iota // it waits for the disk; what it is about has not been told
	Committed               // it is on the disk, and that has not been told
	Told                    // what depended on it has been sent
)

// asks asks the probe whether this is the end.
func (p *Probe) asks(c *Controller, m Moment, pos journal.Pos) {
	if p.Crash != nil && !c.trapped {
		c.trapped = p.Crash(m, pos)
	}
}
