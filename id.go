package tutti

//msgp:tuple RunID

import (
	"fmt"
	"strconv"
	"strings"
)

// ClientID numbers the clients of one cluster, in the order in which they first came; 0 is
// nobody. The number never returns, also after the controller was restarted, so that what a
// client submitted can be named by it: `tutti cancel 7`.
type ClientID uint32

// TaskID names a task for the life of a cluster: its client's number and the task's number at
// that client, both from 1. The zero TaskID is no task.
type TaskID uint64

// taskBits is how much of a TaskID counts one client's tasks: 10^12 tasks each for 16 million clients.
const taskBits = 40

// MakeTaskID joins a client's number and its n-th task.
func MakeTaskID(c ClientID, n uint64) TaskID { return TaskID(uint64(c)<<taskBits | n&(1<<taskBits-1)) }

// Client is the number of the client that submitted the task.
func (id TaskID) Client() ClientID { return ClientID(id >> taskBits) }

// N is the task's number at its client.
func (id TaskID) N() uint64 { return uint64(id) & (1<<taskBits - 1) }

// String is the form that people type: "7.12" is the 12th task of client 7.
func (id TaskID) String() string {
	return strconv.FormatUint(uint64(id.Client()), 10) + "." + strconv.FormatUint(id.N(), 10)
}

// ParseTaskID reads what String wrote. Errors are of kind [Invalid].
func ParseTaskID(s string) (TaskID, error) {
	c, n, ok := strings.Cut(s, ".")
	cv, err1 := strconv.ParseUint(c, 10, 64-taskBits)
	nv, err2 := strconv.ParseUint(n, 10, taskBits)
	if !ok || err1 != nil || err2 != nil || cv == 0 || nv == 0 {
		return 0, Errorf("read task id", Invalid, "%q is not a task id", s).WithHint("task ids look like 7.12")
	}
	return MakeTaskID(ClientID(cv), nv), nil
}

// EngineID numbers the engines of a cluster from 0; it is the number a direct view is addressed
// by, and the rank in the world of all engines. An engine that died and was started again keeps
// its number and loses its variables.
type EngineID int32

// NoEngine is the EngineID of no engine.
const NoEngine EngineID = -1

// NodeID numbers the nodes of a cluster from 0, in the order in which their agents came.
type NodeID int32

// NoNode is the NodeID of no node.
const NoNode NodeID = -1

// Attempt numbers the runs of one task from 1.
type Attempt uint32

// RunID names one attempt at one task, under one life of the controller. What comes back from a
// run that is no longer the current one is dropped.
type RunID struct {
	Task    TaskID
	Attempt Attempt
	Epoch   uint32 // how often the controller has been started
}

// String is for logs: "7.12#2".
func (r RunID) String() string { return fmt.Sprintf("%v#%d", r.Task, r.Attempt) }
