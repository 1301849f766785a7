package mpi

import (
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Special ranks and tags.
const (
	AnySource = device.AnySource // receive from any rank
	ProcNull  = device.ProcNull  // nobody: sends and receives do nothing at once
	AnyTag    = device.AnyTag    // receive with any tag
	Undefined = device.Undefined // no color, no rank
)

// Comm is a communicator: an ordered set of ranks with a message space of its own. All methods
// may be called concurrently, except that those marked collective are called by all its ranks in
// the same order.
type Comm struct {
	dev        device.Comm
	world      device.World
	rank, size int
	handler    atomic.Pointer[ErrorHandler]
	cart       *cart

	mu    sync.Mutex
	name  string
	attrs map[any]any
}

func newComm(d device.Comm, w device.World, name string) *Comm {
	return &Comm{dev: d, world: w, rank: d.Rank(), size: d.Size(), name: name}
}

// derive makes the communicator that came out of a collective call on c; d is nil on ranks that
// are not in it.
func (c *Comm) derive(d device.Comm, name string) *Comm {
	if d == nil {
		return nil
	}
	n := newComm(d, c.world, name)
	n.handler.Store(c.handler.Load())
	return n
}

// Rank is the calling rank, from 0 to Size-1.
func (c *Comm) Rank() int { return c.rank }

// Size is the number of ranks.
func (c *Comm) Size() int { return c.size }

// Name is what messages for people call the communicator.
func (c *Comm) Name() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.name
}

// SetName changes the name, on this rank only.
func (c *Comm) SetName(name string) {
	c.mu.Lock()
	c.name = name
	c.mu.Unlock()
}

// TagUB is the highest tag that messages may have; on shared memory 2^31-1.
func (c *Comm) TagUB() int { return c.dev.TagUB() }

// Dup makes a communicator of the same ranks with a message space of its own, so that a library
// and its caller do not take each other's messages. Attributes are not copied. Collective.
func (c *Comm) Dup() (*Comm, error) {
	d, err := c.dev.Dup()
	if err != nil {
		return nil, c.failed("Dup", err)
	}
	n := c.derive(d, "dup of "+c.Name())
	n.cart = c.cart
	return n, nil
}

// Split makes one communicator for each color, in which ranks are in the order of their keys,
// and of their ranks in c where keys are equal. A rank with color [Undefined] gets nil. Collective.
func (c *Comm) Split(color, key int) (*Comm, error) {
	if color < 0 && color != Undefined {
		return nil, c.failed("Split", device.Errorf(tutti.Invalid, "color %d: it must not be negative", color))
	}
	d, err := c.dev.Split(color, key)
	if err != nil {
		return nil, c.failed("Split", err)
	}
	return c.derive(d, "part of "+c.Name()), nil
}

// SplitShared makes communicators of ranks that can share memory; see [NewWindow]. Collective.
func (c *Comm) SplitShared(key int) (*Comm, error) {
	d, err := c.dev.SplitShared(key)
	if err != nil {
		return nil, c.failed("SplitShared", err)
	}
	return c.derive(d, "shared memory of "+c.Name()), nil
}

// Create makes a communicator of the ranks of g, in g's order; a rank that is not in g gets nil.
// All ranks of c call it with the same group. Collective.
func (c *Comm) Create(g *Group) (*Comm, error) {
	color, key := Undefined, g.Rank()
	if key >= 0 {
		color = 0
	}
	if g.Size() > 0 && !g.within(c.Group()) {
		return nil, c.failed("Create", device.Errorf(tutti.Invalid, "the group has ranks that are not in the communicator"))
	}
	return c.Split(color, key)
}

// Free gives the communicator up. What is under way on it fails with kind Closed, as does every
// later call. Collective in the sense that all ranks should, but no rank waits for another.
func (c *Comm) Free() error { return c.orNil("Free", c.dev.Free()) }

// Revoke makes the pending and all later calls of all ranks on this communicator fail with kind
// Revoked; one rank is enough. It is how a rank that cannot go on keeps the others from waiting for it.
func (c *Comm) Revoke() error { return c.orNil("Revoke", c.dev.Revoke()) }

func (c *Comm) orNil(op string, err error) error {
	if err == nil {
		return nil
	}
	return c.failed(op, err)
}

// exit is what Abort ends a process with; tests replace it.
var exit = os.Exit

// launcherTime is how long a launcher may take to end the other ranks after one has ended.
const launcherTime = 500 * time.Millisecond

// Abort ends the job: where ranks are processes that `tutti run` started this one exits with the code,
// upon which the launcher ends the others; elsewhere the calls of all ranks fail with the reason.
func (c *Comm) Abort(code int, reason string) {
	process.Lock()
	mine := process.world != nil && process.world.dev == c.world && os.Getenv(EnvSegment) != ""
	process.Unlock()
	if mine {
		// The others are not told here: they might exit first, with a status of their own. Nor does one
		// that ends because another has ended go before the launcher has seen that.
		if _, _, err := c.dev.Iprobe(AnySource, AnyTag); tutti.KindOf(err) == tutti.Revoked {
			<-time.After(launcherTime)
		}
		os.Stderr.WriteString("mpi: rank " + strconv.Itoa(c.rank) + " ends the job: " + reason + "\n")
		exit(code)
	}
	c.world.Abort(code, reason)
}

// Waiting says for every rank of the world what it waits for, a line each: the way to read a
// deadlock. A rank started by `tutti run` prints it on SIGUSR1.
func (c *Comm) Waiting() string { return c.world.Waiting() }

// SetAttr keeps a value with the communicator, on this rank only. Keys are compared as in a map: use a
// type of your own, as with contexts.
func (c *Comm) SetAttr(key, value any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.attrs == nil {
		c.attrs = map[any]any{}
	}
	c.attrs[key] = value
}

// Attr gives what SetAttr kept.
func (c *Comm) Attr(key any) (value any, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	value, ok = c.attrs[key]
	return value, ok
}

// DeleteAttr forgets it.
func (c *Comm) DeleteAttr(key any) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.attrs, key)
}
