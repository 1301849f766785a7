package engine

import (
	"context"
	"sync"

	"github.com/tutti-hpc/tutti"
)

// allowance is credit for what runs show, where what they print is not ours to hold back.
type allowance struct {
	mu     sync.Mutex // guards what follows
	earned sync.Cond  // signalled when credit comes
	left   int64
}

func newAllowance() *allowance {
	a := &allowance{left: OutputWindow}
	a.earned.L = &a.mu
	return a
}

func (a *allowance) credit(n int64) {
	a.mu.Lock()
	a.left += n
	a.mu.Unlock()
	a.earned.Broadcast()
}

// take waits for credit and uses n of it, going below zero for a last piece.
func (a *allowance) take(ctx context.Context, n int64) error {
	defer context.AfterFunc(ctx, func() { a.credit(0) })()
	a.mu.Lock()
	defer a.mu.Unlock()
	for a.left <= 0 {
		if err := ctx.Err(); err != nil {
			return tutti.Errorf("display", tutti.KindOf(err), "%w while what was shown before is not dealt with", err)
		}
		a.earned.Wait()
	}
	a.left -= n
	return nil
}
