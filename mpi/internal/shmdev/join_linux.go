package shmdev

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
	"golang.org/x/sys/unix"
)

// Join makes this process a rank of a world of processes. The first to come lays the segment out.
func Join(ctx context.Context, s Spec) (*World, error) {
	m, err := s.mapped()
	if err != nil {
		return nil, err
	}
	if st := state(m, s.Rank); st != absent {
		m.close()
		return nil, device.Errorf(tutti.Exists, "rank %d of this world is taken", s.Rank)
	}
	w := newWorld(ctx, m, s.Rank, s.Size, s.Options)
	if s.File == nil && strings.HasPrefix(s.Path, "/proc/") {
		w.e.lock()
		w.e.holder.path = s.Path
		w.e.holder.link, _ = os.Readlink(s.Path)
		w.e.unlock()
	}
	return w, nil
}

// Lost tells the ranks of a world that one of them has died or will not come, for a process that is
// no rank of it. Those that join later find it too. Of a rank that left in order nothing is said.
func Lost(s Spec) error {
	m, err := s.mapped()
	if err != nil {
		return err
	}
	if st := state(m, s.Rank); st != finalized && st != lost {
		setState(m, s.Rank, lost)
		announce(m, s.Size)
	}
	return m.close()
}

// mapped maps the segment, and lays it out if nobody has.
func (s *Spec) mapped() (*mapped, error) {
	path := s.Path
	if s.File != nil {
		// Opened anew: descriptors that were handed on share one lock, see layOut.
		path = fmt.Sprintf("/proc/self/fd/%d", s.File.Fd())
		defer s.File.Close()
	}
	if s.Size < 1 || s.Size > maxRanks || s.Rank < 0 || s.Rank >= s.Size {
		return nil, device.Errorf(tutti.Invalid, "rank %d of %d (at most %d) cannot be", s.Rank, s.Size, maxRanks)
	}
	f, err := openSegment(path)
	if err != nil {
		return nil, err
	}
	m, err := mapSegment(f, s.Size)
	if err != nil {
		f.Close()
		return nil, err
	}
	return m, nil
}

// orphaned says whether the process through which this world was opened is gone. Its own
// children die with it, but not theirs: a rank may have been started by a script.
func (e *engine) orphaned() bool {
	if e.holder.link == "" {
		return false
	}
	link, _ := os.Readlink(e.holder.path)
	return link != e.holder.link
}

// probeWord is what others read to find out whether they may copy from this process.
var probeWord atomic.Uint64

const probeValue = 0x7475747469206d70

// register shows this rank to the others.
func (e *engine) register() {
	probeWord.Store(probeValue)
	e.page.pid.Store(uint32(os.Getpid()))
	e.page.probe.Store(uint64(uintptr(unsafe.Pointer(&probeWord))))
	setState(e.a, e.me, joined)
}

// tryReach copies a known word from a peer.
func (e *engine) tryReach(world int) bool {
	var v [8]byte
	at := e.a.rank(world).probe.Load()
	if at == 0 || e.readPeer(world, at, v[:]) != nil {
		return false
	}
	return *(*uint64)(unsafe.Pointer(&v)) == probeValue
}

// readPeer and writePeer copy from and to a peer's memory.
func (e *engine) readPeer(world int, at uint64, b []byte) error {
	return e.copyPeer(unix.SYS_PROCESS_VM_READV, world, at, b)
}

func (e *engine) writePeer(world int, at uint64, b []byte) error {
	return e.copyPeer(unix.SYS_PROCESS_VM_WRITEV, world, at, b)
}

// copyPeer moves bytes between this memory and a peer's at an address it gave us.
func (e *engine) copyPeer(call uintptr, world int, at uint64, b []byte) error {
	pid := uintptr(e.a.rank(world).pid.Load())
	for len(b) > 0 {
		here := unix.Iovec{Base: unsafe.SliceData(b), Len: uint64(len(b))}
		there := unix.RemoteIovec{Base: uintptr(at), Len: len(b)}
		n, _, errno := unix.Syscall6(call, pid, uintptr(unsafe.Pointer(&here)), 1, uintptr(unsafe.Pointer(&there)), 1, 0)
		if errno == unix.EINTR {
			continue
		}
		if errno == unix.ESRCH {
			e.found(world)
		}
		if errno != 0 || n == 0 {
			return gone(world, errno)
		}
		b, at = b[n:], at+uint64(n)
	}
	return nil
}

// watch finds peers that have died without anybody telling us, and general stand-still. Process
// descriptors are safe against numbers that come back, and tell of zombies too.
func (e *engine) watch() {
	if e.pidfds == nil {
		e.pidfds = make([]int, e.n)
	}
	for r := range e.n {
		if r == e.me || state(e.a, r) != joined {
			e.closePidfd(r)
			continue
		}
		if e.pidfds[r] == 0 {
			fd, err := unix.PidfdOpen(int(e.a.rank(r).pid.Load()), 0)
			if err == unix.ESRCH {
				e.bury(r)
			}
			e.pidfds[r] = fd
			if err != nil {
				e.pidfds[r] = -1
			}
		}
		if fd := e.pidfds[r]; fd > 0 {
			p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLIN}}
			if n, _ := unix.Poll(p, 0); n > 0 && state(e.a, r) == joined {
				e.bury(r)
			}
		}
	}
	if e.orphaned() {
		e.halt(device.Errorf(tutti.Lost, "the launcher of this job is gone"))
	}
	if e.opt.Stall > 0 {
		e.stalled()
	}
}

// found says of a peer whose memory is gone that it has died. What follows from it is looked at where
// news are: we may be in the middle of something.
func (e *engine) found(world int) {
	if state(e.a, world) == joined {
		setState(e.a, world, lost)
		e.announce()
	}
}

func (e *engine) closePidfds() {
	for r := range e.pidfds {
		e.closePidfd(r)
	}
}

func (e *engine) closePidfd(r int) {
	if e.pidfds[r] > 0 {
		unix.Close(e.pidfds[r])
		e.pidfds[r] = -1
	}
}
