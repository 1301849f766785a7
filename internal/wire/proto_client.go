package wire

import "github.com/tutti-hpc/tutti"

//msgp:limit arrays:1048576 maps:65536
//msgp:tuple Submit Task Cancel Forget Outcomes Outcome Throttle Notice Output Ask Answer

// ClientHello is what a client says of itself when it opens a link (the Info of its Hello).
type ClientHello struct {
	Client  tutti.ClientID `msg:"client"` // the number it had before, 0 for a new client
	Secret  string         `msg:"secret"` // proves that the number is its own
	Program string         `msg:"prog"`   // the engines that its functions need, "" for none
	Name    string         `msg:"name"`   // for people: program, user@host, pid
	Watch   bool           `msg:"watch"`  // it only asks questions: it gets no number
	Keep    bool           `msg:"keep"`   // its tasks go on when it leaves
	Version string         `msg:"ver"`
}

// ClientWelcome is the controller's answer.
type ClientWelcome struct {
	Client  tutti.ClientID `msg:"client"`
	Secret  string         `msg:"secret"`
	Cluster string         `msg:"cluster"` // name
	Life    string         `msg:"life"`    // identifies this cluster among all that had the name
	Epoch   uint32         `msg:"epoch"`   // how often the controller has been started
	Node    tutti.NodeID   `msg:"node"`    // the client's own node, NoNode if none
	Version string         `msg:"ver"`
}

// Submit brings tasks to the controller. What many tasks share stands once: a client numbers its
// Works as it first uses them, and names them by number afterwards.
type Submit struct {
	Reset bool // forget the Works named so far
	Works []Work
	Tasks []Task
}

// Work is a [tutti.Work] and the number under which the sender will name it.
type Work struct {
	No   uint32
	Work tutti.Work
}

// Task is one task on its way to the controller. Args, the msgpack form of a []tutti.Arg, is
// passed on to the engine unread.
type Task struct {
	N      uint64 // at this client
	Work   uint32
	Args   []byte      `msg:"args,zerocopy,limit=67108864"`
	Blobs  []tutti.Ref // that Args refer to
	Deps   []tutti.TaskID
	After  []tutti.TaskID
	Follow []tutti.TaskID
}

// Cancel asks for tasks to stop; All means every task of the client.
type Cancel struct {
	Tasks []tutti.TaskID
	All   bool
}

// Forget gives up results, so that they can be dropped.
type Forget struct{ Tasks []tutti.TaskID }

// Outcomes tells a client how tasks ended.
type Outcomes struct{ Ends []Outcome }

// Outcome is the end of a task. Times are nanoseconds since 1970 by the agent's clock.
type Outcome struct {
	Task     tutti.TaskID
	State    tutti.State
	Value    tutti.Value
	Fail     *Failure
	Engine   tutti.EngineID
	Node     tutti.NodeID
	Attempt  tutti.Attempt
	Started  int64
	Finished int64
}

// Throttle asks the client to stop submitting, or to go on.
type Throttle struct{ On bool }

// Notice is a warning about a task, for its owner.
type Notice struct {
	Task tutti.TaskID
	Text string
}

// Output is a piece of what a task printed.
type Output struct {
	Run    tutti.RunID
	Stream uint8 // 1 stdout, 2 stderr
	Offset int64 // in the stream
	Data   []byte
	End    bool // nothing follows
}

// Ask is a question with an answer: everything that is rare. Body is CBOR.
type Ask struct {
	Seq  uint64
	Verb string
	Body []byte `msg:"body,limit=67108864"`
}

// Answer answers the question of that number.
type Answer struct {
	Seq  uint64
	Body []byte `msg:"body,limit=67108864"`
	Fail *Failure
}
