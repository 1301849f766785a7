package sched

import "github.com/tutti-hpc/tutti"

// Action is something the scheduler wants done. The slice that [State.Step] returns, slices inside
// actions, and what the pointers [*Assign] and [*Finish] point to, are valid until the next Step.
type Action interface{ action() }

// Assign sends a task to a node: on one engine, on several that start together as ranks of a
// world (rank = place in Engines), or, with none, as a command. Deps are the tasks whose results
// its arguments name; their values go with it.
//
// Commands with the same Slot share what they hold: of those that the node has been given for a slot,
// and that have not ended, it runs only the first. Slots are numbered anew by each controller.
type Assign struct {
	Run     tutti.RunID
	Node    tutti.NodeID
	Engines []tutti.EngineID
	Nodes   []tutti.NodeID // of a command that spans several whole nodes, Node first; else nil
	Slot    uint32         // of a command, else 0
	Class   *Class         // the one it was submitted with
	Deps    []tutti.TaskID
	Tag     any // of the task
}

// Recall asks a node to give back runs that have not started ([Returned] follows).
type Recall struct {
	Node tutti.NodeID
	Runs []tutti.RunID
}

// Abort stops runs on a node. Timeout tells a passed limit from a wish. Force comes if the first
// one was not heeded within the grace: the engine, or the command, is to be killed. If that is not
// answered either, its engines are taken for dead ([StopEngine], then [StartEngine] of the next
// life, at which the agent ends what is left of the old one) and the run for ended.
type Abort struct {
	Node    tutti.NodeID
	Runs    []tutti.RunID
	Timeout bool
	Force   bool
}

// Ack tells a node that the ends of these runs are known and need not be kept. Every [Done] is
// answered with one, after all that follows from it.
type Ack struct {
	Node tutti.NodeID
	Runs []tutti.RunID
}

// Finish says that a task has ended, for its client and for the record. It comes exactly once
// for each task. With State Done its value is that of Run.
type Finish struct {
	Task  tutti.TaskID
	State tutti.State  // Done, Errored or Stopped
	Run   tutti.RunID  // the last run, zero if it never ran
	Kind  tutti.Kind   // of the error
	Cause tutti.TaskID // with Kind Dependency: the task at the root of the failure
	Why   string       // of the error where no run reported one
	Tag   any          // of the task
}

// Repeat says that a task goes back to be run again, for the record.
type Repeat struct {
	Task    tutti.TaskID
	Attempt tutti.Attempt // the one that failed
	Why     string
}

// Drop says that nothing needs a finished task's result any more: its client has forgotten it and
// no task waits for it. It comes once, after Finish; the scheduler does not know the task any more.
type Drop struct {
	Task tutti.TaskID
	Tag  any // of the task
}

// Recompute says that a finished task runs again because its result was lost and is needed.
type Recompute struct{ Task tutti.TaskID }

// StartEngine asks a node to start an engine; [EngineUp] or [EngineDown] of that life follows.
type StartEngine struct {
	Node    tutti.NodeID
	Engine  tutti.EngineID
	Life    uint32
	Program string
}

// StopEngine asks a node to end an engine that is idle.
type StopEngine struct {
	Node   tutti.NodeID
	Engine tutti.EngineID
	Life   uint32
}

// Acquire asks for nodes of a pool.
type Acquire struct {
	Pool  string
	Nodes int
}

// NodeIdle says that a node has had no work for its pool's idle time, and no results that somebody
// may ask for; or is drained, has no work, and no results that tasks depend on: it may be given
// back. Nothing more is assigned to it until [NodeDrain] with Off.
type NodeIdle struct{ Node tutti.NodeID }

// Throttle asks a client to stop submitting (On), or to go on.
type Throttle struct {
	Client tutti.ClientID
	On     bool
}

// Warn tells a task's owner something that he should know now: it needs more than any node has,
// or waits for engines that nobody starts.
type Warn struct {
	Task tutti.TaskID
	Text string
}

func (*Assign) action()     {}
func (Recall) action()      {}
func (Abort) action()       {}
func (Ack) action()         {}
func (*Finish) action()     {}
func (Repeat) action()      {}
func (Drop) action()        {}
func (Recompute) action()   {}
func (StartEngine) action() {}
func (StopEngine) action()  {}
func (Acquire) action()     {}
func (NodeIdle) action()    {}
func (Throttle) action()    {}
func (Warn) action()        {}
