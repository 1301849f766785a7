package main

import (
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Sockets at which nobody listens any more are removed, others stay.
func TestSweep(t *testing.T) {
	dir, err := os.MkdirTemp("", "tutti") // t.TempDir may be too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	old := time.Now().Add(-2 * staleAfter)
	listen := func(name string, stay bool) string {
		path := filepath.Join(dir, name)
		ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
		if err != nil {
			t.Fatal(err)
		}
		ln.SetUnlinkOnClose(false)
		if stay {
			t.Cleanup(func() { ln.Close() })
		} else {
			ln.Close()
		}
		return path
	}
	dead, blobs := listen("c-dead.sock", false), listen("c-dead.sock"+blobsSuffix, false)
	alive, fresh := listen("c-alive.sock", true), listen("c-fresh.sock", false)
	other := listen("mine.sock", false)
	file := filepath.Join(dir, "c-file.sock")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{dead, blobs, alive, other, file} {
		if err := os.Chtimes(path, old, old); err != nil {
			t.Fatal(err)
		}
	}
	sweep(filepath.Join(dir, "c-new.sock"))
	for path, stays := range map[string]bool{dead: false, blobs: false, alive: true, fresh: true, other: true, file: true} {
		if _, err := os.Lstat(path); (err == nil) != stays {
			t.Errorf("%s: %v", filepath.Base(path), err)
		}
	}
}
