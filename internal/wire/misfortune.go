package wire

import (
	"container/heap"
	"errors"
	"io"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"
)

// Misfortune is what may befall each frame on a [Memory] network. The zero value is fair weather.
type Misfortune struct {
	Loss      float64                        // probability that a frame vanishes
	Duplicate float64                        // probability that it arrives twice
	Delay     func(*rand.Rand) time.Duration // how long it takes; nil: no time
	Ordered   bool                           // delays do not reorder, as on one TCP connection
}

// Uniform delays evenly between lo and hi.
func Uniform(lo, hi time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return lo + time.Duration(r.Int64N(int64(hi-lo)+1)) }
}

// Exponential delays by mean on average, now and then much longer.
func Exponential(mean time.Duration) func(*rand.Rand) time.Duration {
	return func(r *rand.Rand) time.Duration { return time.Duration(r.ExpFloat64() * float64(mean)) }
}

// pair names two hosts: in that direction for silence, sorted for misfortune.
type pair struct{ a, b string }

func sorted(a, b string) pair { return pair{min(a, b), max(a, b)} }

// knobs is the state of all that can go wrong on a Memory, which guards it.
type knobs struct {
	general Misfortune
	between map[pair]Misfortune
	silent  map[pair]bool // from a to b nothing arrives
}

func (k *knobs) silenced(from, to string) bool { return k.silent[pair{from, to}] }

func (k *knobs) path(from, to string) *path {
	m, ok := k.between[sorted(from, to)]
	if !ok {
		m = k.general
	}
	p := &path{Misfortune: m, silent: k.silenced(from, to)}
	if !p.silent && m.Loss <= 0 && m.Duplicate <= 0 && m.Delay == nil {
		return nil
	}
	return p
}

// path is what a way looks up for each write; nil in fair weather.
type path struct {
	Misfortune
	silent bool
}

// Set gives all hosts that [Memory.SetBetween] does not name their misfortune, from now on.
func (m *Memory) Set(f Misfortune) { m.turn(func(k *knobs) { k.general = f }) }

// SetBetween gives two hosts their own misfortune, in both directions.
func (m *Memory) SetBetween(a, b string, f Misfortune) {
	m.turn(func(k *knobs) { k.between[sorted(a, b)] = f })
}

// Partition lets nothing through between two hosts: connections stay open and silent, dialling
// gets no answer.
func (m *Memory) Partition(a, b string) {
	m.turn(func(k *knobs) { k.silent[pair{a, b}], k.silent[pair{b, a}] = true, true })
}

// Silence swallows what one host sends to another; the other direction works.
func (m *Memory) Silence(from, to string) {
	m.turn(func(k *knobs) { k.silent[pair{from, to}] = true })
}

// Mend ends the partition and the silence between two hosts. What was swallowed stays lost.
func (m *Memory) Mend(a, b string) {
	m.turn(func(k *knobs) { delete(k.silent, pair{a, b}); delete(k.silent, pair{b, a}) })
}

// turn changes the knobs and tells the live connections.
func (m *Memory) turn(f func(*knobs)) {
	m.mu.Lock()
	defer m.mu.Unlock()
	f(&m.knobs)
	for c := range m.conns {
		c.way.set(m.knobs.path(c.host, c.peer))
		c.other.way.set(m.knobs.path(c.peer, c.host))
	}
}

// errCut is what both ends of a connection see that was cut on purpose.
var errCut = errors.New("the connection was cut")

// Cut breaks every connection between two hosts now and says how many; they may dial again.
func (m *Memory) Cut(a, b string) int {
	return m.cutIf(func(c *memoryConn) bool { return sorted(c.host, c.peer) == sorted(a, b) })
}

// CutAll breaks every connection of the network now and says how many.
func (m *Memory) CutAll() int { return m.cutIf(func(*memoryConn) bool { return true }) }

