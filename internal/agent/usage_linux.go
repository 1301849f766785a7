package agent

import (
	"bytes"
	"os"
	"strconv"
	"time"
)

// clockTick is the kernel's unit of processor time in /proc, on every Linux that Go runs on.
const clockTick = 10 * time.Millisecond

// usageOf reads a process's processor time and memory, zeros if it is gone.
func usageOf(pid int) (cpu time.Duration, memory int64) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, 0
	}
	f := bytes.Fields(b[bytes.LastIndexByte(b, ')')+1:]) // the name before may hold anything
	if len(f) < 22 {
		return 0, 0
	}
	for _, i := range []int{11, 12, 13, 14} { // utime, stime, and those of collected children
		n, _ := strconv.ParseInt(string(f[i]), 10, 64)
		cpu += time.Duration(n) * clockTick
	}
	pages, _ := strconv.ParseInt(string(f[21]), 10, 64)
	return cpu, pages * int64(os.Getpagesize())
}
