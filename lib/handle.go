package main

// #include "internal.h"
import "C"

import (
	"sync"
	"sync/atomic"
)

// A handle has its place in the table in the lower bits and above them how often the place has
// been given out before.
const (
	placeBits   = 20
	generations = 1 << (31 - placeBits)
)

type slot[T any] struct {
	handle int32
	v      T
}

// table gives out numbers for things. Looking one up takes no lock.
type table[T any] struct {
	slots atomic.Pointer[[]atomic.Pointer[slot[T]]]

	mu   sync.Mutex
	gens []int32
	free []int32 // places, the last one first
}

// newTable makes a table whose first n handles [table.put] never gives out.
func newTable[T any](n int) *table[T] {
	t := &table[T]{gens: make([]int32, n)}
	s := make([]atomic.Pointer[slot[T]], max(2*n, 16))
	t.slots.Store(&s)
	return t
}

// get finds what h stands for; nil if it is no handle, or not any more.
func (t *table[T]) get(h C.int32_t) *T {
	s := *t.slots.Load()
	place := int(h & (1<<placeBits - 1))
	if place < len(s) {
		if e := s[place].Load(); e != nil && e.handle == int32(h) {
			return &e.v
		}
	}
	return nil
}

// set gives a reserved handle a meaning; nil takes it away.
func (t *table[T]) set(h int32, v *T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	var e *slot[T]
	if v != nil {
		e = &slot[T]{h, *v}
	}
	(*t.slots.Load())[h].Store(e)
}

// put gives v a handle; 0 if there are none left.
func (t *table[T]) put(v T) C.int32_t {
	t.mu.Lock()
	defer t.mu.Unlock()
	var place int32
	if n := len(t.free); n > 0 {
		place, t.free = t.free[n-1], t.free[:n-1]
	} else {
		if place = int32(len(t.gens)); place == 1<<placeBits {
			return 0
		}
		t.gens = append(t.gens, 0)
		t.grow(int(place))
	}
	h := t.gens[place]<<placeBits | place
	(*t.slots.Load())[place].Store(&slot[T]{h, v})
	return C.int32_t(h)
}

func (t *table[T]) grow(place int) {
	old := *t.slots.Load()
	if place < len(old) {
		return
	}
	s := make([]atomic.Pointer[slot[T]], 2*len(old))
	for i := range old {
		s[i].Store(old[i].Load())
	}
	t.slots.Store(&s)
}

// drop forgets a handle that put has given.
func (t *table[T]) drop(h C.int32_t) {
	t.mu.Lock()
	defer t.mu.Unlock()
	place := int32(h & (1<<placeBits - 1))
	e := (*t.slots.Load())[place].Swap(nil)
	if e == nil {
		return
	}
	t.gens[place] = (t.gens[place] + 1) % generations
	t.free = append(t.free, place)
}

// each calls f with every handle; f may drop it.
func (t *table[T]) each(f func(h int32, v *T)) {
	s := *t.slots.Load()
	for i := range s {
		if e := s[i].Load(); e != nil {
			f(e.handle, &e.v)
		}
	}
}

// replace gives a handle another meaning, if it has one.
func (t *table[T]) replace(h C.int32_t, v T) {
	t.mu.Lock()
	defer t.mu.Unlock()
	at := &(*t.slots.Load())[h&(1<<placeBits-1)]
	if e := at.Load(); e != nil && e.handle == int32(h) {
		at.Store(&slot[T]{int32(h), v})
	}
}
