//go:build unix

package mpi

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"syscall"

	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// reportOnSignal prints who waits for what when the process gets SIGUSR1, until ctx ends or the
// process does.
func reportOnSignal(ctx context.Context, w device.World) {
	ch := make(chan os.Signal, 1)
	signal.Notify(ch, syscall.SIGUSR1)
	go func() {
		for {
			select {
			case <-ch:
				fmt.Fprintf(os.Stderr, "mpi: who waits for what\n%s", w.Waiting())
			case <-ctx.Done():
				signal.Stop(ch)
				return
			}
		}
	}()
}
