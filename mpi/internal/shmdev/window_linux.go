package shmdev

import (
	"fmt"
	"os"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// mapWindow makes a segment without a name at rank 0; the others open it through that process's
// descriptors, so that a job that is killed leaves nothing behind.
func (c *comm) mapWindow(total int) ([]byte, error) {
	path := make([]byte, 64)
	var seg *shm.Segment
	var failed error
	if c.rank == 0 {
		if seg, failed = shm.Anonymous("window", int64(total)); failed == nil {
			defer seg.Close()
			copy(path, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), seg.File().Fd()))
		}
	}
	if err := c.Do(device.Call{Kind: device.Bcast, Type: device.Uint8, Recv: path}); err != nil {
		return nil, err
	}
	if failed != nil || path[0] == 0 {
		return nil, device.Errorf(tutti.Full, "rank 0 has no shared memory for a window of %d bytes: %w", total, firstError(failed, shm.ErrFull))
	}
	mem, err := openWindow(seg, path, total)
	// Rank 0 keeps its descriptor until everybody has tried, and all share one fate.
	ok := []byte{1}
	if err != nil {
		ok[0] = 0
	}
	all := []byte{0}
	call := device.Call{Kind: device.Allreduce, Type: device.Uint8, Op: device.Builtin(device.Min, device.Uint8), Send: ok, Recv: all}
	if e := c.Do(call); err == nil {
		err = e
	}
	if err == nil && all[0] == 0 {
		err = device.Errorf(tutti.Denied, "not every rank could map the window")
	}
	if err != nil {
		return nil, firstError(err, shm.Unmap(mem))
	}
	return mem, nil
}

func openWindow(seg *shm.Segment, path []byte, total int) ([]byte, error) {
	if seg == nil {
		f, err := openSegment(string(path[:clen(path)]))
		if err != nil {
			return nil, err
		}
		if seg, err = shm.FromFile(f); err != nil {
			f.Close()
			return nil, err
		}
		defer seg.Close()
	}
	return seg.Map(0, int64(total), shm.ReadWrite)
}

func clen(b []byte) int {
	n := 0
	for n < len(b) && b[n] != 0 {
		n++
	}
	return n
}

func unmapWindow(b []byte) error { return shm.Unmap(b) }
