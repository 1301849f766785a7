package tutti

//msgp:limit arrays:1048576 maps:4096
//msgp:tuple Arg
//msgp:ignore Task TaskInfo Pair

import (
	"slices"
	"time"
)

// Task is one call of a named function, one Python call, or one command, with what it needs. A
// task carries the edges of the graph it belongs to: the controller runs the graph, so that
// intermediate values do not cross the client and the graph outlives it.
type Task struct {
	ID     TaskID   // given by the client that submits it
	*Work           // what it shares with other tasks: not to be changed once submitted
	Args   []Arg    // the arguments, positional; Go functions take one
	Deps   []TaskID // tasks whose results Args name, and others whose success is needed
	After  []TaskID // tasks that must have ended, well or not, before this one starts
	Follow []TaskID // tasks on whose node this one should run, where that is possible
}

// Work is what many tasks have in common: one call of cluster.Map makes a million tasks and one
// Work. Exactly one of Func, Argv and Script is set.
type Work struct {
	Program string `msg:"p,omitempty"` // which engines can run it: "" for commands, else as engines name theirs ("go:<sha256>", "python:3.11")
	Func    string `msg:"f,omitempty"` // the function's name
	// Code is what the function is made of, where engines do not have it: a pickled Python function,
	// opaque to Go. It travels once with the work, and once to each engine.
	Code []byte `msg:"c,omitempty,limit=67108864"`

	Argv   []string `msg:"v,omitempty"` // a command, executed directly
	Script string   `msg:"s,omitempty"` // a command, given to /bin/sh -c
	Env    []string `msg:"e,omitempty"` // KEY=value, on top of the agent's
	Dir    string   `msg:"d,omitempty"` // working directory, "" for the agent's
	Stdin  []byte   `msg:"i,omitempty,limit=67108864"`

	Label    string        `msg:"l,omitempty"` // for people
	Need     Resources     `msg:"n,omitempty"` // while it runs; Cores 0 means 1 unless Target is set
	Priority int           `msg:"y,omitempty"` // greater goes first
	Retry    Retry         `msg:"r,omitempty"`
	Limit    time.Duration `msg:"m,omitempty"` // run time after which it is cancelled, 0 for none
	Target   *EngineID     `msg:"t,omitempty"` // the one engine of a direct view; nil for any
	Engines  []EngineID    `msg:"g,omitempty"` // the engines of a world, rank = place; nil for any Need.Ranks of them
	Durable  bool          `msg:"u,omitempty"` // journalled: survives the controller
	Echo     bool          `msg:"h,omitempty"` // what it prints and displays goes to its client as it comes
	MemoKey  string        `msg:"k,omitempty"` // reuse of earlier results, "" for none
	Inputs   []File        `msg:"a,omitempty"`
	Outputs  []File        `msg:"o,omitempty"`
	Refs     []Ref         `msg:"b,omitempty"` // blobs that it will open by itself
}

// Retry says how often a task is run again.
type Retry struct {
	Lost   int           `msg:"l,omitempty"` // after an engine, node or link was lost: 0 means 5, -1 never
	Failed int           `msg:"f,omitempty"` // after the user's code failed
	Delay  time.Duration `msg:"d,omitempty"` // before the first repetition, doubled at each further one
}

// DefaultLostRetries is how often a task is started again by itself after losing its engine: a
// task that kills every engine it touches must end some time.
const DefaultLostRetries = 5

// LostRetries resolves the meaning of 0 and -1 in r.Lost.
func (r Retry) LostRetries() int {
	switch {
	case r.Lost == 0:
		return DefaultLostRetries
	case r.Lost < 0:
		return 0
	}
	return r.Lost
}

// Arg is an argument of a task: a value, the result of another task, or a list of such.
type Arg struct {
	Value Value  `msg:"v,omitempty"`
	From  TaskID `msg:"f,omitempty"` // the result of that task stands here
	Items []Arg  `msg:"i,omitempty"` // a slice, or the two halves of a [Pair]
}

// Pair joins two arguments of different types into the one that a Go function takes.
type Pair[A, B any] struct {
	First  A
	Second B
}

// depsOf collects the tasks whose results args name, each once, in order of appearance.
func depsOf(deps []TaskID, args []Arg) []TaskID {
	for _, a := range args {
		if a.From != 0 && !slices.Contains(deps, a.From) {
			deps = append(deps, a.From)
		}
		deps = depsOf(deps, a.Items)
	}
	return deps
}

// maxStdin bounds a command's standard input.
const maxStdin = 32 << 20

// Check reports what cannot be right about t as an error of kind [Invalid]. It completes t.Deps
// from t.Args.
func (t *Task) Check() error {
	kinds := 0
	if t.Work == nil {
		return Errorf("submit", Invalid, "a task without work")
	}
	for _, set := range []bool{t.Func != "", len(t.Argv) > 0, t.Script != ""} {
		if set {
			kinds++
		}
	}
	t.Deps = depsOf(t.Deps, t.Args)
	switch {
	case kinds != 1:
		return Errorf("submit", Invalid, "a task is one of a function, an argument list and a script, not %d of them", kinds)
	case len(t.Stdin) > maxStdin:
		return Errorf("submit", Invalid, "%s of standard input are more than travel with a task", FormatBytes(int64(len(t.Stdin)))).
			WithHint("put them into a file, and let the command read that")
	case len(t.Argv) > 0 && t.Argv[0] == "":
		return Errorf("submit", Invalid, "the command's name is empty")
	case t.Limit < 0:
		return Errorf("submit", Invalid, "the time limit is negative: %v", t.Limit)
	case slices.Contains(t.Deps, t.ID) || slices.Contains(t.After, t.ID):
		return Errorf("submit", Unsatisfiable, "the task waits for itself")
	}
	return t.Need.Check()
}

// State is how far a task has come. Progress is a greater state; only a retry goes back, from
// Running or Assigned to Ready.
type State uint8

// The states, in order; each says who may leave it.
const (
	Waiting  State = iota // for dependencies; left by the scheduler when they have ended
	Ready                 // for an engine or resources; left by the scheduler
	Assigned              // sent to an agent, not started; left by the agent's word, or loss
	Running               // left by the agent's word, or loss
	Done                  // ended well; final
	Errored               // ended with an error; final
	Stopped               // cancelled; final
)

var stateNames = [...]string{"waiting", "ready", "assigned", "running", "done", "failed", "cancelled"}

// String is the word that commands print.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return "unknown"
}

// Final reports whether nothing can happen to the task any more.
func (s State) Final() bool { return s >= Done }

// TaskInfo is what is known of a task at a moment.
type TaskInfo struct {
	ID        TaskID    `json:"id"`
	State     State     `json:"-"`
	Label     string    `json:"label,omitempty"`
	Attempt   Attempt   `json:"attempt"`
	Engine    EngineID  `json:"engine"` // where it runs or ran, NoEngine for commands and before
	Host      string    `json:"host,omitempty"`
	Submitted time.Time `json:"submitted"` // by the client's clock
	Started   time.Time `json:"started"`   // by the agent's clock
	Finished  time.Time `json:"finished"`
}
