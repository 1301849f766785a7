package gateway

import (
	"bytes"
	"context"
	"encoding/json"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// verb answers one kind of question: with JSON, and bytes where there are some. It may wait until
// ctx ends, which it does with the connection.
type verb func(ctx context.Context, c *conn, question []byte) (answer any, data []byte, err error)

// about makes a verb of a function that takes its question decoded.
func about[Q any](f func(ctx context.Context, c *conn, q Q) (any, error)) verb {
	return func(ctx context.Context, c *conn, question []byte) (any, []byte, error) {
		var q Q
		if err := parse(question, &q); err != nil {
			return nil, nil, err
		}
		a, err := f(ctx, c, q)
		return a, nil, err
	}
}

// bringing makes a verb of one whose answer has bytes.
func bringing[Q any](f func(ctx context.Context, c *conn, q Q) (any, []byte, error)) verb {
	return func(ctx context.Context, c *conn, question []byte) (any, []byte, error) {
		var q Q
		if err := parse(question, &q); err != nil {
			return nil, nil, err
		}
		return f(ctx, c, q)
	}
}

// What questions are made of.
type (
	nothing  struct{}
	taskOf   struct{ ID taskName }
	tasksOf  struct{ IDs []taskName }
	engineOf struct{ Engine tutti.EngineID }
)

var verbs = map[string]verb{
	"blob":           bringing(askBlob),
	"cancel":         about(askCancel),
	"engines":        about(askEngines),
	"events":         about(askEvents),
	"explain":        about(askExplain),
	"forget_ids":     about(askForget),
	"nodes":          about(askNodes),
	"outcome":        bringing(askOutcome),
	"output":         bringing(askOutput),
	"queue_status":   about(askQueue),
	"restart_engine": about(askRestart),
	"setup":          about(askSetup),
	"signal":         about(askSignal),
	"stacks":         about(askStacks),
	"start_engines":  about(askMore),
	"status":         about(askStatus),
	"stop_cluster":   about(askStop),
	"stop_engine":    about(askStopEngine),
	"task":           about(askTask),
	"tasks":          about(askTasks),
	"wait_engines":   about(askWait),
}

// ask takes in an ASK. It is answered by a goroutine of its own, since most wait.
func (c *conn) ask(body []byte) error {
	cur := cursor{b: body}
	seq := cur.u64()
	if cur.bad {
		return errShort
	}
	var q struct{ Verb string }
	if err := parse(cur.b, &q); err != nil {
		return err
	}
	v := verbs[q.Verb]
	if v == nil {
		c.answer(seq, nil, nil, tutti.Errorf("ask", tutti.Unsupported, "the gateway does not answer %q", q.Verb))
		return nil
	}
	select {
	case c.places <- struct{}{}:
	default:
		c.answer(seq, nil, nil, tutti.Errorf("ask", tutti.Full, "%d questions wait already", maxAsks))
		return nil
	}
	question := bytes.Clone(cur.b)
	c.asking.Go(func() {
		a, data, err := v(c.ctx, c, question)
		<-c.places
		c.answer(seq, a, data, err)
		if _, over := a.(theEnd); over {
			c.g.stop(tutti.Errorf("serve clients", tutti.Closed, "a client has stopped the cluster"))
		}
	})
	return nil
}

// answer sends an ANSWER.
func (c *conn) answer(seq uint64, a any, data []byte, err error) {
	ok := byte(1)
	if err != nil {
		ok, a, data = 0, FailureOf(err), nil
	}
	if a == nil {
		a = nothing{}
	}
	text, bad := json.Marshal(a)
	if bad != nil {
		ok, data = 0, nil
		text, _ = json.Marshal(FailureOf(tutti.E("answer", tutti.Internal, bad)))
	}
	c.out.frame(true, func(b []byte) []byte {
		b, at := beginFrame(b, kindAnswer)
		b = append(le.AppendUint64(b, seq), ok)
		b = le.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
		return endFrame(append(b, data...), at)
	})
}

// sentTime is how long a question about tasks waits for those that are still to be sent.
const sentTime = 5 * time.Second

// settled lets what the client has submitted before reach the cluster before it asks about it.
func (c *conn) settled(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, sentTime)
	defer cancel()
	c.client.Sent(ctx)
}

