package shm

import (
	"fmt"
	"os"
	"path/filepath"
	"sync/atomic"
	"unsafe"
)

// DefaultDir is where named segments lie when no folder is given.
const DefaultDir = "/dev/shm"

// Mode says what a mapping may do and who sees it.
type Mode uint8

// The modes of a mapping.
const (
	ReadOnly  Mode = iota // sees what others write; a write here is a fault
	ReadWrite             // shared: everybody sees what is written
	Private               // copy on write: writes stay here. Pages not yet written still follow the segment
	modes
)

// Segment is one piece of shared memory, held by a descriptor. Its methods may be called
// concurrently, except Close, which comes after all others.
type Segment struct {
	file *os.File
	size int64
	path atomic.Pointer[string] // nil: anonymous, or unlinked
}

// Create makes a named segment of size bytes in dir, [DefaultDir] if that is "". The label, of
// small letters and digits, becomes part of the name, and so does the calling process as owner.
// The memory is reserved and zero. Only the same user may open it (0600).
// Errors: [ErrFull], [ErrMissing] (no such folder), [ErrDenied], [ErrInvalid] (size or label).
func Create(dir, label string, size int64) (*Segment, error) {
	if dir == "" {
		dir = DefaultDir
	}
	if err := checkSize("create", size); err != nil {
		return nil, err
	}
	name, err := NewName(label)
	if err != nil {
		return nil, err
	}
	path := filepath.Join(dir, name)
	f, err := createFile(path, size)
	if err != nil {
		return nil, wrap("create shared segment", path, err)
	}
	s := &Segment{file: f, size: size}
	s.path.Store(&path)
	return s, nil
}

// Anonymous makes a segment of size bytes without a name, reserved and zero. It goes away with
// its last descriptor and mapping, also when processes are killed. The label shows in
// /proc/PID/maps. Nobody can shrink or grow it, so a peer that maps it need not fear SIGBUS.
// Errors: [ErrFull], [ErrInvalid], [ErrDenied].
func Anonymous(label string, size int64) (*Segment, error) {
	if err := checkSize("create", size); err != nil {
		return nil, err
	}
	if !validLabel(label) {
		return nil, badLabel(label)
	}
	f, err := anonymousFile(label, size)
	if err != nil {
		return nil, wrap("create shared segment", "(anonymous)", err)
	}
	return &Segment{file: f, size: size}, nil
}

// Open opens the named segment at path. Errors: [ErrMissing], [ErrDenied], [ErrInvalid] (not a
// plain file, or empty).
func Open(path string) (*Segment, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, wrap("open shared segment", path, err)
	}
	s, err := FromFile(f)
	if err != nil {
		f.Close()
		return nil, err
	}
	s.path.Store(&path)
	return s, nil
}

// FromFile takes over a descriptor, as it came from another process: Close closes it. The size
// is what the file has now. On an error f stays the caller's. Errors: [ErrInvalid].
func FromFile(f *os.File) (*Segment, error) {
	if !supported {
		return nil, wrap("open shared segment", f.Name(), ErrUnsupported)
	}
	st, err := f.Stat()
	if err != nil {
		return nil, wrap("open shared segment", f.Name(), err)
	}
	if !st.Mode().IsRegular() || st.Size() <= 0 {
		return nil, fmt.Errorf("open shared segment %s: %w: %v of %d bytes", f.Name(), ErrInvalid, st.Mode().Type(), st.Size())
	}
	return &Segment{file: f, size: st.Size()}, nil
}

// Size is the segment's length in bytes.
func (s *Segment) Size() int64 { return s.size }

// File is the descriptor, for [SendFDs] or for reading and writing at offsets. It stays the segment's.
func (s *Segment) File() *os.File { return s.file }

// Path is the segment's name, "" if it has none (any more).
func (s *Segment) Path() string {
	if p := s.path.Load(); p != nil {
		return *p
	}
	return ""
}

// Unlink removes the name; descriptors and mappings live on. Without a name it does nothing.
func (s *Segment) Unlink() error {
	p := s.path.Swap(nil)
	if p == nil {
		return nil
	}
	return Remove(*p)
}

// Close closes the descriptor. Mappings live on, and so does the name: see [Segment.Unlink].
func (s *Segment) Close() error { return s.file.Close() }

// Map maps n bytes from offset off, a multiple of the page size. Nothing is read or copied; see
// [Prefault]. The mapping belongs to the caller until [Unmap]. Errors: [ErrInvalid] (outside the
// file as it is now), [ErrFull] (too many mappings, no address space).
func (s *Segment) Map(off, n int64, m Mode) ([]byte, error) {
	if m >= modes || off < 0 || n <= 0 || off > s.size-n || off%int64(os.Getpagesize()) != 0 {
		return nil, fmt.Errorf("map shared segment: %w: %d bytes from %d of %d, mode %d", ErrInvalid, n, off, s.size, m)
	}
	if st, err := s.file.Stat(); err != nil || st.Size() < off+n {
		return nil, fmt.Errorf("map shared segment: %w: it shrank below %d bytes", ErrInvalid, off+n)
	}
	b, err := mapFile(s.file, off, n, m)
	return b, wrap("map shared segment", s.file.Name(), err)
}

// Unmap ends a mapping; b must be exactly what Map returned, and no part of it may be used any
// more. A nil b is nothing.
func Unmap(b []byte) error {
	if len(b) == 0 {
		return nil
	}
	return wrap("unmap", "shared segment", unmap(b))
}

// Prefault enters all pages of a mapping into the page table at once, which is several times
// faster than a page fault each. With write, pages of a [ReadWrite] mapping become ready to be
// written; contents stay as they are, also while others write. Blocks for the time it takes.
// Errors: [ErrFull] where a page could not be had (touching it would have been a SIGBUS).
func Prefault(b []byte, write bool) error {
	if len(b) == 0 {
		return nil
	}
	return wrap("prefault", "shared segment", prefault(b, write))
}

// Punch gives the pages behind n bytes from off back to the system, wherever they are mapped;
// whoever reads them afterwards sees zeros. The segment keeps its size.
func (s *Segment) Punch(off, n int64) error {
	return wrap("free pages of", s.file.Name(), punch(s.file, off, n))
}

// Word is the 32-bit word at byte off of a mapping, for sync/atomic, [Wait] and [Wake]. It panics
// where off is not a multiple of 4 or lies outside.
func Word(b []byte, off int) *uint32 {
	if off%4 != 0 || off < 0 || off+4 > len(b) {
		panic(fmt.Sprintf("shm: no word at byte %d of %d", off, len(b)))
	}
	return (*uint32)(unsafe.Pointer(&b[off]))
}

// checkSize refuses what no file can have.
func checkSize(op string, size int64) error {
	if size <= 0 || size > 1<<46 {
		return fmt.Errorf("%s shared segment: %w: size %d", op, ErrInvalid, size)
	}
	return nil
}
