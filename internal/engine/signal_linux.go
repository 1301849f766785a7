package engine

import (
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
)

// Signal sends any signal to the process and its children. Kinds: NotFound where it has ended,
// Invalid for what is no signal.
func (p *child) Signal(sig syscall.Signal) error {
	p.reaping.Lock()
	defer p.reaping.Unlock()
	if p.reaped {
		return tutti.Errorf("signal engine", tutti.NotFound, "its process has ended")
	}
	if err := unix.Kill(-p.pid, sig); err != nil {
		return tutti.Errorf("signal engine", tutti.Invalid, "signal %d: %w", int(sig), err)
	}
	return nil
}
