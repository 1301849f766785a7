package shm

import (
	"errors"
	"fmt"
	"syscall"
)

// What can be wrong, for errors.Is. The errno, where there was one, is in the chain too.
var (
	ErrFull        = errors.New("no space for shared memory")
	ErrMissing     = errors.New("no such shared segment or folder")
	ErrDenied      = errors.New("no permission for shared memory")
	ErrInvalid     = errors.New("not a usable shared segment")
	ErrTimeout     = errors.New("futex wait timed out")
	ErrUnsupported = errors.New("shared memory needs Linux")
)

// wrap sorts the errno of a failed call on what (a path, "memfd", ...) into the sentinels above.
func wrap(op, what string, err error) error {
	if err == nil {
		return nil
	}
	var kind error
	switch {
	case errors.Is(err, ErrFull), errors.Is(err, ErrInvalid), errors.Is(err, ErrUnsupported):
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.ENOMEM),
		errors.Is(err, syscall.EMFILE), errors.Is(err, syscall.ENFILE), errors.Is(err, syscall.EFBIG):
		kind = ErrFull
	case errors.Is(err, syscall.ENOENT), errors.Is(err, syscall.ENOTDIR):
		kind = ErrMissing
	case errors.Is(err, syscall.EACCES), errors.Is(err, syscall.EPERM), errors.Is(err, syscall.EROFS):
		kind = ErrDenied
	case errors.Is(err, syscall.EINVAL), errors.Is(err, syscall.EBADF):
		kind = ErrInvalid
	}
	if kind == nil {
		return fmt.Errorf("%s %s: %w", op, what, err)
	}
	return fmt.Errorf("%s %s: %w: %w", op, what, kind, err)
}
