//go:build !linux

package wire

import (
	"net"

	"github.com/tutti-hpc/tutti"
)

// maxUnixPath is how long a socket's path may be (macOS, the BSDs).
const maxUnixPath = 103

// peerUID is not there yet: without it we do not trust a Unix socket.
func peerUID(*net.UnixConn) (int, error) {
	return -1, tutti.Errorf("connect", tutti.Unsupported, "the user at the other end of a Unix socket is only known on Linux")
}
