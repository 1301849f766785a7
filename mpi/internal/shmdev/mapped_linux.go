package shmdev

import (
	"errors"
	"os"
	"sync/atomic"
	"syscall"
	"time"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
	"golang.org/x/sys/unix"
)

// mapped is the arena of processes: one segment, as long as its largest extent and mostly holes.
// Pages are reserved when a ring or an area is first used, never by touching them: a full
// /dev/shm is an error and not a SIGBUS.
type mapped struct {
	seg               *shm.Segment
	mem               []byte
	n                 int
	pairsOff, areaOff uint64
	pairLen, areaLen  uint64
	total             uint64
}

func newLayout(n int) *mapped {
	m := &mapped{n: n}
	m.pairsOff = roundUp(ranksOff+uint64(n)*uint64(unsafe.Sizeof(rankPage{})), 4096)
	m.pairLen = roundUp(pairHead+uint64(payloadFor(n)), 4096)
	m.areaOff = m.pairsOff + uint64(n*n)*m.pairLen
	m.areaLen = roundUp(uint64(unsafe.Sizeof(areaHead{}))+uint64(n)*uint64(unsafe.Sizeof(areaRank{})), 4096)
	m.total = m.areaOff + maxAreas*m.areaLen
	return m
}

// mapSegment maps the file of a world of n ranks, and lays it out if nobody has. The file
// becomes the arena's.
func mapSegment(f *os.File, n int) (*mapped, error) {
	m := newLayout(n)
	if err := m.layOut(f); err != nil {
		return nil, err
	}
	seg, err := shm.FromFile(f)
	if err == nil && seg.Size() != int64(m.total) {
		err = device.Errorf(tutti.Version, "the segment has %d bytes, a world of %d ranks needs %d", seg.Size(), n, m.total)
	}
	if err != nil {
		return nil, err
	}
	m.seg = seg
	if m.mem, err = seg.Map(0, int64(m.total), shm.ReadWrite); err != nil {
		return nil, err
	}
	h := m.header()
	if ranks := h.ranks; h.magic != magic || h.version != version || int(ranks) != n {
		m.close() // and h with it
		return nil, device.Errorf(tutti.Version, "the segment belongs to another world or version (%d ranks)", ranks)
	}
	return m, nil
}

// layOut gives an empty file its size and header; whoever comes first holds the lock. If it is
// killed meanwhile, the next one does it again: the magic number is written last.
func (m *mapped) layOut(f *os.File) error {
	fd := int(f.Fd())
	if err := unix.Flock(fd, unix.LOCK_EX); err != nil {
		return err
	}
	defer unix.Flock(fd, unix.LOCK_UN)
	st, err := f.Stat()
	if err != nil {
		return err
	}
	var first [unsafe.Sizeof(header{}.magic)]byte
	if n, _ := f.ReadAt(first[:], 0); n > 0 && first != [len(first)]byte{} || st.Size() > int64(m.total) {
		return nil // it is laid out, or is something else
	}
	err = reserve(fd, 0, int64(m.pairsOff))
	if err == nil {
		err = f.Truncate(int64(m.total))
	}
	if err == nil && m.n > 1 { // the world's own buffers
		err = reserve(fd, int64(m.areaOff), int64(m.areaLen))
	}
	if err != nil {
		return errors.Join(err, f.Truncate(0)) // it must not look laid out to the next
	}
	h := header{version: version, ranks: uint32(m.n), payload: payloadFor(m.n)}
	h.areas.Store(1)
	if _, err = f.WriteAt(unsafe.Slice((*byte)(unsafe.Pointer(&h)), unsafe.Offsetof(h.nrevoked)), 0); err != nil {
		return err
	}
	h.magic = magic
	_, err = f.WriteAt(unsafe.Slice((*byte)(unsafe.Pointer(&h.magic)), len(first)), int64(unsafe.Offsetof(h.magic)))
	return err
}

