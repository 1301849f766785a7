package blob

import (
	"container/list"
	"context"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// place is where bytes lie: in a slot, in a file, or nowhere, where there are none. A place has one
// owner at any time: an item, a build, or the function that is just moving bytes.
type place struct {
	slot slot
	file *file
}

// item is one sealed blob. Its fields are guarded by the store's mu; at does not change while it
// is pinned, so who has a pin may use it without.
//
// Its life: sealed it is cold, in memory and unused. A lease pins it; the last unpin makes it cold
// again. Under pressure a cold one is spilled: spill is set while its bytes are copied, and a
// reader who comes meanwhile reads the old place and so calls it off. In a file it is neither cold
// nor open. To be read it is loaded, into memory or by mapping its file; others wait for
// that. Without references it has no name, and is dying until nobody uses it.
type item struct {
	ref   tutti.Ref
	refs  map[Holder]int
	at    place
	pins  int           // leases: who reads it where it lies
	spill bool          // is being copied to a file
	load  chan struct{} // not nil: is being read back; closed at the end
	cold  *list.Element // its place in the store's lru; nil: cannot be spilled as it is now
	since uint64        // when it came there
}

// busy reports whether somebody needs the item's place as it is.
func (it *item) busy() bool { return it.pins > 0 || it.spill || it.load != nil }

// retire is called where an item may have lost its last reference or its last user; mu is held.
func (s *Store) retire(it *item) {
	// A second blob of the same name may be there: fetched, dropped and leased, and fetched again.
	if len(it.refs) == 0 && s.blobs[it.ref.Blob] == it {
		delete(s.blobs, it.ref.Blob)
		s.dying[it] = struct{}{}
	}
	s.chill(it)
	if len(it.refs) > 0 || it.busy() {
		return
	}
	delete(s.dying, it)
	s.vacate(it.at)
	it.at = place{}
}

// chill enters an item among the cold ones, or takes it out, as its state is now; mu is held.
func (s *Store) chill(it *item) {
	want := len(it.refs) > 0 && !it.busy() && it.at.slot.seg != nil
	switch {
	case want && it.cold == nil:
		s.cold.push(it)
	case !want && it.cold != nil:
		s.cold.remove(it)
	}
}

// vacate gives a place back; mu is held. Slow work on files is left for unlock, but a slot must be
// poisoned before anybody else can get it.
func (s *Store) vacate(p place) {
	if f := p.file; f != nil {
		s.disk -= f.size
		s.unlink(f)
		s.garbage = append(s.garbage, f.close())
	}
	if p.slot.seg == nil {
		return
	}
	if s.cfg.Poison {
		if b, err := p.slot.seg.mem.view(p.slot.off(), p.slot.seg.slot, true); err == nil {
			fillPoison(b)
		}
	}
	s.pool.put(p.slot)
	if s.closed { // nobody will come for a warm segment
		s.discard(s.pool.clear())
	}
}

// unlink has a file's name removed; who maps it keeps it. mu is held.
func (s *Store) unlink(f *file) {
	s.garbage = append(s.garbage, func() { _ = shm.Remove(f.path) }) // what stays is stale, and the next start's
}

// hold adds a reference, and enters it in the index by holder, without which the death of a holder
// would mean a search through all blobs. mu is held.
func (s *Store) hold(it *item, h Holder) {
	it.refs[h]++
	ids := s.holders[h]
	if ids == nil {
		ids = map[tutti.BlobID]struct{}{}
		s.holders[h] = ids
	}
	ids[it.ref.Blob] = struct{}{}
}

// drop takes a reference back. One that does not exist is ignored: whoever drops may race with
// DropHolder, which has dropped it already.
func (s *Store) drop(id tutti.BlobID, h Holder) {
	s.mu.Lock()
	defer s.unlock()
	it := s.blobs[id]
	if it == nil || it.refs[h] == 0 {
		return
	}
	if it.refs[h]--; it.refs[h] == 0 {
		delete(it.refs, h)
		delete(s.holders[h], id)
		if len(s.holders[h]) == 0 {
			delete(s.holders, h)
		}
	}
	s.retire(it)
}

// find looks a blob up, and holds its size against the one that the asker has been told, since
// he will believe it. mu is held.
func (s *Store) find(op string, ref tutti.Ref) (*item, error) {
	if s.closed {
		return nil, tutti.Errorf(op, tutti.Closed, "the store of node %d is closed", s.cfg.Node)
	}
	it := s.blobs[ref.Blob]
	if it == nil {
		return nil, tutti.Errorf(op, tutti.NotFound, "no blob %v on node %d", ref.Blob, s.cfg.Node)
	}
	if it.ref.Size != ref.Size {
		return nil, tutti.Errorf(op, tutti.Invalid, "blob %v has %d bytes, not %d", ref.Blob, it.ref.Size, ref.Size)
	}
	return it, nil
}

// tryPin is pin for a blob that is ready to be read; ok is false where it must be read back first.
func (s *Store) tryPin(ref tutti.Ref) (it *item, ok bool, err error) {
	s.mu.Lock()
	defer s.unlock()
	if it, err = s.find("open blob", ref); err != nil {
		return nil, false, err
	}
	if it.load != nil || it.at.file != nil && it.at.file.mem == nil {
		return it, false, nil
	}
	it.pins++
	s.chill(it)
	return it, true, nil
}

// pin keeps a blob where it lies, in memory or in a mapped file, until unpin.
func (s *Store) pin(ctx context.Context, ref tutti.Ref) (*item, error) {
	for {
		it, ok, err := s.tryPin(ref)
		if err != nil || ok {
			return it, err
		}
		if pinned, err := s.thaw(ctx, it); err != nil || pinned {
			return it, err
		}
	}
}

// unpin ends a pin. A file stays open only as long as somebody reads it: there may be many.
func (s *Store) unpin(it *item) {
	s.mu.Lock()
	defer s.unlock()
	it.pins--
	if f := it.at.file; f != nil && it.pins == 0 {
		s.garbage = append(s.garbage, f.close())
	}
	s.retire(it)
}

// lease makes a lease of a pin, which ends with it; where it fails the pin has ended too. Mapping
// may take milliseconds, so it is done without mu.
func (s *Store) lease(it *item, m Mode) (*Lease, error) {
	mem, off := it.at.where()
	s.mu.Lock()
	ref := it.ref
	s.mu.Unlock()
	return newLease(ref, mem, off, m, func() { s.unpin(it) })
}

// where is the memory behind a place that is pinned or being built.
func (p place) where() (*memory, int64) {
	switch {
	case p.file != nil:
		return p.file.mem, 0
	case p.slot.seg != nil:
		return &p.slot.seg.mem, p.slot.off()
	}
	return nil, 0
}
