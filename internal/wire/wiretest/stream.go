package wiretest

import (
	"bytes"
	"context"
	"encoding/binary"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// introduction: both sides see who the other is.
func introduction(t *testing.T, s Setup) {
	w := open(t, s, nil)
	near, far := w.link(terms())
	p := near.Peer()
	if p.Role != wire.RoleServer || p.Name != "the server" || p.Software != "9.9" || p.Epoch != 7 || string(p.Info) != "welcome" || p.Version != wire.Protocol.Max {
		t.Errorf("the client sees %+v", p)
	}
	q := far.Peer()
	if q.Role != wire.RoleClient || q.Name != "a client" || q.Software != "1.0" || q.Epoch != 3 || string(q.Info) != "i am a client" || q.Session != near.Session() {
		t.Errorf("the server sees %+v", q)
	}
	if s.Proves && (q.Identity.Role != wire.RoleClient || p.Identity.Role != wire.RoleServer) {
		t.Errorf("roles proved: %q, %q", q.Identity.Role, p.Identity.Role)
	}
	if near.Session() != far.Session() || near.Session() == (wire.SessionID{}) {
		t.Errorf("sessions %v and %v", near.Session(), far.Session())
	}
	if st := w.server.Stats(); st.Connections != 1 || st.Links != 1 || st.Open != 1 {
		t.Errorf("%+v", st)
	}
}

func orderBothWays(t *testing.T, s Setup) {
	w := open(t, s, nil)
	near, far := w.link(terms())
	const n = 10000
	together(
		func() { w.send(near, 0, n) }, func() { w.recv(far, 0, n) },
		func() { w.send(far, 0, n) }, func() { w.recv(near, 0, n) },
	)
	if st := near.Stats(); st.Sent != n || st.Received != n || st.Reconnects != 0 {
		t.Errorf("%+v", st)
	}
}

// largeMessages: every size around the limits of buffers arrives as it was; what exceeds the
// peer's limit is refused here.
func largeMessages(t *testing.T, s Setup) {
	const limit = 9 << 20
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.MaxFrame = limit })
	near, far := w.link(terms())
	r := rand.New(rand.NewPCG(1, 2))
	var sent []wire.Message
	for _, n := range []int{0, 1, 16383, 16384, 16385, 32747, 32748, 32749, 65535, 65536, 1 << 20, limit - 20 - 3} {
		sent = append(sent, wire.Message{Kind: uint16(n), Header: []byte("abc"), Payload: noise(r, n)},
			wire.Message{Kind: 2, Header: noise(r, min(n, 1<<20))})
	}
	together(func() {
		for _, m := range sent {
			if err := near.Send(w.ctx, m); err != nil {
				t.Error(err)
			}
		}
	}, func() {
		for i, want := range sent {
			m, err := far.Recv(w.ctx)
			if err != nil || m.Kind != want.Kind || !bytes.Equal(m.Header, want.Header) || !bytes.Equal(m.Payload, want.Payload) {
				t.Errorf("message %d: kind %d, %d+%d bytes, want kind %d, %d+%d; %v", i, m.Kind, len(m.Header), len(m.Payload), want.Kind, len(want.Header), len(want.Payload), err)
				return
			}
		}
	})
	err := near.Send(w.ctx, wire.Message{Payload: make([]byte, limit-19)})
	w.wantKind(err, tutti.Invalid, nil)
	if tutti.HintOf(err) == "" {
		t.Error("no hint about blobs")
	}
}

func noise(r *rand.Rand, n int) []byte {
	b := make([]byte, n)
	for i := 0; i+8 <= n; i += 8 {
		binary.LittleEndian.PutUint64(b[i:], r.Uint64())
	}
	return b
}

// creditMessages: Send blocks when the window is full, and goes on when Recv takes one.
func creditMessages(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Messages = 4 })
	near, far := w.link(terms())
	w.send(near, 0, 4)
	w.wantKind(near.Send(canceled(), number(4)), tutti.Canceled, nil)
	w.recv(far, 0, 1)
	w.send(near, 4, 5) // blocks until the credit has come
	w.wantKind(near.Send(canceled(), number(5)), tutti.Canceled, nil)
	together(func() { w.send(near, 5, 500) }, func() { w.recv(far, 1, 500) })
}

