package wiretest

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// versionRefused: the sentence names both versions.
func versionRefused(t *testing.T, s Setup) {
	w := open(t, s, nil)
	h := hello("from the future")
	h.Versions = wire.Versions{Min: 41, Max: 42}
	_, err := wire.Connect(w.ctx, w.line, w.server.Addr(), h, terms())
	w.wantKind(err, tutti.Version, nil)
	for _, part := range []string{"41 to 42", "protocol " + wire.Protocol.String(), "9.9", "1.0"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("%q is not in: %v", part, err)
		}
	}
	if st := w.server.Stats(); st.Version != 1 || st.Links != 0 || w.line.dials != 1 {
		t.Errorf("%+v after %d dials", st, w.line.dials)
	}
}

// roleRefused: a key of one role does not open the door of another.
func roleRefused(t *testing.T, s Setup) {
	w := open(t, s, nil)
	h := hello("pretender")
	h.Role = wire.RoleServer
	_, err := wire.Connect(w.ctx, w.line, w.server.Addr(), h, terms())
	w.wantKind(err, tutti.Denied, nil)
	if !s.Proves {
		return
	}
	for _, c := range []struct {
		net  wire.Network
		role wire.Role
		ok   bool
	}{{s.Client, wire.RoleAgent, false}, {s.Client, wire.RoleEngine, false}, {s.Agent, wire.RoleClient, false}, {s.Agent, wire.RoleAgent, true}, {s.Agent, wire.RoleEngine, true}} {
		h.Role = c.role
		l, err := wire.Connect(w.ctx, c.net, w.server.Addr(), h, terms())
		if c.ok && err == nil {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			continue
		}
		w.wantKind(err, tutti.Denied, nil)
		if tutti.HintOf(err) == "" {
			t.Error("no hint")
		}
	}
	if st := w.server.Stats(); st.Denied != 4 || st.Links != 2 {
		t.Errorf("%+v", st)
	}
}

// admitRefuses: the layer above can refuse, and its error arrives whole; or answer in its own words.
func admitRefuses(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) {
		c.Admit = func(p wire.Peer) ([]byte, error) {
			if p.Name == "twin" {
				return nil, tutti.Errorf("join", tutti.Exists, "there is a %s", p.Name).WithHint("choose another name")
			}
			return []byte("for " + p.Name), nil
		}
	})
	_, err := wire.Connect(w.ctx, w.line, w.server.Addr(), hello("twin"), terms())
	w.wantKind(err, tutti.Exists, nil)
	if tutti.HintOf(err) != "choose another name" {
		t.Errorf("hint %q", tutti.HintOf(err))
	}
	near, _ := w.link(terms())
	if got := string(near.Peer().Info); got != "for a client" {
		t.Errorf("info %q", got)
	}
	if st := w.server.Stats(); st.Refused != 1 || st.Links != 1 {
		t.Errorf("%+v", st)
	}
}

// nobodyThere: one try fails at once, several until the context ends.
func nobodyThere(t *testing.T, s Setup) {
	w := open(t, s, nil)
	addr := w.server.Addr()
	w.server.Close()
	cfg := terms()
	cfg.Patience = -1
	_, err := wire.Connect(w.ctx, w.line, addr, hello("early"), cfg)
	w.wantKind(err, tutti.NotFound, nil)
	cfg.Patience = 200 * time.Millisecond
	_, err = wire.Connect(w.ctx, w.line, addr, hello("early"), cfg)
	w.wantKind(err, tutti.Timeout, nil)
	if w.line.dials < 3 { // one of them by the single try
		t.Errorf("%d dials", w.line.dials)
	}
	_, err = wire.Connect(canceled(), w.line, addr, hello("early"), cfg)
	w.wantKind(err, tutti.Canceled, nil)
}

// raw dials without the courtesy of a link.
func (w *world) raw() wire.Conn {
	w.t.Helper()
	c, err := w.setup.Client.Dial(w.ctx, w.server.Addr())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { c.Close() })
	return c
}

