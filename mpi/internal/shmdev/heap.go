package shmdev

import (
	"sync"
	"sync/atomic"
	"time"
)

// heap is the arena of ranks that are goroutines: ordinary memory, made when first asked for, so
// that the race detector sees every access.
type heap struct {
	n      int
	head   header
	states []atomic.Uint32
	pages  []rankPage
	bells  []chan struct{}
	mu     sync.Mutex
	pairs  map[[2]int]pair
	areas  map[int]area
	lent   sync.Map // request number of a rank: the buffer it lends to a peer
	shared sync.Map // number of a window: its memory
}

func newHeap(n int) *heap {
	h := &heap{
		n: n, states: make([]atomic.Uint32, n/4+1), pages: make([]rankPage, n), bells: make([]chan struct{}, n),
		pairs: map[[2]int]pair{}, areas: map[int]area{},
	}
	for i := range h.bells {
		h.bells[i] = make(chan struct{}, 1)
	}
	h.head.magic, h.head.version, h.head.ranks, h.head.payload = magic, version, uint32(n), payloadFor(max(n, 8))
	h.head.areas.Store(1)
	h.areas[0] = area{0, new(areaHead), make([]areaRank, n)}
	return h
}

func (h *heap) header() *header                { return &h.head }
func (h *heap) roster(rank int) *atomic.Uint32 { return &h.states[rank/4] }
func (h *heap) rank(r int) *rankPage           { return &h.pages[r] }
func (h *heap) inProcess() bool                { return true }
func (h *heap) close() error                   { return nil }

func (h *heap) pair(src, dst int, _ bool) (pair, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	k := [2]int{src, dst}
	p, ok := h.pairs[k]
	if !ok {
		p = pair{new(ringHead), new(ringSlots), make([]byte, h.head.payload)}
		h.pairs[k] = p
	}
	return p, nil
}

// An area is made anew by the rank that reserves it; the others ask after they heard its number.
func (h *heap) area(index, ranks int, reserve bool) (area, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if reserve {
		h.areas[index] = area{index, new(areaHead), make([]areaRank, ranks)}
	}
	return h.areas[index], nil
}

func (h *heap) sleep(r int, _ uint32, limit int64) {
	if limit <= 0 {
		<-h.bells[r]
		return
	}
	t := time.NewTimer(time.Duration(limit))
	defer t.Stop()
	select {
	case <-h.bells[r]:
	case <-t.C:
	}
}

func (h *heap) wake(r int) {
	select {
	case h.bells[r] <- struct{}{}:
	default:
	}
}
