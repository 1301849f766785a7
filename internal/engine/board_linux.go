package engine

import (
	"os"
	"unsafe"

	"golang.org/x/sys/unix"
)

// newBoard makes a board in memory that a child process can map through the file.
func newBoard() (*board, *os.File, error) {
	fd, err := unix.MemfdCreate("tutti-board", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "board")
	if err := f.Truncate(boardSize); err != nil {
		f.Close()
		return nil, nil, err
	}
	b, err := mapBoard(f)
	if err != nil {
		f.Close()
		return nil, nil, err
	}
	return b, f, nil
}

// mapBoard maps a board; the file may be closed afterwards. Until unmap nothing may hold it.
func mapBoard(f *os.File) (*board, error) {
	m, err := unix.Mmap(int(f.Fd()), 0, boardSize, unix.PROT_READ|unix.PROT_WRITE, unix.MAP_SHARED)
	if err != nil {
		return nil, os.NewSyscallError("mmap", err)
	}
	return (*board)(unsafe.Pointer(unsafe.SliceData(m))), nil
}

func (b *board) unmap() {
	_ = unix.Munmap(unsafe.Slice((*byte)(unsafe.Pointer(b)), boardSize))
}
