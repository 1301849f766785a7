package gateway

import (
	"errors"
	"syscall"
)

// isReset reports whether the other side has gone without reading all.
func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
