package engine

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newShared makes memory that a child process can map through the file: zeros.
func newShared(size int) ([]byte, *os.File, error) {
	fd, err := unix.MemfdCreate("tutti-board", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "board")
	if err := f.Truncate(int64(size)); err != nil {
		f.Close()
		return nil, nil, err
	}
	m, err := mapShared(f, size)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return m, f, nil
}

// mapShared maps size bytes of such a file, which may be closed afterwards.
func mapShared(f *os.File, size int) ([]byte, error) {
	m, err := unix.Mmap(int(f.Fd()), 0, size, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return m, nil
}

// boardOf is the board at the beginning of m.
func boardOf(m []byte) *board { return (*board)(unsafe.Pointer(unsafe.SliceData(m))) }
