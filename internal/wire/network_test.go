package wire_test

import (
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-hpc/tutti/internal/wire"
	"github.com/tutti-hpc/tutti/internal/wire/wiretest"
)

func TestMemory(t *testing.T) {
	for _, c := range wiretest.Cases {
		t.Run(c.Name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				m := wire.NewMemory(1)
				c.Run(t, wiretest.Setup{Server: m.Host("server"), Client: m.Host("client"), Addr: "the server"})
			})
		})
	}
}

func TestUnix(t *testing.T) {
	for _, c := range wiretest.Cases {
		t.Run(c.Name, func(t *testing.T) {
			noneLeft(t)
			dir := privateDir(t)
			c.Run(t, wiretest.Setup{Server: wire.Unix{}, Client: wire.Unix{}, Addr: filepath.Join(dir, "s")})
		})
	}
}

func TestTCP(t *testing.T) {
	keys := testKeys(t)
	for _, c := range wiretest.Cases {
		t.Run(c.Name, func(t *testing.T) {
			noneLeft(t)
			c.Run(t, wiretest.Setup{
				Server: wire.TCP{Keys: keys(wire.RoleServer)}, Client: wire.TCP{Keys: keys(wire.RoleClient)},
				Agent: wire.TCP{Keys: keys(wire.RoleAgent)}, Addr: "127.0.0.1:0", Proves: true,
			})
		})
	}
}

// privateDir is a short folder of mode 0700: paths of sockets are bounded.
func privateDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "wire")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	return dir
}

// testKeys makes keys of a cluster and gives them out by role.
func testKeys(t testing.TB) func(wire.Role) *wire.Keys {
	t.Helper()
	dir := filepath.Join(privateDir(t), "keys")
	if err := wire.EnsureKeys(dir, "test"); err != nil {
		t.Fatal(err)
	}
	return func(r wire.Role) *wire.Keys {
		k, err := wire.LoadKeys(dir, r)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
}

// noneLeft checks, after all other cleanups, that no goroutine of ours is left.
func noneLeft(t *testing.T) {
	t.Cleanup(func() {
		var left string
		if !become(func() bool { left = oneLeft(); return left == "" }) {
			t.Errorf("a goroutine is left:\n%s", left)
		}
	})
}

// oneLeft is the stack of some goroutine of ours, besides the caller's.
func oneLeft() string {
	buf := make([]byte, 1<<20)
	for _, g := range strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")[1:] {
		if strings.Contains(g, "tutti/internal/wire.") {
			return g
		}
	}
	return ""
}

// until waits for a state that nobody signals, in real time.
func until(t *testing.T, state func() bool) {
	t.Helper()
	if !become(state) {
		t.Error("a state was never reached")
	}
}

func become(state func() bool) bool {
	for deadline := time.Now().Add(20 * time.Second); !state(); <-time.After(time.Millisecond) {
		if time.Now().After(deadline) {
			return false
		}
	}
	return true
}
