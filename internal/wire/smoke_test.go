package wire

import (
	"context"
	"testing"
	"testing/synctest"
	"time"
)

func TestSmoke(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx := t.Context()
		m := NewMemory(1)
		ln, _ := m.Listen(ctx, "c")
		s := Serve(ln, ServerConfig{Hello: Hello{Name: "ctl"}})
		l, err := Connect(ctx, m, "c", Hello{Role: RoleClient, Name: "me"}, LinkConfig{})
		if err != nil {
			t.Fatal(err)
		}
		r, err := s.Accept(ctx)
		if err != nil {
			t.Fatal(err)
		}
		go func() {
			for i := range 20000 {
				if err := l.Send(ctx, Message{Kind: uint16(i)}); err != nil {
					t.Error(err)
				}
				if i%3000 == 0 {
					m.CutAll()
				}
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		}()
		for i := range 20000 {
			msg, err := r.Recv(ctx)
			if err != nil || msg.Kind != uint16(i) {
				t.Fatal(i, msg, err)
			}
		}
		_, err = r.Recv(ctx)
		t.Log(err, r.Stats(), r.State())
		time.Sleep(time.Minute)
		s.Close()
	})
}

func benchPair(b *testing.B) (*Link, *Link, func()) {
	ctx := context.Background()
	m := NewMemory(1)
	ln, _ := m.Listen(ctx, "c")
	s := Serve(ln, ServerConfig{Hello: Hello{Name: "ctl"}})
	l, err := Connect(ctx, m, "c", Hello{Role: RoleClient, Name: "me"}, LinkConfig{})
	if err != nil {
		b.Fatal(err)
	}
	r, err := s.Accept(ctx)
	if err != nil {
		b.Fatal(err)
	}
	return l, r, func() { l.Close(); s.Close() }
}

func BenchmarkStream(b *testing.B) {
	l, r, stop := benchPair(b)
	defer stop()
	ctx := context.Background()
	body := make([]byte, 100)
	b.ReportAllocs()
	go func() {
		for range b.N {
			l.Send(ctx, Message{Payload: body})
		}
	}()
	for range b.N {
		r.Recv(ctx)
	}
}

func BenchmarkRTT(b *testing.B) {
	l, r, stop := benchPair(b)
	defer stop()
	ctx := context.Background()
	body := make([]byte, 100)
	b.ReportAllocs()
	go func() {
		for range b.N {
			m, _ := r.Recv(ctx)
			r.Send(ctx, m)
		}
	}()
	for range b.N {
		l.Send(ctx, Message{Payload: body})
		l.Recv(ctx)
	}
}
