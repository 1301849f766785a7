package journal

import (
	"errors"
	"os"
	"syscall"
)

// Allocate reserves the room, so that a full disk shows when a segment is made and seldom in
// the middle of it, and a commit need not change the file's length.
func (f osFile) Allocate(size int64) error {
	err := f.retry("allocate", func(fd int) error { return syscall.Fallocate(fd, 0, 0, size) })
	if errors.Is(err, errors.ErrUnsupported) || errors.Is(err, syscall.EINVAL) {
		return nil // NFS before 4.2 and others: the file grows as it is written
	}
	return err
}

// Sync flushes the contents and what is needed to find them again, but not the times.
func (f osFile) Sync() error {
	return f.retry("sync", syscall.Fdatasync)
}

// retry makes a system call on the descriptor, again when a signal cuts it short.
func (f osFile) retry(op string, call func(fd int) error) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := raw.Control(func(fd uintptr) {
		for {
			if result = call(int(fd)); result != syscall.EINTR {
				return
			}
		}
	}); err != nil {
		return err
	}
	if result == nil {
		return nil
	}
	return &os.PathError{Op: op, Path: f.Name(), Err: result}
}
