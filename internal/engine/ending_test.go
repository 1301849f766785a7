package engine_test

import (
	"testing"

	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/sched"
)

// The two packages stand beside each other and mean the same numbers.
func TestEndings(t *testing.T) {
	for ours, theirs := range map[engine.Ending]sched.Ending{
		engine.Succeeded: sched.Succeeded, engine.UserFailed: sched.UserFailed, engine.MachineFailed: sched.MachineFailed,
		engine.Rejected: sched.Rejected, engine.WasCanceled: sched.WasCanceled,
	} {
		if ours != uint8(theirs) {
			t.Errorf("%d is %d there", ours, theirs)
		}
	}
}