func (m *Memory) cutIf(hit func(*memoryConn) bool) int {
	m.mu.Lock()
	var cs []*memoryConn
	for c := range m.conns {
		if hit(c) {
			cs = append(cs, c)
		}
	}
	m.mu.Unlock()
	for _, c := range cs {
		c.cut(errCut)
	}
	return len(cs)
}

// way is one direction of a connection: it decides what befalls frames and holds the delayed.
type way struct {
	to   *memoryConn
	path atomic.Pointer[path]

	mu      sync.Mutex // guards what follows
	draw    *rand.Rand
	flying  flight
	n       uint64    // breaks ties in flying
	last    time.Time // when the last frame so far will land
	timer   *time.Timer
	stopped bool
}

func (w *way) set(p *path) { w.path.Store(p) }

// send passes frames on at once, in fair weather and when none is still in the air.
func (w *way) send(frames []Frame) {
	p := w.path.Load()
	if p == nil {
		w.mu.Lock()
		clear := len(w.flying) == 0 && !w.stopped
		w.mu.Unlock()
		if clear {
			w.to.deliver(frames)
			return
		}
		p = &path{Misfortune: Misfortune{Ordered: true}}
	}
	if p.silent {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	for _, f := range frames {
		if w.draw.Float64() >= p.Loss {
			w.launch(f, now, p)
		}
		if w.draw.Float64() < p.Duplicate {
			w.launch(f, now, p)
		}
	}
	w.land(now)
}

// launch puts one frame into the air; w.mu is held.
func (w *way) launch(f Frame, now time.Time, p *path) {
	if w.stopped {
		return
	}
	due := now
	if p.Delay != nil {
		due = now.Add(max(0, p.Delay(w.draw)))
	}
	if p.Ordered && due.Before(w.last) {
		due = w.last
	}
	if due.After(w.last) {
		w.last = due
	}
	w.n++
	heap.Push(&w.flying, flyer{due: due, n: w.n, frame: f})
}

// land delivers what is due and sets the timer for the rest; w.mu is held.
func (w *way) land(now time.Time) {
	var due []Frame
	for len(w.flying) > 0 && !w.flying[0].due.After(now) {
		f := heap.Pop(&w.flying).(flyer).frame
		if f.Type == 0 { // the end, see below
			w.to.deliver(due)
			w.to.fail(io.EOF)
			return
		}
		due = append(due, f)
	}
	if len(due) > 0 {
		w.to.deliver(due)
	}
	if len(w.flying) == 0 || w.stopped {
		return
	}
	if wait := w.flying[0].due.Sub(now); w.timer == nil {
		w.timer = time.AfterFunc(wait, w.later)
	} else {
		w.timer.Reset(wait)
	}
}

func (w *way) later() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.stopped {
		w.land(time.Now())
	}
}

// end lets EOF follow what is in the air. A frame of type 0 stands for it.
func (w *way) end() {
	p := w.path.Load()
	if p != nil && p.silent {
		w.stop()
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	now := time.Now()
	w.launch(Frame{}, now, &path{Misfortune: Misfortune{Ordered: true}})
	w.land(now)
}

// stop loses what is in the air, and all that follows.
func (w *way) stop() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.stopped = true
	w.flying = nil
	if w.timer != nil {
		w.timer.Stop()
	}
}

// flyer is a frame in the air.
type flyer struct {
	due   time.Time
	n     uint64
	frame Frame
}

// flight orders flyers by when they land, then by when they started.
type flight []flyer

func (h flight) Len() int { return len(h) }
func (h flight) Less(i, j int) bool {
	return h[i].due.Before(h[j].due) || h[i].due.Equal(h[j].due) && h[i].n < h[j].n
}
func (h flight) Swap(i, j int) { h[i], h[j] = h[j], h[i] }
func (h *flight) Push(x any)   { *h = append(*h, x.(flyer)) }
func (h *flight) Pop() any {
	old := *h
	f := old[len(old)-1]
	old[len(old)-1] = flyer{}
	*h = old[:len(old)-1]
	return f
}
