package wire_test

import (
	"context"
	"errors"
	"math/rand/v2"
	"reflect"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// memoryPair is a server and one link to it in a bubble.
func memoryPair(t *testing.T, m *wire.Memory, cfg wire.LinkConfig) (s *wire.Server, near, far *wire.Link) {
	t.Helper()
	ln, err := m.Host("server").Listen(t.Context(), "s")
	if err != nil {
		t.Fatal(err)
	}
	s = wire.Serve(ln, wire.ServerConfig{Hello: wire.Hello{Name: "server"}, Link: cfg})
	near, err = wire.Connect(t.Context(), m.Host("client"), "s", wire.Hello{Role: wire.RoleClient, Name: "client"}, cfg)
	if err != nil {
		t.Fatal(err)
	}
	if far, err = s.Accept(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s, near, far
}

func TestIdleLinkLives(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s, near, far := memoryPair(t, wire.NewMemory(1), wire.LinkConfig{})
		time.Sleep(time.Hour)
		if near.Err() != nil || far.Err() != nil || near.Stats().Reconnects > 0 {
			t.Errorf("after an idle hour: %s; %s", near.State(), far.State())
		}
		if err := near.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	})
}

// A partition longer than LostAfter: both sides give the other up, and the session stays fenced.
func TestPartitionFences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory(1)
		s, near, far := memoryPair(t, m, wire.LinkConfig{LostAfter: 30 * time.Second})
		m.Partition("client", "server")
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := m.Host("client").Dial(ctx, "s"); tutti.KindOf(err) != tutti.Timeout {
			t.Errorf("dialling into a partition: %v", err)
		}
		<-far.Done()
		<-near.Done()
		for _, l := range []*wire.Link{near, far} {
			if tutti.KindOf(l.Err()) != tutti.Lost {
				t.Error(l.State())
			}
		}
		near.Close()
		s.Close()
	})
}

// A partition shorter than LostAfter costs nothing but time.
func TestPartitionMends(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory(1)
		s, near, far := memoryPair(t, m, wire.LinkConfig{LostAfter: time.Minute})
		m.Partition("client", "server")
		if err := near.Send(t.Context(), wire.Message{Kind: 9}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(20 * time.Second)
		m.Mend("client", "server")
		if msg, err := far.Recv(t.Context()); err != nil || msg.Kind != 9 {
			t.Error(msg, err)
		}
		if err := near.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	})
}

// One direction silent: the ghost hears that it is fenced, as soon as it can.
func TestSilenceFences(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory(1)
		s, near, far := memoryPair(t, m, wire.LinkConfig{LostAfter: 30 * time.Second})
		m.Silence("client", "server")
		<-far.Done()
		m.Mend("client", "server")
		<-near.Done()
		if err := near.Err(); !errors.Is(err, wire.ErrFenced) && tutti.KindOf(err) != tutti.Lost {
			t.Error(err)
		}
		near.Close()
		s.Close()
	})
}

// fates sends numbered frames over a fresh raw connection and gives what arrives, in order.
func fates(t *testing.T, seed uint64, f wire.Misfortune, n int) (got []uint64) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory(seed)
		m.Set(f)
		ln, err := m.Listen(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		near, err := m.Dial(t.Context(), "s")
		if err != nil {
			t.Fatal(err)
		}
		far, err := ln.Accept(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if err := near.Write([]wire.Frame{{Type: wire.FrameData, Seq: uint64(i)}}); err != nil {
				t.Fatal(err)
			}
		}
		near.Close()
		for {
			frames, err := far.Read(make([]wire.Frame, 0, 10))
			if err != nil {
				break
			}
			for _, fr := range frames {
				got = append(got, fr.Seq)
			}
		}
		far.Close()
		ln.Close()
	})
	return got
}

func TestMisfortune(t *testing.T) {
	const n = 1000
	fair := fates(t, 1, wire.Misfortune{}, n)
	if len(fair) != n {
		t.Fatalf("in fair weather %d of %d arrived", len(fair), n)
	}
	bad := wire.Misfortune{Loss: 0.2, Duplicate: 0.1, Delay: wire.Exponential(time.Millisecond)}
	first := fates(t, 1, bad, n)
	if len(first) < n*7/10 || len(first) > n || !outOfOrder(first) {
		t.Errorf("%d of %d arrived, out of order: %v", len(first), n, outOfOrder(first))
	}
	if !reflect.DeepEqual(first, fates(t, 1, bad, n)) {
		t.Error("the same seed gave another fate")
	}
	if reflect.DeepEqual(first, fates(t, 2, bad, n)) {
		t.Error("another seed gave the same fate")
	}
	ordered := fates(t, 1, wire.Misfortune{Delay: wire.Uniform(0, time.Second), Ordered: true}, n)
	if !reflect.DeepEqual(ordered, fair) {
		t.Error("ordered delays reordered or lost")
	}
}

func outOfOrder(s []uint64) bool {
	for i := 1; i < len(s); i++ {
		if s[i] < s[i-1] {
			return true
		}
	}
	return false
}

func TestCutCounts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory(1)
		s, near, far := memoryPair(t, m, wire.LinkConfig{})
		if n := m.Cut("client", "nobody"); n != 0 {
			t.Errorf("cut %d connections of nobody", n)
		}
		if n := m.Cut("server", "client"); n != 1 {
			t.Errorf("cut %d connections, want 1", n)
		}
		time.Sleep(time.Second)
		if near.Stats().Reconnects != 1 || far.Stats().Reconnects != 1 {
			t.Errorf("%+v; %+v", near.Stats(), far.Stats())
		}
		m.SetBetween("client", "server", wire.Misfortune{Delay: func(*rand.Rand) time.Duration { return 50 * time.Millisecond }})
		time.Sleep(20 * time.Second)
		if rtt := near.Stats().RTT; rtt < 50*time.Millisecond || rtt > 101*time.Millisecond {
			t.Errorf("round trip %v over a line of 50 ms", rtt)
		}
		near.Close()
		s.Close()
	})
}

// Single messages that vanish leave no gap: only their age tells, and no cut helps.
func TestLoneMessagesAreResent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		m := wire.NewMemory(3)
		s, near, far := memoryPair(t, m, wire.LinkConfig{})
		m.Set(wire.Misfortune{Loss: 0.2})
		ctx, cancel := context.WithTimeout(t.Context(), time.Hour)
		defer cancel()
		go func() {
			for {
				msg, err := far.Recv(ctx)
				if err != nil || far.Post(msg) != nil {
					return
				}
			}
		}()
		for i := range 200 {
			if err := near.Send(ctx, wire.Message{Kind: uint16(i)}); err != nil {
				t.Fatal(err)
			}
			if msg, err := near.Recv(ctx); err != nil || msg.Kind != uint16(i) {
				t.Fatalf("answer %d: %v, %v", i, msg.Kind, err)
			}
		}
		if st := near.Stats(); st.Reconnects > 0 || st.Resent == 0 {
			t.Errorf("%+v", st)
		}
		m.Set(wire.Misfortune{})
		if err := near.Close(); err != nil {
			t.Error(err)
		}
		s.Close()
	})
}
