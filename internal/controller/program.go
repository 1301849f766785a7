package controller

import (
	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// program is a kind of engine: how it is started, and how many clients want it.
type program struct {
	spec    wire.ProgramSpec
	perNode int
	users   map[tutti.ClientID]bool
}

// joinProgram gives a client engines: those that are there, and as many more as it wants.
func (c *Controller) joinProgram(cl *client, w wire.Want) {
	p := c.programs[w.Spec.Name]
	if p == nil {
		p = &program{}
		c.programs[w.Spec.Name] = p
	}
	if p.users == nil {
		p.users = map[tutti.ClientID]bool{}
	}
	if len(w.Spec.Setup) == 0 {
		w.Spec.Setup = p.spec.Setup // it is said once, by whoever knows of it
	}
	c.blobs.add(w.Spec.Bin)
	c.dropRefs(p.spec.Bin)
	p.spec, p.perNode, p.users[cl.id] = w.Spec, max(p.perNode, w.PerNode), true
	cl.program = w.Spec.Name
	c.rec.program(p, false)
	c.step(sched.ProgramUp{Program: w.Spec.Name, PerNode: p.perNode})
}

// leaveProgram is called when a client has left: engines that nobody wants end when they are idle.
func (c *Controller) leaveProgram(cl *client) {
	p := c.programs[cl.program]
	if p == nil || !p.users[cl.id] {
		return
	}
	if delete(p.users, cl.id); len(p.users) > 0 || cl.keep || c.needsProgram(cl) {
		return
	}
	c.rec.program(p, true)
	c.dropRefs(p.spec.Bin)
	delete(c.programs, cl.program)
	c.step(sched.ProgramDown{Program: cl.program})
}

// needsProgram reports whether durable calls of a client that has left still need its engines.
func (c *Controller) needsProgram(cl *client) bool {
	for info := range c.mind.Tasks(cl.id) {
		if info.Class.Durable && info.Class.Program == cl.program && !info.State.Final() {
			return true
		}
	}
	return false
}

// programSpec answers an agent that has to start an engine of a program.
func (c *Controller) programSpec(name string) (any, error) {
	p := c.programs[name]
	if p == nil {
		return nil, tutti.Errorf("find program", tutti.NotFound, "no client has brought the program %s", name)
	}
	return p.spec, nil
}
