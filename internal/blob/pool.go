package blob

import (
	"cmp"
	"fmt"
	"math/bits"
	"os"
	"slices"
)

// smallest is the smallest slot: a page, since each slot can be mapped by itself.
var smallest = int64(os.Getpagesize())

const (
	largest = 1 << 20  // the largest slot that shares its segment with others
	slab    = 16 << 20 // a segment of slots holds at most this much
	perSlab = 256      // and at most that many
)

// pool says which pieces of which segments are free. It is plain data: it maps, makes and frees
// nothing. Its owner is the Store, under whose mutex it is called.
//
// Small blobs lie in slots of equal size, many to a segment; a large one has a segment of its
// own. What was freed last is given first, because it is warm in caches and page tables.
type pool struct {
	limit    int64
	bytes    int64               // of all segments, and of those that are just being made
	tick     uint64              // counts frees, to know which segment has been idle longest
	segments map[uint64]*segment // by id
	partial  map[int64][]*segment
	whole    []*segment // large segments that are free
}

// segment is a shared segment as the pool sees it. Fields above mem never change.
type segment struct {
	id   uint64
	size int64
	slot int64 // the size of its slots: size where there is one
	mem  memory

	free []int // numbers of free slots, the warmest last
	idle uint64
}

// slot is one piece of a segment; the zero slot is none.
type slot struct {
	seg *segment
	n   int
}

// off is where the slot begins in its segment.
func (s slot) off() int64 { return int64(s.n) * s.seg.slot }

func newPool(limit int64) *pool {
	return &pool{limit: limit, segments: map[uint64]*segment{}, partial: map[int64][]*segment{}}
}

func (g *segment) slots() int { return int(g.size / g.slot) }
func (g *segment) used() int  { return g.slots() - len(g.free) }

// roundUp is the size of slot for so many bytes: powers of two while they are small, then four
// steps to each doubling, so that at most a fifth is wasted and like sizes find each other.
func roundUp(size int64) int64 {
	if size <= smallest {
		return smallest
	}
	if size <= largest {
		return 1 << bits.Len64(uint64(size-1))
	}
	step := int64(1) << (bits.Len64(uint64(size-1)) - 3)
	return (size + step - 1) / step * step
}

// fresh is the shape of a new segment for a blob of that size.
func (p *pool) fresh(size int64) (segment, slot int64) {
	slot = roundUp(size)
	if slot > largest {
		return slot, slot
	}
	// A small pool is not to be one single slab.
	n := min(slab/slot, perSlab, max(p.limit/8/slot, 1))
	return n * slot, slot
}

// take finds a free slot for size bytes, false if there is none.
func (p *pool) take(size int64) (slot, bool) {
	want := roundUp(size)
	if want <= largest {
		// The last in the list got a slot back last, or is the one that is being filled.
		list := p.partial[want]
		if len(list) == 0 {
			return slot{}, false
		}
		return p.pop(list[len(list)-1]), true
	}
	best := -1
	for i, g := range p.whole {
		// A segment twice too large would be better kept for what needs it.
		if g.size >= size && g.size <= 2*want && (best < 0 || g.size <= p.whole[best].size) {
			best = i
		}
	}
	if best < 0 {
		return slot{}, false
	}
	return p.pop(p.whole[best]), true
}

// pop takes the warmest slot of g, which has one, and forgets g where it was the last.
func (p *pool) pop(g *segment) slot {
	n := g.free[len(g.free)-1]
	g.free = g.free[:len(g.free)-1]
	if len(g.free) == 0 {
		p.unlist(g)
	}
	return slot{g, n}
}

// list enters g, which has a free slot, where take looks.
func (p *pool) list(g *segment) {
	if g.slot > largest {
		p.whole = append(p.whole, g)
	} else {
		p.partial[g.slot] = append(p.partial[g.slot], g)
	}
}

