package wire

import (
	"net"
	"syscall"

	"github.com/tutti-hpc/tutti"
)

// maxUnixPath is how long a socket's path may be.
const maxUnixPath = 107

// peerUID asks the kernel which user is at the other end.
func peerUID(c *net.UnixConn) (int, error) {
	raw, err := c.SyscallConn()
	if err != nil {
		return -1, tutti.E("connect", tutti.Lost, err)
	}
	var cred *syscall.Ucred
	var sockErr error
	err = raw.Control(func(fd uintptr) {
		cred, sockErr = syscall.GetsockoptUcred(int(fd), syscall.SOL_SOCKET, syscall.SO_PEERCRED)
	})
	if err == nil {
		err = sockErr
	}
	if err != nil {
		return -1, tutti.E("connect", tutti.Lost, err)
	}
	return int(cred.Uid), nil
}
