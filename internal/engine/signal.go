package engine

import "syscall"

// Signal acts as the signal would: those that end a process end the engine, SIGINT interrupts what
// it runs, others do nothing.
func (p *MemoryProcess) Signal(sig syscall.Signal) error {
	switch sig {
	case syscall.SIGKILL, syscall.SIGTERM, syscall.SIGQUIT, syscall.SIGHUP:
		p.die(sig.String(), 0)
	case syscall.SIGINT:
		if c := p.loop.current.Load(); c != nil {
			c.cancel(false)
		}
	}
	return nil
}
