package tutti

import "time"

// EventVersion is the version of the form of events. Readers skip kinds that they do not know.
const EventVersion = 1

// EventKind says what happened. Kinds travel by their text.
type EventKind string

// The kinds of events.
const (
	ControllerUp EventKind = "controller.up" // started, or restarted (Text says which)

	ClientJoined EventKind = "client.joined"
	ClientLeft   EventKind = "client.left"

	NodeJoined   EventKind = "node.joined"
	NodeLost     EventKind = "node.lost"
	NodeDrained  EventKind = "node.drained"
	NodesWanted  EventKind = "nodes.wanted" // asked of a provider
	EngineJoined EventKind = "engine.joined"
	EngineLost   EventKind = "engine.lost"
	EngineEnded  EventKind = "engine.ended" // because we asked

	TasksSubmitted EventKind = "tasks.submitted" // Count of them, Task is the first
	TaskAssigned   EventKind = "task.assigned"
	TaskStarted    EventKind = "task.started"
	TaskRepeated   EventKind = "task.repeated"
	TaskDone       EventKind = "task.done"
	TaskFailed     EventKind = "task.failed"
	TaskCancelled  EventKind = "task.cancelled"
	TaskOutput     EventKind = "task.output"  // Data is what was printed, Text "stdout" or "stderr"
	TaskDisplay    EventKind = "task.display" // Text is the MIME type, Ref or Data the bytes
	TaskWarning    EventKind = "task.warning"

	JournalTrouble EventKind = "journal.trouble" // durable work is refused; Text says why
	JournalWell    EventKind = "journal.well"
)

// Event is one published fact. One stream, many readers: dashboards, `tutti events`, tests.
type Event struct {
	Version int       `json:"v"`
	Seq     uint64    `json:"seq"` // order of publication, without gaps while the controller lives
	Kind    EventKind `json:"kind"`
	Time    time.Time `json:"time"`
	Client  ClientID  `json:"client,omitempty"`
	Task    TaskID    `json:"task,omitempty"`
	Attempt Attempt   `json:"attempt,omitempty"`
	Engine  EngineID  `json:"engine"` // NoEngine if none is concerned
	Node    NodeID    `json:"node"`   // NoNode if none is concerned
	Count   int       `json:"count,omitempty"`
	Text    string    `json:"text,omitempty"`
	Data    []byte    `json:"data,omitempty"`
	Ref     Ref       `json:"ref,omitzero"`
}
