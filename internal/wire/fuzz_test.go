package wire

import (
	"bytes"
	"context"
	"net"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-hpc/tutti"
)

func FuzzDecodeFrame(f *testing.F) {
	f.Add([]byte{})
	f.Add(AppendFrame(nil, &Frame{Type: FrameData, Kind: 7, Seq: 1, Header: []byte("head"), Payload: []byte("payload")}))
	f.Add(AppendFrame(AppendFrame(nil, &Frame{Type: FramePing, Seq: 5, Header: ackState{1, 2, 3, 4}.encode()}), &Frame{Type: FrameFin}))
	f.Add([]byte("\xff\xff\xff\xff\xff\xff\xff\xff\x04\x00\x00\x00aaaaaaaa"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fr, n, err := DecodeFrame(b, 1<<16)
		if err != nil && tutti.KindOf(err) != tutti.Corrupt {
			t.Fatalf("kind of %v", err)
		}
		if n > 0 && !bytes.Equal(AppendFrame(nil, &fr), b[:n]) {
			t.Fatalf("%+v does not encode to what it was decoded from", fr)
		}
		if _, err := decodeAck(b); (err == nil) != (len(b) >= ackLen) {
			t.Fatal(err)
		}
	})
}

func FuzzDecodeGreeting(f *testing.F) {
	g := testGreeting()
	header, payload := g.encode()
	f.Add(header, payload)
	f.Add(header[:len(header)-3], payload)
	f.Add((&refusal{code: refusedFenced, kind: tutti.Lost, reason: "r", hint: "h"}).encode(), []byte{})
	f.Add([]byte(magic+"\x09\x00\x09\x00\x00\x00\x00\x00"), []byte{})
	f.Fuzz(func(t *testing.T, header, payload []byte) {
		if g, err := decodeGreeting(header, payload, Protocol); err == nil && g.Session != (SessionID{}) {
			h, p := g.encode()
			if again, err := decodeGreeting(h, p, Protocol); err != nil || !reflect.DeepEqual(again, g) {
				t.Fatalf("%+v became %+v, %v", g, again, err)
			}
		}
		if r, err := decodeRefusal(header); err == nil {
			if again, err := decodeRefusal(r.encode()); err != nil || again != r {
				t.Fatalf("%+v became %+v, %v", r, again, err)
			}
			_ = r.error("test").Error()
		}
	})
}

func testGreeting() greeting {
	return greeting{
		Hello:   Hello{Role: RoleClient, Name: "n", Software: "s", Epoch: 1, Session: SessionID{1}, Info: []byte("i"), Versions: Protocol},
		attempt: 1, window: Window{10, 1000}, maxFrame: 1 << 16, heartbeat: time.Second,
	}
}

// FuzzServer feeds a live server, before or after a correct greeting, and wants it alive.
func FuzzServer(f *testing.F) {
	ack := Frame{Type: FrameAck, Header: ackState{received: 3}.encode()}
	f.Add(false, []byte("GET / HTTP/1.1\r\n\r\n"))
	f.Add(false, AppendFrame(nil, &Frame{Type: FrameHello}))
	f.Add(true, AppendFrame(nil, &Frame{Type: FrameData, Seq: 2}))
	f.Add(true, AppendFrame(AppendFrame(nil, &Frame{Type: FrameData, Seq: 1}), &Frame{Type: FrameData, Seq: 1}))
	f.Add(true, AppendFrame(nil, &Frame{Type: FrameFin, Seq: 1}))
	f.Add(true, AppendFrame(nil, &ack))
	f.Add(true, AppendFrame(nil, &Frame{Type: FrameAbort, Header: (&refusal{reason: "x"}).encode()}))
	f.Add(true, []byte("\x00\x00\x00\x7f\x00\x00\x00\x00\x04"))
	f.Fuzz(func(t *testing.T, greeted bool, garbage []byte) {
		synctest.Test(t, func(t *testing.T) {
			n := newPipes()
			s := Serve(n, ServerConfig{Link: LinkConfig{Window: Window{10, 1000}, MaxFrame: 1 << 16, Handshake: time.Second, LostAfter: 10 * time.Second}})
			c := n.dial()
			gone := make(chan struct{})
			go func() {
				defer close(gone)
				if greeted {
					g := testGreeting()
					h, p := g.encode()
					garbage = append(AppendFrame(nil, &Frame{Type: FrameHello, Header: h, Payload: p}), garbage...)
				}
				_, _ = c.Write(garbage)
				time.Sleep(time.Minute) // virtual: whatever the server waits for is over then
				c.Close()
			}()
			_ = c.SetReadDeadline(time.Now().Add(2 * time.Minute))
			for buf := make([]byte, 4096); ; {
				if _, err := c.Read(buf); err != nil {
					break
				}
			}
			time.Sleep(time.Minute) // virtual: a session whose connection was cut is lost by then
			if st := s.Stats(); st.Open > 0 {
				t.Errorf("a peer that went silent is still there: %+v", st)
			}
			l, err := Connect(t.Context(), n, "", Hello{Role: RoleAgent}, LinkConfig{})
			if err != nil {
				t.Fatalf("the server is deaf afterwards: %v", err)
			}
			_ = l.Close()
			s.Close()
			<-gone
		})
	})
}

