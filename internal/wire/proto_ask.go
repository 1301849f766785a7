package wire

import (
	"time"

	"github.com/tutti-hpc/tutti"
)

// What clients ask the controller, and what it answers. Questions are rare, so they travel as
// CBOR; an empty answer is none at all.

// Want asks for engines of the client's program ("want").
type Want struct {
	Spec    ProgramSpec `cbor:"spec"`
	PerNode int         `cbor:"per_node"` // 0: one for each core
}

// WaitEngines is answered when there are so many engines of a program ("wait-engines", answered
// by []EngineRow; "engines" answers at once).
type WaitEngines struct {
	Program string `cbor:"program"` // "" for any
	N       int    `cbor:"n"`
}

// EngineRow describes an engine.
type EngineRow struct {
	Engine  tutti.EngineID `cbor:"engine" json:"engine"`
	Node    tutti.NodeID   `cbor:"node" json:"node"`
	Host    string         `cbor:"host" json:"host"`
	Program string         `cbor:"program" json:"program"`
	Pid     int            `cbor:"pid" json:"pid"`
	Life    uint32         `cbor:"life" json:"life"`
	Running tutti.TaskID   `cbor:"running" json:"running,omitempty"` // 0 if idle
	Queued  int            `cbor:"queued" json:"queued"`
	Waiting int            `cbor:"waiting" json:"-"` // of Queued those that were not sent to it yet
	State   string         `cbor:"state" json:"state"`
	Ended   int            `cbor:"ended" json:"ended"` // tasks that have ended there, in all its lives
}

// WatchEngines asks for the engines of a program as soon as they are others than in the version
// that the asker knows ("watch-engines", answered by [EngineSet]). Versions mean nothing but that
// they differ.
type WatchEngines struct {
	Program string `cbor:"program"` // "" for any
	Version uint64 `cbor:"version"` // 0: at once
}

// EngineSet is the engines at a moment.
type EngineSet struct {
	Version uint64      `cbor:"version"`
	Rows    []EngineRow `cbor:"rows"`
}

// ProgramRow describes a kind of engine that somebody wants, or that is kept ("programs").
type ProgramRow struct {
	Spec    ProgramSpec `cbor:"spec"`
	PerNode int         `cbor:"per_node"`
	Users   int         `cbor:"users"` // clients that want it
}

// NodeRow describes a node ("nodes").
type NodeRow struct {
	Node    tutti.NodeID    `cbor:"node" json:"node"`
	Host    string          `cbor:"host" json:"host"`
	Pid     int             `cbor:"pid" json:"pid"` // of its agent
	Has     tutti.Resources `cbor:"has" json:"has"`
	Free    tutti.Resources `cbor:"free" json:"free"`
	Engines int             `cbor:"engines" json:"engines"`
	Running int             `cbor:"running" json:"running"` // tasks
	Drained bool            `cbor:"drained" json:"drained,omitempty"`
	Blobs   []string        `cbor:"blobs" json:"-"` // where its blobs are fetched
}

// Status describes the cluster ("status").
type Status struct {
	Cluster string         `cbor:"cluster" json:"cluster"`
	Life    string         `cbor:"life" json:"life"`
	Epoch   uint32         `cbor:"epoch" json:"epoch"`
	Version string         `cbor:"version" json:"version"`
	Pid     int            `cbor:"pid" json:"pid"`
	Since   time.Time      `cbor:"since" json:"since"`
	Now     time.Time      `cbor:"now" json:"now"` // by the controller's clock
	Nodes   int            `cbor:"nodes" json:"nodes"`
	Engines int            `cbor:"engines" json:"engines"`
	Clients int            `cbor:"clients" json:"clients"`
	Tasks   map[string]int `cbor:"tasks" json:"tasks"`     // by state
	Journal string         `cbor:"journal" json:"journal"` // "none", "well", or what is wrong
}

// ListTasks asks for rows of tasks ("tasks").
type ListTasks struct {
	Client tutti.ClientID `cbor:"client"` // 0 for all
	After  tutti.TaskID   `cbor:"after"`  // the last row of the page before
	Most   int            `cbor:"most"`
}

