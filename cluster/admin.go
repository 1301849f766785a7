package cluster

import (
	"context"
	"io"
	"iter"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// What the controller tells of a cluster as a whole.
type (
	// Status describes a cluster.
	Status = wire.Status
	// NodeInfo describes a node.
	NodeInfo = wire.NodeRow
	// TaskRow describes a task as lists show it.
	TaskRow = wire.TaskRow
)

// Attachment says how a program that brings no functions comes to a running cluster.
type Attachment struct {
	Submit  bool         // it submits commands, which go on when it leaves; else it only asks
	Patient bool         // it waits for a controller that dies to be started again
	Warn    func(string) // what the controller warns of; nil: on stderr
}

// attachTime bounds how long a controller that is running may take to answer.
const attachTime = 10 * time.Second

// Attach joins the running cluster of a profile to look at it, to administer it, or to submit
// commands. Kinds: NotFound where none runs, Lost where its controller has died, Denied, Version,
// Timeout where it does not answer.
func Attach(ctx context.Context, p *Profile, a Attachment) (*Client, error) {
	r, err := p.ReadRunning("controller")
	if err != nil {
		return nil, err
	}
	if r.Here() && !r.Alive() {
		return nil, tutti.Errorf("join cluster", tutti.Lost, "the controller of cluster %q has died (process %d)", p.Name, r.Pid).
			WithHint("`tutti start` brings it back, with its engines and durable jobs")
	}
	network, addr, err := p.door(wire.RoleClient)
	if err != nil {
		return nil, err
	}
	d := Door{Network: network, Addr: addr, Watch: !a.Submit, Keep: a.Submit, Again: a.Patient, Warn: a.Warn}
	if a.Patient {
		d.Link.Patience = returnPatience
	}
	ctx, cancel := context.WithTimeout(ctx, attachTime)
	defer cancel()
	c, err := Join(ctx, d)
	if err == nil || tutti.KindOf(err) != tutti.Timeout {
		return c, err
	}
	return nil, tutti.Errorf("join cluster", tutti.Timeout, "the controller of %q (process %d at %s) does not answer: %w", p.Name, r.Pid, r.Host, err).
		WithHint("`tutti doctor` looks for the reason; the controller's log is %s", p.Log("controller"))
}

// AgentDoor is how an agent of this user comes to the controller.
func (p *Profile) AgentDoor() (wire.Network, string, error) { return p.door(wire.RoleAgent) }

// Status asks how the cluster is.
func (c *Client) Status(ctx context.Context) (s Status, err error) {
	err = c.ask(ctx, "status", nil, &s)
	return s, err
}

// Nodes lists the nodes, by number.
func (c *Client) Nodes(ctx context.Context) (rows []NodeInfo, err error) {
	err = c.ask(ctx, "nodes", nil, &rows)
	return rows, err
}

// Drain stops giving work to a node; what runs there may end. off gives it work again.
func (c *Client) Drain(ctx context.Context, node tutti.NodeID, off bool) error {
	return c.ask(ctx, "drain", wire.DrainNode{Node: node, Off: off}, nil)
}

// StopCluster asks the controller of a detached cluster to end. It returns when the controller
// has heard it. Durable tasks that have not ended go on when a controller is started again.
func (c *Client) StopCluster(ctx context.Context) error { return c.ask(ctx, "stop", nil, nil) }

// Sync waits until everything that this client has submitted is on the controller's disk, as far
// as it is durable. Kind Full, or another of the disk's: it is not, because the disk is in trouble.
func (c *Client) Sync(ctx context.Context) error {
	for {
		life := c.box.sent(ctx)
		if err := c.ask(ctx, "sync", nil, nil); err != nil || c.box.sent(ctx) == life {
			return err
		}
		// Another controller has answered, perhaps before it was sent again what the one before it
		// had not yet on its disk.
	}
}

// taskPage is how many rows of tasks one question asks for.
const taskPage = 4096

// Tasks lists the tasks that the controller knows, of one client or with 0 of all, in order of
// their ids. An error comes last.
func (c *Client) Tasks(ctx context.Context, of tutti.ClientID) iter.Seq2[TaskRow, error] {
	return func(yield func(TaskRow, error) bool) {
		q := wire.ListTasks{Client: of, Most: taskPage}
		for {
			var rows []TaskRow
			if err := c.ask(ctx, "tasks", q, &rows); err != nil {
				yield(TaskRow{}, err)
				return
			}
			for _, r := range rows {
				if !yield(r, nil) {
					return
				}
				q.After = r.Task
			}
			if len(rows) < taskPage {
				return
			}
		}
	}
}

// Task describes one task. Kinds: NotFound, Expired.
func (c *Client) Task(ctx context.Context, id tutti.TaskID) (row TaskRow, err error) {
	err = c.ask(ctx, "task", wire.TaskName{Task: id}, &row)
	return row, err
}

// Outcome waits until a task of anybody has ended, and says how. Its error is the task's, or,
// with a zero outcome, that of the question: Expired where the task is not kept any more.
func (c *Client) Outcome(ctx context.Context, id tutti.TaskID) (tutti.Outcome, error) {
	o, err := c.RawOutcome(ctx, id)
	if err != nil {
		return tutti.Outcome{}, err
	}
	out := outcomeOf(id, o)
	return out, out.Err
}

// CancelTasks stops tasks, of whichever client.
func (c *Client) CancelTasks(ctx context.Context, ids ...tutti.TaskID) error {
	return c.ask(ctx, "cancel", wire.TaskNames{Tasks: ids}, nil)
}

// The streams of a task.
const (
	Stdout uint8 = 1
	Stderr uint8 = 2
)

// outputPart is how much of a task's output one answer brings.
const outputPart = 256 << 10

// CopyOutput writes what a task has printed to a stream into w; with follow, until it has ended.
// It returns an error of w as it is.
func (c *Client) CopyOutput(ctx context.Context, w io.Writer, id tutti.TaskID, stream uint8, follow bool) error {
	q := wire.ReadOutput{Task: id, Stream: stream, Most: outputPart, Follow: follow}
	for {
		var p wire.OutputPart
		if err := c.ask(ctx, "output", q, &p); err != nil {
			return err
		}
		if _, err := w.Write(p.Data); err != nil {
			return err
		}
		q.Offset = p.From + int64(len(p.Data))
		if p.End || len(p.Data) == 0 {
			return nil
		}
	}
}

// ForgetTasks gives up the results of tasks, of whichever client.
func (c *Client) ForgetTasks(ctx context.Context, ids ...tutti.TaskID) error {
	return c.ask(ctx, "forget", wire.TaskNames{Tasks: ids}, nil)
}

// ReadOutput reads a part of what a task has printed. q bounds it.
func (c *Client) ReadOutput(ctx context.Context, q wire.ReadOutput) (p wire.OutputPart, err error) {
	err = c.ask(ctx, "output", q, &p)
	return p, err
}

// ReadEvents gives at most so many events from number since on (0: from now on), and waits until
// there is one.
func (c *Client) ReadEvents(ctx context.Context, since uint64, most int) (evs []tutti.Event, err error) {
	err = c.ask(ctx, "events", wire.ReadEvents{Since: since, Most: most}, &evs)
	return evs, err
}
