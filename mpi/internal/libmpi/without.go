//go:build !cgo || !linux

package libmpi

import (
	"context"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Running says whether MPI has been begun in this process: never, in a build without C.
func Running() bool { return false }

// Join cannot load an MPI library in a build without C, or on this system, and says so.
func Join(_ context.Context, l Launcher, _ Options) (device.World, error) {
	if l.Size == 0 {
		return nil, device.Errorf(tutti.Unsupported, "%s is set, but this build cannot load an MPI library", EnvLibrary).
			WithHint("build the program with CGO_ENABLED=1")
	}
	return nil, device.Errorf(tutti.Unsupported, "started %d times by a launcher of %s, which this build cannot join", l.Size, l.Name).
		WithHint("build the program with CGO_ENABLED=1, or start the ranks of one machine with `tutti run -n %d`", l.Size)
}
