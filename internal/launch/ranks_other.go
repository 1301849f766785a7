//go:build !linux

package launch

import (
	"context"

	"github.com/tutti-hpc/tutti"
)

// Ranks needs Linux.
func Ranks(context.Context, Spec) (Exit, error) {
	return Exit{Rank: -1}, tutti.Errorf("run", tutti.Unsupported, "ranks that share memory need Linux")
}
