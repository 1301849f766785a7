package engine

import (
	"context"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

// runContext is the context of one run. It is written here because an engine makes hundreds of
// thousands a second, and the standard library's costs more than the rest of a small task.
type runContext struct {
	base context.Context // what all runs of the engine share: variables, where to display
	id   tutti.RunID
	held *World

	mu      sync.Mutex
	done    chan struct{} // made when somebody asks
	err     error
	timeout bool // it was stopped because its time was over
	asked   bool // it was asked to stop
	after   map[*func()]struct{}
	world   *mpi.World // while its function is a rank of it
	lost    []int      // ranks of that world that ended badly
}

type runKey struct{}

type placeKey struct{}

// PlaceOf names the engine and the host that a run's context belongs to; ok is false elsewhere.
func PlaceOf(ctx context.Context) (engine tutti.EngineID, host string, ok bool) {
	id, ok := ctx.Value(placeKey{}).(identity)
	return id.Engine, id.Host, ok
}

// runOf finds the run that a context belongs to, nil if none.
func runOf(ctx context.Context) *runContext {
	r, _ := ctx.Value(runKey{}).(*runContext)
	return r
}

func (c *runContext) Deadline() (time.Time, bool) { return time.Time{}, false }

func (c *runContext) Value(key any) any {
	switch key.(type) {
	case runKey:
		return c
	case worldKey:
		return c.held
	}
	return c.base.Value(key)
}

func (c *runContext) Done() <-chan struct{} {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.done == nil {
		c.done = make(chan struct{})
		if c.err != nil {
			close(c.done)
		}
	}
	return c.done
}

func (c *runContext) Err() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.err
}

// AfterFunc lets the standard library hang its contexts below this one without a goroutine each.
func (c *runContext) AfterFunc(f func()) (stop func() bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.err != nil {
		go f()
		return func() bool { return false }
	}
	if c.after == nil {
		c.after = map[*func()]struct{}{}
	}
	c.after[&f] = struct{}{}
	return func() bool {
		c.mu.Lock()
		defer c.mu.Unlock()
		_, waiting := c.after[&f]
		delete(c.after, &f)
		return waiting
	}
}

// cancel stops the run's context because somebody asked.
func (c *runContext) cancel(timeout bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.asked, c.timeout = true, timeout
	c.end(context.Canceled)
}

// finish stops it because the run is over, so that what it left behind stops too. It reports
// whether the run was asked to stop before, and whether because its time was over.
func (c *runContext) finish() (asked, timeout bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	asked, timeout = c.asked, c.timeout
	c.end(context.Canceled)
	return asked, timeout
}

func (c *runContext) end(err error) {
	if c.err != nil {
		return
	}
	c.err = err
	if c.done != nil {
		close(c.done)
	}
	for f := range c.after {
		go (*f)()
	}
	c.after = nil
}

// enter notes the world that the run's function is a rank of, nil at its end.
func (c *runContext) enter(w *mpi.World) {
	c.mu.Lock()
	c.world = w
	lost := c.lost
	c.mu.Unlock()
	for _, rank := range lost {
		if w != nil {
			w.Lost(rank)
		}
	}
}

// mourn takes in that a rank of the world has ended badly.
func (c *runContext) mourn(rank int) {
	c.mu.Lock()
	c.lost = append(c.lost, rank)
	w := c.world
	c.mu.Unlock()
	if w != nil {
		w.Lost(rank)
	}
}
