package journal

import (
	"errors"
	"io"
	"io/fs"
	"math/rand/v2"
	"slices"
	"sync"
	"syscall"
)

var errCrashed = errors.New("the machine has crashed")

// simDisk is a disk in memory that forgets like a real one. It keeps what was synced; of the
// rest a crash keeps any part, in pieces of 64 bytes. Its knobs are misfortunes.
type simDisk struct {
	mu      sync.Mutex
	rng     *rand.Rand
	ops     int   // writes, syncs, changes of names so far
	crashAt int   // crash at this op, 0 never
	room    int   // bytes that all files together may have, < 0 any
	noAlloc bool  // Allocate does nothing, as on old NFS
	badSync int   // so many of the next syncs of files fail, and lose what they should have kept
	fault   error // every op that changes anything fails with it
	dead    bool
	names   map[string]*simFile // as processes see them
	durable map[string]*simFile // as of the last SyncDir
	undone  []func(map[string]*simFile)
}

type simFile struct {
	data   []byte // as processes see it
	synced []byte // as the disk has it
	log    []simWrite
}

// simWrite is one change that is not synced: data at off, or a new size if data is nil.
type simWrite struct {
	off  int64
	data []byte
}

func newSimDisk(seed uint64) *simDisk {
	return &simDisk{rng: rand.New(rand.NewPCG(seed, 1)), room: -1, names: map[string]*simFile{}, durable: map[string]*simFile{}}
}

// op counts one boundary. crash says that this one is never finished.
func (d *simDisk) op() (crash bool, err error) {
	if d.dead {
		return false, errCrashed
	}
	d.ops++
	if d.ops == d.crashAt {
		d.dead = true
		return true, nil
	}
	return false, d.fault
}

// kill ends the process and leaves the machine: what the new process sees need not be durable.
func (d *simDisk) kill() *simDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	return &simDisk{rng: d.rng, room: -1, noAlloc: d.noAlloc, names: d.names, durable: d.durable, undone: d.undone}
}

// crash ends the machine. keep is the chance of each unsynced piece to survive.
func (d *simDisk) crash(keep float64) *simDisk {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.dead = true
	return d.image(keep)
}

// image is the disk as a crash would leave it.
func (d *simDisk) image(keep float64) *simDisk {
	n := &simDisk{rng: d.rng, room: -1, noAlloc: d.noAlloc, names: map[string]*simFile{}, durable: map[string]*simFile{}}
	for _, undone := range d.undone {
		if d.rng.Float64() < keep {
			undone(d.durable)
		}
	}
	names := make([]string, 0, len(d.durable))
	for name := range d.durable {
		names = append(names, name)
	}
	slices.Sort(names) // the same seed, the same crash
	for _, name := range names {
		f := d.durable[name]
		b := slices.Clone(f.synced)
		for _, w := range f.log {
			b = w.survive(b, d.rng, keep)
		}
		s := &simFile{data: b, synced: slices.Clone(b)}
		n.names[name], n.durable[name] = s, s
	}
	return n
}

func (w simWrite) survive(b []byte, rng *rand.Rand, keep float64) []byte {
	const piece = 64
	if w.data == nil {
		if keep == 1 || rng.Float64() < keep {
			b = resize(b, int(w.off))
		}
		return b
	}
	for i := 0; i < len(w.data); {
		n := min(piece-int(w.off+int64(i))%piece, len(w.data)-i)
		if keep == 1 || rng.Float64() < keep {
			b = overwrite(b, int(w.off)+i, w.data[i:i+n])
		}
		i += n
	}
	return b
}

func resize(b []byte, n int) []byte {
	if n <= len(b) {
		return b[:n]
	}
	return append(b, make([]byte, n-len(b))...)
}

func overwrite(b []byte, off int, p []byte) []byte {
	if off+len(p) > len(b) {
		b = resize(b, off+len(p))
	}
	copy(b[off:], p)
	return b
}

// left is how many bytes files may still grow by.
func (d *simDisk) left() int {
	if d.room < 0 {
		return 1 << 30
	}
	return max(0, d.room-d.used())
}

func (d *simDisk) used() (n int) {
	for _, f := range d.names {
		n += len(f.data)
	}
	return n
}

func (d *simDisk) crashed() bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.dead
}

func (d *simDisk) set(change func(*simDisk)) {
	d.mu.Lock()
	defer d.mu.Unlock()
	change(d)
}

