package blob

import (
	"context"

	"github.com/tutti-hpc/tutti"
)

// build is one blob being written. It is owned by who writes it; the store knows it only for its
// accounts, and for Close, which removes its file.
type build struct {
	id     tutti.BlobID // zero: the store names it when it is sealed
	size   int64
	at     place
	holder Holder
}

// begin makes room for a blob. An id is given for a blob that was made elsewhere; it must not be
// here, but may come to be here while it is written: seal says so.
func (s *Store) begin(ctx context.Context, h Holder, id tutti.BlobID, size int64) (*build, error) {
	if size < 0 || size > 1<<46 {
		return nil, tutti.Errorf("make blob", tutti.Invalid, "size of %d bytes", size)
	}
	s.mu.Lock()
	s.starting++ // the place is known to nobody until it is a build's: Check must not miss it
	s.mu.Unlock()
	at, err := s.allocate(ctx, size)
	s.mu.Lock()
	defer s.unlock()
	s.starting--
	if err != nil {
		return nil, err
	}
	b := &build{id: id, size: size, at: at, holder: h}
	if s.closed {
		s.vacate(at)
		return nil, tutti.Errorf("make blob", tutti.Closed, "the store of node %d is closed", s.cfg.Node)
	}
	s.builds[b] = struct{}{}
	return b, nil
}

// tryBegin is begin where a warm slot is free, else nil: it waits for nothing, so that a session
// can answer at once.
func (s *Store) tryBegin(h Holder, size int64) *build {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed || size <= 0 || size > s.pool.limit {
		return nil
	}
	sl, ok := s.pool.take(size)
	if !ok {
		return nil
	}
	b := &build{size: size, at: place{slot: sl}, holder: h}
	s.builds[b] = struct{}{}
	return b
}

// abort ends a build that is not to become a blob.
func (s *Store) abort(b *build) {
	s.mu.Lock()
	defer s.unlock()
	delete(s.builds, b)
	s.vacate(b.at)
}

// seal makes a blob of a build, with one reference of its holder. The sum is the checksum if it is
// known already: taking it of bytes in memory would cost as much as the rest of their journey.
// Errors: Closed, Exists; those of the file. The build is gone in any case.
func (s *Store) seal(b *build, sum uint32) (tutti.Ref, error) {
	if f := b.at.file; f != nil {
		if err := f.finish(); err != nil {
			s.abort(b)
			return tutti.Ref{}, err
		}
		sum = f.sum
	}
	s.mu.Lock()
	defer s.unlock()
	delete(s.builds, b)
	if s.closed {
		s.vacate(b.at)
		return tutti.Ref{}, tutti.Errorf("seal blob", tutti.Closed, "the store of node %d is closed", s.cfg.Node)
	}
	if b.id.IsZero() {
		s.serial++
		b.id = tutti.BlobID{Node: s.cfg.Node, Life: s.cfg.Life, N: s.serial}
	} else if s.blobs[b.id] != nil {
		s.vacate(b.at)
		return tutti.Ref{}, tutti.Errorf("seal blob", tutti.Exists, "blob %v is here already", b.id)
	}
	it := &item{ref: tutti.Ref{Blob: b.id, Size: b.size, Sum: sum}, refs: map[Holder]int{}, at: b.at}
	s.blobs[b.id] = it
	s.hold(it, b.holder)
	s.chill(it)
	return it.ref, nil
}

// face is one holder's view of the store.
type face struct {
	*Store
	holder Holder
}

func (f face) New(ctx context.Context, size int64) (*Builder, error) {
	return f.builder(ctx, f.holder, tutti.BlobID{}, size)
}

// builder makes a build that can be written in this process.
func (s *Store) builder(ctx context.Context, h Holder, id tutti.BlobID, size int64) (*Builder, error) {
	b, err := s.begin(ctx, h, id, size)
	if err != nil {
		return nil, err
	}
	bytes := []byte{}
	if mem, off := b.at.where(); mem != nil {
		if bytes, err = mem.view(off, size, true); err != nil {
			s.abort(b)
			return nil, err
		}
	}
	return &Builder{
		bytes: bytes,
		seal:  func(context.Context) (tutti.Ref, error) { return s.seal(b, 0) },
		abort: func() { s.abort(b) },
	}, nil
}

func (f face) Open(ctx context.Context, ref tutti.Ref, m Mode) (*Lease, error) {
	it, err := f.pin(ctx, ref)
	if err != nil {
		return nil, err
	}
	return f.lease(it, m)
}

func (f face) Hold(_ context.Context, ref tutti.Ref) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	it, err := f.find("hold blob", ref)
	if err == nil {
		f.hold(it, f.holder)
	}
	return err
}

func (f face) Drop(ref tutti.Ref) { f.drop(ref.Blob, f.holder) }
