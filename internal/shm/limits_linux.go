package shm

import (
	"math"
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// CPUs is how many processors this process can keep busy: those in its affinity mask, or fewer
// where a control group has a quota, which may be a fraction. It looks each time, as both can
// change while a process runs.
func CPUs() (float64, error) {
	var set unix.CPUSet
	n := runtime.NumCPU()
	switch err := unix.SchedGetaffinity(0, &set); err {
	case nil:
		n = set.Count()
	case unix.EINVAL: // more processors than the set has room for: what the runtime saw at its start
	default:
		return 0, wrap("read", "processor mask", err)
	}
	return math.Min(float64(n), cgroups{os.DirFS("/")}.cpus()), nil
}

// Room is how many bytes of memory can still be had before the system or this process's control
// group begins to kill. Others take from it too: it is an estimate.
func Room() (int64, error) {
	g := cgroups{os.DirFS("/")}
	room := math.Min(g.available(), g.memory())
	if math.IsInf(room, 1) {
		return math.MaxInt64, nil
	}
	return int64(room), nil
}
