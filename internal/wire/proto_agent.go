package wire

import "github.com/tutti-hpc/tutti"

//msgp:limit arrays:1048576 maps:65536
//msgp:tuple Assign Run DepValue Runs Started RunStart Done Result StartEngine StopEngine EngineUp EngineDown DropBlobs Credit Display HeldRun HeldEngine

// AgentHello is what an agent says when it opens a link (the Info of its Hello): its node, and
// what it still has from before, so that a controller which was restarted finds both again.
type AgentHello struct {
	Node     tutti.NodeID    `msg:"node"` // the number it had, NoNode for a new agent
	Life     string          `msg:"life"` // the cluster life that number belongs to
	Host     string          `msg:"host"`
	Pid      int             `msg:"pid"`
	Pool     string          `msg:"pool"` // the pool and the provider's job it was started for
	Job      string          `msg:"job"`
	Has      tutti.Resources `msg:"has"`
	Until    int64           `msg:"until"` // when the allocation ends, ns since 1970, 0 never
	BlobAddr []string        `msg:"blobs"` // where other agents fetch its blobs, "host:port"
	Engines  []HeldEngine    `msg:"engines"`
	Runs     []HeldRun       `msg:"runs"` // waiting, running, and ended but not acknowledged
	Version  string          `msg:"ver"`
}

// HeldEngine is an engine that lives on while its agent looks for a controller.
type HeldEngine struct {
	Engine  tutti.EngineID
	Life    uint32
	Program string
	Pid     int
}

// HeldRun is a run that an agent has. Ended ones are reported again by a Done that follows.
type HeldRun struct {
	Run     tutti.RunID
	Engines []tutti.EngineID
	Started bool
	Ended   bool
}

// AgentWelcome is the controller's answer.
type AgentWelcome struct {
	Node    tutti.NodeID `msg:"node"`
	Cluster string       `msg:"cluster"`
	Life    string       `msg:"life"`
	Epoch   uint32       `msg:"epoch"`
	Version string       `msg:"ver"`
}

// Assign gives runs to an agent. Works are numbered by the controller and named by number once
// the agent has them; Reset forgets those named before.
type Assign struct {
	Reset bool
	Works []Work
	Runs  []Run
}

// Run is one run on its way to an engine, to several as the ranks of a world (rank = place in
// Engines), or, with none, to be executed as a command. The place of Client is for the limits and
// outputs that belong to a client.
type Run struct {
	Run     tutti.RunID
	Work    uint32
	Engines []tutti.EngineID
	Args    []byte     `msg:"args,zerocopy,limit=67108864"`
	Deps    []DepValue // the results that Args name
}

// DepValue is the result of a task that another one needs.
type DepValue struct {
	Task  tutti.TaskID
	Value tutti.Value
}

// Runs names runs: to recall, to abort, to acknowledge, or given back.
type Runs struct {
	Runs    []tutti.RunID
	Timeout bool // of an abort: their time limit has passed
	Force   bool // of an abort: the first was not heeded, the engine or command is to be killed
}

// Started tells which runs have begun and lasted longer than a moment.
type Started struct{ Runs []RunStart }

// RunStart is the beginning of a run, in nanoseconds since 1970.
type RunStart struct {
	Run tutti.RunID
	At  int64
}

// Done tells how runs ended.
type Done struct{ Results []Result }

// Result is the end of a run. Ending is one of package sched's; a gang's Value is a CBOR array of
// its ranks' values, each as (codec, bytes).
type Result struct {
	Run     tutti.RunID
	Ending  uint8
	Value   tutti.Value
	Fail    *Failure
	Engine  tutti.EngineID
	Started int64 // ns since 1970
	Took    int64 // ns
}

// ProgramSpec says how engines of a program are started. It travels as CBOR in the answer to an
// agent's question "program".
type ProgramSpec struct {
	Name string    `cbor:"name"`           // "go:<sha256 of the binary>", "python:3.11", ...
	Path string    `cbor:"path,omitempty"` // where the file lies on hosts that have it
	Host string    `cbor:"host,omitempty"` // the host on which Path is certain to be right
	Bin  tutti.Ref `cbor:"bin,omitzero"`   // the file's bytes, for hosts that do not have it
	Args []string  `cbor:"args,omitempty"`
	Env  []string  `cbor:"env,omitempty"`
	Dir  string    `cbor:"dir,omitempty"`
	// Setup is code that every engine runs before anything else, in the program's language.
	Setup []string `cbor:"setup,omitempty"`
}

// StartEngine asks an agent for an engine; the engine's program is asked for if it is not known.
type StartEngine struct {
	Engine  tutti.EngineID
	Life    uint32
	Program string
}

// StopEngine asks an agent to end an engine.
type StopEngine struct {
	Engine tutti.EngineID
	Life   uint32
}

// EngineUp says that an engine is ready.
type EngineUp struct {
	Engine  tutti.EngineID
	Life    uint32
	Program string
	Pid     int
}

// EngineDown says that an engine has ended, or could not be started.
type EngineDown struct {
	Engine tutti.EngineID
	Life   uint32
	Why    string
}

// DropBlobs frees blobs that nobody refers to.
type DropBlobs struct{ Blobs []tutti.BlobID }

// Credit says that so many bytes of what a run has printed or shown were passed on to the client that
// wants to hear it. Its engine, or command, holds back what it prints until then.
type Credit struct {
	Run   tutti.RunID
	Bytes int
}

// Display is something to show, made by a run: a figure, a table.
type Display struct {
	Run    tutti.RunID
	Engine tutti.EngineID
	MIME   string
	Value  tutti.Value
}
