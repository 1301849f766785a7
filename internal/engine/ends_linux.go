package engine

import (
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// ends are both sides of everything that connects an agent with an engine process.
type ends struct {
	conn, blobs    *net.UnixConn // ours
	stdout, stderr *os.File      // the reading ends: ours, and the engine's too
	crash          *os.File      // ours
	board          *board
	shared         []byte     // the memory that the board is the beginning of
	theirs         []*os.File // in the order of the descriptors, from 0
}

// newEnds makes them, with so many bytes of memory that both sides map.
func newEnds(s Spec, shared int) (e *ends, err error) {
	e = &ends{}
	defer func() {
		if err != nil {
			e.closeOurs()
			e.closeTheirs()
		}
	}()
	add := func(f *os.File) { e.theirs = append(e.theirs, f) }
	null, err := os.Open(os.DevNull)
	if err != nil {
		return e, err
	}
	add(null)
	var out, errOut, crash, board *os.File
	if e.stdout, out, err = newPipeFiles(); err != nil {
		return e, err
	}
	add(out)
	if e.stderr, errOut, err = newPipeFiles(); err != nil {
		return e, err
	}
	add(errOut)
	for _, to := range []**net.UnixConn{&e.conn, &e.blobs} {
		var there *os.File
		if *to, there, err = socketpair(); err != nil {
			return e, err
		}
		add(there)
	}
	add(e.stdout)
	add(e.stderr)
	if e.crash, crash, err = newPipeFiles(); err != nil {
		return e, err
	}
	add(crash)
	if e.shared, board, err = newShared(shared); err != nil {
		return e, err
	}
	e.board = boardOf(e.shared)
	add(board)
	if s.ServeBlobs == nil {
		e.blobs.Close()
	}
	return e, nil
}

// closeTheirs closes what only the engine needs, once it has it.
func (e *ends) closeTheirs() {
	for _, f := range e.theirs {
		if f != e.stdout && f != e.stderr {
			f.Close()
		}
	}
	e.theirs = nil
}

// closeOurs closes all that is left.
func (e *ends) closeOurs() {
	for _, c := range []*net.UnixConn{e.conn, e.blobs} {
		if c != nil {
			c.Close()
		}
	}
	for _, f := range []*os.File{e.stdout, e.stderr, e.crash} {
		if f != nil {
			f.Close()
		}
	}
	if e.shared != nil {
		_ = unix.Munmap(e.shared)
		e.shared, e.board = nil, nil
	}
}

func socketpair() (*net.UnixConn, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	for _, fd := range fds { // a whole batch of results should pass in one go
		_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 4*flushAt)
	}
	here, err := connOf(os.NewFile(uintptr(fds[0]), "socketpair"))
	there := os.NewFile(uintptr(fds[1]), "socketpair")
	if err != nil {
		there.Close()
		return nil, nil, err
	}
	return here, there, nil
}

// newPipeFiles makes a pipe: our end is read by the runtime's poller, the other blocks whoever
// writes into it, as programs expect.
func newPipeFiles() (r, w *os.File, err error) {
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_CLOEXEC); err != nil {
		return nil, nil, os.NewSyscallError("pipe2", err)
	}
	_ = unix.SetNonblock(fds[0], true)
	return os.NewFile(uintptr(fds[0]), "pipe"), os.NewFile(uintptr(fds[1]), "pipe"), nil
}
