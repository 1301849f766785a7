package blob

import (
	"container/list"
	"context"
	"hash/crc32"
	"os"
	"sync"
	"sync/atomic"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// Config says whose a store is and what it may use.
type Config struct {
	Node   tutti.NodeID // with Life, the first half of the names it gives
	Life   uint32
	Memory int64  // bytes of shared memory at most; 0 for a quarter of what can be had at the start
	Dir    string // the folder of segments; "" for memory without a name, which no crash leaves behind
	Spill  string // the folder for what does not fit into memory; "" for the system's temporary folder
	Disk   int64  // bytes there at most; 0 for no limit but the disk's
	Poison bool   // checking mode: freed memory is overwritten, and Check looks whether it stayed so
}

// Store keeps the blobs of one node: in pooled shared segments as long as they fit, else in files.
// All methods may be called concurrently. It starts no goroutine.
type Store struct {
	cfg   Config
	trims atomic.Uint64 // counts segments destroyed: a session looks whether its peer knows one of them

	mu       sync.Mutex // guards all below, and the fields of items, builds and files where they say so
	pool     *pool
	blobs    map[tutti.BlobID]*item
	dying    map[*item]struct{} // without references, still in use
	builds   map[*build]struct{}
	holders  map[Holder]map[tutti.BlobID]struct{}
	cold     lru      // items in memory that nobody uses
	making   int64    // bytes of segments being made
	starting int      // blobs for which a place is just being found
	disk     int64    // bytes of files, and of those being written
	serial   uint64   // of blobs
	segment  uint64   // of segments
	garbage  []func() // what is to be destroyed as soon as mu is free: it may take long
	closed   bool
}

// Open makes a store and removes what dead processes left in its folders.
// Errors: Unsupported (not on Linux), Invalid.
func Open(cfg Config) (*Store, error) {
	room, err := shm.Room()
	if err != nil {
		return nil, sorted("open blob store", err)
	}
	if cfg.Memory < 0 || cfg.Disk < 0 {
		return nil, tutti.Errorf("open blob store", tutti.Invalid, "limits of %d and %d bytes", cfg.Memory, cfg.Disk)
	}
	if cfg.Memory == 0 {
		cfg.Memory = room / 4
	}
	if cfg.Spill == "" {
		cfg.Spill = os.TempDir()
	}
	// What cannot be removed now does not stop anybody: the next start tries again.
	_, _ = CleanStale(cfg.Dir, cfg.Spill)
	return &Store{
		cfg: cfg, pool: newPool(cfg.Memory), cold: lru{lists: map[int64]*list.List{}},
		blobs: map[tutti.BlobID]*item{}, dying: map[*item]struct{}{}, builds: map[*build]struct{}{},
		holders: map[Holder]map[tutti.BlobID]struct{}{},
	}, nil
}

// label is in the names of this package's files.
const label = "blob"

// CleanStale removes the segments and spill files that dead processes of this host left in the
// folders ("" for the one of shared memory), and says how many there were. It goes on after an error.
func CleanStale(dirs ...string) (removed int, err error) {
	for _, dir := range dirs {
		left, serr := shm.Stale(dir, label)
		if serr != nil {
			err = sorted("clean up after a crash", serr)
		}
		for _, l := range left {
			if rerr := shm.Remove(l.Path); rerr != nil {
				err = sorted("clean up after a crash", rerr)
				continue
			}
			removed++
		}
	}
	return removed, err
}

// As is the store as holder sees it.
func (s *Store) As(holder Holder) Space { return face{s, holder} }

// DropHolder takes all references of a holder back, as it died. Its leases are another matter:
// they end with the connection over which it had them ([Store.Serve]).
func (s *Store) DropHolder(holder Holder) {
	s.mu.Lock()
	defer s.unlock()
	for id := range s.holders[holder] {
		it := s.blobs[id]
		delete(it.refs, holder)
		s.retire(it)
	}
	delete(s.holders, holder)
}

// Close frees all that nobody uses, removes all files, and refuses whatever comes after. A lease
// or a buffer that somebody in this process still has stays readable until its end, and is freed then.
func (s *Store) Close() error {
	s.mu.Lock()
	defer s.unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	s.holders = map[Holder]map[tutti.BlobID]struct{}{}
	for _, it := range s.blobs {
		clear(it.refs)
		if f := it.at.file; f != nil {
			s.unlink(f)
		}
		s.retire(it)
	}
	for b := range s.builds {
		if f := b.at.file; f != nil {
			s.unlink(f)
		}
	}
	s.discard(s.pool.clear())
	return nil
}

// Stats is a count of what a store has.
type Stats struct {
	Blobs    int   // sealed, with references
	Leased   int   // in use at the moment, with or without references
	Spilled  int   // of Blobs, in files
	Memory   int64 // bytes of shared memory, in use or kept warm
	Segments int   // their number
	Disk     int64 // bytes of files
}

// Stats counts.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	st := Stats{Blobs: len(s.blobs), Leased: len(s.dying), Memory: s.pool.bytes, Segments: len(s.pool.segments), Disk: s.disk}
	for _, it := range s.blobs {
		if it.busy() {
			st.Leased++
		}
		if it.at.file != nil {
			st.Spilled++
		}
	}
	return st
}

// Sum fills in the reference's checksum, reading the blob once if nobody has before. Errors are
// those of [Space.Open].
func (s *Store) Sum(ctx context.Context, ref tutti.Ref) (tutti.Ref, error) {
	it, err := s.pin(ctx, ref)
	if err != nil {
		return tutti.Ref{}, err
	}
	l, err := s.lease(it, View)
	if err != nil {
		return tutti.Ref{}, err
	}
	defer l.Release()
	if l.ref.Sum == 0 {
		l.ref.Sum = crc32.Checksum(l.Bytes(), castagnoli)
		s.mu.Lock()
		it.ref.Sum = l.ref.Sum
		s.mu.Unlock()
	}
	return l.ref, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// unlock frees mu and then destroys what was thrown away under it: unmapping a large segment or
// removing a file on a network disk takes too long for everybody else to wait.
func (s *Store) unlock() {
	g := s.garbage
	s.garbage = nil
	s.mu.Unlock()
	for _, destroy := range g {
		destroy()
	}
}

// discard has segments that left the pool destroyed. Their pages go back to the system at once,
// though other processes may still map them: nobody there has a lease on them.
func (s *Store) discard(gone []*segment) {
	for _, g := range gone {
		s.trims.Add(1)
		s.garbage = append(s.garbage, func() {
			_ = g.mem.Punch(0, g.size) // where it fails, the pages go with the last mapping
			g.mem.destroy()
		})
	}
}
