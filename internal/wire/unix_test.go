package wire_test

import (
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

func TestUnixFolder(t *testing.T) {
	dir := filepath.Join(privateDir(t), "new")
	ln, err := wire.Unix{}.Listen(t.Context(), filepath.Join(dir, "s"))
	if err != nil {
		t.Fatal(err)
	}
	for p, want := range map[string]os.FileMode{dir: 0o700, ln.Addr(): 0o600} {
		if st, err := os.Stat(p); err != nil || st.Mode().Perm() != want {
			t.Errorf("%s: %v, %v", p, st.Mode(), err)
		}
	}
	ln.Close()
	if _, err := os.Stat(ln.Addr()); err == nil {
		t.Error("closing left the socket file")
	}
	if err := os.Chmod(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	_, err = wire.Unix{}.Listen(t.Context(), filepath.Join(dir, "s"))
	if tutti.KindOf(err) != tutti.Denied || !strings.Contains(tutti.HintOf(err), "chmod 700") {
		t.Errorf("in an open folder: %v (hint %q)", err, tutti.HintOf(err))
	}
}

func TestUnixStale(t *testing.T) {
	addr := filepath.Join(privateDir(t), "s")
	crashed, err := net.ListenUnix("unix", &net.UnixAddr{Name: addr})
	if err != nil {
		t.Fatal(err)
	}
	crashed.SetUnlinkOnClose(false)
	crashed.Close()
	if _, err := os.Stat(addr); err != nil {
		t.Fatal("the stale file is not there: ", err)
	}
	if _, err := (wire.Unix{}).Dial(t.Context(), addr); tutti.KindOf(err) != tutti.NotFound {
		t.Errorf("dialling a stale socket: %v", err)
	}
	ln, err := wire.Unix{}.Listen(t.Context(), addr)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if _, err := (wire.Unix{}).Listen(t.Context(), addr); tutti.KindOf(err) != tutti.Exists {
		t.Errorf("a second listener: %v", err)
	}
	if c, err := (wire.Unix{}).Dial(t.Context(), addr); err != nil {
		t.Error("the first listener suffered: ", err)
	} else {
		c.Close()
	}
}

func TestUnixPaths(t *testing.T) {
	dir := privateDir(t)
	file := filepath.Join(dir, "f")
	if err := os.WriteFile(file, []byte("precious"), 0o600); err != nil {
		t.Fatal(err)
	}
	long := filepath.Join(dir, strings.Repeat("x", 108))
	for addr, kind := range map[string]tutti.Kind{file: tutti.Exists, long: tutti.Invalid, "": tutti.Invalid} {
		_, err := wire.Unix{}.Listen(t.Context(), addr)
		if tutti.KindOf(err) != kind {
			t.Errorf("listening at %q: %v", addr, err)
		}
		if addr == long && tutti.HintOf(err) == "" {
			t.Error("no hint about long paths")
		}
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Error("a file was overwritten")
	}
	if _, err := (wire.Unix{}).Dial(t.Context(), filepath.Join(dir, "none")); tutti.KindOf(err) != tutti.NotFound {
		t.Error(err)
	}
}
