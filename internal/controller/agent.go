package controller

import (
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// agent is one node's agent as the loop knows it.
type agent struct {
	c     *Controller
	node  tutti.NodeID
	hello wire.AgentHello
	link  *wire.Link
	known map[uint32]struct{} // works that it has been told
	out   wire.Assign
	bytes int // of arguments in out
	acks  []tutti.RunID
	drops []tutti.BlobID
	dirty bool
	asks  map[uint64]func([]byte, error) // our questions to it
	asked uint64
	early []func() // what it said while its node is held back, nil if it is not
}

// hears takes in what the agent has said, when its node is in.
func (a *agent) hears(f func()) {
	if a.early != nil {
		a.early = append(a.early, f)
		return
	}
	f()
}

// engine is what the loop knows of an engine beside what the scheduler does.
type engine struct {
	id      tutti.EngineID
	life    uint32
	node    tutti.NodeID
	program string
	pid     int
	up      bool
}

// maxKnown bounds the table of works that an agent keeps for us.
const maxKnown = 8192

func (a *agent) mark() {
	if !a.dirty {
		a.dirty = true
		a.c.dirtyA = append(a.c.dirtyA, a)
	}
}

// assign queues a run.
func (a *agent) assign(r wire.Run, w *work) {
	if a.link == nil {
		return // NodeDown or a new NodeUp will put it right
	}
	if len(a.known) >= maxKnown && len(a.out.Runs) == 0 {
		clear(a.known)
		a.out.Reset = true
	}
	if _, ok := a.known[w.no]; !ok {
		a.known[w.no] = struct{}{}
		a.out.Works = append(a.out.Works, wire.Work{No: w.no, Work: w.work})
	}
	a.out.Runs = append(a.out.Runs, r)
	if a.bytes += len(r.Args); a.bytes > flushBytes {
		a.sendRuns()
	}
	a.mark()
}

// ack queues the word that a run's end need not be kept.
func (a *agent) ack(runs []tutti.RunID) {
	a.acks = append(a.acks, runs...)
	a.mark()
}

// dropBlob queues the word that nobody refers to a blob.
func (a *agent) dropBlob(id tutti.BlobID) {
	a.drops = append(a.drops, id)
	a.mark()
}

func (a *agent) sendRuns() {
	if len(a.out.Runs) == 0 || a.link == nil {
		return
	}
	post(a.c, a.link, wire.KindAssign, &a.out)
	a.out.Reset, a.out.Works, a.out.Runs, a.bytes = false, a.out.Works[:0], a.out.Runs[:0], 0
}

// flush sends what is queued.
func (a *agent) flush() {
	a.dirty = false
	a.sendRuns()
	if a.link == nil {
		return
	}
	if len(a.acks) > 0 {
		post(a.c, a.link, wire.KindAck, &wire.Runs{Runs: a.acks})
		a.acks = a.acks[:0]
	}
	if len(a.drops) > 0 {
		post(a.c, a.link, wire.KindDropBlobs, &wire.DropBlobs{Blobs: a.drops})
		a.drops = a.drops[:0]
	}
}

func (a *agent) close() {
	if a.link != nil {
		a.link.Close()
		a.link = nil
	}
}

// ask puts a question to the agent; f is called by the loop with its answer.
func (a *agent) ask(verb string, body []byte, f func([]byte, error)) {
	if a.link == nil {
		f(nil, tutti.Errorf("ask agent", tutti.Lost, "node %d is away", a.node))
		return
	}
	a.asked++
	a.asks[a.asked] = f
	post(a.c, a.link, wire.KindAsk, &wire.Ask{Seq: a.asked, Verb: verb, Body: body})
}

// admitAgent answers an agent's hello: a new agent gets a node number, one that comes back its
// old one, with its engines and runs. If the old link was not yet missed, what was under way on it
// is lost first, so that no word of the two is mixed.
func (c *Controller) admitAgent(l *wire.Link, h wire.AgentHello) *agent {
	if h.Life != c.life || h.Node < 0 {
		h.Node, h.Engines, h.Runs = tutti.NoNode, nil, nil
	}
	if old := c.agents[h.Node]; old != nil {
		old.link.Abort("the agent has come again over another link")
		c.nodeLost(old, "its agent came again over another link")
	}
	if h.Node == tutti.NoNode {
		h.Node = c.lastNode + 1
		c.rec.nodeNew(h.Node)
	}
	c.lastNode = max(c.lastNode, h.Node)
	a := &agent{
		c: c, node: h.Node, hello: h, link: l, known: map[uint32]struct{}{},
		asks: map[uint64]func([]byte, error){}, out: wire.Assign{Reset: true},
	}
	c.agents[a.node] = a
	post(c, l, wire.KindWelcome, &wire.AgentWelcome{
		Node: a.node, Cluster: c.cfg.Name, Life: c.life, Epoch: c.epoch, Version: c.cfg.Version,
	})
	c.publish(tutti.Event{Kind: tutti.NodeJoined, Engine: tutti.NoEngine, Node: a.node, Text: h.Host})
	c.nodeOfJob(a)
	c.restore.nodeBack(c, a)
	return a
}

// nodeUp tells the scheduler of a node and of all that its agent brought.
func (c *Controller) nodeUp(a *agent) {
	h := &a.hello
	up := sched.NodeUp{Node: a.node, Name: h.Host, Pool: h.Pool, Has: h.Has}
	if h.Until != 0 {
		up.Until = time.Unix(0, h.Until)
	}
	for _, e := range h.Engines {
		c.engines[e.Engine] = &engine{id: e.Engine, life: e.Life, node: a.node, program: e.Program, pid: e.Pid, up: true}
		c.changes++
		up.Engines = append(up.Engines, sched.EngineUp{Engine: e.Engine, Life: e.Life, Node: a.node, Program: e.Program})
		if c.programs[e.Program] == nil {
			c.programs[e.Program] = &program{spec: wire.ProgramSpec{Name: e.Program}}
		}
	}
	for _, r := range h.Runs {
		held := sched.Held{Run: r.Run, Engines: r.Engines, Started: r.Started || r.Ended}
		if r.Ended {
			held.Engines = nil // its end follows, and holds no engine
		}
		up.Runs = append(up.Runs, held)
	}
	c.step(up)
}

// nodeLost gives a node up: its agent was stopped, or its link has ended, which happens only when
// the peer was silent for longer than the link forgives.
func (c *Controller) nodeLost(a *agent, why string) {
	if c.agents[a.node] != a {
		return
	}
	delete(c.agents, a.node)
	c.jobOver(a)
	asks, in := a.asks, a.early == nil
	a.asks, a.link = nil, nil
	for _, f := range asks {
		f(nil, tutti.Errorf("ask agent", tutti.Lost, "the agent of node %d was lost before it answered", a.node))
	}
	for _, e := range c.engines {
		if e.node == a.node {
			delete(c.engines, e.id)
			c.changes++
		}
	}
	c.publish(tutti.Event{Kind: tutti.NodeLost, Engine: tutti.NoEngine, Node: a.node, Text: why})
	if in {
		c.step(sched.NodeDown{Node: a.node, Why: why})
	}
}

// agentDone takes in ends of runs. Once the scheduler has said which of them count, their results
// are put into the records, and only then is done what it wants: a Finish finds its value.
func (c *Controller) agentDone(a *agent, m *wire.Done) {
	results := c.results[:0]
	for i := range m.Results {
		r := &m.Results[i]
		end := sched.Result{
			Run: r.Run, Kind: sched.Ending(r.Ending), Took: time.Duration(r.Took),
			Blob: !r.Value.Ref.IsZero(), Size: r.Value.Size(),
		}
		if f := r.Fail; f != nil {
			end.Reason = f.Error().Error()
		}
		results = append(results, end)
	}
	c.results = results
	actions := c.think(sched.Done{Node: a.node, Results: results})
	for i := range m.Results {
		c.takeResult(a, &m.Results[i])
	}
	c.carryOut(actions)
}

// takeResult makes a result the task's if it is that of the run that ended it. A blob that is
// nobody's result is freed.
func (c *Controller) takeResult(a *agent, r *wire.Result) {
	info, ok := c.mind.Task(r.Run.Task)
	rec, _ := info.Tag.(*record)
	switch {
	case rec != nil && ok && info.State.Final() && info.Run == r.Run && (rec.last == nil || rec.last.Run != r.Run):
		c.blobs.add(r.Value.Ref)
		if rec.last != nil {
			c.dropRefs(rec.last.Value.Ref)
		}
		rec.last, rec.node = r, a.node
	case !r.Value.Ref.IsZero() && c.blobs.refs[r.Value.Ref.Blob] == 0:
		a.dropBlob(r.Value.Ref.Blob)
	}
}

// engineUp notes an engine that is ready.
func (c *Controller) engineUp(a *agent, m *wire.EngineUp) {
	c.engines[m.Engine] = &engine{id: m.Engine, life: m.Life, node: a.node, program: m.Program, pid: m.Pid, up: true}
	c.changes++
	c.publish(tutti.Event{Kind: tutti.EngineJoined, Engine: m.Engine, Node: a.node, Text: m.Program})
	c.step(sched.EngineUp{Engine: m.Engine, Life: m.Life, Node: a.node, Program: m.Program})
}

// engineDown notes an engine that has ended.
func (c *Controller) engineDown(a *agent, m *wire.EngineDown) {
	if e := c.engines[m.Engine]; e != nil && e.life == m.Life && e.node == a.node {
		delete(c.engines, m.Engine)
		c.changes++
		c.publish(tutti.Event{Kind: tutti.EngineLost, Engine: m.Engine, Node: a.node, Text: m.Why})
	}
	c.step(sched.EngineDown{Engine: m.Engine, Life: m.Life, Why: m.Why})
}

// checkAway gives up clients of the controller's former life that have not come back.
func (c *Controller) checkAway(now time.Time) {
	for _, cl := range c.clients {
		if cl.link == nil && !cl.away.IsZero() && now.Sub(cl.away) >= c.cfg.ClientGrace {
			c.clientGone(cl)
		}
	}
	c.restore.check(c, now)
}

// nextAway is when checkAway has something to do.
func (c *Controller) nextAway() (at time.Time, ok bool) {
	at, ok = c.restore.due()
	for _, cl := range c.clients {
		if cl.link == nil && !cl.away.IsZero() {
			if t := cl.away.Add(c.cfg.ClientGrace); !ok || t.Before(at) {
				at, ok = t, true
			}
		}
	}
	return at, ok
}
