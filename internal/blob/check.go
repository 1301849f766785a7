package blob

import (
	"fmt"

	"github.com/tutti-hpc/tutti"
)

// Check looks whether the store's accounts agree with each other: each slot has one user, sums
// are right, the index of holders says what the blobs say, what is cold may be spilled; and in
// checking mode that nobody has written into freed memory. It may be called at any time.
// The error is of kind Internal.
func (s *Store) Check() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, check := range []func() error{s.checkPlaces, s.checkHolders, s.checkCold, s.checkPoison} {
		if err := check(); err != nil {
			return tutti.E("check blob store", tutti.Internal, err)
		}
	}
	return nil
}

// all calls f for each item, with or without references.
func (s *Store) all(f func(*item) error) error {
	for id, it := range s.blobs {
		if it.ref.Blob != id || len(it.refs) == 0 {
			return fmt.Errorf("blob %v is entered as %v with %d references", it.ref.Blob, id, len(it.refs))
		}
		if err := f(it); err != nil {
			return fmt.Errorf("blob %v: %w", id, err)
		}
	}
	for it := range s.dying {
		if len(it.refs) > 0 || !it.busy() {
			return fmt.Errorf("blob %v is dying with %d references and %d leases", it.ref.Blob, len(it.refs), it.pins)
		}
		if err := f(it); err != nil {
			return fmt.Errorf("dying blob %v: %w", it.ref.Blob, err)
		}
	}
	return nil
}

// checkPlaces: each blob and build lies in one place, nobody else in the same one, and bytes in
// memory and on disk are what they have together.
func (s *Store) checkPlaces() error {
	users := map[slot]string{}
	var disk int64
	moving := false
	enter := func(at place, size int64, who string) error {
		if at.slot.seg != nil {
			if users[at.slot] != "" {
				return fmt.Errorf("shares its slot with %s", users[at.slot])
			}
			users[at.slot] = who
		}
		if at.file != nil {
			disk += at.file.size
		}
		if places := at.slot.seg != nil; places == (at.file != nil) && size > 0 {
			return fmt.Errorf("%d bytes lie in no place, or in two", size)
		}
		return nil
	}
	err := s.all(func(it *item) error {
		moving = moving || it.spill || it.load != nil
		if it.pins < 0 || it.pins > 0 && it.at.file != nil && it.at.file.mem == nil {
			return fmt.Errorf("%d leases, and its file is closed", it.pins)
		}
		return enter(it.at, it.ref.Size, it.ref.Blob.String())
	})
	for b := range s.builds {
		if err == nil {
			err = enter(b.at, b.size, "a builder of "+string(b.holder))
		}
	}
	// What is on the way has a place that nobody's books show: the sums wait for a quiet moment.
	if err != nil || moving || s.starting > 0 {
		return err
	}
	if disk != s.disk {
		return fmt.Errorf("files of %d bytes count as %d", disk, s.disk)
	}
	return s.pool.check(users, s.making)
}

// checkHolders: the index by holder and the references of the blobs say the same.
func (s *Store) checkHolders() error {
	n := 0
	for _, it := range s.blobs {
		for h, refs := range it.refs {
			if _, ok := s.holders[h][it.ref.Blob]; !ok || refs <= 0 {
				return fmt.Errorf("%d references of %s to %v, in the index: %v", refs, h, it.ref.Blob, ok)
			}
			n++
		}
	}
	for h, ids := range s.holders {
		if n -= len(ids); len(ids) == 0 {
			return fmt.Errorf("holder %s holds nothing", h)
		}
	}
	if n != 0 {
		return fmt.Errorf("the index of holders lacks %d references", n)
	}
	return nil
}

// checkCold: listed for spilling is what may be spilled, and nothing else.
func (s *Store) checkCold() error {
	n := 0
	err := s.all(func(it *item) error {
		want := len(it.refs) > 0 && !it.busy() && it.at.slot.seg != nil
		if want != (it.cold != nil) {
			return fmt.Errorf("may be spilled is %v, and listed so is %v", want, !want)
		}
		if want {
			n++
		}
		return nil
	})
	var bytes int64
	for size, l := range s.cold.lists {
		n -= l.Len()
		bytes += size * int64(l.Len())
	}
	if err == nil && (n != 0 || bytes != s.cold.bytes) {
		err = fmt.Errorf("%d cold blobs not listed, %d bytes count as %d", n, bytes, s.cold.bytes)
	}
	return err
}

// checkPoison: in checking mode nobody has written into a slot that is free.
func (s *Store) checkPoison() error {
	if !s.cfg.Poison {
		return nil
	}
	for _, g := range s.pool.segments {
		for _, n := range g.free {
			b, err := g.mem.view(slot{g, n}.off(), g.slot, false)
			if err != nil {
				return err
			}
			if !poisoned(b) {
				return fmt.Errorf("free slot %d of segment %d was written into", n, g.id)
			}
		}
	}
	return nil
}