// reserve makes sure of pages; the Go scheduler's signals interrupt it, so it insists.
func reserve(fd int, off, n int64) error {
	for {
		err := unix.Fallocate(fd, 0, off, n)
		switch {
		case err == nil:
			return nil
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.ENOSPC), errors.Is(err, unix.ENOMEM):
			return device.Errorf(tutti.Full, "no room for %d KiB of shared memory: %w", n>>10, err).
				WithHint("make /dev/shm larger, or run fewer ranks on this machine")
		default:
			return err
		}
	}
}

func (m *mapped) at(off uint64) unsafe.Pointer { return unsafe.Pointer(&m.mem[off]) }

func (m *mapped) header() *header { return (*header)(m.at(0)) }
func (m *mapped) roster(rank int) *atomic.Uint32 {
	return (*atomic.Uint32)(m.at(rosterOff + uint64(rank/4*4)))
}
func (m *mapped) rank(r int) *rankPage {
	return (*rankPage)(m.at(ranksOff + uint64(r)*uint64(unsafe.Sizeof(rankPage{}))))
}
func (m *mapped) inProcess() bool { return false }

func (m *mapped) pair(src, dst int, want bool) (pair, error) {
	off := m.pairsOff + uint64(src*m.n+dst)*m.pairLen
	if want {
		if err := reserve(int(m.seg.File().Fd()), int64(off), int64(m.pairLen)); err != nil {
			return pair{}, err
		}
	}
	h := uint64(unsafe.Sizeof(ringHead{}))
	return pair{(*ringHead)(m.at(off)), (*ringSlots)(m.at(off + h)), m.mem[off+pairHead:][:payloadFor(m.n)]}, nil
}

func (m *mapped) area(index, ranks int, want bool) (area, error) {
	off := m.areaOff + uint64(index)*m.areaLen
	h := uint64(unsafe.Sizeof(areaHead{}))
	used := h + uint64(ranks)*uint64(unsafe.Sizeof(areaRank{}))
	if want {
		if err := reserve(int(m.seg.File().Fd()), int64(off), int64(used)); err != nil {
			return area{}, err
		}
		// It may have served another communicator before: counts begin at zero, buffers need not.
		(*areaHead)(m.at(off)).blocked.Store(0)
		for r := range unsafe.Slice((*areaRank)(m.at(off+h)), ranks) {
			a := (*areaRank)(m.at(off + h + uint64(r)*uint64(unsafe.Sizeof(areaRank{}))))
			a.flag.Store(0)
			a.done.Store(0)
		}
	}
	return area{index, (*areaHead)(m.at(off)), unsafe.Slice((*areaRank)(m.at(off+h)), ranks)}, nil
}

func (m *mapped) sleep(r int, val uint32, limit int64) {
	if limit <= 0 {
		limit = -1
	}
	_ = shm.Wait(&m.rank(r).word, val, time.Duration(limit))
}

func (m *mapped) wake(r int) { _, _ = shm.Wake(&m.rank(r).word, 1<<30) }

func (m *mapped) close() error {
	err := shm.Unmap(m.mem)
	m.mem = nil
	return errors.Join(err, m.seg.Close())
}

// openSegment opens a segment by path, which may lead through another process's descriptors
// (/proc/PID/fd/N).
func openSegment(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|syscall.O_CLOEXEC, 0)
	if err != nil {
		return nil, device.Errorf(tutti.KindOf(err), "open the job's shared memory: %w", err).
			WithHint("was the program started outside its job, with the job's environment?")
	}
	return f, nil
}

// NewSegment makes the file of a new world: empty, to be laid out by the first rank that joins,
// and gone with its last descriptor. In dir, or without any folder where dir is "".
func NewSegment(dir string) (*os.File, error) {
	if dir != "" {
		f, err := os.OpenFile(dir, os.O_RDWR|unix.O_TMPFILE|syscall.O_CLOEXEC, 0o600)
		if err != nil {
			return nil, device.Errorf(tutti.KindOf(err), "make shared memory in %s: %w", dir, err)
		}
		return f, nil
	}
	fd, err := unix.MemfdCreate("tutti-mpi", unix.MFD_CLOEXEC)
	if err != nil {
		return NewSegment(shm.DefaultDir)
	}
	return os.NewFile(uintptr(fd), "memfd:tutti-mpi"), nil
}