// engineText is an engine as JSON.
type engineText struct {
	ID      tutti.EngineID `json:"id"`
	Node    tutti.NodeID   `json:"node"`
	Host    string         `json:"host"`
	Program string         `json:"program"`
	Pid     int            `json:"pid"`
	Life    uint32         `json:"life"`
	State   string         `json:"state"`
	Running *string        `json:"running"` // the task's id, null if it is idle
	Queued  int            `json:"queued"`  // tasks meant for it that have not begun
	Ended   int            `json:"ended"`   // tasks that have ended there
}

func engineTexts(rows []wire.EngineRow, program string) []engineText {
	list := []engineText{}
	for _, r := range rows {
		if r.Program != program {
			continue
		}
		list = append(list, engineText{r.Engine, r.Node, r.Host, r.Program, r.Pid, r.Life, r.State, nameOf(r.Running), r.Queued, r.Ended})
	}
	return list
}

// nameOf is the name of a task, nil for none.
func nameOf(id tutti.TaskID) *string {
	if id == 0 {
		return nil
	}
	s := id.String()
	return &s
}

// askEngines lists the engines of the client's program.
func askEngines(ctx context.Context, c *conn, _ nothing) (any, error) {
	set, err := c.client.WatchEngines(ctx, c.program, 0)
	return map[string]any{"engines": engineTexts(set.Rows, c.program)}, err
}

// waitFor asks for a number of engines.
type waitFor struct {
	N       int
	Timeout *float64 // s; null waits for ever
}

// askWait waits for engines, and says which there are in the end.
func askWait(ctx context.Context, c *conn, q waitFor) (any, error) {
	if q.Timeout != nil && *q.Timeout < maxLimit {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, time.Duration(max(*q.Timeout, 0)*float64(time.Second)))
		defer cancel()
	}
	for version := uint64(0); ; {
		set, err := c.client.WatchEngines(ctx, c.program, version)
		if tutti.KindOf(err) == tutti.Timeout {
			look, cancel := context.WithTimeout(c.ctx, sentTime)
			defer cancel()
			set, err = c.client.WatchEngines(look, c.program, 0)
			q.N = 0
		}
		if err != nil {
			return nil, err
		}
		if ids := engineIDs(set.Rows, c.program); len(ids) >= q.N {
			return map[string]any{"ids": ids}, nil
		}
		version = set.Version
	}
}

// askStatus describes the cluster.
func askStatus(ctx context.Context, c *conn, _ nothing) (any, error) {
	s, err := c.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	c.g.mu.Lock()
	defer c.g.mu.Unlock()
	return struct {
		cluster.Status
		Gateway map[string]any `json:"gateway"`
	}{s, map[string]any{"clients": len(c.g.conns), "refused": c.g.refused}}, nil
}

// taskRow is a task as JSON: its name as people write it.
type taskRow struct {
	ID string `json:"id"`
	wire.TaskRow
	Task *nothing `json:"task,omitempty"` // hides the number
}

func rowOf(r wire.TaskRow) taskRow { return taskRow{ID: r.Task.String(), TaskRow: r} }

func askTask(ctx context.Context, c *conn, q taskOf) (any, error) {
	c.settled(ctx)
	row, err := c.client.Task(ctx, q.ID.of(c))
	return rowOf(row), err
}

// listTasks asks for tasks.
type listTasks struct {
	Client *tutti.ClientID // null: the asker's own; 0: everybody's
	Most   int             // 0: all
}

func askTasks(ctx context.Context, c *conn, q listTasks) (any, error) {
	c.settled(ctx)
	of := c.client.ID()
	if q.Client != nil {
		of = *q.Client
	}
	rows := []taskRow{}
	for r, err := range c.client.Tasks(ctx, of) {
		if err != nil {
			return nil, err
		}
		if rows = append(rows, rowOf(r)); q.Most > 0 && len(rows) >= q.Most {
			break
		}
	}
	return map[string]any{"tasks": rows}, nil
}

