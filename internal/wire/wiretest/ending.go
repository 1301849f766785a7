package wiretest

import (
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// closeDelivers: what was posted arrives, then the peer learns that the end was orderly.
func closeDelivers(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Messages = 10 })
	near, far := w.link(terms())
	const n = 500
	for i := range n {
		if err := near.Post(number(i)); err != nil {
			t.Fatal(err)
		}
	}
	together(func() {
		if err := near.Close(); err != nil {
			t.Error(err)
		}
	}, func() { w.recv(far, 0, n) })
	_, err := far.Recv(w.ctx)
	w.wantKind(err, tutti.Closed, nil)
	<-far.Done()
	w.wantKind(far.Err(), tutti.Closed, nil)
	w.wantKind(far.Send(w.ctx, number(0)), tutti.Closed, nil)
	w.wantKind(far.Post(number(0)), tutti.Closed, nil)
	w.wantKind(near.Send(w.ctx, number(0)), tutti.Closed, nil)
	_, err = near.Recv(w.ctx)
	w.wantKind(err, tutti.Closed, nil)
	w.wantKind(near.Err(), tutti.Closed, nil)
	if err := far.Close(); err != nil {
		t.Errorf("closing what the peer has closed: %v", err)
	}
	if err := near.Close(); err != nil {
		t.Errorf("closing twice: %v", err)
	}
}

func closeByServer(t *testing.T, s Setup) {
	w := open(t, s, nil)
	near, far := w.link(terms())
	w.send(far, 0, 100)
	together(func() {
		if err := far.Close(); err != nil {
			t.Error(err)
		}
	}, func() { w.recv(near, 0, 100) })
	_, err := near.Recv(w.ctx)
	w.wantKind(err, tutti.Closed, nil)
	<-near.Done()
	if w.line.dials != 1 {
		t.Errorf("the client dialled %d times", w.line.dials)
	}
	if st := w.server.Stats(); st.Open != 0 {
		t.Errorf("%+v", st)
	}
}

// closeBoth: neither side waits for the other to take what it never will, although the credit for
// it is used up both ways.
func closeBoth(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Messages = 2 })
	cfg := terms()
	cfg.Window.Messages = 2
	near, far := w.link(cfg)
	w.send(near, 0, 2)
	w.send(far, 0, 2)
	w.recv(far, 0, 1) // the other has been handed out of the inbox, too
	for i := range 50 {
		_ = near.Post(number(i))
		_ = far.Post(number(i))
	}
	together(func() {
		if err := near.Close(); err != nil {
			t.Error(err)
		}
	}, func() {
		if err := far.Close(); err != nil {
			t.Error(err)
		}
	})
	w.wantKind(near.Err(), tutti.Closed, nil)
	w.wantKind(far.Err(), tutti.Closed, nil)
}

// closeGivesUp: a peer that takes nothing bounds Close by time, and learns that it missed something.
func closeGivesUp(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Messages = 2 })
	cfg := terms()
	cfg.Linger = 50 * time.Millisecond
	near, far := w.link(cfg)
	for i := range 10 {
		_ = near.Post(number(i))
	}
	w.until(func() bool { return far.Stats().Unread == 2 })
	w.wantKind(near.Close(), tutti.Timeout, nil)
	<-far.Done()
	w.wantKind(far.Err(), tutti.Lost, nil)
	w.recv(far, 0, 2)
	_, err := far.Recv(w.ctx)
	w.wantKind(err, tutti.Lost, nil)
}

// abort: the peer learns at once, by kind Lost; and a session that the server aborted is fenced.
func abort(t *testing.T, s Setup) {
	w := open(t, s, nil)
	near, far := w.link(terms())
	near.Abort("the user pulled the plug")
	<-far.Done()
	w.wantKind(far.Err(), tutti.Lost, nil)
	w.wantKind(near.Err(), tutti.Closed, nil)
	if err := near.Close(); err != nil {
		t.Error(err)
	}
	near, far = w.link(terms())
	far.Abort("replaced")
	<-near.Done()
	w.wantKind(near.Err(), tutti.Lost, wire.ErrFenced)
}

// cutAndResume: cuts at any moment neither lose, double nor reorder anything.
func cutAndResume(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Messages = 100 })
	near, far := w.link(terms())
	const n, cuts = 4000, 20
	together(
		func() { w.send(near, 0, n) }, func() { w.send(far, 0, n) },
		func() {
			for i := range cuts {
				w.recv(far, i*n/cuts, (i+1)*n/cuts)
				w.line.cut()
			}
		},
		func() { w.recv(near, 0, n) },
	)
	if err := near.Close(); err != nil {
		t.Error(err)
	}
	if st := far.Stats(); st.Reconnects == 0 || st.Received < n {
		t.Errorf("%+v", st)
	}
	if st := w.server.Stats(); st.Links != 1 || st.Resumed == 0 {
		t.Errorf("%+v", st)
	}
}

// lostAndFenced: whoever was declared lost cannot come back as if nothing had happened.
func lostAndFenced(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.LostAfter = time.Second })
	near, far := w.link(terms())
	w.send(near, 0, 3)
	w.recv(far, 0, 1)
	w.line.hold(true)
	<-far.Done()
	w.wantKind(far.Err(), tutti.Lost, nil)
	w.recv(far, 1, 3) // had arrived
	w.wantKind(far.Send(w.ctx, number(0)), tutti.Lost, nil)
	w.line.hold(false)
	_, err := near.Recv(w.ctx)
	w.wantKind(err, tutti.Lost, wire.ErrFenced)
	if st := w.server.Stats(); st.Fenced != 1 {
		t.Errorf("%+v", st)
	}
	near, far = w.link(terms()) // a new session is welcome
	together(func() { w.send(near, 0, 10) }, func() { w.recv(far, 0, 10) })
}

// lostServer: the dialling side gives up too, and says why it could not come back.
func lostServer(t *testing.T, s Setup) {
	w := open(t, s, nil)
	cfg := terms()
	cfg.LostAfter = 300 * time.Millisecond
	near, _ := w.link(cfg)
	w.line.hold(true)
	_, err := near.Recv(w.ctx)
	w.wantKind(err, tutti.Lost, nil)
	if err := near.Close(); err != nil {
		t.Error(err)
	}
}

// restartForgets: a server that was started anew refuses old sessions, but does not call it fencing.
func restartForgets(t *testing.T, s Setup) {
	w := open(t, s, nil)
	near, _ := w.link(terms())
	addr := w.server.Addr()
	w.server.Abort()
	w.serve(addr)
	_, err := near.Recv(w.ctx)
	w.wantKind(err, tutti.Lost, wire.ErrForgotten)
	if st := w.server.Stats(); st.Unknown != 1 || st.Fenced != 0 {
		t.Errorf("%+v", st)
	}
	near, far := w.link(terms())
	together(func() { w.send(near, 0, 10) }, func() { w.recv(far, 0, 10) })
}

// serverCloses: closing a server closes its links in order.
func serverCloses(t *testing.T, s Setup) {
	w := open(t, s, nil)
	near, far := w.link(terms())
	w.send(far, 0, 20)
	w.server.Close()
	w.recv(near, 0, 20)
	_, err := near.Recv(w.ctx)
	w.wantKind(err, tutti.Closed, nil)
	_, err = w.server.Accept(w.ctx)
	w.wantKind(err, tutti.Closed, nil)
}
