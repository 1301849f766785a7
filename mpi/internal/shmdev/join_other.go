//go:build !linux

package shmdev

import (
	"context"
	"os"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

func unsupported() error {
	return device.Errorf(tutti.Unsupported, "ranks as processes that share memory need Linux").
		WithHint("ranks as goroutines work here: mpi.Run")
}

// Join needs Linux.
func Join(context.Context, Spec) (*World, error) { return nil, unsupported() }

// Lost needs Linux.
func Lost(Spec) error { return unsupported() }

// NewSegment needs Linux.
func NewSegment(string) (*os.File, error) { return nil, unsupported() }

func (e *engine) register()                           { setState(e.a, e.me, joined) }
func (e *engine) tryReach(int) bool                   { return false }
func (e *engine) readPeer(int, uint64, []byte) error  { return unsupported() }
func (e *engine) writePeer(int, uint64, []byte) error { return unsupported() }
func (e *engine) watch()                              {}
func (e *engine) closePidfds()                        {}
func (c *comm) mapWindow(int) ([]byte, error)         { return nil, unsupported() }
func unmapWindow([]byte) error                        { return nil }
