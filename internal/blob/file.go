package blob

import (
	"context"
	"fmt"
	"hash/crc32"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// file is a blob's bytes on disk, in a file of mode 0600 whose name says whose it is. It is open
// only while it is written or leased, so that many can lie there.
type file struct {
	path string
	size int64
	sum  uint32  // of the bytes, once they are all written
	mem  *memory // nil: not open. The store's mu guards it once the blob is sealed; before, it is the builder's
}

// newFile makes an open file with all its blocks reserved, and counts it.
func (s *Store) newFile(size int64) (*file, error) {
	s.mu.Lock()
	over := s.cfg.Disk > 0 && size > s.cfg.Disk-s.disk
	if !over {
		s.disk += size
	}
	s.mu.Unlock()
	if over {
		return nil, s.noRoom(size, shm.ErrFull)
	}
	seg, err := shm.Create(s.cfg.Spill, label, size)
	if err != nil {
		s.mu.Lock()
		s.disk -= size
		s.mu.Unlock()
		return nil, s.noRoom(size, err)
	}
	return &file{path: seg.Path(), size: size, mem: &memory{Segment: seg}}, nil
}

// noRoom says what was tried and where a person can make room.
func (s *Store) noRoom(size int64, err error) error {
	s.mu.Lock()
	mem, disk := s.pool.bytes, s.disk
	s.mu.Unlock()
	limit := "no limit is set"
	if s.cfg.Disk > 0 {
		limit = "limit " + mib(s.cfg.Disk)
	}
	e := tutti.Errorf("make blob", tutti.KindOf(sorted("", err)), "%d bytes fit neither into memory nor into %s: %w", size, s.cfg.Spill, err)
	return e.WithHint("shared memory has %s (limit %s), spilled blobs in %s have %s (%s): "+
		"make room there, name a larger folder, raise the limits, or drop results no longer needed",
		mib(mem), mib(s.cfg.Memory), s.cfg.Spill, mib(disk), limit)
}

func mib(n int64) string { return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20)) }

// write copies n bytes of a slot into a new file.
func (s *Store) write(from slot, n int64) (*file, error) {
	b, err := from.seg.mem.view(from.off(), n, false)
	if err != nil {
		return nil, err
	}
	f, err := s.newFile(n)
	if err != nil {
		return nil, err
	}
	// In steps, so that the checksum is taken of bytes that the copy then finds in the cache.
	const step = 4 << 20
	for off := int64(0); off < n && err == nil; off += step {
		part := b[off:min(off+step, n)]
		f.sum = crc32.Update(f.sum, castagnoli, part)
		_, err = f.mem.File().WriteAt(part, off)
	}
	// Some network file systems report only now that there was no room.
	if cerr := f.mem.Close(); err == nil {
		err = cerr
	}
	f.mem = nil
	if err == nil {
		return f, nil
	}
	s.mu.Lock()
	s.vacate(place{file: f})
	s.unlock()
	return nil, s.noRoom(n, err)
}

// finish closes a file that was written through a mapping, here or in another process, and takes
// its checksum, by which open knows it again.
func (f *file) finish() error {
	b, err := f.mem.view(0, f.size, false)
	if err != nil {
		return err
	}
	f.sum = crc32.Checksum(b, castagnoli)
	f.mem.destroy()
	f.mem = nil
	return nil
}

// open maps the file and sees whether it is still what was written: others can reach the folder,
// and reading beyond the end of a file that was cut would be a SIGBUS. It reads all of it, which
// also brings it into the page cache. Errors: NotFound, Corrupt, Full.
func (f *file) open() (*memory, error) {
	seg, err := shm.Open(f.path)
	if err != nil {
		return nil, sorted("read blob back", err)
	}
	m := &memory{Segment: seg}
	b, err := m.view(0, min(f.size, seg.Size()), false)
	if err == nil && (seg.Size() != f.size || crc32.Checksum(b, castagnoli) != f.sum) {
		err = tutti.Errorf("read blob back", tutti.Corrupt, "%s is not what was written", f.path)
	}
	if err != nil {
		m.destroy()
		return nil, err
	}
	return m, nil
}

// close takes the open file out of f; mu is held, and the caller destroys what it gets without it.
func (f *file) close() func() {
	m := f.mem
	f.mem = nil
	return func() {
		if m != nil {
			m.destroy()
		}
	}
}

// thaw makes a spilled blob readable: in memory, where there is room without spilling another, else
// as a mapped file. With pinned it has the pin that its caller wants; without, look again: who
// comes second waits here for the first.
func (s *Store) thaw(ctx context.Context, it *item) (pinned bool, err error) {
	s.mu.Lock()
	if ch := it.load; ch != nil {
		s.mu.Unlock()
		select {
		case <-ch:
			return false, nil
		case <-ctx.Done():
			return false, tutti.Errorf("open blob", tutti.KindOf(ctx.Err()), "waiting until %v is read from disk: %w", it.ref.Blob, ctx.Err())
		}
	}
	f := it.at.file
	if f == nil || f.mem != nil || len(it.refs) == 0 { // it changed meanwhile
		s.mu.Unlock()
		return false, nil
	}
	it.load = make(chan struct{})
	s.mu.Unlock()

	mem, err := f.open()
	var to slot
	if err == nil {
		to = s.warm(mem)
	}
	s.mu.Lock()
	defer s.unlock()
	close(it.load)
	it.load = nil
	switch {
	case to.seg != nil:
		it.at = place{slot: to}
		s.vacate(place{file: f})
		s.garbage = append(s.garbage, mem.destroy)
	case err == nil:
		f.mem = mem
	}
	if err == nil {
		it.pins++
	}
	s.retire(it)
	return err == nil, err
}

// warm copies a file into a slot, if one can be had without spilling another blob: two blobs that
// push each other out at every turn would be slower than a mapped file, which the system caches anyway.
func (s *Store) warm(from *memory) slot {
	for again := true; again; {
		var at place
		var err error
		if at, again, err = s.attempt(from.Size(), false); err != nil {
			return slot{}
		}
		if at.slot.seg == nil {
			continue
		}
		src, err := from.view(0, from.Size(), false)
		dst, derr := at.slot.seg.mem.view(at.slot.off(), from.Size(), true)
		if err == nil && derr == nil {
			copy(dst, src)
			return at.slot
		}
		s.mu.Lock()
		s.vacate(at)
		s.unlock()
		return slot{}
	}
	return slot{}
}