// TaskRow describes a task.
type TaskRow struct {
	Task     tutti.TaskID   `cbor:"task" json:"task"`
	State    tutti.State    `cbor:"state" json:"-"`
	Word     string         `cbor:"word" json:"state"`
	Label    string         `cbor:"label" json:"label,omitempty"`
	What     string         `cbor:"what" json:"what"` // the function's name or the command
	Attempt  tutti.Attempt  `cbor:"attempt" json:"attempt"`
	Engine   tutti.EngineID `cbor:"engine" json:"engine"`
	Node     tutti.NodeID   `cbor:"node" json:"node"`
	Host     string         `cbor:"host" json:"host,omitempty"`
	Started  int64          `cbor:"started" json:"started,omitempty"` // ns since 1970
	Finished int64          `cbor:"finished" json:"finished,omitempty"`
	Error    string         `cbor:"error" json:"error,omitempty"`
	Durable  bool           `cbor:"durable" json:"durable,omitempty"`
}

// TaskName names one task ("explain" answered by text, "task" by TaskRow, "result" by a msgpack
// [Outcome] when the task has ended).
type TaskName struct {
	Task tutti.TaskID `cbor:"task"`
}

// TaskNames names tasks of anybody ("cancel", "forget"); Client all of one client's.
type TaskNames struct {
	Tasks  []tutti.TaskID `cbor:"tasks"`
	Client tutti.ClientID `cbor:"client"`
}

// ReadOutput asks for what a task has printed ("output").
type ReadOutput struct {
	Task   tutti.TaskID `cbor:"task"`
	Stream uint8        `cbor:"stream"` // 1 stdout, 2 stderr
	Offset int64        `cbor:"offset"`
	Most   int          `cbor:"most"`
	Follow bool         `cbor:"follow"` // wait until there is something, or the task has ended
}

// OutputPart answers it.
type OutputPart struct {
	Data []byte `cbor:"data"`
	From int64  `cbor:"from"` // later than asked for if the beginning was let go
	End  bool   `cbor:"end"`  // nothing will follow
}

// ReadEvents asks for events from number Since on ("events"); the answer, a CBOR array of
// [tutti.Event], waits until there is one.
type ReadEvents struct {
	Since uint64 `cbor:"since"` // 0: from now on
	Most  int    `cbor:"most"`
}

// EngineName names an engine ("stacks", passed on to its agent, answered by text).
type EngineName struct {
	Engine tutti.EngineID `cbor:"engine"`
}

// SignalEngine sends a signal to an engine and its children ("signal", passed on to its agent).
type SignalEngine struct {
	Engine tutti.EngineID `cbor:"engine"`
	Signal int            `cbor:"signal"`
}

// EndEngine ends an engine's process, and what runs there with it. Of the controller it is asked by
// "stop-engine", after which the engine is gone for good, or by "restart-engine", which is answered
// when it is back; agents answer "end-engine" at once.
type EndEngine struct {
	Engine tutti.EngineID `cbor:"engine"`
	Life   uint32         `cbor:"life"` // 0 for any
	Why    string         `cbor:"why"`
}

// MoreEngines asks for N more engines of a program that is wanted ("more-engines").
type MoreEngines struct {
	Program string `cbor:"program"`
	N       int    `cbor:"n"`
}

// SetUp adds to the code that engines of a program run at their start ("setup"; of an agent, the
// code is all there is). The answer, a []tutti.EngineID, names those that were started without it.
type SetUp struct {
	Program string   `cbor:"program"`
	Code    []string `cbor:"code"`
}

// DrainNode stops giving work to a node, or begins again ("drain").
type DrainNode struct {
	Node tutti.NodeID `cbor:"node"`
	Off  bool         `cbor:"off"`
}

// ReadBlob asks for a piece of a blob, passed on to the agent of the node that has it, answered by
// the bytes as they are ("blob"). It is the way where two nodes cannot reach each other.
type ReadBlob struct {
	Ref    tutti.Ref `cbor:"ref"`
	Offset int64     `cbor:"offset"`
	Most   int       `cbor:"most"`
}
