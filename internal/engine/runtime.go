package engine

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Runtime starts engines of one kind of program.
type Runtime interface {
	// Start begins an engine and returns before it is ready: [Ready] follows through sink, or
	// [Exited] if nothing comes of it. sink is called by one goroutine at a time, in order, and
	// not any more after Exited; while it blocks, the engine's words wait. An error means that
	// nothing was started and nothing will be said. ctx bounds the start alone.
	Start(ctx context.Context, s Spec, sink func(Event)) (Process, error)
}

// Table finds runtimes by the beginning of a program's name: "go:", "mem:".
type Table map[string]Runtime

// Runtime finds the row for a program. Without one the error is of kind Unsupported.
func (t Table) Runtime(program string) (Runtime, error) {
	kind, _, ok := strings.Cut(program, ":")
	if r := t[kind+":"]; ok && r != nil {
		return r, nil
	}
	return nil, tutti.Errorf("start engine", tutti.Unsupported, "this agent cannot start engines of %q", program)
}

// Spec says which engine to start, and what it is given.
type Spec struct {
	Engine  tutti.EngineID
	Life    uint32
	Host    string           // for its errors
	Program wire.ProgramSpec // Path is where the file lies on this host
	Env     []string         // on top of the program's and the agent's
	Threads int              // until a run says otherwise; 0 means 1

	// Hang is how long an engine may leave pings unanswered before it is killed; 0 means
	// [DefaultHang], negative never. Pings are answered beside the user's code: only a stopped
	// process is silent.
	Hang time.Duration

	// ServeBlobs speaks for the node's blob store on a connection of the engine's own, until it
	// closes. Runtimes inside this process use Blobs instead. Without either, large values travel
	// inside messages.
	ServeBlobs func(*net.UnixConn)
	Blobs      blob.Space
}

// DefaultHang is long: a machine that swaps stops everything for seconds.
const DefaultHang = 30 * time.Second

// Run is one run on its way to a process.
type Run struct {
	ID      tutti.RunID
	Serial  uint64 // numbers the runs sent to this process, from 1, rising
	Func    string
	Code    []byte   // what the function is made of, where the engine does not have it: a Work's
	Args    msgp.Raw // a []tutti.Arg
	Deps    []wire.DepValue
	World   *World   // of a gang, else nil
	GPUs    []string // the accelerators, as CUDA_VISIBLE_DEVICES names them, that it may use
	Threads int      // processors that it may use; 0 means as many as the Spec says
}

// Process is the agent's end of an engine. Its methods may be called concurrently and, except
// Stacks, never block: the caller bounds what is under way.
type Process interface {
	Pid() int
	Send(runs []Run)
	// Cancel asks a run to stop: one that waits ends at once, one that runs has its context
	// cancelled. The run ends by a result as others do, or not at all: see Terminate.
	Cancel(run tutti.RunID, timeout bool)
	// TakeBack asks for runs that have not begun; [GivenBack] follows, once for each call, in order.
	TakeBack(runs []tutti.RunID)
	// Credit returns n bytes of [Output] and [Display] that were dealt with: an engine holds back
	// what it prints when [OutputWindow] bytes are out.
	Credit(n int)
	// Stacks asks what every thread is doing, until ctx ends.
	Stacks(ctx context.Context) (string, error)
	// Stop lets the engine finish what it has and end.
	Stop()
	// Terminate asks the process and its children to end now (SIGTERM).
	Terminate()
	// Kill ends the process and its children.
	Kill()
}

// Mourner is a Process that can be told of the fate of others. Those that are not come upon it by
// themselves, when they look whether the ranks they wait for still live.
type Mourner interface {
	// Lost says that a rank of a run's world has failed or died: what the run's function does with
	// that world from now on ends with kind Revoked. If it has not begun it need not begin.
	Lost(run tutti.RunID, rank int)
}

// OutputWindow is how many bytes of output an engine or a command may have out before they are
// dealt with.
const OutputWindow = 256 << 10

// Ending says how a run ended: the numbers are package sched's, which stands beside this one.
type Ending = uint8

// The ways a run can end.
const (
	Succeeded     Ending = iota
	UserFailed           // the user's code failed
	MachineFailed        // engine, node or link failed under it
	Rejected             // can never work here
	WasCanceled          // because we asked
)

// Event is something that a process tells its agent.
type Event interface{ event() }

// Ready says that the engine takes runs.
type Ready struct{ Pid int }

// Results are ends of runs, in the order in which they ended. They belong to the receiver.
type Results struct{ Results []wire.Result }

// Started names a run that has lasted for longer than a moment. Others end without it.
type Started struct{ Run wire.RunStart }

// GivenBack answers TakeBack: these had not begun and will not.
type GivenBack struct{ Runs []tutti.RunID }

// Output is a piece of what was printed; zero Run: outside of any run. Data belongs to the
// receiver, who gives its length back by Credit.
type Output struct{ wire.Output }

// Display is something to show. It takes Credit as Output does, by the length of Value.Data.
type Display struct{ wire.Display }

// Exited is the last event of a process. Everything that it still said has been told before.
type Exited struct {
	Status int    // exit status, when Signal is ""
	Signal string // that killed it
	OOM    bool   // the kernel killed something for want of memory at that time
	Hung   bool   // it did not answer and was killed for that
	Why    string // one line for people
	Stack  string // the traceback that it left, "" if none
	// What it printed and nobody has read, at most a little of each.
	Stdout, Stderr []byte
	// Begun and Ended are the greatest serial numbers of runs that it began and finished. Where
	// they differ, run Begun was running when it ended. Results of runs up to Ended that were
	// never told are lost.
	Begun, Ended uint64
}

func (Ready) event()     {}
func (Results) event()   {}
func (Started) event()   {}
func (GivenBack) event() {}
func (Output) event()    {}
func (Display) event()   {}
func (Exited) event()    {}