// pipes is a reliable network of net.Pipe, which works in a bubble.
type pipes struct {
	conns  chan net.Conn
	closed chan struct{}
}

func newPipes() *pipes { return &pipes{make(chan net.Conn, 10), make(chan struct{})} }

func (n *pipes) dial() net.Conn {
	near, far := net.Pipe()
	n.conns <- far
	return near
}

func (n *pipes) wrap(c net.Conn) Conn {
	return newStream(c, c, false, Identity{Network: "pipe", UID: -1}, nil)
}

func (n *pipes) Listen(context.Context, string) (Listener, error) { return n, nil }
func (n *pipes) Dial(context.Context, string) (Conn, error)       { return n.wrap(n.dial()), nil }
func (n *pipes) Addr() string                                     { return "" }
func (n *pipes) Close() error                                     { close(n.closed); return nil }
func (n *pipes) Accept(ctx context.Context) (Conn, error) {
	select {
	case c := <-n.conns:
		return n.wrap(c), nil
	case <-n.closed:
		return nil, tutti.E("accept", tutti.Closed, nil)
	case <-ctx.Done():
		return nil, tutti.E("accept", tutti.Canceled, ctx.Err())
	}
}

// A frame that takes far longer than LostAfter to arrive is not silence, as long as it goes on.
func TestSlowLineIsNotSilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		s := Serve(n, ServerConfig{Link: LinkConfig{LostAfter: 10 * time.Second}})
		c := n.dial()
		go func() {
			g := testGreeting()
			h, p := g.encode()
			b := AppendFrame(nil, &Frame{Type: FrameHello, Header: h, Payload: p})
			b = AppendFrame(b, &Frame{Type: FrameData, Seq: 1, Payload: make([]byte, 100<<10)})
			for len(b) > 0 {
				k := min(len(b), 1000)
				if _, err := c.Write(b[:k]); err != nil {
					t.Error(err)
					return
				}
				b = b[k:]
				time.Sleep(time.Second)
			}
		}()
		go func() {
			for buf := make([]byte, 4096); ; {
				if _, err := c.Read(buf); err != nil {
					return
				}
			}
		}()
		l, err := s.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if m, err := l.Recv(t.Context()); err != nil || len(m.Payload) != 100<<10 {
			t.Errorf("%d bytes, %v", len(m.Payload), err)
		}
		<-l.Done() // nothing follows: now it is lost
		if tutti.KindOf(l.Err()) != tutti.Lost {
			t.Error(l.Err())
		}
		s.Close()
		c.Close()
	})
}

func TestFailsOfDecoders(t *testing.T) {
	g := testGreeting()
	header, payload := g.encode()
	for n := range header {
		if _, err := decodeGreeting(header[:n], payload, Protocol); tutti.KindOf(err) != tutti.Corrupt {
			t.Errorf("%d bytes of a greeting: %v", n, err)
		}
	}
	whole := AppendFrame(nil, &Frame{Type: FrameData, Header: []byte("h"), Payload: []byte("p")})
	for n := range whole {
		if _, took, err := DecodeFrame(whole[:n], 100); took != 0 || err != nil {
			t.Errorf("%d bytes of a frame: took %d, %v", n, took, err)
		}
	}
	if _, _, err := DecodeFrame(whole, len(whole)-1); tutti.KindOf(err) != tutti.Corrupt {
		t.Errorf("a frame above the limit: %v", err)
	}
}

// hail greets over a raw pipe and gives the type of the answer.
func hail(t *testing.T, n *pipes, attempt uint32) (net.Conn, FrameType) {
	t.Helper()
	c := n.dial()
	g := testGreeting()
	g.attempt = attempt
	h, p := g.encode()
	if _, err := c.Write(AppendFrame(nil, &Frame{Type: FrameHello, Header: h, Payload: p})); err != nil {
		t.Fatal(err)
	}
	frames, err := n.wrap(c).Read(make([]Frame, 0, 1))
	if err != nil {
		t.Fatal(err)
	}
	return c, frames[0].Type
}

// A greeting that was long on its way must not displace the connection that came after it.
func TestOlderAttemptsAreTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		s := Serve(n, ServerConfig{})
		for _, c := range []struct {
			attempt uint32
			want    FrameType
		}{{2, FrameWelcome}, {1, FrameRefuse}, {2, FrameRefuse}, {3, FrameWelcome}} {
			conn, got := hail(t, n, c.attempt)
			defer conn.Close()
			if got != c.want {
				t.Errorf("attempt %d was answered by a frame of type %d, want %d", c.attempt, got, c.want)
			}
		}
		if st := s.Stats(); st.Links != 1 || st.Resumed != 1 {
			t.Errorf("%+v", st)
		}
		s.Abort()
	})
}

func TestTruncatedFrameIsCounted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := newPipes()
		s := Serve(n, ServerConfig{})
		for _, part := range []int{1, frameHead, frameHead + 1, readBuffer + 100} {
			c := n.dial()
			whole := AppendFrame(nil, &Frame{Type: FrameHello, Payload: make([]byte, 2*readBuffer)})
			if _, err := c.Write(whole[:part]); err != nil {
				t.Fatal(err)
			}
			c.Close()
		}
		synctest.Wait()
		if st := s.Stats(); st.Corrupt != 4 || st.Broken != 0 {
			t.Errorf("%+v", st)
		}
		s.Close()
	})
}
