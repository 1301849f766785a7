package shm

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"golang.org/x/sys/unix"
)

// maxFDs is how many descriptors travel with one message; the kernel's own limit is 253.
const maxFDs = 16

// SendFDs writes msg, at least one byte, and hands on the descriptors of files with it; they stay
// the caller's too. On a stream they arrive with the first byte of msg. It blocks until all of msg
// is written, and must not run concurrently with another write to c.
func SendFDs(c *net.UnixConn, msg []byte, files ...*os.File) error {
	if len(msg) == 0 || len(files) > maxFDs {
		return fmt.Errorf("send descriptors: %w: %d bytes, %d files", ErrInvalid, len(msg), len(files))
	}
	var oob []byte
	if len(files) > 0 {
		fds := make([]int, len(files))
		for i, f := range files {
			// Not f.Fd(), which makes a socket blocking for everybody who shares it.
			if err := control(f, func(fd int) error { fds[i] = fd; return nil }); err != nil {
				return wrap("send descriptor", f.Name(), err)
			}
		}
		oob = unix.UnixRights(fds...)
	}
	n, _, err := c.WriteMsgUnix(msg, oob, nil)
	for err == nil && n < len(msg) { // a full socket takes a part; the descriptors went with it
		var m int
		m, err = c.Write(msg[n:])
		n += m
	}
	if err != nil {
		return wrap("send descriptors to", "socket", err)
	}
	return nil
}

// RecvFDs reads what is there into buf, as Read does, and takes the descriptors that came with
// it; they belong to the caller and are closed on exec. On a stream one call returns descriptors
// of at most one SendFDs, so the caller pairs them with messages by their order. Where the kernel
// or this process had no room for all of them, those that came are closed and the error is
// [ErrFull]; control messages that are not descriptors are [ErrInvalid]. At the end: io.EOF.
func RecvFDs(c *net.UnixConn, buf []byte) (n int, files []*os.File, err error) {
	oob := make([]byte, unix.CmsgSpace(4*maxFDs))
	n, oobn, flags, _, err := c.ReadMsgUnix(buf, oob)
	n = max(n, 0) // some errors come with -1
	files, bad := parseRights(oob[:oobn])
	switch {
	case errors.Is(err, io.EOF):
		err = io.EOF
	case err != nil:
	case flags&unix.MSG_CTRUNC != 0:
		err = fmt.Errorf("receive descriptors: %w: control message cut, %d came", ErrFull, len(files))
	case bad != nil:
		err = bad
	default:
		return n, files, nil
	}
	for _, f := range files {
		f.Close()
	}
	return n, nil, err
}

// parseRights takes every descriptor out of a control buffer, also when something else in it is
// wrong: a descriptor that nobody takes would stay open for ever.
func parseRights(oob []byte) (files []*os.File, bad error) {
	for len(oob) > 0 {
		h, data, rest, err := unix.ParseOneSocketControlMessage(oob)
		if err != nil {
			return files, fmt.Errorf("receive descriptors: %w: %w", ErrInvalid, err)
		}
		oob = rest
		if h.Level != unix.SOL_SOCKET || h.Type != unix.SCM_RIGHTS {
			bad = fmt.Errorf("receive descriptors: %w: control message %d/%d", ErrInvalid, h.Level, h.Type)
			continue
		}
		fds, err := unix.ParseUnixRights(&unix.SocketControlMessage{Header: h, Data: data})
		if err != nil {
			bad = fmt.Errorf("receive descriptors: %w: %w", ErrInvalid, err)
			continue
		}
		for _, fd := range fds {
			files = append(files, os.NewFile(uintptr(fd), "received"))
		}
	}
	return files, bad
}

// Socketpair makes two connected stream sockets: one to keep, one as a file for a child process
// (exec.Cmd.ExtraFiles), which makes it a connection by [ConnFromFile].
func Socketpair() (here *net.UnixConn, there *os.File, err error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, wrap("make", "socketpair", err)
	}
	here, err = ConnFromFile(os.NewFile(uintptr(fds[0]), "socketpair"))
	if err != nil {
		unix.Close(fds[1])
		return nil, nil, err
	}
	return here, os.NewFile(uintptr(fds[1]), "socketpair"), nil
}

// ConnFromFile makes a connection of a Unix socket's descriptor; f is closed, whatever happens.
func ConnFromFile(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, wrap("open", "socket", err)
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("open socket: %w: %T, not a Unix socket", ErrInvalid, c)
	}
	return u, nil
}
