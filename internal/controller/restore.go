package controller

import (
	"bytes"
	"context"
	"encoding/binary"
	"maps"
	"slices"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/journal"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// openRecord opens the journal and replays what it holds.
func (c *Controller) openRecord(ctx context.Context) error {
	c.rec = recorder{c: c, works: map[uint32]bool{}, snaps: make(chan error, 1)}
	past := newReplay()
	if c.cfg.Dir != "" {
		j, found, err := journal.Open(journalDir(c.cfg.Dir), c.cfg.Journal)
		if err != nil {
			return err
		}
		c.rec.j = j
		for _, t := range found.Torn {
			c.cfg.Log.Warn("part of the journal does not count", "file", t.File, "bytes", t.Bytes, "why", t.Reason)
		}
		if err := past.read(ctx, found); err != nil {
			j.Close()
			return err
		}
	}
	if past.life.Life != "" {
		c.life, c.epoch = past.life.Life, past.life.Epoch+1
	}
	scfg := c.cfg.Sched
	scfg.Epoch = c.epoch
	c.mind = sched.New(scfg)
	c.rec.appendCBOR(recLife, lifeRecord{c.life, c.epoch})
	c.publish(tutti.Event{Kind: tutti.ControllerUp, Count: int(c.epoch), Engine: tutti.NoEngine, Node: tutti.NoNode})
	c.revive(past)
	return nil
}

// replay gathers what the records of a journal amount to.
type replay struct {
	life     lifeRecord
	clients  map[tutti.ClientID]clientRecord
	lastID   tutti.ClientID
	lastNode tutti.NodeID
	engines  tutti.EngineID
	programs map[string]programRecord
	works    map[uint32]*tutti.Work // as numbered by the life that wrote the records being read
	tasks    map[tutti.TaskID]replayed
	ends     map[tutti.TaskID]*wire.Outcome
}

// replayed is a durable task with the work that its number meant when it was written.
type replayed struct {
	task *wire.Task
	work *tutti.Work
}

func newReplay() *replay {
	return &replay{
		clients: map[tutti.ClientID]clientRecord{}, lastNode: -1, programs: map[string]programRecord{},
		works: map[uint32]*tutti.Work{}, tasks: map[tutti.TaskID]replayed{}, ends: map[tutti.TaskID]*wire.Outcome{},
	}
}

// read takes in the snapshot and the records after it.
func (p *replay) read(ctx context.Context, found *journal.Recovery) error {
	if found.Snapshot != "" {
		in, err := found.ReadSnapshot()
		if err != nil {
			return err
		}
		defer in.Close()
		if err := readSnapshot(in, p.apply); err != nil {
			return err
		}
	}
	for r, err := range found.Records() {
		if err == nil {
			err = p.apply(r.Type, bytes.Clone(r.Data))
		}
		if err == nil {
			err = ctx.Err()
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// apply takes in one record. Types that are not known were written by a later version, and are
// nothing that this one could act on.
func (p *replay) apply(typ uint16, data []byte) (err error) {
	switch typ {
	case recLife:
		err = cbor.Unmarshal(data, &p.life)
	case recClient:
		var r clientRecord
		err = cbor.Unmarshal(data, &r)
		p.clients[r.ID] = r
		p.lastID = max(p.lastID, r.ID)
	case recClientGone:
		var r clientRecord
		err = cbor.Unmarshal(data, &r)
		delete(p.clients, r.ID)
		p.lastID = max(p.lastID, r.ID)
	case recNode:
		var r nodeRecord
		err = cbor.Unmarshal(data, &r)
		p.lastNode = max(p.lastNode, r.Node)
	case recEngines:
		var r enginesRecord
		err = cbor.Unmarshal(data, &r)
		p.engines = max(p.engines, r.Engines)
	case recProgram:
		var r programRecord
		err = cbor.Unmarshal(data, &r)
		if p.programs[r.Spec.Name] = r; r.Down {
			delete(p.programs, r.Spec.Name)
		}
	case recWork:
		var w wire.Work
		_, err = w.UnmarshalMsg(data)
		p.works[w.No] = &w.Work
	case recTask, recDrop:
		err = p.applyTask(typ, data)
	case recEnd:
		var o wire.Outcome
		if _, err = o.UnmarshalMsg(data); err == nil && p.tasks[o.Task].task != nil {
			p.ends[o.Task] = &o
		}
	}
	if err != nil {
		return tutti.Errorf("read journal", tutti.Corrupt, "record of type %d: %w", typ, err)
	}
	return nil
}

func (p *replay) applyTask(typ uint16, data []byte) error {
	if len(data) < 8 {
		return tutti.Errorf("read journal", tutti.Corrupt, "%d bytes", len(data))
	}
	id := tutti.TaskID(binary.LittleEndian.Uint64(data))
	if typ == recDrop {
		delete(p.tasks, id)
		delete(p.ends, id)
		return nil
	}
	t := new(wire.Task)
	if _, err := t.UnmarshalMsg(data[8:]); err != nil {
		return err
	}
	w := p.works[t.Work]
	if w == nil {
		return tutti.Errorf("read journal", tutti.Corrupt, "task %v names work %d, which is not described", id, t.Work)
	}
	p.tasks[id] = replayed{t, w}
	return nil
}

// revive makes the state that a replay describes.
func (c *Controller) revive(p *replay) {
	now := time.Now()
	c.lastID, c.lastNode, c.rec.engines = p.lastID, p.lastNode, p.engines
	for id, r := range p.clients {
		c.clients[id] = &client{c: c, id: id, secret: r.Secret, name: r.Name, program: r.Program, keep: r.Keep, away: now}
		c.restore.await(id)
	}
	if p.life.Life != "" {
		c.restore.until = now.Add(c.cfg.Restore)
	}
	byClient := map[tutti.ClientID][]sched.NewTask{}
	var ended []sched.Restored
	for _, id := range slices.Sorted(maps.Keys(p.tasks)) {
		n, ok := c.reviveTask(id, p)
		if !ok {
			continue
		}
		if o := p.ends[id]; o != nil {
			ended = append(ended, c.reviveEnd(n, o))
		} else {
			byClient[id.Client()] = append(byClient[id.Client()], n)
		}
	}
	c.step(sched.Restore{Tasks: ended, Engines: p.engines})
	for _, name := range slices.Sorted(maps.Keys(p.programs)) {
		r := p.programs[name]
		c.programs[name] = &program{spec: r.Spec, perNode: r.PerNode, users: map[tutti.ClientID]bool{}}
		for id, cl := range p.clients {
			if cl.Program == name {
				c.programs[name].users[id] = true
			}
		}
		c.step(sched.ProgramUp{Program: name, PerNode: r.PerNode})
	}
	for _, id := range slices.Sorted(maps.Keys(byClient)) {
		c.step(sched.Submit{Client: id, Tasks: byClient[id]})
	}
}

// reviveTask makes the record of a durable task again.
func (c *Controller) reviveTask(id tutti.TaskID, p *replay) (n sched.NewTask, ok bool) {
	t := p.tasks[id].task
	w, err := c.works.intern(*p.tasks[id].work)
	if err != nil {
		c.cfg.Log.Error("task of the journal is left out", "task", id, "err", err)
		return n, false
	}
	c.rec.live++
	return c.enter(id, &record{work: w, args: t.Args, blobs: t.Blobs}, t), true
}

// reviveEnd adds to a record how its task had ended.
func (c *Controller) reviveEnd(n sched.NewTask, o *wire.Outcome) sched.Restored {
	r := n.Tag.(*record)
	run := tutti.RunID{Task: n.ID, Attempt: o.Attempt, Epoch: c.epoch - 1}
	r.state, r.node = o.State, o.Node
	r.last = &wire.Result{
		Run: run, Value: o.Value, Fail: o.Fail, Engine: o.Engine, Started: o.Started, Took: o.Finished - o.Started,
	}
	c.blobs.add(o.Value.Ref)
	c.kept.add(c, n.ID, r)
	e := sched.Restored{NewTask: n, Run: run, State: o.State, Kind: tutti.KindOf(o.Fail.Error()), Node: tutti.NoNode, Size: o.Value.Size()}
	if !o.Value.Ref.IsZero() {
		e.Node = o.Node
	}
	return e
}

// restoring holds back the nodes of returning agents until the clients of the former life are
// back, so that the runs that agents still have find their tasks.
type restoring struct {
	until   time.Time // zero: not restoring
	clients map[tutti.ClientID]bool
	nodes   []*agent
}

func (r *restoring) await(id tutti.ClientID) {
	if r.clients == nil {
		r.clients = map[tutti.ClientID]bool{}
	}
	r.clients[id] = true
}

// due is when waiting ends at the latest.
func (r *restoring) due() (time.Time, bool) { return r.until, !r.until.IsZero() }

// nodeBack takes in a node, now or when the clients are back.
func (r *restoring) nodeBack(c *Controller, a *agent) {
	if r.until.IsZero() {
		c.nodeUp(a)
		return
	}
	a.early = []func(){}
	r.nodes = append(r.nodes, a)
	r.check(c, time.Now())
}

// clientBack notes that a client has sent again all that it waits for.
func (r *restoring) clientBack(c *Controller, id tutti.ClientID) {
	delete(r.clients, id)
	r.check(c, time.Now())
}

// check ends the waiting when everybody is back, or the time is over.
func (r *restoring) check(c *Controller, now time.Time) {
	if r.until.IsZero() || len(r.clients) > 0 && now.Before(r.until) {
		return
	}
	nodes := r.nodes
	*r = restoring{}
	for _, a := range nodes {
		early := a.early
		a.early = nil
		if c.agents[a.node] == a {
			c.nodeUp(a)
			for _, f := range early {
				f()
			}
		}
	}
}

// encodeState writes the live durable state as the records that would make it.
func (c *Controller) encodeState() []byte {
	var out []byte
	add := func(typ uint16, data []byte, err error) {
		if err != nil {
			panic(err) // our own plain structs
		}
		out = binary.LittleEndian.AppendUint16(out, typ)
		out = binary.LittleEndian.AppendUint32(out, uint32(len(data)))
		out = append(out, data...)
	}
	rare := func(typ uint16, v any) {
		data, err := cbor.Marshal(v)
		add(typ, data, err)
	}
	rare(recLife, lifeRecord{c.life, c.epoch})
	rare(recNode, nodeRecord{c.lastNode})
	rare(recClientGone, clientRecord{ID: c.lastID})
	rare(recEngines, enginesRecord{c.rec.engines})
	for _, cl := range c.clients {
		if cl.id != 0 {
			rare(recClient, clientRecord{cl.id, cl.secret, cl.name, cl.program, cl.keep})
		}
	}
	for _, p := range c.programs {
		rare(recProgram, programRecord{Spec: p.spec, PerNode: p.perNode})
	}
	clear(c.rec.works)
	for _, id := range c.tasksOf(0) {
		r := c.record(id)
		if r == nil || !r.work.work.Durable {
			continue
		}
		if !c.rec.works[r.work.no] {
			c.rec.works[r.work.no] = true
			data, err := (&wire.Work{No: r.work.no, Work: r.work.work}).MarshalMsg(nil)
			add(recWork, data, err)
		}
		t := wire.Task{N: id.N(), Args: r.args, Blobs: r.blobs}
		if e := r.edges; e != nil {
			t.Deps, t.After, t.Follow = e.deps, e.after, e.follow
		}
		data, err := taskRecord(id, &t, r.work)
		add(recTask, data, err)
		if r.state.Final() {
			o := c.outcome(id, r)
			data, err := o.MarshalMsg(nil)
			add(recEnd, data, err)
		}
	}
	return out
}