// creditBytes: the same by bytes; a message larger than the window goes alone.
func creditBytes(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Bytes = 10000 })
	near, far := w.link(terms())
	big := wire.Message{Payload: make([]byte, 50000)}
	if err := near.Send(w.ctx, big); err != nil {
		t.Fatal(err)
	}
	w.wantKind(near.Send(canceled(), number(0)), tutti.Canceled, nil)
	if m, err := far.Recv(w.ctx); err != nil || len(m.Payload) != 50000 {
		t.Fatal(len(m.Payload), err)
	}
	w.send(near, 0, 3)
	w.wantKind(near.Send(canceled(), big), tutti.Canceled, nil)
	together(func() {
		if err := near.Send(w.ctx, big); err != nil {
			t.Error(err)
		}
	}, func() { w.recv(far, 0, 3) })
	if m, err := far.Recv(w.ctx); err != nil || len(m.Payload) != 50000 {
		t.Fatal(len(m.Payload), err)
	}
}

func postNeverBlocks(t *testing.T, s Setup) {
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Messages = 4 })
	near, far := w.link(terms())
	const n = 3000
	for i := range n {
		if err := near.Post(number(i)); err != nil {
			t.Fatal(err)
		}
	}
	if b := near.Backlog(); b < (n-4)*4 {
		t.Errorf("backlog %d after %d messages that nobody took", b, n)
	}
	w.recv(far, 0, n)
	if err := near.Close(); err != nil {
		t.Error(err)
	}
	if b := near.Backlog(); b != 0 {
		t.Errorf("backlog %d after all was acknowledged", b)
	}
}

func contextsEndWaits(t *testing.T, s Setup) {
	w := open(t, s, nil)
	near, _ := w.link(terms())
	_, err := near.Recv(canceled())
	w.wantKind(err, tutti.Canceled, nil)
	ctx, cancel := context.WithTimeout(w.ctx, time.Millisecond)
	defer cancel()
	_, err = near.Recv(ctx)
	w.wantKind(err, tutti.Timeout, nil)
	_, err = w.server.Accept(canceled())
	w.wantKind(err, tutti.Canceled, nil)
}

func manyLinks(t *testing.T, s Setup) {
	const links, messages = 40, 100
	w := open(t, s, nil)
	var echoes sync.WaitGroup
	echoes.Go(func() {
		for range links {
			far, err := w.server.Accept(w.ctx)
			if err != nil {
				t.Error(err)
				return
			}
			echoes.Go(func() {
				for {
					m, err := far.Recv(w.ctx)
					if err != nil {
						w.wantKind(err, tutti.Closed, nil)
						return
					}
					if err := far.Send(w.ctx, m); err != nil {
						t.Error(err)
					}
				}
			})
		}
	})
	var all sync.WaitGroup
	for range links {
		all.Go(func() {
			near, err := wire.Connect(w.ctx, w.line, w.server.Addr(), hello("one of many"), terms())
			if err != nil {
				t.Error(err)
				return
			}
			together(func() { w.send(near, 0, messages) }, func() { w.recv(near, 0, messages) })
			if err := near.Close(); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	echoes.Wait()
}

// concurrentSenders: each sender's messages stay in its order.
func concurrentSenders(t *testing.T, s Setup) {
	const senders, messages = 8, 500
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Messages = 50 })
	near, far := w.link(terms())
	var all sync.WaitGroup
	for k := range senders {
		all.Go(func() {
			for i := range messages {
				m := number(i)
				m.Kind = uint16(k)
				if err := near.Send(w.ctx, m); err != nil {
					t.Error(err)
				}
			}
		})
	}
	var next [senders]int
	for range senders * messages {
		m, err := far.Recv(w.ctx)
		if err != nil {
			t.Fatal(err)
		}
		if got := int(binary.LittleEndian.Uint32(m.Header)); got != next[m.Kind] {
			t.Fatalf("sender %d: message %d, want %d", m.Kind, got, next[m.Kind])
		}
		next[m.Kind]++
	}
	all.Wait()
}

// concurrentReceivers: each message goes to one of them.
func concurrentReceivers(t *testing.T, s Setup) {
	const receivers, messages = 8, 2000
	w := open(t, s, func(c *wire.ServerConfig) { c.Link.Window.Messages = 50 })
	near, far := w.link(terms())
	var mu sync.Mutex
	seen := map[uint32]int{}
	var all sync.WaitGroup
	for range receivers {
		all.Go(func() {
			for {
				m, err := far.Recv(w.ctx)
				if err != nil {
					w.wantKind(err, tutti.Closed, nil)
					return
				}
				mu.Lock()
				seen[binary.LittleEndian.Uint32(m.Header)]++
				mu.Unlock()
			}
		})
	}
	w.send(near, 0, messages)
	if err := near.Close(); err != nil {
		t.Error(err)
	}
	all.Wait()
	for i := range uint32(messages) {
		if seen[i] != 1 {
			t.Fatalf("message %d was received %d times", i, seen[i])
		}
	}
}