func (d *simDisk) List() ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errCrashed
	}
	var names []string
	for name := range d.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return names, nil
}

// change applies a change of names: now for processes, perhaps later for the disk.
func (d *simDisk) change(do func(map[string]*simFile)) error {
	crash, err := d.op()
	if err != nil {
		return err
	}
	if crash && d.rng.IntN(2) == 0 {
		return errCrashed
	}
	d.undone = append(d.undone, do)
	do(d.names)
	if crash {
		return errCrashed
	}
	return nil
}

func (d *simDisk) Create(name string) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] != nil {
		return nil, fs.ErrExist
	}
	f := &simFile{}
	err := d.change(func(m map[string]*simFile) { m[name] = f })
	return &simHandle{d, f}, err
}

func (d *simDisk) Open(name string, write bool) (file, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.dead {
		return nil, errCrashed
	}
	if f := d.names[name]; f != nil {
		return &simHandle{d, f}, nil
	}
	return nil, fs.ErrNotExist
}

func (d *simDisk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[from] == nil {
		return fs.ErrNotExist
	}
	if d.names[to] != nil {
		return errors.New("the journal must not rename over a file")
	}
	return d.change(func(m map[string]*simFile) {
		if f := m[from]; f != nil {
			m[to] = f
			delete(m, from)
		}
	})
}

func (d *simDisk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.names[name] == nil {
		return fs.ErrNotExist
	}
	return d.change(func(m map[string]*simFile) { delete(m, name) })
}

func (d *simDisk) SyncDir() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	crash, err := d.op()
	if err != nil {
		return err
	}
	if crash && d.rng.IntN(2) == 0 {
		return errCrashed
	}
	for _, do := range d.undone {
		do(d.durable)
	}
	d.undone = nil
	if crash {
		return errCrashed
	}
	return nil
}

// simHandle is an open file of one process's life.
type simHandle struct {
	d *simDisk
	f *simFile
}

func (h *simHandle) ReadAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.dead {
		return 0, errCrashed
	}
	if off >= int64(len(h.f.data)) {
		return 0, io.EOF
	}
	n := copy(p, h.f.data[off:])
	if n < len(p) {
		return n, io.EOF
	}
	return n, nil
}

// WriteAt writes what there is room for, like a disk that fills up in the middle.
func (h *simHandle) WriteAt(p []byte, off int64) (int, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	crash, err := h.d.op()
	if err != nil {
		return 0, err
	}
	n := min(len(p), max(0, len(h.f.data)-int(off))+h.d.left())
	if n > 0 {
		h.f.data = overwrite(h.f.data, int(off), p[:n])
		h.f.log = append(h.f.log, simWrite{off, slices.Clone(p[:n])})
	}
	switch {
	case crash:
		return 0, errCrashed
	case n < len(p):
		return n, syscall.ENOSPC
	}
	return n, nil
}

func (h *simHandle) Size() (int64, error) {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return int64(len(h.f.data)), nil
}

func (h *simHandle) Allocate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	if h.d.noAlloc {
		return nil
	}
	return h.resize(size)
}

func (h *simHandle) Truncate(size int64) error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	return h.resize(size)
}

func (h *simHandle) resize(size int64) error {
	crash, err := h.d.op()
	if err != nil {
		return err
	}
	if int(size)-len(h.f.data) > h.d.left() {
		return syscall.EDQUOT
	}
	h.f.data = resize(h.f.data, int(size))
	h.f.log = append(h.f.log, simWrite{off: size})
	if crash {
		return errCrashed
	}
	return nil
}

// Sync keeps what was written; a failing one has the system drop it and call it clean.
func (h *simHandle) Sync() error {
	h.d.mu.Lock()
	defer h.d.mu.Unlock()
	crash, err := h.d.op()
	if err != nil {
		return err
	}
	if crash && h.d.rng.IntN(2) == 0 {
		return errCrashed
	}
	if h.d.badSync > 0 {
		h.d.badSync--
		for _, w := range h.f.log {
			h.f.synced = w.survive(h.f.synced, h.d.rng, 0.5)
		}
		h.f.log = nil
		return syscall.EIO
	}
	for _, w := range h.f.log {
		h.f.synced = w.survive(h.f.synced, nil, 1)
	}
	h.f.log = nil
	if crash {
		return errCrashed
	}
	return nil
}

func (h *simHandle) Close() error { return nil }
