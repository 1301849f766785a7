package sched

// ref names an item of a slab; 0 is none. Tasks and edges are many, so they name each other by
// four bytes instead of eight, and live in chunks that never move.
type ref uint32

const chunkBits = 10

// slab keeps items of one type in chunks and uses the places of those given back again.
type slab[T any] struct {
	chunks []*[1 << chunkBits]T
	free   []ref
	next   ref
}

// at is the item r names; it stays at its address until it is given back.
func (l *slab[T]) at(r ref) *T { return &l.chunks[r>>chunkBits][r&(1<<chunkBits-1)] }

// take makes a zero item.
func (l *slab[T]) take() (ref, *T) {
	if n := len(l.free); n > 0 {
		r := l.free[n-1]
		l.free = l.free[:n-1]
		return r, l.at(r)
	}
	l.next++
	if int(l.next>>chunkBits) >= len(l.chunks) {
		l.chunks = append(l.chunks, new([1 << chunkBits]T))
	}
	return l.next, l.at(l.next)
}

// give returns an item; its pointers are cleared so that nothing is kept alive by it.
func (l *slab[T]) give(r ref) {
	var zero T
	*l.at(r) = zero
	l.free = append(l.free, r)
}

// len is the number of items in use.
func (l *slab[T]) len() int { return int(l.next) - len(l.free) }
