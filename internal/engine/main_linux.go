package engine

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"runtime/debug"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
)

// The descriptors that an engine is born with. It reads its own stdout and stderr (see capture).
const (
	fdMessages = 3 + iota // a stream socket
	fdBlobs               // a stream socket for the node's blob store, or /dev/null
	fdStdout              // the reading end of its stdout
	fdStderr              // the reading end of its stderr
	fdCrash               // a pipe for its last words
	fdBoard               // see board
	fdCount
)

// exitSetup is the status of an engine that could not even begin.
const exitSetup = 120

// processMain is an engine process from beginning to end; it returns the exit status.
func processMain(text string) int {
	l, conn, err := processLoop(text)
	if err != nil {
		fmt.Fprintln(os.Stderr, "tutti: engine cannot start:", err)
		return exitSetup
	}
	err = l.serve(conn)
	if err == nil {
		return 0
	}
	if !gone(err) {
		fmt.Fprintln(os.Stderr, "tutti: engine stops:", err)
		return exitSetup
	}
	// The agent is gone. Children of the user's code are in this group and go too.
	if unix.Getpgrp() == os.Getpid() {
		_ = unix.Kill(0, unix.SIGKILL)
	}
	return 1
}

// processLoop takes over the descriptors.
func processLoop(text string) (*loop, net.Conn, error) {
	var id identity
	if err := json.Unmarshal([]byte(text), &id); err != nil {
		return nil, nil, fmt.Errorf("%s: %w", engineEnv, err)
	}
	var files [fdCount]*os.File
	for fd := fdMessages; fd < fdCount; fd++ {
		unix.CloseOnExec(fd) // the user's children get none of them
		if fd == fdStdout || fd == fdStderr {
			_ = unix.SetNonblock(fd, true)
		}
		files[fd] = os.NewFile(uintptr(fd), fmt.Sprintf("engine %d", fd))
	}
	conn, err := connOf(files[fdMessages])
	if err != nil {
		return nil, nil, fmt.Errorf("descriptor %d: %w", fdMessages, err)
	}
	m, err := mapShared(files[fdBoard], boardSize)
	if err != nil {
		return nil, nil, fmt.Errorf("descriptor %d: %w", fdBoard, err)
	}
	files[fdBoard].Close()
	_ = debug.SetCrashOutput(files[fdCrash], debug.CrashOptions{})
	blobs, err := connectBlobs(id, files[fdBlobs])
	if err != nil {
		return nil, nil, err
	}
	l := newLoop(id, newSender(conn), boardOf(m), blobs)
	if l.capture, err = newCapture(l.out, files[fdStdout], files[fdStderr]); err != nil {
		return nil, nil, err
	}
	for i := range l.capture.streams {
		go l.capture.pump(&l.capture.streams[i])
	}
	l.setEnv = true
	l.env = newAllotment(id.Threads)
	tutti.SetSink(l.display)
	return l, conn, nil
}

func connectBlobs(id identity, f *os.File) (blob.Space, error) {
	if !id.Blobs {
		f.Close()
		return nil, nil
	}
	conn, err := connOf(f)
	if err != nil {
		return nil, fmt.Errorf("descriptor %d: %w", fdBlobs, err)
	}
	return blob.Connect(conn), nil
}

// connOf makes a connection of a socket's descriptor, which is closed.
func connOf(f *os.File) (*net.UnixConn, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, errors.New("not a Unix socket")
	}
	return u, nil
}
