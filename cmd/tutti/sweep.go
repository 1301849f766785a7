package main

import (
	"errors"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// staleAfter is how old a socket must be before it is taken for one that was left behind: a process that
// has just made its own may not be listening yet.
const staleAfter = time.Minute

// sweep removes the sockets of gateways that were killed: those beside path at which nobody listens.
func sweep(path string) {
	beside, _ := filepath.Glob(filepath.Join(filepath.Dir(path), "c-*.sock"))
	for _, socket := range beside {
		st, err := os.Lstat(socket)
		if err != nil || st.Mode().Type() != os.ModeSocket || time.Since(st.ModTime()) < staleAfter {
			continue
		}
		c, err := net.DialTimeout("unix", socket, time.Second)
		if err == nil {
			c.Close()
		}
		if errors.Is(err, syscall.ECONNREFUSED) {
			_ = os.Remove(socket)
			_ = os.Remove(socket + blobsSuffix)
		}
	}
}
