package blob

import (
	"container/list"
	"context"
	"fmt"
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

// place is where bytes lie: in a slot, in a file, or nowhere, where there are none.
type place struct {
	slot slot
	file *file
}

// item is one sealed blob. Its fields are guarded by the store's mu.
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

func (it *item) busy() bool { return it.pins > 0 || it.spill || it.load != nil }

// build is one blob being written; owned by who writes it, known to the store for its accounts.
type build struct {
	id     tutti.BlobID // zero: the store names it when it is sealed
	size   int64
	at     place
	holder Holder
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

// Sum fills in the reference's checksum, reading the blob once if nobody has before. Errors are those of
// [Space.Open].
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

// unlock frees mu and then destroys what was thrown away under it.
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

// retire is called where an item may have lost its last reference or its last user; mu is held.
func (s *Store) retire(it *item) {
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

// vacate gives a place back; mu is held.
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
	if s.closed {
		s.discard(s.pool.clear())
	}
}

// unlink has a file's name removed; who maps it keeps it. mu is held.
func (s *Store) unlink(f *file) {
	s.garbage = append(s.garbage, func() { _ = shm.Remove(f.path) }) // what stays is stale, and the next start's
}

// hold adds a reference; mu is held.
func (s *Store) hold(it *item, h Holder) {
	it.refs[h]++
	ids := s.holders[h]
	if ids == nil {
		ids = map[tutti.BlobID]struct{}{}
		s.holders[h] = ids
	}
	ids[it.ref.Blob] = struct{}{}
}

// drop takes a reference back.
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

// find looks a blob up; mu is held.
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

func (s *Store) unpin(it *item) {
	s.mu.Lock()
	defer s.unlock()
	it.pins--
	if f := it.at.file; f != nil && it.pins == 0 {
		s.garbage = append(s.garbage, f.close())
	}
	s.retire(it)
}

// lease makes a lease of a pin, which ends with it.
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

// begin makes room for a blob.
func (s *Store) begin(ctx context.Context, h Holder, id tutti.BlobID, size int64) (*build, error) {
	if size < 0 || size > 1<<46 {
		return nil, tutti.Errorf("make blob", tutti.Invalid, "size of %d bytes", size)
	}
	s.mu.Lock()
	s.starting++
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

// tryBegin is begin where a warm slot is free, else nil.
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

// seal makes a blob of a build.
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

// builder makes a build writable in this process.
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

// String is for logs.
func (s *Store) String() string { return fmt.Sprintf("blobs of node %d-%d", s.cfg.Node, s.cfg.Life) }