func (p *pool) unlist(g *segment) {
	is := func(x *segment) bool { return x == g }
	if g.slot > largest {
		p.whole = slices.DeleteFunc(p.whole, is)
	} else {
		p.partial[g.slot] = slices.DeleteFunc(p.partial[g.slot], is)
	}
}

// add enters a new segment, whose bytes reserve has counted, with all its slots free.
func (p *pool) add(g *segment) {
	for n := g.slots() - 1; n >= 0; n-- {
		g.free = append(g.free, n)
	}
	p.segments[g.id] = g
	p.list(g)
}

// put takes a slot back. The segment counts as idle from now, whether or not this was its last slot
// in use.
func (p *pool) put(s slot) {
	if s.seg.free = append(s.seg.free, s.n); len(s.seg.free) == 1 {
		p.list(s.seg)
	}
	p.tick++
	s.seg.idle = p.tick
}

// reserve counts n bytes of a segment to be made, false where the limit forbids it. They are
// counted before they exist, since two who make segments at the same time must not pass the limit
// together.
func (p *pool) reserve(n int64) bool {
	if n > p.limit-p.bytes {
		return false
	}
	p.bytes += n
	return true
}

func (p *pool) unreserve(n int64) { p.bytes -= n }

// idle lists the segments that are wholly free, the longest idle first.
func (p *pool) idle() (out []*segment) {
	for _, g := range p.segments {
		if g.used() == 0 {
			out = append(out, g)
		}
	}
	slices.SortFunc(out, func(a, b *segment) int { return cmp.Compare(a.idle, b.idle) })
	return out
}

// spare is how large a segment could be made if all idle ones went.
func (p *pool) spare() int64 {
	n := p.limit - p.bytes
	for _, g := range p.idle() {
		n += g.size
	}
	return n
}

// trim takes idle segments out of the pool, the longest idle first, until a segment of need bytes
// may be made. If even all together would not do, it takes none: a warm segment is worth
// keeping. The caller destroys what it gets.
func (p *pool) trim(need int64) []*segment {
	if p.spare() < need {
		return nil
	}
	idle := p.idle()
	for i, g := range idle {
		if p.limit-p.bytes >= need {
			return idle[:i]
		}
		p.remove(g)
	}
	return idle
}

// clear takes all idle segments out of the pool; the caller destroys them.
func (p *pool) clear() []*segment {
	idle := p.idle()
	for _, g := range idle {
		p.remove(g)
	}
	return idle
}

// remove takes a wholly free segment out of the pool.
func (p *pool) remove(g *segment) {
	p.unlist(g)
	delete(p.segments, g.id)
	p.bytes -= g.size
}

// check compares the pool with who uses which slot according to the store, and with the bytes
// of segments being made.
func (p *pool) check(users map[slot]string, making int64) error {
	sum := making
	used := map[*segment]int{}
	for s, who := range users {
		if p.segments[s.seg.id] != s.seg || s.n < 0 || s.n >= s.seg.slots() || slices.Contains(s.seg.free, s.n) {
			return fmt.Errorf("%s uses slot %d of segment %d, which is free or unknown", who, s.n, s.seg.id)
		}
		used[s.seg]++
	}
	for id, g := range p.segments {
		sum += g.size
		if g.id != id || g.used() != used[g] {
			return fmt.Errorf("segment %d: %d slots given, %d used", id, g.used(), used[g])
		}
		listed := slices.Contains(p.whole, g) || slices.Contains(p.partial[g.slot], g)
		if listed != (len(g.free) > 0) {
			return fmt.Errorf("segment %d: listed as free is %v with %d free slots", id, listed, len(g.free))
		}
	}
	if sum != p.bytes || p.bytes > p.limit {
		return fmt.Errorf("pool of %d bytes counts %d, limit %d", sum, p.bytes, p.limit)
	}
	return nil
}

// pages is n rounded up to whole pages.
func pages(n int64) int64 {
	p := int64(os.Getpagesize())
	return (n + p - 1) / p * p
}
