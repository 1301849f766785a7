//go:build !linux

package engine

import (
	"context"

	"github.com/tutti-hpc/tutti"
)

// capture has no form on this system: engines here run inside their agent's process only.
type capture struct{}

func (*capture) begin(tutti.RunID)                 {}
func (*capture) end()                              {}
func (*capture) credit(int64)                      {}
func (*capture) take(context.Context, int64) error { return nil }