// ends reads until the server has had enough.
func (w *world) ends(c wire.Conn) (refused bool) {
	for {
		frames, err := c.Read(make([]wire.Frame, 0, 1))
		if err != nil {
			return false
		}
		if frames[0].Type == wire.FrameRefuse {
			return true
		}
	}
}

// strangeFirstFrames: whatever is no greeting is refused and counted.
func strangeFirstFrames(t *testing.T, s Setup) {
	w := open(t, s, nil)
	strange := []wire.Frame{
		{Type: wire.FrameData, Seq: 1, Payload: []byte("let me in")},
		{Type: wire.FrameWelcome, Header: []byte("tutti")},
		{Type: wire.FrameHello},
		{Type: wire.FrameHello, Header: []byte("tutti\r\n\x00\x01\x00\x01\x00\xff\xff\xff\xff")},
	}
	for _, f := range strange {
		c := w.raw()
		if err := c.Write([]wire.Frame{f}); err != nil {
			t.Fatal(err)
		}
		if !w.ends(c) {
			t.Errorf("frame of type %d was not refused", f.Type)
		}
		c.Close()
	}
	if st := w.server.Stats(); st.Corrupt != uint64(len(strange)) || st.Links != 0 {
		t.Errorf("%+v", st)
	}
}

// oversizedFrame: before a greeting a megabyte is too much, whatever the limit of links is.
func oversizedFrame(t *testing.T, s Setup) {
	w := open(t, s, nil)
	c := w.raw()
	together(func() { _ = c.Write([]wire.Frame{{Type: wire.FrameHello, Payload: make([]byte, 2<<20)}}) },
		func() { w.ends(c) })
	if st := w.server.Stats(); st.Corrupt != 1 {
		t.Errorf("%+v", st)
	}
}

// slowGreeting: a connection that says nothing is dropped and counted.
func slowGreeting(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Handshake = 50 * time.Millisecond })
	c := w.raw()
	w.ends(c)
	if st := w.server.Stats(); st.Slow != 1 {
		t.Errorf("%+v", st)
	}
}

// brokenTerms: a peer that sends beyond its credit, or out of its mind, loses the link.
func brokenTerms(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Messages = 4 })
	thief := &thief{line: &line{Network: s.Client}}
	near, err := wire.Connect(w.ctx, thief, w.server.Addr(), hello("thief"), terms())
	if err != nil {
		t.Fatal(err)
	}
	defer near.Close()
	defer near.Abort("done")
	far, err := w.server.Accept(w.ctx)
	if err != nil {
		t.Fatal(err)
	}
	var frames []wire.Frame
	for i := range 8 {
		frames = append(frames, wire.Frame{Type: wire.FrameData, Seq: uint64(i + 1)})
	}
	frames = append(frames, wire.Frame{Type: wire.FrameData, Seq: math.MaxUint64})
	if err := thief.conn.Write(frames); err != nil {
		t.Fatal(err)
	}
	<-far.Done()
	w.wantKind(far.Err(), tutti.Lost, tutti.Corrupt)
}

// thief remembers its connection, to write to it behind its link's back.
type thief struct {
	*line
	conn wire.Conn
}

func (n *thief) Dial(ctx context.Context, addr string) (c wire.Conn, err error) {
	c, err = n.line.Dial(ctx, addr)
	n.conn = c
	return c, err
}

// listeners: one per address; Accept has ways out.
func listeners(t *testing.T, s Setup) {
	w := open(t, s, nil)
	if ln, err := s.Server.Listen(w.ctx, w.server.Addr()); err == nil {
		ln.Close()
		t.Error("two listen at one address")
	}
	w.server.Close()
	ln, err := s.Server.Listen(w.ctx, w.server.Addr())
	if err != nil {
		t.Fatal(err)
	}
	_, err = ln.Accept(canceled())
	w.wantKind(err, tutti.Canceled, nil)
	together(func() {
		_, err := ln.Accept(w.ctx)
		w.wantKind(err, tutti.Closed, nil)
	}, func() { ln.Close() })
}
