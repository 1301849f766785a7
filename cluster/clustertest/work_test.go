package clustertest_test

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/engine"
)

// job is what the functions of a scene are told: what to do, and what will be looked at.
type job struct {
	Scene uint64
	Key   uint64
	Nap   time.Duration
	Size  int     // of a large result
	Times int     // a flaky one fails so often
	Cores float64 // that it holds
}

// answer is the right result for a key.
func answer(key uint64) uint64 { return key*0x9e3779b97f4a7c15 + 1 }

// weight is the right sum over a large result.
func weight(j job) float64 { return float64(j.Size) * float64(j.Key%1000) }

var errPlanned = errors.New("as planned")

// The functions that scenes call. All but deaf listen to their context.
var (
	fnValue = tutti.Func("scene.value", func(ctx context.Context, j job) (uint64, error) {
		return answer(j.Key), perform(ctx, j)
	})
	fnFail = tutti.Func("scene.fail", func(ctx context.Context, j job) (uint64, error) {
		if err := perform(ctx, j); err != nil {
			return 0, err
		}
		return 0, errPlanned
	})
	fnPanic = tutti.Func("scene.panic", func(ctx context.Context, j job) (uint64, error) {
		if err := perform(ctx, j); err != nil {
			return 0, err
		}
		panic("as planned")
	})
	fnFlaky = tutti.Func("scene.flaky", func(ctx context.Context, j job) (uint64, error) {
		if err := perform(ctx, j); err != nil {
			return 0, err
		}
		if sceneOf(j.Scene).attempt(j.Key) <= j.Times {
			return 0, errPlanned
		}
		return answer(j.Key), nil
	})
	fnDeaf = tutti.Func("scene.deaf", func(ctx context.Context, j job) (uint64, error) {
		defer sceneOf(j.Scene).enter(ctx, j.Cores)()
		time.Sleep(j.Nap)
		return answer(j.Key), nil
	})
	fnSum = tutti.Func("scene.sum", func(_ context.Context, list []uint64) (uint64, error) {
		s := uint64(0)
		for _, x := range list {
			s += x
		}
		return s, nil
	})
	fnBig = tutti.Func("scene.big", func(ctx context.Context, j job) ([]float64, error) {
		x := make([]float64, j.Size)
		for i := range x {
			x[i] = float64(j.Key % 1000)
		}
		return x, perform(ctx, j)
	})
	fnTotal = tutti.Func("scene.total", func(_ context.Context, x []float64) (float64, error) {
		s := 0.0
		for i, v := range x {
			if v != x[0] {
				return 0, fmt.Errorf("element %d is %v, the first %v: memory was used again too soon", i, v, x[0])
			}
			s += v
		}
		for i := range x {
			x[i] = math.NaN() // its own copy: nobody may see this
		}
		return s, nil
	})
	fnRank = tutti.Func("scene.rank", func(ctx context.Context, j job) (int, error) {
		w, _ := engine.WorldOf(ctx)
		size := max(1, len(w.Engines))
		if err := sceneOf(j.Scene).meet(ctx, w.Name, size); err != nil {
			return 0, err
		}
		return w.Rank + 1000*size, perform(ctx, j)
	})
)

// perform holds the job's cores for as long as it naps.
func perform(ctx context.Context, j job) error {
	defer sceneOf(j.Scene).enter(ctx, j.Cores)()
	if j.Nap == 0 {
		return nil
	}
	t := time.NewTimer(j.Nap)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// stage is what a scene's functions share. The engines are goroutines of this process, so they can.
type stage struct {
	mu       sync.Mutex
	cores    float64 // that each node has
	hosts    map[string]map[*held]struct{}
	exceeded string
	attempts map[uint64]int
	worlds   map[string]*world
}

type held struct {
	ctx   context.Context
	cores float64
}

type world struct {
	here int
	full chan struct{}
}

var stages sync.Map // by the scene's number

func newStage(number uint64, cores float64) *stage {
	s := &stage{cores: cores, hosts: map[string]map[*held]struct{}{}, attempts: map[uint64]int{}, worlds: map[string]*world{}}
	stages.Store(number, s)
	return s
}

func sceneOf(number uint64) *stage {
	s, _ := stages.Load(number)
	return s.(*stage)
}

// enter notes that a run holds cores of its host until leave is called or it is told to stop.
func (s *stage) enter(ctx context.Context, cores float64) (leave func()) {
	_, host, ok := engine.PlaceOf(ctx)
	if !ok {
		return func() {}
	}
	h := &held{ctx, cores}
	s.mu.Lock()
	if s.hosts[host] == nil {
		s.hosts[host] = map[*held]struct{}{}
	}
	s.hosts[host][h] = struct{}{}
	s.mu.Unlock()
	if s.used(host) > s.cores {
		// Who was killed, or told to stop, lets go a moment after that was heard of.
		if time.Sleep(time.Millisecond); s.used(host) > s.cores {
			s.mu.Lock()
			s.exceeded = fmt.Sprintf("%v cores of %s are in use, which has %v", s.used1(host), host, s.cores)
			s.mu.Unlock()
		}
	}
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.hosts[host], h)
	}
}

func (s *stage) used(host string) float64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.used1(host)
}

func (s *stage) used1(host string) (sum float64) {
	for h := range s.hosts[host] {
		if h.ctx.Err() == nil {
			sum += h.cores
		}
	}
	return sum
}

// attempt counts the executions of a flaky job.
func (s *stage) attempt(key uint64) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.attempts[key]++
	return s.attempts[key]
}

// meet waits until all ranks of a world are here: they do not meet unless they run at once.
func (s *stage) meet(ctx context.Context, name string, size int) error {
	if size == 1 {
		return nil
	}
	s.mu.Lock()
	w := s.worlds[name]
	if w == nil {
		w = &world{full: make(chan struct{})}
		s.worlds[name] = w
	}
	if w.here++; w.here == size {
		close(w.full)
	}
	s.mu.Unlock()
	select {
	case <-w.full:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
