// Package mpi is message passing between the ranks of one parallel program, in the manner of
// MPI: typed functions over slices, and communicators they take place on.
//
// The nouns: a rank is one process (or, under [Run], one goroutine) of a program that was started
// n times; a communicator ([Comm]) is an ordered set of ranks with a message space of its own, the
// first of which is the world; a [Group] is such a set without messages. A [Request] is an
// operation under way, a [Status] says what came, an [Op] combines values.
//
// A program is started by `tutti run -n 4 ./prog`, by a cluster that gives a task several engines
// as ranks ([From]), by the mpiexec of an MPI library, or plainly, and then it is a world of one. Between
// processes of one machine messages go through shared memory, and no MPI library is needed; under
// mpiexec they go through its library, which is loaded when the program runs.
//
// A complete program:
//
//	func main() {
//		c, err := mpi.Init(context.Background())
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer mpi.Finalize()
//		x := []float64{float64(c.Rank())}
//		sum := make([]float64, 1)
//		if err := mpi.Allreduce(c, x, sum, mpi.Sum); err != nil {
//			log.Fatal(err)
//		}
//		if c.Rank() == 0 {
//			fmt.Println("sum of ranks:", sum[0])
//		}
//	}
//
// Every error is an [*Error], which says operation, ranks and tag, and has a kind of package
// tutti: Truncated, Invalid, Closed, Revoked, Canceled and so on. Calls may be made from several
// goroutines at once; collective ones must come in the same order on all ranks of a communicator.
// A slice given to a non-blocking call belongs to it until its request is done.
package mpi

import (
	"context"
	"errors"
	"os"
	"strconv"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
	"github.com/tutti-hpc/tutti/mpi/internal/libmpi"
	"github.com/tutti-hpc/tutti/mpi/internal/shmdev"
)

// The environment by which a launcher tells a process its place.
const (
	EnvSegment = "TUTTI_MPI_SEGMENT" // path of the world's shared memory
	EnvRank    = "TUTTI_MPI_RANK"
	EnvSize    = "TUTTI_MPI_SIZE"
	EnvCheck   = "TUTTI_MPI_CHECK"  // 1: compare collective calls on all ranks before they begin
	EnvStall   = "TUTTI_MPI_STALL"  // after how long a general wait is reported, "60s"; 0: never
	EnvDirect  = "TUTTI_MPI_DIRECT" // 0: never copy directly between the memories of processes
	EnvCPUs    = "TUTTI_MPI_CPUS"   // processors that all ranks of this machine share
	EnvLibrary = libmpi.EnvLibrary  // file of the MPI library to use under another launcher than ours
)

var process struct {
	sync.Mutex
	world    *World
	finished bool
	guest    bool // signals belong to somebody else: see [InitWithin]
}

// Init joins the world that this process was started in, or makes a world of one, and gives the
// communicator of all its ranks. When ctx ends, so does the world for this rank: its calls return errors
// of kind Canceled, and those of the others Revoked (under mpiexec the launcher ends them). Called
// again it gives the same communicator. Errors: Closed after [Finalize]; Unsupported under an MPI launcher that this build
// cannot join; NotFound where there is no library for the launcher, Invalid where it has another's;
// Invalid, Full, Version where the launcher's shared memory cannot be used.
func Init(ctx context.Context) (*Comm, error) {
	process.Lock()
	defer process.Unlock()
	if process.finished {
		return nil, (&Comm{}).failed("Init", device.Errorf(tutti.Closed, "the world has been finalized"))
	}
	if process.world != nil {
		return process.world.comm, nil
	}
	w, err := open(ctx)
	if err != nil {
		return nil, (&Comm{}).failed("Init", err)
	}
	process.world = w
	return w.comm, nil
}

// Finalize leaves the world that Init joined; without one it does nothing. A rank that ends
// without it has failed, as far as its launcher is concerned. Sends that are complete will still
// arrive; requests that are not fail with kind Closed.
func Finalize() error {
	process.Lock()
	defer process.Unlock()
	w := process.world
	if w == nil {
		return nil
	}
	process.world, process.finished = nil, true
	return w.Finalize()
}

// Initialized says whether Init has been called and Finalize has not.
func Initialized() bool {
	process.Lock()
	defer process.Unlock()
	return process.world != nil
}

// Finalized says whether Finalize has ended a world.
func Finalized() bool {
	process.Lock()
	defer process.Unlock()
	return process.finished
}

func open(ctx context.Context) (*World, error) {
	path := os.Getenv(EnvSegment)
	if path == "" {
		return foreign(ctx)
	}
	rank, err1 := strconv.Atoi(os.Getenv(EnvRank))
	size, err2 := strconv.Atoi(os.Getenv(EnvSize))
	if err1 != nil || err2 != nil {
		return nil, device.Errorf(tutti.Invalid, "%s is set, but %s=%q and %s=%q are not numbers",
			EnvSegment, EnvRank, os.Getenv(EnvRank), EnvSize, os.Getenv(EnvSize))
	}
	opt := options()
	opt.Watch = 250 * time.Millisecond
	w, err := shmdev.Join(ctx, shmdev.Spec{Path: path, Rank: rank, Size: size, Options: opt})
	if err != nil {
		return nil, err
	}
	world := newWorld(w)
	ctx, world.stop = context.WithCancel(ctx)
	if !process.guest {
		reportOnSignal(ctx, w)
	}
	return world, nil
}

