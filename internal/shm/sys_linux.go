package shm

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const supported = true

// createFile makes a new file at path with all its memory reserved, or nothing.
func createFile(path string, size int64) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil, err
	}
	if err := reserve(f, size); err != nil {
		f.Close()
		os.Remove(path)
		return nil, err
	}
	return f, nil
}

func openFile(path string) (*os.File, error) {
	// Not blocking: somebody may have put a pipe there.
	return os.OpenFile(path, os.O_RDWR|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

// anonymousFile is a memfd sealed against changes of size; where the system forbids memfds, an
// unlinked file in /dev/shm.
func anonymousFile(label string, size int64) (*os.File, error) {
	if room, err := Room(); err == nil && size > room-room/16 {
		return nil, fmt.Errorf("%w: %d bytes wanted, %d left on this machine or in this control group", ErrFull, size, room)
	}
	fd, err := memfd(prefix + "-" + label)
	if err != nil {
		return unlinkedFile(label, size)
	}
	f := os.NewFile(uintptr(fd), "memfd:"+prefix+"-"+label)
	if err := reserve(f, size); err != nil {
		f.Close()
		return nil, err
	}
	const seals = unix.F_SEAL_SHRINK | unix.F_SEAL_GROW | unix.F_SEAL_SEAL
	if _, err := unix.FcntlInt(f.Fd(), unix.F_ADD_SEALS, seals); err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// memfd asks for memory that nobody can execute, which some systems insist on and kernels
// before 6.3 do not know.
func memfd(name string) (int, error) {
	const flags = unix.MFD_CLOEXEC | unix.MFD_ALLOW_SEALING
	fd, err := unix.MemfdCreate(name, flags|unix.MFD_NOEXEC_SEAL)
	if err == unix.EINVAL {
		fd, err = unix.MemfdCreate(name, flags)
	}
	return fd, err
}

func unlinkedFile(label string, size int64) (*os.File, error) {
	name, err := NewName(label)
	if err != nil {
		return nil, err
	}
	path := DefaultDir + "/" + name
	f, err := createFile(path, size)
	if err != nil {
		return nil, err
	}
	return f, os.Remove(path)
}

// reserve gives f its size and all its memory. It goes in steps because a signal (the Go
// scheduler sends some) makes the kernel undo the whole call: a step that keeps being
// interrupted becomes shorter.
func reserve(f *os.File, size int64) error {
	step := int64(64 << 20)
	for off := int64(0); off < size; {
		n := min(step, size-off)
		err := control(f, func(fd int) error { return unix.Fallocate(fd, 0, off, n) })
		switch {
		case err == nil:
			off += n
		case err == unix.EINTR:
			step = max(step/2, 1<<20)
		case err == unix.EOPNOTSUPP || err == unix.ENOSYS:
			return fillZero(f, off, size)
		default:
			return err
		}
	}
	return nil
}

// fillZero reserves by writing, for file systems that cannot do it otherwise.
func fillZero(f *os.File, off, size int64) error {
	zeros := make([]byte, min(size-off, 1<<20))
	for off < size {
		n, err := f.WriteAt(zeros[:min(int64(len(zeros)), size-off)], off)
		if err != nil {
			return err
		}
		off += int64(n)
	}
	return nil
}

// control calls fn with f's descriptor, which stays open meanwhile.
func control(f *os.File, fn func(fd int) error) error {
	rc, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var inner error
	if err := rc.Control(func(fd uintptr) { inner = fn(int(fd)) }); err != nil {
		return err
	}
	return inner
}

func mapFile(f *os.File, off, n int64, m Mode) (b []byte, err error) {
	prot, flags := unix.PROT_READ, unix.MAP_SHARED
	switch m {
	case ReadWrite:
		prot |= unix.PROT_WRITE
	case Private:
		prot, flags = prot|unix.PROT_WRITE, unix.MAP_PRIVATE|unix.MAP_NORESERVE
	}
	err = control(f, func(fd int) error {
		p, err := unix.MmapPtr(fd, off, nil, uintptr(n), prot, flags)
		if err != nil {
			return err
		}
		b = unsafe.Slice((*byte)(p), n)
		return nil
	})
	return b, err
}

func unmap(b []byte) error {
	return unix.MunmapPtr(unsafe.Pointer(unsafe.SliceData(b)), uintptr(len(b)))
}

// canPopulate is false before Linux 5.14: an unknown advice is refused even for no bytes.
var canPopulate = sync.OnceValue(func() bool {
	_, _, errno := syscall.RawSyscall(unix.SYS_MADVISE, 0, 0, unix.MADV_POPULATE_WRITE)
	return errno == 0
})

func prefault(b []byte, write bool) error {
	if !canPopulate() {
		touch(b)
		return nil
	}
	advice := unix.MADV_POPULATE_READ
	if write {
		advice = unix.MADV_POPULATE_WRITE
	}
	for {
		switch err := unix.Madvise(b, advice); err {
		case unix.EINTR, unix.EAGAIN:
		case unix.EFAULT, unix.EHWPOISON:
			return fmt.Errorf("%w: %w", ErrFull, err)
		default:
			return err
		}
	}
}

var sink atomic.Uint32

// touch reads a byte of each page. In memory that is shared and writable the kernel then lets
// writes through as well; in a file on disk the first write to each page costs a short fault.
func touch(b []byte) {
	var x byte
	for i := 0; i < len(b); i += os.Getpagesize() {
		x ^= b[i]
	}
	sink.Store(uint32(x))
}

func punch(f *os.File, off, n int64) error {
	err := control(f, func(fd int) error {
		return unix.Fallocate(fd, unix.FALLOC_FL_PUNCH_HOLE|unix.FALLOC_FL_KEEP_SIZE, off, n)
	})
	if errors.Is(err, unix.EOPNOTSUPP) { // a file system without holes: the pages go with the file
		return nil
	}
	return err
}

// ours reports whether a file belongs to the user who asks.
func ours(st fs.FileInfo) bool {
	sys, ok := st.Sys().(*syscall.Stat_t)
	return ok && int(sys.Uid) == os.Geteuid()
}
