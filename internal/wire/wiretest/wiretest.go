// Package wiretest is the conformance suite that every network of package wire passes: links over
// it keep their promises, also when connections are cut.
//
// A test of a network loops over [Cases] and gives each a [Setup] of its own:
//
//	for _, c := range wiretest.Cases {
//		t.Run(c.Name, func(t *testing.T) { c.Run(t, wiretest.Setup{Server: n, Client: n, Addr: addr}) })
//	}
package wiretest

import (
	"context"
	"encoding/binary"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Setup is one network ready for one case.
type Setup struct {
	Server wire.Network // where the case listens
	Client wire.Network // where it dials as a client
	Agent  wire.Network // where it dials as an agent; nil: the same
	Addr   string       // to listen at: free, and free again after closing, if it names a place
	Proves bool         // the network proves roles
}

// Case is one promise.
type Case struct {
	Name string
	Run  func(*testing.T, Setup)
}

// Cases is the suite, in the order in which a new network will want to pass it.
var Cases = []Case{
	{"Introduction", introduction},
	{"OrderBothWays", orderBothWays},
	{"LargeMessages", largeMessages},
	{"CreditMessages", creditMessages},
	{"CreditBytes", creditBytes},
	{"PostNeverBlocks", postNeverBlocks},
	{"ContextsEndWaits", contextsEndWaits},
	{"CloseDelivers", closeDelivers},
	{"CloseByServer", closeByServer},
	{"CloseBoth", closeBoth},
	{"CloseGivesUp", closeGivesUp},
	{"Abort", abort},
	{"CutAndResume", cutAndResume},
	{"LostAndFenced", lostAndFenced},
	{"LostServer", lostServer},
	{"RestartForgets", restartForgets},
	{"ServerCloses", serverCloses},
	{"VersionRefused", versionRefused},
	{"RoleRefused", roleRefused},
	{"AdmitRefuses", admitRefuses},
	{"NobodyThere", nobodyThere},
	{"ManyLinks", manyLinks},
	{"ConcurrentSenders", concurrentSenders},
	{"ConcurrentReceivers", concurrentReceivers},
	{"StrangeFirstFrames", strangeFirstFrames},
	{"OversizedFrame", oversizedFrame},
	{"SlowGreeting", slowGreeting},
	{"BrokenTerms", brokenTerms},
	{"Listeners", listeners},
}

// terms are quick enough for real time; nothing in the suite depends on how quick.
func terms() wire.LinkConfig {
	return wire.LinkConfig{
		Heartbeat: 100 * time.Millisecond, LostAfter: 20 * time.Second, RetryMin: time.Millisecond,
		RetryMax: 20 * time.Millisecond, Linger: 20 * time.Second, Handshake: 10 * time.Second,
		Patience: 20 * time.Second,
	}
}

// world is a server and what a case needs to reach it.
type world struct {
	t      *testing.T
	ctx    context.Context
	setup  Setup
	server *wire.Server
	line   *line
	cfg    wire.ServerConfig
}

// open starts a server; the test ends it.
func open(t *testing.T, s Setup, change func(*wire.ServerConfig)) *world {
	t.Helper()
	w := &world{t: t, ctx: t.Context(), setup: s, line: &line{Network: s.Client}}
	w.cfg = wire.ServerConfig{
		Hello: wire.Hello{Name: "the server", Software: "9.9", Epoch: 7, Info: []byte("welcome")},
		Link:  terms(),
	}
	if change != nil {
		change(&w.cfg)
	}
	w.serve(s.Addr)
	t.Cleanup(func() { w.server.Abort() })
	return w
}

func (w *world) serve(addr string) {
	w.t.Helper()
	ln, err := w.setup.Server.Listen(w.ctx, addr)
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = wire.Serve(ln, w.cfg)
}

func hello(name string) wire.Hello {
	return wire.Hello{Role: wire.RoleClient, Name: name, Software: "1.0", Epoch: 3, Info: []byte("i am " + name)}
}

// link connects as a client over the world's line and returns both ends.
func (w *world) link(cfg wire.LinkConfig) (near, far *wire.Link) {
	w.t.Helper()
	near, err := wire.Connect(w.ctx, w.line, w.server.Addr(), hello("a client"), cfg)
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { near.Abort("the test is over"); near.Close() })
	far, err = w.server.Accept(w.ctx)
	if err != nil {
		w.t.Fatal(err)
	}
	return near, far
}

func number(n int) wire.Message {
	return wire.Message{Kind: 1, Header: binary.LittleEndian.AppendUint32(nil, uint32(n))}
}

func (w *world) send(l *wire.Link, from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ {
		if err := l.Send(w.ctx, number(i)); err != nil {
			w.t.Errorf("send %d: %v", i, err)
			return
		}
	}
}

func (w *world) recv(l *wire.Link, from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ {
		m, err := l.Recv(w.ctx)
		if err != nil {
			w.t.Errorf("receive %d: %v (%s)", i, err, l.State())
			return
		}
		if got := int(binary.LittleEndian.Uint32(m.Header)); got != i {
			w.t.Errorf("received %d, want %d", got, i)
			return
		}
	}
}

// wantKind checks an error's kind, and its cause if one is given.
func (w *world) wantKind(err error, kind tutti.Kind, cause error) {
	w.t.Helper()
	if tutti.KindOf(err) != kind || err == nil {
		w.t.Errorf("error %v, want kind %v", err, kind)
	}
	if cause != nil && !errors.Is(err, cause) {
		w.t.Errorf("error %v, want cause %v", err, cause)
	}
}

// together runs functions at once and waits for all.
func together(fs ...func()) {
	var all sync.WaitGroup
	for _, f := range fs {
		all.Go(f)
	}
	all.Wait()
}

// until waits for a state that nobody signals.
func (w *world) until(state func() bool) {
	w.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !state(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			w.t.Fatal("a state was never reached")
		}
	}
}

// canceled is a context that never waits.
func canceled() context.Context {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	return ctx
}

// line is a network whose connections a test can cut, and hold: then dialling fails.
type line struct {
	wire.Network
	mu    sync.Mutex
	conns []wire.Conn
	held  bool
	dials int
}

func (n *line) Dial(ctx context.Context, addr string) (wire.Conn, error) {
	n.mu.Lock()
	n.dials++
	held := n.held
	n.mu.Unlock()
	if held {
		return nil, tutti.Errorf("dial", tutti.Lost, "the line is held")
	}
	c, err := n.Network.Dial(ctx, addr)
	if err != nil {
		return nil, err
	}
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held {
		c.Close()
		return nil, tutti.Errorf("dial", tutti.Lost, "the line is held")
	}
	n.conns = append(n.conns, c)
	return c, nil
}

func (n *line) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, c := range n.conns {
		c.Close()
	}
	n.conns = nil
}

func (n *line) hold(held bool) {
	n.mu.Lock()
	n.held = held
	n.mu.Unlock()
	if held {
		n.cut()
	}
}
