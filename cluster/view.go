package cluster

import (
	"context"
	"iter"
	"slices"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Balanced is the view that gives each task to whichever engine is free. It is a small value that
// never changes, safe for concurrent use.
type Balanced struct {
	c    *Client
	opts []tutti.Option
}

// Balanced gives the load-balanced view of all engines that run this program's functions. The
// options hold for every task submitted through it; those given at a call are added.
func (c *Client) Balanced(opts ...tutti.Option) *Balanced { return &Balanced{c: c, opts: opts} }

// SubmitTask implements tutti.Submitter.
func (b *Balanced) SubmitTask(ctx context.Context, t *tutti.Task) *tutti.Promise {
	if len(b.opts) > 0 {
		t = b.complete(t)
	}
	return b.c.submit(ctx, t)
}

// complete adds the view's options to a task, where the call has not set the same.
func (b *Balanced) complete(t *tutti.Task) *tutti.Task {
	s := tutti.Apply(b.opts...)
	w, d := *t.Work, &s.Work
	if w.Label == "" {
		w.Label = d.Label
	}
	if w.Need.String() == "nothing" {
		w.Need = d.Need
	}
	if w.Priority == 0 {
		w.Priority = d.Priority
	}
	if w.Retry == (tutti.Retry{}) {
		w.Retry = d.Retry
	}
	if w.Limit == 0 {
		w.Limit = d.Limit
	}
	w.Durable = w.Durable || d.Durable
	out := *t
	out.Work = &w
	out.After = append(slices.Clip(t.After), s.After...)
	out.Follow = append(slices.Clip(t.Follow), s.Follow...)
	return &out
}

// Direct is the view that addresses engines by number. It is a small value that never changes,
// safe for concurrent use.
type Direct struct {
	c   *Client
	ids []tutti.EngineID // nil: all that there are at the time of a call
}

// Direct gives a direct view of engines: of those named, in that order, or, without names, of all
// that there are at the time of each call.
func (c *Client) Direct(ids ...tutti.EngineID) *Direct { return &Direct{c: c, ids: slices.Clone(ids)} }

// Targets are the engines that a call would go to now.
func (d *Direct) Targets(ctx context.Context) ([]tutti.EngineID, error) {
	if d.ids != nil {
		return d.ids, nil
	}
	var rows []wire.EngineRow
	if err := d.c.ask(ctx, "engines", wire.WaitEngines{Program: d.c.program}, &rows); err != nil {
		return nil, err
	}
	if len(rows) == 0 {
		return nil, tutti.Errorf("address engines", tutti.NotFound, "the cluster has no engines at the moment").
			WithHint("wait for them with WaitForEngines")
	}
	ids := make([]tutti.EngineID, len(rows))
	for i, r := range rows {
		ids[i] = r.Engine
	}
	return ids, nil
}

// SubmitTask implements tutti.Submitter: the task goes to the view's first engine.
func (d *Direct) SubmitTask(ctx context.Context, t *tutti.Task) *tutti.Promise {
	ids, err := d.Targets(ctx)
	if err != nil {
		return failedPromise(err)
	}
	return d.to(ctx, ids[0], t)
}

// to submits a task to one engine.
func (d *Direct) to(ctx context.Context, id tutti.EngineID, t *tutti.Task) *tutti.Promise {
	w := *t.Work
	w.Target = &id
	out := *t
	out.Work = &w
	return d.c.submit(ctx, &out)
}

func failedPromise(err error) *tutti.Promise {
	p := tutti.NewPromise(0, nil)
	p.Complete(tutti.Outcome{Err: err})
	return p
}

// EngineInfo describes an engine.
type EngineInfo struct {
	ID      tutti.EngineID
	Node    tutti.NodeID
	Host    string
	Pid     int
	Program string
	Running tutti.TaskID // 0 if it is idle
	Queued  int
	State   string // idle, busy, ...
}

// Engines lists the engines that there are, by number, of whichever program.
func (c *Client) Engines(ctx context.Context) ([]EngineInfo, error) {
	var rows []wire.EngineRow
	if err := c.ask(ctx, "engines", wire.WaitEngines{}, &rows); err != nil {
		return nil, err
	}
	return engineInfos(rows), nil
}

// WaitForEngines waits until n engines of this program are there, and lists them. If ctx ends
// first the error says how many there were.
func (c *Client) WaitForEngines(ctx context.Context, n int) ([]EngineInfo, error) {
	var rows []wire.EngineRow
	err := c.ask(ctx, "wait-engines", wire.WaitEngines{Program: c.program, N: n}, &rows)
	if err == nil {
		return engineInfos(rows), nil
	}
	if ctx.Err() == nil {
		return nil, err
	}
	look, cancel := context.WithTimeout(context.WithoutCancel(ctx), questionTime)
	defer cancel()
	if e := c.ask(look, "engines", wire.WaitEngines{Program: c.program}, &rows); e != nil {
		return nil, err
	}
	return nil, tutti.Errorf("wait for engines", tutti.KindOf(ctx.Err()), "%d of %d are there: %w", len(rows), n, ctx.Err()).
		WithHint("`tutti engines` and `tutti doctor` show what is wrong")
}

func engineInfos(rows []wire.EngineRow) []EngineInfo {
	infos := make([]EngineInfo, len(rows))
	for i, r := range rows {
		infos[i] = EngineInfo{
			ID: r.Engine, Node: r.Node, Host: r.Host, Pid: r.Pid, Program: r.Program,
			Running: r.Running, Queued: r.Queued, State: r.State,
		}
	}
	return infos
}

// Explain says why a task has not ended: what it waits for, or where it runs; or how it ended.
func (c *Client) Explain(ctx context.Context, id tutti.TaskID) (string, error) {
	var text string
	err := c.ask(ctx, "explain", wire.TaskName{Task: id}, &text)
	return text, err
}

// Events yields what happens in the cluster from now on, until ctx ends, the caller stops, or an
// error, which comes last. A reader that is slower than the controller's memory is long misses
// events, which shows in the gaps of Event.Seq.
func (c *Client) Events(ctx context.Context) iter.Seq2[tutti.Event, error] {
	return func(yield func(tutti.Event, error) bool) {
		next := uint64(0)
		for {
			var evs []tutti.Event
			if err := c.ask(ctx, "events", wire.ReadEvents{Since: next, Most: 1024}, &evs); err != nil {
				yield(tutti.Event{}, err)
				return
			}
			for _, ev := range evs {
				next = ev.Seq + 1
				if !yield(ev, nil) {
					return
				}
			}
		}
	}
}

// Stacks shows where every goroutine of an engine is, which tells why a task does not end.
func (c *Client) Stacks(ctx context.Context, id tutti.EngineID) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	var text []byte
	err := c.ask(ctx, "stacks", wire.EngineName{Engine: id}, &text)
	return string(text), err
}

// WatchEngines gives the engines of a program ("" for any) as soon as they are others than in the
// version that the caller knows; 0 gives them at once.
func (c *Client) WatchEngines(ctx context.Context, program string, version uint64) (set wire.EngineSet, err error) {
	err = c.ask(ctx, "watch-engines", wire.WatchEngines{Program: program, Version: version}, &set)
	return set, err
}

// Programs lists the kinds of engines that clients of the cluster have brought, by name.
func (c *Client) Programs(ctx context.Context) (rows []wire.ProgramRow, err error) {
	err = c.ask(ctx, "programs", nil, &rows)
	return rows, err
}
