package engine

import (
	"context"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// capture carries what the process prints, whoever prints it (Go, C, child processes): its
// stdout and stderr are pipes whose reading ends it holds itself, so that every byte can be told
// to belong to the run that was in progress. While credit is used up nothing is read, the pipes
// fill, and whoever prints waits.
type capture struct {
	out     *sender
	streams [2]stream
	ready   int // an epoll instance over both, -1 if there is none

	mu     sync.Mutex // held while a pipe is read
	earned sync.Cond  // signalled when credit comes
	left   int64      // bytes that may still be sent
	run    tutti.RunID
}

// stream is one of the two pipes.
type stream struct {
	file   *os.File
	raw    syscall.RawConn
	fd     int
	number uint8 // 1 stdout, 2 stderr
	offset int64 // in what the current run printed
	buf    []byte
}

// readPiece is how much is read at once.
const readPiece = 32 << 10

func newCapture(out *sender, stdout, stderr *os.File) (*capture, error) {
	c := &capture{out: out, left: OutputWindow, ready: -1}
	c.earned.L = &c.mu
	for i, f := range []*os.File{stdout, stderr} {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		s := &c.streams[i]
		*s = stream{file: f, raw: raw, number: uint8(i + 1), buf: make([]byte, readPiece)}
		if err := raw.Control(func(fd uintptr) { s.fd = int(fd) }); err != nil {
			return nil, err
		}
	}
	c.watch()
	return c, nil
}

// watch makes the instance that silent asks. Without it every pipe is asked by itself.
func (c *capture) watch() {
	fd, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	for i := 0; i < len(c.streams) && err == nil; i++ {
		err = unix.EpollCtl(fd, unix.EPOLL_CTL_ADD, c.streams[i].fd, &unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(i)})
	}
	if err == nil {
		c.ready = fd
	} else if fd >= 0 {
		unix.Close(fd)
	}
}

// silent reports whether nothing lies in either pipe: the answer of one cheap call, which each run
// costs. It cannot block, hence it is made without telling the scheduler.
func (c *capture) silent() bool {
	if c.ready < 0 {
		return false
	}
	var ev [1]unix.EpollEvent
	n, _, errno := syscall.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(c.ready), uintptr(unsafe.Pointer(&ev)), 1, 0, 0, 0)
	return errno == 0 && n == 0
}

// pump reads a stream for ever: the process holds the other end too.
func (c *capture) pump(s *stream) {
	for {
		c.mu.Lock()
		for c.left <= 0 {
			c.earned.Wait()
		}
		c.mu.Unlock()
		// The read happens inside, with the lock held: no byte is ever between the pipe and
		// the run that it belongs to.
		err := s.raw.Read(func(uintptr) bool {
			c.mu.Lock()
			defer c.mu.Unlock()
			return c.left <= 0 || c.read(s) != unix.EAGAIN
		})
		if err != nil {
			return
		}
		c.out.flush()
	}
}

// read sends what lies in the pipe, at most a piece; c.mu is held and credit is left.
func (c *capture) read(s *stream) error {
	n, err := unix.Read(s.fd, s.buf[:min(len(s.buf), int(c.left))])
	for err == unix.EINTR {
		n, err = unix.Read(s.fd, s.buf[:min(len(s.buf), int(c.left))])
	}
	if err != nil || n == 0 {
		return err
	}
	c.left -= int64(n)
	c.send(s, s.buf[:n], false)
	s.offset += int64(n)
	return nil
}

func (c *capture) send(s *stream, data []byte, end bool) {
	o := wire.Output{Run: c.run, Stream: s.number, Offset: s.offset, Data: data, End: end}
	b, at := c.out.open(kindOutput)
	b, _ = o.MarshalMsg(b)
	c.out.shut(b, at)
}

// begin says that what comes from now on belongs to a run.
func (c *capture) begin(id tutti.RunID) {
	c.mu.Lock()
	c.setRun(id)
	c.mu.Unlock()
}

func (c *capture) setRun(id tutti.RunID) {
	c.run = id
	for i := range c.streams {
		c.streams[i].offset = 0
	}
}

// end sends what the run has printed and is not yet read, and closes its streams. It waits while
// there is no credit.
func (c *capture) end() {
	c.mu.Lock()
	defer c.mu.Unlock()
	silent := c.silent()
	for i := range c.streams {
		s := &c.streams[i]
		for !silent && unread(s.fd) > 0 {
			for c.left <= 0 {
				c.out.flush()
				c.earned.Wait()
			}
			if c.read(s) != nil {
				break
			}
		}
		if s.offset > 0 {
			c.send(s, nil, true)
		}
	}
	c.setRun(tutti.RunID{})
}

// unread is how many bytes lie in a pipe. It cannot block either.
func unread(fd int) int {
	var n int32
	_, _, errno := syscall.RawSyscall(syscall.SYS_IOCTL, uintptr(fd), unix.TIOCINQ, uintptr(unsafe.Pointer(&n)))
	if errno != 0 {
		return 0
	}
	return int(n)
}

// credit allows n more bytes.
func (c *capture) credit(n int64) {
	c.mu.Lock()
	c.left += n
	c.mu.Unlock()
	c.earned.Broadcast()
}

// take waits for credit and uses n of it, going below zero for a last piece.
func (c *capture) take(ctx context.Context, n int64) error {
	stop := context.AfterFunc(ctx, func() { c.credit(0) })
	defer stop()
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.left <= 0 {
		if err := ctx.Err(); err != nil {
			return tutti.Errorf("display", tutti.KindOf(err), "%w while what was printed before is not read", err)
		}
		c.earned.Wait()
	}
	c.left -= n
	return nil
}
