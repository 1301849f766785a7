package wire_test

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// TestWalks sends both ways through every kind of misfortune, and wants each message once, in
// order, at the other side.
func TestWalks(t *testing.T) {
	seeds := uint64(40)
	if testing.Short() {
		seeds = 8
	}
	for seed := range seeds {
		t.Run(fmt.Sprint(seed), func(t *testing.T) { synctest.Test(t, func(t *testing.T) { walk(t, seed) }) })
	}
}

// weather draws what befalls frames: from fair to worse than any network.
func weather(r *rand.Rand) wire.Misfortune {
	f := wire.Misfortune{Ordered: r.IntN(4) == 0}
	if r.IntN(3) > 0 {
		f.Loss = r.Float64() * 0.3
	}
	if r.IntN(3) > 0 {
		f.Duplicate = r.Float64() * 0.3
	}
	switch r.IntN(3) {
	case 0:
		f.Delay = wire.Uniform(0, time.Duration(1+r.IntN(200))*time.Millisecond)
	case 1:
		f.Delay = wire.Exponential(time.Duration(1+r.IntN(50)) * time.Millisecond)
	}
	return f
}

func walk(t *testing.T, seed uint64) {
	r := rand.New(rand.NewPCG(seed, 0))
	ctx := t.Context()
	m := wire.NewMemory(seed)
	m.Set(weather(r))
	cfg := wire.LinkConfig{
		Window:    wire.Window{Messages: 1 + r.IntN(300), Bytes: 100 + r.Int64N(100000)},
		Heartbeat: time.Second, LostAfter: time.Hour, Linger: time.Hour, Handshake: 3 * time.Second,
	}
	ln, err := m.Host("server").Listen(ctx, "s")
	if err != nil {
		t.Fatal(err)
	}
	server := wire.Serve(ln, wire.ServerConfig{Link: cfg})
	near, err := wire.Connect(ctx, m.Host("client"), "s", wire.Hello{Role: wire.RoleClient, Name: "c"}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	far, err := server.Accept(ctx)
	if err != nil {
		t.Fatal(err)
	}
	const n = 600
	done := make(chan struct{}, 4)
	go pour(t, near, n, seed+1000, done)
	go pour(t, far, n, seed+2000, done)
	go drain(t, near, n, done)
	go drain(t, far, n, done)
	for left := 4; left > 0; {
		select {
		case <-done:
			left--
		case <-time.After(time.Duration(1+r.IntN(3000)) * time.Millisecond):
			blow(m, r)
		}
	}
	m.Mend("server", "client")
	m.Set(wire.Misfortune{Loss: 0.1, Duplicate: 0.1})
	if err := near.Close(); err != nil {
		t.Errorf("close: %v, %+v", err, near.Stats())
	}
	<-far.Done()
	if tutti.KindOf(far.Err()) != tutti.Closed {
		t.Errorf("the far side ended with %v", far.Err())
	}
	server.Close()
}

// blow changes something about the network.
func blow(m *wire.Memory, r *rand.Rand) {
	switch r.IntN(6) {
	case 0:
		m.CutAll()
	case 1:
		m.Cut("client", "server")
	case 2:
		m.Partition("client", "server")
	case 3:
		m.Silence("server", "client")
	case 4:
		m.Set(weather(r))
	case 5:
		m.Mend("client", "server")
	}
	if r.IntN(2) == 0 {
		m.Mend("client", "server")
	}
}

// pour sends numbered messages of all sizes, in bursts.
func pour(t *testing.T, l *wire.Link, n int, seed uint64, done chan<- struct{}) {
	r := rand.New(rand.NewPCG(seed, 0))
	for i := range n {
		msg := wire.Message{Header: binary.LittleEndian.AppendUint32(nil, uint32(i)), Payload: make([]byte, r.IntN(2000))}
		var err error
		if r.IntN(4) == 0 {
			err = l.Post(msg)
		} else {
			err = l.Send(t.Context(), msg)
		}
		if err != nil {
			t.Errorf("send %d: %v", i, err)
			break
		}
		if r.IntN(50) == 0 {
			<-time.After(time.Duration(r.IntN(500)) * time.Millisecond)
		}
	}
	done <- struct{}{}
}

func drain(t *testing.T, l *wire.Link, n int, done chan<- struct{}) {
	for i := range n {
		msg, err := l.Recv(t.Context())
		if err != nil {
			t.Errorf("receive %d: %v", i, err)
			break
		}
		if got := int(binary.LittleEndian.Uint32(msg.Header)); got != i {
			t.Errorf("received %d, want %d", got, i)
			break
		}
	}
	done <- struct{}{}
}
