package shm

import (
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func futexPage(t testing.TB) (*Segment, []byte) {
	t.Helper()
	s, err := Create("", "shmtest", page)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	t.Cleanup(func() { s.Unlink() })
	return s, mustMap(t, s, ReadWrite)
}

func TestFutexBetweenProcesses(t *testing.T) {
	s, b := futexPage(t)
	word := Word(b, 8)
	cmd, out := start(t, "waker", "SHM_TEST_PATH="+s.Path())
	cmd.Stdout = out
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	for atomic.LoadUint32(word) == 0 {
		if err := Wait(word, 0, time.Minute); err != nil {
			t.Fatal(err, out)
		}
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err, out)
	}
}

func TestFutexReturns(t *testing.T) {
	_, b := futexPage(t)
	word := Word(b, 0)
	if err := Wait(word, 1, -1); err != nil {
		t.Fatal("the word is not 1, so there is nothing to wait for:", err)
	}
	var err error
	for err == nil { // it may return early
		err = Wait(word, 0, time.Millisecond)
	}
	if !errors.Is(err, ErrTimeout) {
		t.Fatal(err)
	}
	if n, err := Wake(word, 1); n != 0 || err != nil {
		t.Fatal("nobody waits:", n, err)
	}
	if err := Wait((*uint32)(nil), 0, 0); !errors.Is(err, ErrInvalid) {
		t.Fatal("no address:", err)
	}
}

func TestWakeWakesThatMany(t *testing.T) {
	_, b := futexPage(t)
	word := Word(b, 0)
	var wg sync.WaitGroup
	for range 3 {
		wg.Go(func() {
			for atomic.LoadUint32(word) == 0 {
				if err := Wait(word, 0, -1); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	woken := 0
	for woken < 3 { // one may not sleep yet; the word is still 0, so the woken sleep again
		n, err := Wake(word, 3-woken)
		if err != nil {
			t.Fatal(err)
		}
		woken += n
	}
	atomic.StoreUint32(word, 1)
	Wake(word, 1<<40)
	wg.Wait()
}

func BenchmarkFutexPingPong(b *testing.B) {
	_, m := futexPage(b)
	ping, pong := Word(m, 0), Word(m, 64)
	done := make(chan struct{})
	wait := func(w *uint32, v uint32) {
		for atomic.LoadUint32(w) != v {
			Wait(w, v-1, -1)
		}
	}
	go func() {
		defer close(done)
		for i := 1; i <= b.N; i++ {
			wait(ping, uint32(i))
			atomic.StoreUint32(pong, uint32(i))
			Wake(pong, 1)
		}
	}()
	for i := 1; i <= b.N; i++ {
		atomic.StoreUint32(ping, uint32(i))
		Wake(ping, 1)
		wait(pong, uint32(i))
	}
	<-done
}
