package blob

import (
	"context"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// allocate finds a place for size bytes: a warm slot; else a new segment, for which idle segments
// and then the blobs longest unused make way; else a file.
func (s *Store) allocate(ctx context.Context, size int64) (place, error) {
	if size == 0 {
		return place{}, nil
	}
	for {
		// Each turn may spill a blob, which takes as long as the disk wants.
		if err := ctx.Err(); err != nil {
			return place{}, tutti.E("make blob", tutti.KindOf(err), err)
		}
		at, again, err := s.attempt(size, true)
		if err != nil || at.slot.seg != nil {
			return at, err
		}
		if !again {
			f, err := s.newFile(size)
			return place{file: f}, err
		}
	}
}

// attempt takes one step towards a slot for size bytes. No slot and again set means: it is nearer
// now; without again, there is no memory. Blobs are spilled only where evict allows it.
func (s *Store) attempt(size int64, evict bool) (at place, again bool, err error) {
	s.mu.Lock()
	defer s.unlock()
	if s.closed {
		return place{}, false, tutti.Errorf("make blob", tutti.Closed, "the store of node %d is closed", s.cfg.Node)
	}
	if sl, ok := s.pool.take(size); ok {
		return place{slot: sl}, true, nil
	}
	need, slotSize := s.pool.fresh(size)
	if s.pool.reserve(need) {
		sl, again := s.grow(need, slotSize)
		return place{slot: sl}, again, nil
	}
	if gone := s.pool.trim(need); len(gone) > 0 {
		s.discard(gone)
		return place{}, true, nil
	}
	if it := s.victim(need, slotSize); evict && it != nil {
		return place{}, true, s.freeze(it)
	}
	return place{}, false, nil
}

// victim is the item to spill for a segment of need bytes or one slot, nil where that would not
// help: if all that could be spilled were too little, it may as well stay. mu is held.
func (s *Store) victim(need, slotSize int64) *item {
	// A slot of the right size is worth more than the oldest blob, whose going may free a few pages
	// in a segment that stays.
	if slotSize <= largest {
		if it := s.cold.oldest(slotSize); it != nil {
			return it
		}
	}
	if s.cold.bytes+s.pool.spare() < need {
		return nil
	}
	return s.cold.oldestOfAll()
}

// grow makes a segment, for which need bytes are reserved, and takes a slot of it. Where there is
// no memory it gives idle segments back to the system; no slot and again then mean: try once
// more. It is called and returns with mu held, and lets go of it meanwhile.
func (s *Store) grow(need, slotSize int64) (sl slot, again bool) {
	s.making += need
	s.segment++
	g := &segment{id: s.segment, size: need, slot: slotSize}
	s.unlock()
	err := s.create(g)
	s.mu.Lock()
	s.making -= need
	if err != nil {
		s.pool.unreserve(need)
		gone := s.pool.clear()
		s.discard(gone)
		return slot{}, len(gone) > 0
	}
	s.pool.add(g)
	if s.closed {
		s.discard(s.pool.clear())
		return slot{}, true
	}
	return s.pool.pop(g), true
}

// create makes a segment's memory. One with a name loses it at once: its descriptor is passed on.
func (s *Store) create(g *segment) (err error) {
	if s.cfg.Dir == "" {
		g.mem.Segment, err = shm.Anonymous(label, g.size)
	} else if g.mem.Segment, err = shm.Create(s.cfg.Dir, label, g.size); err == nil {
		err = g.mem.Unlink()
	}
	if err != nil || !s.cfg.Poison {
		return err
	}
	b, err := g.mem.view(0, g.size, true)
	fillPoison(b)
	return err
}

// freeze spills an item that was cold. It is called and returns with mu held, and lets go of it
// meanwhile; who opens the item then reads it where it was, and it stays there.
func (s *Store) freeze(it *item) error {
	it.spill = true
	s.chill(it)
	from := it.at.slot
	s.unlock()
	f, err := s.write(from, it.ref.Size)
	s.mu.Lock()
	s.frozen(it, f, err)
	return err
}

// frozen ends a spill that was written to f, or failed: the item moves there only if nobody came
// meanwhile to read it. mu is held.
func (s *Store) frozen(it *item, f *file, err error) {
	it.spill = false
	switch {
	case err != nil: // it stays where it is, and so does everything else
	case it.pins > 0:
		s.vacate(place{file: f})
	default:
		from := it.at.slot
		it.at = place{file: f}
		it.ref.Sum = f.sum
		s.vacate(place{slot: from})
	}
	s.retire(it)
}
