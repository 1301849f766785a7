package controller

import (
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// What a task prints and shows goes to its client as it comes, if the client wishes to hear it. The
// engine is given credit for what was passed on only, so that a client which reads slowly slows the
// engine down, and nothing piles up in between. One that does not read at all is not waited for: it
// is told that something was cut, and finds it where all output is kept.

const (
	// echoBacklog is how much may be on its way to a client before its engines are held back.
	echoBacklog = 4 << 20
	// echoMost is from when on nothing is added, whatever the reason.
	echoMost = 4 * echoBacklog
	// echoLook is how often it is looked whether a client has read.
	echoLook = 10 * time.Millisecond
	// echoPatience is how long a client may read nothing before it is not waited for.
	echoPatience = 10 * time.Second
)

// heard is a piece that waits for its client to read.
type heard struct {
	kind uint16
	msg  marshaler
	node tutti.NodeID
	run  tutti.RunID
	n    int
}

// echo is the state of what a client hears.
type echo struct {
	held    []heard
	backlog int64     // when it was looked at last
	since   time.Time // the backlog has not become less since then
	cut     int       // bytes that were not passed on, since the client has not read
}

// hear passes on a piece of n bytes, at once or when the client has read what is on its way.
func (c *Controller) hear(h heard) {
	cl := c.clients[h.run.Task.Client()]
	if cl == nil || cl.link == nil {
		c.credit(h.node, h.run, h.n)
		return
	}
	e := &cl.echo
	backlog := cl.link.Backlog()
	switch {
	case e.cut > 0 && backlog >= echoBacklog || backlog >= echoMost:
		e.cut += h.n
		c.credit(h.node, h.run, h.n)
	case len(e.held) == 0 && backlog < echoBacklog:
		c.tellCut(cl, h.run.Task)
		c.passOn(cl, h)
	default:
		if len(e.held) == 0 {
			e.backlog, e.since = backlog, c.now
		}
		e.held = append(e.held, h)
		if c.echoAt.IsZero() {
			c.echoAt = c.now.Add(echoLook)
		}
	}
}

func (c *Controller) passOn(cl *client, h heard) {
	post(c, cl.link, h.kind, h.msg)
	c.credit(h.node, h.run, h.n)
}

// credit lets a run print further.
func (c *Controller) credit(node tutti.NodeID, run tutti.RunID, n int) {
	if a := c.agents[node]; n > 0 && a != nil && a.link != nil {
		post(c, a.link, wire.KindCredit, &wire.Credit{Run: run, Bytes: n})
	}
}

// lookEchoes passes on what has room by now, when it is time to look.
func (c *Controller) lookEchoes() {
	if c.echoAt.IsZero() || c.now.Before(c.echoAt) {
		return
	}
	c.echoAt = time.Time{}
	for _, cl := range c.clients {
		e := &cl.echo
		if len(e.held) == 0 {
			continue
		}
		if cl.link == nil {
			c.silence(cl)
			continue
		}
		for len(e.held) > 0 && cl.link.Backlog() < echoBacklog {
			h := e.held[0]
			e.held = e.held[1:]
			c.passOn(cl, h)
		}
		switch backlog := cl.link.Backlog(); {
		case len(e.held) == 0:
			e.held = nil
		case backlog < e.backlog:
			e.backlog, e.since = backlog, c.now
		case c.now.Sub(e.since) >= echoPatience:
			c.silence(cl)
		}
		if len(e.held) > 0 {
			c.echoAt = c.now.Add(echoLook)
		}
	}
}

// silence gives up what waits for a client.
func (c *Controller) silence(cl *client) {
	held := cl.echo.held
	cl.echo.held = nil
	for _, h := range held {
		cl.echo.cut += h.n
		c.credit(h.node, h.run, h.n)
	}
}

// tellCut tells a client that reads again what it has missed.
func (c *Controller) tellCut(cl *client, id tutti.TaskID) {
	if n := cl.echo.cut; n > 0 {
		cl.echo.cut = 0
		post(c, cl.link, wire.KindNotice, &wire.Notice{Task: id, Text: "some " + tutti.FormatBytes(int64(n)) +
			" that tasks printed are not shown, because the client did not read; they are kept with the tasks"})
	}
}

// echoBefore passes on what waits before the end of a task is told.
func (c *Controller) echoBefore(cl *client, id tutti.TaskID) {
	e := &cl.echo
	if cl.link == nil || len(e.held) == 0 && e.cut == 0 {
		return
	}
	if cl.link.Backlog() >= echoMost {
		c.silence(cl)
	}
	for _, h := range e.held {
		c.passOn(cl, h)
	}
	e.held = nil
	if cl.link.Backlog() < echoMost {
		c.tellCut(cl, id)
	}
}
