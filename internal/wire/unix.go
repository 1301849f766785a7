package wire

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tutti-hpc/tutti"
)

// Unix is the network of one user on one machine: stream sockets in the file system. Addresses
// are paths. A socket is made 0600 in a folder that must be 0700 (and is made so if it is not
// there), and both sides check that the other runs as the same user, so no keys are needed.
type Unix struct{}

// Listen makes the socket. A socket file that a crash left behind is replaced; one where somebody
// accepts is an error of kind Exists. Others: Invalid (path too long), Denied (folder open to others).
func (Unix) Listen(ctx context.Context, addr string) (Listener, error) {
	ln, err := ListenUnix(ctx, addr)
	if err != nil {
		return nil, err
	}
	wrap := func(c net.Conn) Conn {
		id := Identity{Network: "unix", Addr: addr, UID: -1}
		return newStream(c, c, true, id, func() (Identity, error) { return sameUser(c, id) })
	}
	return &streamListener{ln: ln, addr: addr, wrap: wrap}, nil
}

// ListenUnix makes a socket for this user alone, as [Unix] does, for what is not a link. Who
// accepts checks with [SameUser] who has come.
func ListenUnix(ctx context.Context, addr string) (*net.UnixListener, error) {
	if err := checkPath("listen", addr); err != nil {
		return nil, err
	}
	dir := filepath.Dir(addr)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, tutti.E("listen", tutti.KindOf(err), err)
	}
	if err := checkPrivate("listen", dir, true); err != nil {
		return nil, err
	}
	unlock, err := lockFolder(dir)
	if err != nil {
		return nil, err
	}
	defer unlock()
	if err := removeStale(ctx, addr); err != nil {
		return nil, err
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "unix", addr)
	if err != nil {
		return nil, tutti.Errorf("listen", tutti.KindOf(err), "%w", err)
	}
	if err := os.Chmod(addr, 0o600); err != nil {
		ln.Close()
		return nil, tutti.E("listen", tutti.KindOf(err), err)
	}
	return ln.(*net.UnixListener), nil
}

// SameUser reports a peer that runs as another user than we do, as an error of kind Denied.
func SameUser(c *net.UnixConn) error {
	_, err := sameUser(c, Identity{Network: "unix", Addr: c.LocalAddr().String()})
	return err
}

// Dial connects to the socket. Nobody there: kind NotFound; another user's: Denied.
func (Unix) Dial(ctx context.Context, addr string) (Conn, error) {
	if err := checkPath("dial", addr); err != nil {
		return nil, err
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", addr)
	if err != nil {
		return nil, dialError(addr, err)
	}
	id, err := sameUser(c, Identity{Network: "unix", Addr: addr})
	if err != nil {
		c.Close()
		return nil, err
	}
	return newStream(c, c, true, id, nil), nil
}

func checkPath(op, addr string) error {
	if addr == "" {
		return tutti.Errorf(op, tutti.Invalid, "a Unix socket needs a path")
	}
	if len(addr) > maxUnixPath {
		return tutti.Errorf(op, tutti.Invalid, "the path of a Unix socket may have %d bytes, this one has %d: %s", maxUnixPath, len(addr), addr).
			WithHint("choose a shorter folder, for instance by XDG_RUNTIME_DIR or TMPDIR")
	}
	return nil
}

// sameUser checks that the process at the other end runs as us.
func sameUser(c net.Conn, id Identity) (Identity, error) {
	uid, err := peerUID(c.(*net.UnixConn))
	if err != nil {
		return id, err
	}
	if id.UID = uid; uid != os.Getuid() {
		return id, tutti.Errorf("connect", tutti.Denied, "the other side of %s runs as user %d, we as %d", id.Addr, uid, os.Getuid())
	}
	return id, nil
}

// removeStale takes away a socket file at which nobody accepts. The folder is locked, so no other
// of us can be between making the file and listening.
func removeStale(ctx context.Context, addr string) error {
	st, err := os.Lstat(addr)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return tutti.E("listen", tutti.KindOf(err), err)
	case st.Mode().Type() != fs.ModeSocket:
		return tutti.Errorf("listen", tutti.Exists, "%s is there and is no socket", addr)
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", addr)
	if err == nil {
		c.Close()
		return tutti.Errorf("listen", tutti.Exists, "somebody listens at %s already", addr)
	}
	if !errors.Is(err, syscall.ECONNREFUSED) {
		return dialError(addr, err)
	}
	if err := os.Remove(addr); err != nil {
		return tutti.E("listen", tutti.KindOf(err), err)
	}
	return nil
}

// lockFolder keeps other processes of ours from the same check, without leaving a file.
func lockFolder(dir string) (unlock func(), err error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, tutti.E("listen", tutti.KindOf(err), err)
	}
	for {
		if err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != syscall.EINTR {
			break
		}
	}
	if err != nil {
		f.Close()
		return nil, tutti.Errorf("listen", tutti.Other, "lock %s: %w", dir, err)
	}
	return func() { f.Close() }, nil
}
