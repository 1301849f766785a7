//go:build !linux

package shm

import (
	"io/fs"
	"net"
	"os"
	"time"
)

const supported = false

func createFile(string, int64) (*os.File, error)    { return nil, ErrUnsupported }
func openFile(string) (*os.File, error)             { return nil, ErrUnsupported }
func anonymousFile(string, int64) (*os.File, error) { return nil, ErrUnsupported }

func mapFile(*os.File, int64, int64, Mode) ([]byte, error) { return nil, ErrUnsupported }
func unmap([]byte) error                                   { return ErrUnsupported }
func prefault([]byte, bool) error                          { return ErrUnsupported }
func punch(*os.File, int64, int64) error                   { return ErrUnsupported }
func ours(fs.FileInfo) bool                                { return false }

// Wait needs Linux: [ErrUnsupported].
func Wait(*uint32, uint32, time.Duration) error { return ErrUnsupported }

// Wake needs Linux: [ErrUnsupported].
func Wake(*uint32, int) (int, error) { return 0, ErrUnsupported }

// Yield does nothing here.
func Yield() {}

// SendFDs needs Linux: [ErrUnsupported].
func SendFDs(*net.UnixConn, []byte, ...*os.File) error { return ErrUnsupported }

// RecvFDs needs Linux: [ErrUnsupported].
func RecvFDs(*net.UnixConn, []byte) (int, []*os.File, error) { return 0, nil, ErrUnsupported }

// Socketpair needs Linux: [ErrUnsupported].
func Socketpair() (*net.UnixConn, *os.File, error) { return nil, nil, ErrUnsupported }

// ConnFromFile needs Linux: [ErrUnsupported].
func ConnFromFile(f *os.File) (*net.UnixConn, error) {
	f.Close()
	return nil, ErrUnsupported
}

// CPUs needs Linux: [ErrUnsupported].
func CPUs() (float64, error) { return 0, ErrUnsupported }

// Room needs Linux: [ErrUnsupported].
func Room() (int64, error) { return 0, ErrUnsupported }
