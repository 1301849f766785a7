package controller

import (
	"context"
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

type marshaler = msgp.Marshaler

// post sends a message without blocking. A link that has ended is noticed by its reader.
func post(c *Controller, l *wire.Link, kind uint16, header marshaler) {
	m, err := wire.Pack(kind, header)
	if err == nil {
		err = l.Post(m)
	}
	if err != nil && tutti.KindOf(err) != tutti.Closed && tutti.KindOf(err) != tutti.Lost {
		c.cfg.Log.Error("message not sent", "kind", kind, "err", err)
	}
}

// serve reads a link to its end. Messages are decoded here and handed to the loop.
func (c *Controller) serve(l *wire.Link) {
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	go func() {
		select {
		case <-c.done:
			stop()
		case <-ctx.Done():
		}
	}()
	switch l.Peer().Role {
	case wire.RoleClient:
		c.serveClient(ctx, l)
	case wire.RoleAgent:
		c.serveAgent(ctx, l)
	default:
		l.Abort(fmt.Sprintf("peers of role %q are not served", l.Peer().Role)) // Admit lets none in
	}
}

// refuse ends a link whose peer has sent what cannot be right.
func (c *Controller) refuse(l *wire.Link, err error) {
	c.cfg.Log.Warn("peer refused", "peer", l.Peer().Name, "role", l.Peer().Role, "err", err)
	l.Abort(err.Error())
}

// decoders say for each kind of message how it is read and who in the loop takes it.
type decoder[S any] struct {
	make func() msgp.Unmarshaler
	take func(c *Controller, s S, m msgp.Unmarshaler)
}

// row makes an entry of a table of decoders from a typed function.
func row[S, M any, P interface {
	*M
	msgp.Unmarshaler
}](take func(c *Controller, s S, m P)) decoder[S] {
	return decoder[S]{
		make: func() msgp.Unmarshaler { return P(new(M)) },
		take: func(c *Controller, s S, m msgp.Unmarshaler) { take(c, s, m.(P)) },
	}
}

var fromClient map[uint16]decoder[*client]

var fromAgent map[uint16]decoder[*agent]

func init() { // not in the declarations: the handlers refer back to the tables
	fromClient = map[uint16]decoder[*client]{
		wire.KindSubmit: {
			make: func() msgp.Unmarshaler { return submits.Get().(*wire.Submit) },
			take: func(c *Controller, cl *client, m msgp.Unmarshaler) {
				c.submit(cl, m.(*wire.Submit))
				usedUp(m.(*wire.Submit))
			},
		},
		wire.KindCancel: row(func(c *Controller, cl *client, m *wire.Cancel) { c.cancel(cl, m) }),
		wire.KindForget: row(func(c *Controller, cl *client, m *wire.Forget) { c.forget(m.Tasks) }),
		wire.KindAsk:    row(func(c *Controller, cl *client, m *wire.Ask) { c.asked(asker{client: cl, link: cl.link}, m) }),
	}
	fromAgent = map[uint16]decoder[*agent]{
		wire.KindDone:       row(func(c *Controller, a *agent, m *wire.Done) { c.agentDone(a, m) }),
		wire.KindStarted:    row(func(c *Controller, a *agent, m *wire.Started) { c.agentStarted(a, m) }),
		wire.KindReturned:   row(func(c *Controller, a *agent, m *wire.Runs) { c.agentReturned(m) }),
		wire.KindEngineUp:   row(func(c *Controller, a *agent, m *wire.EngineUp) { c.engineUp(a, m) }),
		wire.KindEngineDown: row(func(c *Controller, a *agent, m *wire.EngineDown) { c.engineDown(a, m) }),
		wire.KindOutput:     row(func(c *Controller, a *agent, m *wire.Output) { c.output(a, m) }),
		wire.KindDisplay:    row(func(c *Controller, a *agent, m *wire.Display) { c.display(a, m) }),
		wire.KindAsk:        row(func(c *Controller, a *agent, m *wire.Ask) { c.asked(asker{agent: a, link: a.link}, m) }),
		wire.KindAnswer:     row(func(c *Controller, a *agent, m *wire.Answer) { a.answered(m) }),
	}
}

// Admit is for wire.ServerConfig: it refuses, before a link begins, peers that this controller does
// not serve, and those of another version of tutti: messages may mean something else there.
func (c *Controller) Admit(p wire.Peer) ([]byte, error) {
	var version string
	switch p.Role {
	case wire.RoleClient:
		var h wire.ClientHello
		if err := wire.Unpack(wire.Message{Header: p.Info}, &h); err != nil {
			return nil, err
		}
		version = h.Version
	case wire.RoleAgent:
		var h wire.AgentHello
		if err := wire.Unpack(wire.Message{Header: p.Info}, &h); err != nil {
			return nil, err
		}
		if err := h.Has.Check(); err != nil {
			return nil, err
		}
		version = h.Version
	default:
		return nil, tutti.Errorf("join cluster", tutti.Denied, "the controller does not serve peers of role %q", p.Role)
	}
	if version != c.cfg.Version {
		return nil, tutti.Errorf("join cluster", tutti.Version, "this is tutti %s, the cluster runs %s", version, c.cfg.Version).
			WithHint("use the same tutti on both sides, or restart the cluster with `tutti stop` and `tutti start`")
	}
	return nil, nil
}

func (c *Controller) serveClient(ctx context.Context, l *wire.Link) {
	var h wire.ClientHello
	if err := wire.Unpack(wire.Message{Header: l.Peer().Info}, &h); err != nil {
		c.refuse(l, err)
		return
	}
	cl := call(c, func() *client { return c.admitClient(l, h) })
	if cl == nil {
		return
	}
	read(ctx, c, l, cl, fromClient, func(f func()) {
		if cl.link == l {
			f()
		}
	})
	c.do(func() { c.clientLeft(cl, l) })
}

func (c *Controller) serveAgent(ctx context.Context, l *wire.Link) {
	var h wire.AgentHello
	if err := wire.Unpack(wire.Message{Header: l.Peer().Info}, &h); err != nil {
		c.refuse(l, err)
		return
	}
	a := call(c, func() *agent { return c.admitAgent(l, h) })
	if a == nil {
		return
	}
	why := read(ctx, c, l, a, fromAgent, func(f func()) {
		a.hears(func() {
			if a.link == l {
				f()
			}
		})
	})
	c.do(func() { c.nodeLost(a, why) })
}

// call has f executed by the loop and gives its result, the zero value if the loop has ended.
func call[T any](c *Controller, f func() T) (t T) {
	got := make(chan T, 1)
	if !c.do(func() { got <- f() }) {
		return t
	}
	select {
	case t = <-got:
	case <-c.done:
	}
	return t
}

// read decodes a link's messages and hands them to the loop until the link ends, and says why it
// did. hear decides, in the loop, whether and when a message is taken in.
func read[S any](ctx context.Context, c *Controller, l *wire.Link, s S, table map[uint16]decoder[S], hear func(func())) string {
	for {
		m, err := l.Recv(ctx)
		if err != nil {
			return err.Error()
		}
		d, ok := table[m.Kind]
		if !ok {
			err = tutti.Errorf("serve", tutti.Corrupt, "message of unknown kind %d", m.Kind)
			c.refuse(l, err)
			return err.Error()
		}
		msg := d.make()
		if err := wire.Unpack(m, msg); err != nil {
			c.refuse(l, err)
			return err.Error()
		}
		c.do(func() { hear(func() { d.take(c, s, msg) }) })
	}
}
