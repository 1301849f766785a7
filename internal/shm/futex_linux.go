package shm

import (
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	futexWait = 0 // without FUTEX_PRIVATE_FLAG: the word is known to other processes
	futexWake = 1
)

// Wait sleeps until somebody calls [Wake] on the same word of the same segment, as long as the
// word holds val; where it does not, Wait returns at once. It may also return early for no
// reason: look at the word again in a loop. A negative timeout waits for ever. Errors:
// [ErrTimeout]; [ErrInvalid] for an address that is no mapped word.
//
// The calling goroutine blocks its thread but gives its processor to others, so spin a little
// first where the answer may come within microseconds.
func Wait(addr *uint32, val uint32, timeout time.Duration) error {
	var ts *unix.Timespec
	if timeout >= 0 {
		t := unix.NsecToTimespec(int64(timeout))
		ts = &t
	}
	_, _, errno := syscall.Syscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWait,
		uintptr(val), uintptr(unsafe.Pointer(ts)), 0, 0)
	switch errno {
	case 0, unix.EAGAIN, unix.EINTR:
		return nil
	case unix.ETIMEDOUT:
		return ErrTimeout
	}
	return wrap("wait on", "futex", invalid(errno))
}

// Wake wakes at most n of those who wait on the word, in any process that maps it, and says how
// many it woke. It does not block.
func Wake(addr *uint32, n int) (int, error) {
	n = min(max(n, 0), 1<<31-1)
	woken, _, errno := syscall.RawSyscall6(unix.SYS_FUTEX, uintptr(unsafe.Pointer(addr)), futexWake, uintptr(n), 0, 0, 0)
	if errno != 0 {
		return 0, wrap("wake", "futex", invalid(errno))
	}
	return int(woken), nil
}

// invalid makes the errno of a bad address one that wrap knows.
func invalid(errno syscall.Errno) error {
	if errno == unix.EFAULT {
		return unix.EINVAL
	}
	return errno
}

// Yield lets another thread of the machine run on this processor, the gentlest form of spinning.
func Yield() { syscall.RawSyscall(unix.SYS_SCHED_YIELD, 0, 0, 0) }
