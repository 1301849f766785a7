package main

import (
	"time"

	"golang.org/x/sys/unix"
)

// sleep is clock_nanosleep, once more when a signal cut it short.
func sleep(d time.Duration) {
	left := unix.NsecToTimespec(int64(d))
	for unix.ClockNanosleep(unix.CLOCK_MONOTONIC, 0, &left, &left) == unix.EINTR {
	}
}
