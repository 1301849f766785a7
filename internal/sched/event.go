package sched

import (
	"time"

	"github.com/tutti-hpc/tutti"
)

// Event is something that happened, told to [State.Step]. The scheduler keeps no argument's
// slices beyond what an event's comment says.
type Event interface{ event() }

// NodeUp says that a node's agent has joined, or has come back after the controller was
// restarted. Engines and Runs are what it already has: after a restart its engines live on with
// their numbers, and its runs are adopted as they stand if the task is known and not ended;
// those that are not are answered with [Abort].
type NodeUp struct {
	Node    tutti.NodeID
	Name    string // host, for Explain
	Pool    string // the pool it was acquired for, "" for none
	Has     tutti.Resources
	Until   time.Time // when its allocation ends, zero for never
	Engines []EngineUp
	Runs    []Held
}

// Held is a run that a returning agent has: waiting or running on it. Runs of one engine stand in
// the order in which they run. A run that has ended but was not acknowledged is listed too, without
// engines; its [Done] must follow.
type Held struct {
	Run     tutti.RunID
	Engines []tutti.EngineID // empty for a command
	Started bool
}

// NodeDown says that a node is lost with everything on it: its runs are lost, its engines gone,
// results that lay there unreadable (those that are still needed are computed again).
type NodeDown struct {
	Node tutti.NodeID
	Why  string
}

// NodeDrain stops giving work to a node (Off undoes it); what runs there may end. When nothing is
// left on it, [NodeIdle] follows.
type NodeDrain struct {
	Node tutti.NodeID
	Off  bool
}

// ProgramUp says that engines of a program are wanted: PerNode on every node that comes (0: one
// for each whole core). Engines are started at once by [StartEngine], and again when they die.
type ProgramUp struct {
	Program string
	PerNode int
}

// ProgramDown says that nobody wants engines of a program any more: they are stopped when idle.
type ProgramDown struct{ Program string }

// EngineUp says that an engine is ready. Life counts the starts of the engine with this number;
// an older life's words are ignored.
type EngineUp struct {
	Engine  tutti.EngineID
	Life    uint32
	Node    tutti.NodeID
	Program string
}

// EngineDown says that an engine has ended: the run it was in is lost, runs that waited behind it
// are given back unharmed.
type EngineDown struct {
	Engine tutti.EngineID
	Life   uint32
	Why    string
}

// Submit brings tasks. Dependencies may name tasks of the same batch, earlier or later in it, and
// tasks that have ended but are not forgotten. A task whose id is known already is skipped: a
// client that is not sure sends again.
type Submit struct {
	Client tutti.ClientID
	Tasks  []NewTask // not kept
}

// NewTask is what the scheduler needs to know of a task. The slices are kept.
type NewTask struct {
	ID     tutti.TaskID
	Class  *Class
	Deps   []tutti.TaskID // must end well first
	After  []tutti.TaskID // must end first
	Follow []tutti.TaskID // their nodes are preferred
	Near   []Place        // where its large inputs lie
	Bytes  int            // of its arguments, for back-pressure
	Tag    any            // the caller's own, given back in what concerns the task; a pointer costs nothing
}

// Place is an amount of data on a node.
type Place struct {
	Node tutti.NodeID
	Size int64
}

// Class is what tasks of one kind share; the caller makes one per [tutti.Work] and shares it. It
// is not changed after use.
type Class struct {
	Program  string // "" for commands
	Func     string // run times are learned by it; commands may have one too
	Label    string
	Need     tutti.Resources
	Priority int
	Retry    tutti.Retry
	Limit    time.Duration
	Target   tutti.EngineID   // NoEngine for any
	Engines  []tutti.EngineID // of a world, rank = place; nil for none in particular
	Durable  bool             // outlives its client
}

// Restore is what a controller that was started again tells first. Tasks had ended before; they are
// known from then on as if they had ended here, so that others can depend on them, and no [Finish]
// follows. Tasks that had not ended come after it by [Submit], then the agents by [NodeUp], then
// [ProgramUp]. Tasks for engines that were there wait a minute for them to come back.
type Restore struct {
	Tasks   []Restored
	Engines tutti.EngineID // how many engine numbers were given out: the next new engine gets this one
}

// Restored is a task that had ended.
type Restored struct {
	NewTask
	Run   tutti.RunID // the last, zero if there was none
	State tutti.State // Done, Errored or Stopped
	Kind  tutti.Kind  // of the error
	Cause tutti.TaskID
	Node  tutti.NodeID // where its result lies if that is a blob, else NoNode
	Size  int64        // bytes of the result
}

// Started says that runs have begun. It may be left out for runs that end soon: [Done] implies it.
// Limits are counted from it, since a run may be staging files before.
type Started struct{ Runs []tutti.RunID }

// Done says how runs ended. Reports of runs that are not current (an older attempt, epoch, or a
// task that has ended) are ignored, and answered with [Ack] so that the agent may forget them.
type Done struct {
	Node    tutti.NodeID
	Results []Result
}

// Result is the end of one run, as far as the scheduler cares.
type Result struct {
	Run    tutti.RunID
	Kind   Ending
	Took   time.Duration // of the run itself, without queueing: windows and fairness go by it
	Blob   bool          // the result is a blob that lies on the node
	Size   int64         // bytes of the result
	Reason string        // of a failure, for Explain
}

// Ending is how a run ended.
type Ending uint8

// The ways a run can end.
const (
	Succeeded     Ending = iota
	UserFailed           // the user's code failed: repeated only if asked for
	MachineFailed        // engine, node or link failed under it: repeated by itself
	Rejected             // can never work here (no such function, cannot decode): never repeated
	WasCanceled          // stopped because we asked, or because its limit had passed
)

// Returned says that runs which had not started were taken back after [Recall]; those that are
// not in it had started.
type Returned struct{ Runs []tutti.RunID }

// ResultLost says that a task's result cannot be read any more although its node is there.
type ResultLost struct{ Task tutti.TaskID }

// Cancel asks for tasks to stop.
type Cancel struct{ Tasks []tutti.TaskID }

// Forget says that the client will not ask for these results again; they are dropped as soon as no
// task depends on them.
type Forget struct{ Tasks []tutti.TaskID }

// ClientGone says that a client has left for good. Its tasks that are not durable are cancelled
// and forgotten.
type ClientGone struct {
	Client tutti.ClientID
	Keep   bool // it only detached: its tasks go on
}

// PoolSet describes a pool from which nodes can be acquired, or changes it.
type PoolSet struct {
	Pool string
	Has  tutti.Resources // of one node
	Max  int             // nodes at once
	Idle time.Duration   // a node without work for so long is given back; 0 never
}

// AcquireFailed says that nodes asked for will not come.
type AcquireFailed struct {
	Pool  string
	Nodes int
	Why   string
}

// Tick is an event for when nothing happened but time passed ([State.Wake]).
type Tick struct{}

func (NodeUp) event()        {}
func (NodeDown) event()      {}
func (NodeDrain) event()     {}
func (ProgramUp) event()     {}
func (ProgramDown) event()   {}
func (EngineUp) event()      {}
func (EngineDown) event()    {}
func (Submit) event()        {}
func (Restore) event()       {}
func (Started) event()       {}
func (Done) event()          {}
func (Returned) event()      {}
func (ResultLost) event()    {}
func (Cancel) event()        {}
func (Forget) event()        {}
func (ClientGone) event()    {}
func (PoolSet) event()       {}
func (AcquireFailed) event() {}
func (Tick) event()          {}
