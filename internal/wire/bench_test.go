package wire_test

import (
	"context"
	"path/filepath"
	"testing"

	"github.com/tutti-hpc/tutti/internal/wire"
)

// benchNetworks are those that a benchmark runs over.
var benchNetworks = []struct {
	name string
	make func(*testing.B) (server, client wire.Network, addr string)
}{
	{"memory", func(*testing.B) (wire.Network, wire.Network, string) {
		m := wire.NewMemory(1)
		return m, m, "s"
	}},
	{"unix", func(b *testing.B) (wire.Network, wire.Network, string) {
		return wire.Unix{}, wire.Unix{}, filepath.Join(privateDir(b), "s")
	}},
	{"tcp", func(b *testing.B) (wire.Network, wire.Network, string) {
		keys := testKeys(b)
		return wire.TCP{Keys: keys(wire.RoleServer)}, wire.TCP{Keys: keys(wire.RoleClient)}, "127.0.0.1:0"
	}},
}

// onEach runs f over every network with a fresh link.
func onEach(b *testing.B, f func(b *testing.B, near, far *wire.Link)) {
	ctx := context.Background()
	for _, n := range benchNetworks {
		b.Run(n.name, func(b *testing.B) {
			sn, cn, addr := n.make(b)
			ln, err := sn.Listen(ctx, addr)
			if err != nil {
				b.Fatal(err)
			}
			s := wire.Serve(ln, wire.ServerConfig{})
			defer s.Close()
			near, err := wire.Connect(ctx, cn, s.Addr(), wire.Hello{Role: wire.RoleClient}, wire.LinkConfig{})
			if err != nil {
				b.Fatal(err)
			}
			defer near.Close()
			far, err := s.Accept(ctx)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			b.ResetTimer()
			f(b, near, far)
		})
	}
}

func stream(b *testing.B, near, far *wire.Link, size int) {
	ctx := context.Background()
	body := make([]byte, size)
	b.SetBytes(int64(size))
	go func() {
		for range b.N {
			if err := near.Send(ctx, wire.Message{Payload: body}); err != nil {
				b.Error(err)
			}
		}
	}()
	for range b.N {
		if _, err := far.Recv(ctx); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkStream100(b *testing.B) {
	onEach(b, func(b *testing.B, near, far *wire.Link) { stream(b, near, far, 100) })
}

func BenchmarkStream1M(b *testing.B) {
	onEach(b, func(b *testing.B, near, far *wire.Link) { stream(b, near, far, 1<<20) })
}

func BenchmarkRoundTrip(b *testing.B) {
	onEach(b, func(b *testing.B, near, far *wire.Link) {
		ctx := context.Background()
		go func() {
			for range b.N {
				if m, err := far.Recv(ctx); err != nil || far.Send(ctx, m) != nil {
					b.Error("no answer: ", err)
				}
			}
		}()
		body := make([]byte, 100)
		for range b.N {
			if err := near.Send(ctx, wire.Message{Payload: body}); err != nil {
				b.Fatal(err)
			}
			if _, err := near.Recv(ctx); err != nil {
				b.Fatal(err)
			}
		}
	})
}
