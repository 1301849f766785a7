package blob

import (
	"fmt"
	"net/http/httptest"
	"testing"
	"time"
)

const hundredMB = 100_000_000

func benchStore(b *testing.B, memory int64) *Store {
	b.Helper()
	s, err := Open(Config{Memory: memory, Spill: b.TempDir()})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

// 100 MB made here and summed in another process. MB/s is from the first byte written to the
// last byte summed; put-ms is the writing (with the making of the buffer), open-ms what the reader waits for its bytes, sum-ms
// what it then takes to read them.
func BenchmarkTwoProcesses(b *testing.B) {
	src := content(1, hundredMB)
	for _, mode := range []Mode{View, Private} {
		for _, warm := range []bool{true, false} {
			b.Run(fmt.Sprintf("100MB/%s/warm=%v", []string{"view", "private"}[mode], warm), func(b *testing.B) {
				s := benchStore(b, 1<<30)
				a := s.As("a")
				p := startPeer(b, s, "p")
				var put, opened, summed time.Duration
				once := func() {
					begin := time.Now()
					r := mustPut(b, a, src)
					put += time.Since(begin)
					o := p.do(b, order{Do: "sum", Ref: r, Mode: mode})
					opened += time.Duration(o.Opened)
					summed += time.Duration(o.Nanos - o.Opened)
					a.Drop(r)
				}
				if once(); warm {
					once()
				}
				put, opened, summed = 0, 0, 0
				b.SetBytes(hundredMB)
				b.ResetTimer()
				for range b.N {
					if !warm {
						b.StopTimer()
						s.mu.Lock()
						s.discard(s.pool.clear())
						s.unlock()
						b.StartTimer()
					}
					once()
				}
				per := func(d time.Duration) float64 { return d.Seconds() * 1000 / float64(b.N) }
				b.ReportMetric(per(put), "put-ms")
				b.ReportMetric(per(opened), "open-ms")
				b.ReportMetric(per(summed), "sum-ms")
			})
		}
	}
}

// What copying 100 MB costs at all on this machine, to compare with.
func BenchmarkMemcpy(b *testing.B) {
	src, dst := content(1, hundredMB), make([]byte, hundredMB)
	b.SetBytes(hundredMB)
	for b.Loop() {
		copy(dst, src)
	}
}

func BenchmarkSum(b *testing.B) {
	src := content(1, hundredMB)
	b.SetBytes(hundredMB)
	for b.Loop() {
		sum(src)
	}
}

// Another process makes, opens, releases and drops blobs: four questions and messages each.
func BenchmarkSmall(b *testing.B) {
	for _, size := range []int{64 << 10, 256 << 10} {
		b.Run(fmt.Sprintf("%dKiB", size>>10), func(b *testing.B) {
			s := benchStore(b, 1<<30)
			p := startPeer(b, s, "p")
			p.do(b, order{Do: "small", Size: 100, Seed: uint64(size)})
			b.ResetTimer()
			p.do(b, order{Do: "small", Size: b.N, Seed: uint64(size)})
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "blobs/s")
		})
	}
}

// The same within the store's process, with a copy.
func BenchmarkSmallHere(b *testing.B) {
	s := benchStore(b, 1<<30)
	a := s.As("a")
	src := content(1, 64<<10)
	b.SetBytes(64 << 10)
	for b.Loop() {
		r := mustPut(b, a, src)
		l, err := a.Open(ctx, r, View)
		if err != nil {
			b.Fatal(err)
		}
		l.Release()
		a.Drop(r)
	}
}

// 100 MB from one node to another, over the loopback.
func BenchmarkFetch(b *testing.B) {
	for _, secure := range []bool{false, true} {
		b.Run(fmt.Sprintf("100MB/tls=%v", secure), func(b *testing.B) {
			from, to := benchStore(b, 1<<30), benchStore(b, 1<<30)
			srv := httptest.NewUnstartedServer(Handler(from, nil))
			var cfg FetchConfig
			if secure {
				srv.TLS, cfg.TLS = authority(b)
				srv.StartTLS()
			} else {
				srv.Start()
			}
			defer srv.Close()
			f := NewFetcher(to, cfg)
			defer f.Close()
			r := mustPut(b, from.As("a"), content(1, hundredMB))
			b.SetBytes(hundredMB)
			for b.Loop() {
				l, err := f.Fetch(ctx, "x", r, []string{srv.Listener.Addr().String()}, View)
				if err != nil {
					b.Fatal(err)
				}
				l.Release()
				to.DropHolder("x")
			}
		})
	}
}