// askOutcome waits for the end of a task of anybody; the bytes are those of an OUTCOMES of one.
func askOutcome(ctx context.Context, c *conn, q taskOf) (any, []byte, error) {
	c.settled(ctx)
	o, err := c.client.RawOutcome(ctx, q.ID.of(c))
	if err != nil {
		return nil, nil, err
	}
	ends, values := appendEnd(nil, nil, o.Task.N(), o)
	data := le.AppendUint32(nil, 1)
	return map[string]any{"id": o.Task.String()}, append(append(data, ends...), values...), nil
}

func askExplain(ctx context.Context, c *conn, q taskOf) (any, error) {
	c.settled(ctx)
	text, err := c.client.Explain(ctx, q.ID.of(c))
	return map[string]any{"text": text}, err
}

// askCancel stops tasks of anybody.
func askCancel(ctx context.Context, c *conn, q tasksOf) (any, error) {
	c.settled(ctx)
	return nil, c.client.CancelTasks(ctx, c.idsOf(q.IDs)...)
}

// askForget gives up results of anybody.
func askForget(ctx context.Context, c *conn, q tasksOf) (any, error) {
	c.settled(ctx)
	return nil, c.client.ForgetTasks(ctx, c.idsOf(q.IDs)...)
}

func askNodes(ctx context.Context, c *conn, _ nothing) (any, error) {
	nodes, err := c.client.Nodes(ctx)
	return map[string]any{"nodes": nodes}, err
}

func askStacks(ctx context.Context, c *conn, q engineOf) (any, error) {
	text, err := c.client.Stacks(ctx, q.Engine)
	return map[string]any{"text": text}, err
}

// readOutput asks for what a task has printed.
type readOutput struct {
	ID     taskName
	Stream uint8
	Offset int64
	Most   int
	Follow bool // wait until there is something
}

// outputMost bounds what one answer brings.
const outputMost = 1 << 20

func askOutput(ctx context.Context, c *conn, q readOutput) (any, []byte, error) {
	if q.Most <= 0 {
		q.Most = outputMost
	}
	c.settled(ctx)
	p, err := c.client.ReadOutput(ctx, wire.ReadOutput{
		Task: q.ID.of(c), Stream: q.Stream, Offset: q.Offset, Most: min(q.Most, outputMost), Follow: q.Follow,
	})
	return map[string]any{"from": p.From, "end": p.End}, p.Data, err
}

// readEvents asks for events, and waits until there are some.
type readEvents struct {
	Since uint64 // 0: from now on
	Most  int
}

// eventsMost bounds what one answer brings.
const eventsMost = 1024

// eventText is an event as JSON: its task's name as people write it.
type eventText struct {
	tutti.Event
	Task *string `json:"task,omitempty"`
}

func askEvents(ctx context.Context, c *conn, q readEvents) (any, error) {
	if q.Most <= 0 {
		q.Most = eventsMost
	}
	evs, err := c.client.ReadEvents(ctx, q.Since, min(q.Most, eventsMost))
	next, list := q.Since, make([]eventText, len(evs))
	for i, ev := range evs {
		list[i] = eventText{ev, nameOf(ev.Task)}
		next = ev.Seq + 1
	}
	return map[string]any{"events": list, "next": next}, err
}

// askBlob brings the bytes of a blob that this node does not have.
func askBlob(ctx context.Context, c *conn, q struct{ Ref tutti.Ref }) (any, []byte, error) {
	data, release, err := c.client.FetchValue(ctx, tutti.Value{Ref: q.Ref})
	if err != nil {
		return nil, nil, err
	}
	defer release()
	if len(data) > maxFrame/2 {
		return nil, nil, tutti.Errorf("fetch blob", tutti.Full, "%s do not fit into a frame", tutti.FormatBytes(int64(len(data)))).
			WithHint("read it on an engine of its node")
	}
	return nil, bytes.Clone(data), nil
}

// askStop ends the cluster, and with it the gateway, after the answer.
func askStop(ctx context.Context, c *conn, _ nothing) (any, error) {
	if !c.g.cfg.Own {
		if err := c.client.StopCluster(ctx); err != nil {
			return nil, err
		}
	}
	return theEnd{}, nil
}

// theEnd is an answer after which the gateway ends.
type theEnd struct{}
