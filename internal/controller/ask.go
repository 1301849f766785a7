package controller

import (
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// asker is who puts a question.
type asker struct {
	client *client
	agent  *agent
	link   *wire.Link
}

// wait is a question that is answered when something holds.
type wait struct {
	from asker
	seq  uint64
	try  func() (answer any, done bool, err error)
}

// answer answers a wait's question.
func (w *wait) answer(body any, err error) { w.from.answer(w.seq, body, err) }

// answer sends an answer: CBOR of body, or as it is if it is bytes.
func (s asker) answer(seq uint64, body any, err error) {
	a := wire.Answer{Seq: seq, Fail: wire.PackError(err)}
	switch b := body.(type) {
	case nil:
	case []byte:
		a.Body = b
	default:
		data, e := cbor.Marshal(b)
		if e != nil {
			a.Fail = wire.PackError(tutti.E("answer", tutti.Internal, e))
		}
		a.Body = data
	}
	m, err := wire.Pack(wire.KindAnswer, &a)
	if err == nil {
		_ = s.link.Post(m) // a link that has ended is noticed by its reader
	}
}

// verb answers one kind of question: at once, or by a function that is tried until it is done.
type verb func(c *Controller, s asker, body []byte) (answer any, later func() (any, bool, error), err error)

// now makes a verb that answers at once.
func now[Q any](f func(c *Controller, s asker, q Q) (any, error)) verb {
	return func(c *Controller, s asker, body []byte) (any, func() (any, bool, error), error) {
		q, err := question[Q](body)
		if err != nil {
			return nil, nil, err
		}
		a, err := f(c, s, q)
		return a, nil, err
	}
}

// until makes a verb that answers when its function is done.
func until[Q any](f func(c *Controller, s asker, q Q) func() (any, bool, error)) verb {
	return func(c *Controller, s asker, body []byte) (any, func() (any, bool, error), error) {
		q, err := question[Q](body)
		if err != nil {
			return nil, nil, err
		}
		return nil, f(c, s, q), nil
	}
}

func question[Q any](body []byte) (q Q, err error) {
	if len(body) == 0 {
		return q, nil
	}
	if err := cbor.Unmarshal(body, &q); err != nil {
		return q, tutti.E("ask", tutti.Corrupt, err)
	}
	return q, nil
}

type nothing struct{}

// clientVerbs are the questions of clients, agentVerbs those of agents.
var clientVerbs, agentVerbs map[string]verb

func init() { // not in the declarations: some refer back to the tables
	clientVerbs = map[string]verb{
		"cancel":       now((*Controller).askCancel),
		"drain":        now((*Controller).askDrain),
		"engines":      now(func(c *Controller, _ asker, q wire.WaitEngines) (any, error) { return c.engineRows(q.Program), nil }),
		"events":       until((*Controller).askEvents),
		"explain":      now((*Controller).askExplain),
		"forget":       now(func(c *Controller, _ asker, q wire.TaskNames) (any, error) { c.forget(q.Tasks); return nil, nil }),
		"more-engines": now((*Controller).askMore),
		"nodes":        now(func(c *Controller, _ asker, _ nothing) (any, error) { return c.nodeRows(), nil }),
		"output":       until((*Controller).askOutput),
		"programs":     now(func(c *Controller, _ asker, _ nothing) (any, error) { return c.programRows(), nil }),
		"result":       until((*Controller).askResult),
		"resumed": now(func(c *Controller, s asker, _ nothing) (any, error) {
			c.restore.clientBack(c, s.client.id)
			return nil, nil
		}),
		"status":        now(func(c *Controller, _ asker, _ nothing) (any, error) { return c.status(), nil }),
		"stop":          now((*Controller).askStop),
		"sync":          until((*Controller).askSync),
		"task":          now((*Controller).askTask),
		"tasks":         now((*Controller).askTasks),
		"wait-engines":  until((*Controller).askEngines),
		"watch-engines": until((*Controller).askWatch),
		"want":          now(func(c *Controller, s asker, q wire.Want) (any, error) { c.joinProgram(s.client, q); return nil, nil }),
	}
	agentVerbs = map[string]verb{
		"program": now(func(c *Controller, _ asker, q wire.ProgramSpec) (any, error) { return c.programSpec(q.Name) }),
		"nodes":   now(func(c *Controller, _ asker, _ nothing) (any, error) { return c.nodeRows(), nil }),
	}
}

// asked answers a question, or remembers it.
func (c *Controller) asked(s asker, m *wire.Ask) {
	table := clientVerbs
	if s.agent != nil {
		table = agentVerbs
	}
	switch {
	case m.Verb == "blob":
		c.askBlob(s, m)
		return
	case s.client != nil && forAgents[m.Verb] != "":
		c.askAgent(s, m)
		return
	case s.client != nil && (m.Verb == "stop-engine" || m.Verb == "restart-engine"):
		c.askEnd(s, m)
		return
	case s.client != nil && m.Verb == "setup":
		c.askSetup(s, m)
		return
	}
	v := table[m.Verb]
	if v == nil {
		s.answer(m.Seq, nil, tutti.Errorf("ask", tutti.Unsupported, "the controller does not answer %q", m.Verb))
		return
	}
	a, later, err := v(c, s, m.Body)
	if later == nil || err != nil {
		s.answer(m.Seq, a, err)
		return
	}
	c.waits = append(c.waits, &wait{from: s, seq: m.Seq, try: later})
}

// settleWaits answers the questions whose time has come.
func (c *Controller) settleWaits() {
	c.waits = slices.DeleteFunc(c.waits, func(w *wait) bool {
		a, done, err := w.try()
		if done {
			w.answer(a, err)
		}
		return done
	})
}

// dropWaits forgets the questions of a client that has left.
func (c *Controller) dropWaits(cl *client) {
	c.waits = slices.DeleteFunc(c.waits, func(w *wait) bool { return w.from.client == cl })
}

func (c *Controller) askEngines(_ asker, q wire.WaitEngines) func() (any, bool, error) {
	return func() (any, bool, error) {
		rows := c.engineRows(q.Program)
		return rows, len(rows) >= q.N, nil
	}
}

// askWatch is answered when the engines have changed. Versions of another life of the controller
// are others.
func (c *Controller) askWatch(_ asker, q wire.WatchEngines) func() (any, bool, error) {
	return func() (any, bool, error) {
		v := uint64(c.epoch)<<32 + c.changes
		if v == q.Version {
			return nil, false, nil
		}
		return wire.EngineSet{Version: v, Rows: c.engineRows(q.Program)}, true, nil
	}
}

func (c *Controller) askEvents(_ asker, q wire.ReadEvents) func() (any, bool, error) {
	switch {
	case q.Since == 0:
		q.Since = c.events.next
	case q.Since > c.events.next:
		q.Since = 1 // it followed the controller's former life: all of this one is new
	}
	return func() (any, bool, error) {
		evs := c.events.since(q.Since, min(max(q.Most, 1), 4096))
		return evs, len(evs) > 0, nil
	}
}

func (c *Controller) askExplain(_ asker, q wire.TaskName) (any, error) {
	r, err := c.find(q.Task)
	if err != nil {
		return nil, err
	}
	if r.state.Final() {
		text := "it has ended: " + r.state.String()
		if r.last != nil && r.last.Fail != nil {
			text += ": " + r.last.Fail.Error().Error()
		}
		return text, nil
	}
	return c.mind.Explain(q.Task, time.Now()), nil
}

// find finds a task's record, or says why there is none.
func (c *Controller) find(id tutti.TaskID) (*record, error) {
	if r := c.record(id); r != nil {
		return r, nil
	}
	e := tutti.Errorf("find task", tutti.NotFound, "there is no task %v", id)
	if id.Client() != 0 && id.Client() <= c.lastID {
		e = tutti.Errorf("find task", tutti.Expired, "task %v has ended and is not kept any more, or never was", id).
			WithHint("results are kept until they are fetched, at most %d of them and %s", c.cfg.KeepResults, tutti.FormatBytes(c.cfg.KeepBytes))
	}
	e.Task = id
	return nil, e
}

func (c *Controller) askResult(_ asker, q wire.TaskName) func() (any, bool, error) {
	return func() (any, bool, error) {
		r, err := c.find(q.Task)
		if err != nil || !r.state.Final() {
			return nil, err != nil, err
		}
		o := c.outcome(q.Task, r)
		data, err := o.MarshalMsg(nil)
		return data, true, err
	}
}

func (c *Controller) askTask(_ asker, q wire.TaskName) (any, error) {
	r, err := c.find(q.Task)
	if err != nil {
		return nil, err
	}
	return c.taskRow(q.Task, r), nil
}

func (c *Controller) askTasks(_ asker, q wire.ListTasks) (any, error) {
	rows := []wire.TaskRow{}
	for _, id := range c.tasksOf(q.Client) {
		if id <= q.After {
			continue
		}
		if rows = append(rows, c.taskRow(id, c.record(id))); len(rows) >= max(q.Most, 1) {
			break
		}
	}
	return rows, nil
}

// tasksOf lists the tasks of a client, or with 0 of all, in order.
func (c *Controller) tasksOf(client tutti.ClientID) []tutti.TaskID {
	var ids []tutti.TaskID
	for cl := range c.mind.Clients() {
		if client != 0 && cl != client {
			continue
		}
		for info := range c.mind.Tasks(cl) {
			ids = append(ids, info.ID)
		}
	}
	return ids
}

func (c *Controller) askCancel(_ asker, q wire.TaskNames) (any, error) {
	ids := q.Tasks
	if q.Client != 0 {
		ids = append(ids, c.tasksOf(q.Client)...)
	}
	for _, id := range ids {
		if _, err := c.find(id); err != nil {
			return nil, err
		}
	}
	c.step(sched.Cancel{Tasks: ids})
	return len(ids), nil
}

func (c *Controller) askDrain(_ asker, q wire.DrainNode) (any, error) {
	if c.agents[q.Node] == nil {
		return nil, tutti.Errorf("drain", tutti.NotFound, "there is no node %d", q.Node)
	}
	c.step(sched.NodeDrain{Node: q.Node, Off: q.Off})
	return nil, nil
}

func (c *Controller) askOutput(_ asker, q wire.ReadOutput) func() (any, bool, error) {
	return func() (any, bool, error) {
		r, err := c.find(q.Task)
		if err != nil {
			return nil, true, err
		}
		if q.Stream != 1 && q.Stream != 2 {
			return nil, true, tutti.Errorf("read output", tutti.Invalid, "stream %d is neither stdout nor stderr", q.Stream)
		}
		data, from, ended, err := c.outputs.read(streamKey{q.Task, q.Stream}, q.Offset, min(max(q.Most, 1), 1<<20))
		p := wire.OutputPart{Data: data, From: from, End: ended || len(data) == 0 && r.state.Final()}
		return p, err != nil || !q.Follow || len(data) > 0 || p.End, err
	}
}

// askSync is answered when all that was submitted so far is durable.
func (c *Controller) askSync(_ asker, _ nothing) func() (any, bool, error) {
	safe := false
	c.rec.afterSure(func() { safe = true })
	return func() (any, bool, error) { return nil, safe || c.rec.trouble != nil, c.rec.trouble }
}

func (c *Controller) askStop(s asker, _ nothing) (any, error) {
	if c.cfg.OnStop == nil {
		return nil, tutti.Errorf("stop", tutti.Unsupported, "an embedded cluster ends with its program")
	}
	go c.cfg.OnStop()
	return nil, nil
}

// askBlob passes the question on to the agent of the node that has the blob.
func (c *Controller) askBlob(s asker, m *wire.Ask) {
	q, err := question[wire.ReadBlob](m.Body)
	a := c.agents[q.Ref.Blob.Node]
	if err == nil && a == nil {
		err = tutti.Errorf("fetch blob", tutti.Lost, "node %d, which has %v, is away", q.Ref.Blob.Node, q.Ref.Blob)
	}
	if err != nil {
		s.answer(m.Seq, nil, err)
		return
	}
	a.ask("blob", m.Body, func(body []byte, err error) { s.answer(m.Seq, body, err) })
}

// answered takes in an agent's answer to a question of ours.
func (a *agent) answered(m *wire.Answer) {
	f := a.asks[m.Seq]
	if f == nil {
		return
	}
	delete(a.asks, m.Seq)
	f(m.Body, m.Fail.Error())
}

// forget gives up results.
func (c *Controller) forget(ids []tutti.TaskID) { c.step(sched.Forget{Tasks: ids}) }

// agentStarted passes on which runs have begun.
func (c *Controller) agentStarted(a *agent, m *wire.Started) {
	runs := make([]tutti.RunID, len(m.Runs))
	for i, r := range m.Runs {
		runs[i] = r.Run
		c.publish(tutti.Event{Kind: tutti.TaskStarted, Task: r.Run.Task, Attempt: r.Run.Attempt, Engine: tutti.NoEngine, Node: a.node})
	}
	c.step(sched.Started{Runs: runs})
}

// agentReturned passes on which runs were given back.
func (c *Controller) agentReturned(m *wire.Runs) { c.step(sched.Returned{Runs: m.Runs}) }