func options() shmdev.Options {
	stall, err := time.ParseDuration(os.Getenv(EnvStall))
	if err != nil {
		stall = time.Minute
	}
	cpus, _ := strconv.ParseFloat(os.Getenv(EnvCPUs), 64)
	return shmdev.Options{Check: os.Getenv(EnvCheck) == "1", NoDirect: os.Getenv(EnvDirect) == "0", Stall: stall, CPUs: cpus}
}

// foreign joins the world of an MPI launcher, or of an MPI that is at work in this process already;
// without either it makes a world of one.
func foreign(ctx context.Context) (*World, error) {
	l, launched := libmpi.Launched()
	if !launched && !libmpi.Running() && os.Getenv(EnvLibrary) == "" {
		return newWorld(shmdev.Local(ctx, 1, options())[0]), nil
	}
	d, err := libmpi.Join(ctx, l, libmpi.Options{Check: os.Getenv(EnvCheck) == "1"})
	if err != nil && l.Size == 1 && (errors.Is(err, tutti.NotFound) || errors.Is(err, tutti.Unsupported)) {
		return newWorld(shmdev.Local(ctx, 1, options())[0]), nil // one rank needs no library
	}
	if err != nil {
		return nil, err
	}
	w := newWorld(d)
	ctx, w.stop = context.WithCancel(ctx)
	reportOnSignal(ctx, d)
	return w, nil
}

// SetMeanwhile gives calls that wait something to ask a few times a second, on their own goroutine; it must not
// begin calls of this package. Where f says true the call gives up with kind Canceled, and so does, if it was a
// collective one, every later call on its communicator. nil asks nothing. It is for bindings of
// interpreters, which have to look for signals. Calls that a foreign MPI library carries out do not ask.
func SetMeanwhile(f func() bool) { shmdev.SetMeanwhile(f) }

// World is one rank's place in a world that was joined by [Join] rather than by [Init]. A process may
// have several at a time, and change from call to call.
type World struct {
	dev  device.World
	comm *Comm
	stop func() // ends what serves the world beside its calls; may be nil
}

func newWorld(d device.World) *World { return &World{dev: d, comm: newComm(d.Comm(), d, "world")} }

// Spec says which world to join: the segment made by [NewSegment], as a descriptor (which the
// world takes over) or as a path, and the rank in it.
type Spec struct {
	File       *os.File
	Path       string
	Rank, Size int
	Check      bool // compare collective calls on all ranks before they begin
}

// Join makes this process a rank of a world that somebody else has arranged by giving each of
// Size processes the same segment and a rank of its own. It does not wait for the others. A rank
// that dies, or whose ctx ends, revokes the world: the calls of the others return errors of kind
// Revoked, and a new world has to be made.
func Join(ctx context.Context, s Spec) (*World, error) {
	opt := options()
	opt.Check, opt.Watch = opt.Check || s.Check, 250*time.Millisecond
	w, err := shmdev.Join(ctx, shmdev.Spec{File: s.File, Path: s.Path, Rank: s.Rank, Size: s.Size, Options: opt})
	if err != nil {
		return nil, (&Comm{}).failed("Join", err)
	}
	return newWorld(w), nil
}

// LostRank tells the ranks of a world that one of them, s.Rank, has died or will not come, for whoever
// has arranged the world and is no rank of it: their calls, also the first ones of ranks that join
// later, return errors of kind Revoked. Nothing is said of a rank that has left in order. It may
// wait for a rank that is just joining. s.File is taken over.
func LostRank(s Spec) error {
	return shmdev.Lost(shmdev.Spec{File: s.File, Path: s.Path, Rank: s.Rank, Size: s.Size})
}

// NewSegment makes the shared memory of a new world. It has no name and goes away with the last
// descriptor. dir is "", or the folder of a memory file system to take it from.
func NewSegment(dir string) (*os.File, error) { return shmdev.NewSegment(dir) }

// Comm is the communicator of all ranks of the world.
func (w *World) Comm() *Comm { return w.comm }

// Finalize leaves the world. A second call does nothing.
func (w *World) Finalize() error {
	if w.stop != nil {
		w.stop()
	}
	if err := w.dev.Finalize(); err != nil {
		return w.comm.failed("Finalize", err)
	}
	return nil
}

// Lost tells all ranks that one has died; whoever started it knows first.
func (w *World) Lost(rank int) {
	if d, ok := w.dev.(*shmdev.World); ok {
		d.Lost(rank)
	}
}

// Waiting says for every rank of the world what it waits for, a line each.
func (w *World) Waiting() string { return w.dev.Waiting() }

type contextKey struct{}

// NewContext gives a context from which [From] takes c.
func NewContext(ctx context.Context, c *Comm) context.Context {
	return context.WithValue(ctx, contextKey{}, c)
}

// From gives the communicator of a task that runs on several ranks.
func From(ctx context.Context) (*Comm, bool) {
	c, ok := ctx.Value(contextKey{}).(*Comm)
	return c, ok
}
