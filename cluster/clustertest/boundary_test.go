package clustertest_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/cluster/clustertest"
	"github.com/tutti-hpc/tutti/internal/controller"
	"github.com/tutti-hpc/tutti/internal/journal"
)

// crashes says where controllers of one cluster die: one after the other, each at the first record
// from its position on, at its moment. It also notes how far the journal comes.
type crashes struct {
	at   []crashAt
	last journal.Pos
}

type crashAt struct {
	moment controller.Moment
	pos    journal.Pos
}

func (c *crashes) probe(m controller.Moment, pos journal.Pos) bool {
	c.last = max(c.last, pos)
	if len(c.at) == 0 || c.at[0].moment != m || pos < c.at[0].pos {
		return false
	}
	c.at = c.at[1:]
	return true
}

// durably runs durable work on a cluster whose controller dies as told, and starts again whenever
// it does.
func durably(t *testing.T, plan *crashes, work func(ctx context.Context, t *testing.T, c *clustertest.Cluster)) {
	dir := t.TempDir()
	bubble(t, func(ctx context.Context, t *testing.T) {
		c := clustertest.Start(t, clustertest.Spec{Engines: 1, Dir: dir, Controller: func(cfg *controller.Config) {
			cfg.Restore = time.Second
			cfg.Probe.Crash = plan.probe
		}})
		over, gone := make(chan struct{}), make(chan struct{})
		go func() {
			defer close(gone)
			for {
				select {
				case <-c.Crashed():
					c.Crash()
					c.Restart()
				case <-over:
					return
				}
			}
		}()
		c.AddNode()
		c.AddNode()
		work(ctx, t, c)
		close(over)
		<-gone
	})
}

// patiently joins; the controller may die before it has said welcome.
func patiently(c *clustertest.Cluster) *cluster.Client {
	for {
		if me, err := c.Join(nil); err == nil {
			return me
		}
	}
}

// graph submits a few durable tasks that depend on each other, one that fails, one that is
// cancelled, and one that is tried twice, and holds their ends.
func graph(ctx context.Context, t *testing.T, c *clustertest.Cluster) {
	me := patiently(c)
	number := uint64(time.Now().UnixNano())
	newStage(number, 1)
	defer stages.Delete(number)
	b := me.Balanced(tutti.Durable(), tutti.RetryPolicy(tutti.Retry{Lost: 100}))
	one := tutti.Submit(ctx, b, fnValue, job{Scene: number, Key: 1, Nap: 30 * time.Millisecond})
	two := tutti.Submit(ctx, b, fnValue, job{Scene: number, Key: 2})
	bad := tutti.Submit(ctx, b, fnFail, job{Scene: number, Key: 3})
	long := tutti.Submit(ctx, b, fnValue, job{Scene: number, Key: 4, Nap: time.Hour})
	flaky := tutti.Submit(ctx, b, fnFlaky, job{Scene: number, Key: 5, Times: 1}, tutti.RetryPolicy(tutti.Retry{Lost: 100, Failed: 1}))
	sum := func(from ...tutti.Tasked) *tutti.Future[uint64] {
		var a tutti.Arg
		for _, f := range from {
			a.Items = append(a.Items, tutti.Arg{From: f.ID()})
		}
		return tutti.SubmitArgs[uint64](ctx, b, fnSum.Name(), func() (tutti.Arg, error) { return a, nil })
	}
	both, orphan := sum(one, two), sum(bad)
	top := sum(both, flaky)
	long.Cancel()
	want := answer(1) + answer(2)
	for _, x := range []struct {
		name string
		f    *tutti.Future[uint64]
		want uint64
		kind tutti.Kind
	}{
		{"one", one, answer(1), 0}, {"two", two, answer(2), 0}, {"bad", bad, 0, tutti.Failed}, {"long", long, 0, tutti.Canceled},
		{"flaky", flaky, answer(5), 0}, {"both", both, want, 0}, {"orphan", orphan, 0, tutti.Dependency}, {"top", top, want + answer(5), 0},
	} {
		v, err := x.f.Get(ctx)
		if v != x.want || (x.kind == 0) != (err == nil) || err != nil && !errors.Is(err, x.kind) {
			t.Errorf("%s (task %v): %d %v", x.name, x.f.ID(), v, err)
		}
	}
}

// alone submits durable tasks and leaves: they go on, and their results wait.
func alone(ctx context.Context, t *testing.T, c *clustertest.Cluster) {
	me := patiently(c)
	b := me.Balanced(tutti.Durable(), tutti.RetryPolicy(tutti.Retry{Lost: 100}))
	var ids []tutti.TaskID
	for i := range 4 {
		ids = append(ids, tutti.Submit(ctx, b, nap, 10*i).ID())
	}
	if err := me.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	me.Close()
	for i, id := range ids {
		o, err := c.End(ctx, id)
		for try := 0; err != nil && try < 100; try++ { // the controller may die meanwhile
			o, err = c.End(ctx, id)
		}
		var ms int
		if err == nil {
			err = tutti.Decode(o.Value, &ms)
		}
		if err != nil || o.State != tutti.Done || ms != 10*i {
			t.Errorf("task %v: %v %v %v", id, o.State, ms, err)
		}
	}
}

// Durable work is done, once, whichever record of the journal the controller dies at, and at which
// moment of its way.
func TestEveryBoundary(t *testing.T) {
	for name, work := range map[string]func(context.Context, *testing.T, *clustertest.Cluster){"graph": graph, "alone": alone} {
		calm := &crashes{}
		durably(t, calm, work)
		if calm.last < 10 {
			t.Fatalf("the journal has %d records", calm.last)
		}
		for pos := journal.Pos(1); pos <= calm.last; pos += boundaryStep {
			for _, m := range []controller.Moment{controller.Appended, controller.Committed, controller.Told} {
				t.Run(fmt.Sprintf("%s/%d.%d", name, pos, m), func(t *testing.T) {
					plan := &crashes{at: []crashAt{{m, pos}}}
					durably(t, plan, work)
					if len(plan.at) > 0 && pos < calm.last-2 { // the last may come after the end
						t.Errorf("the controller did not die; the journal came to %d", plan.last)
					}
				})
			}
		}
	}
}

// The same with several deaths.
func TestManyDeaths(t *testing.T) {
	for seed := range uint64(boundaryWalks) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			r := rand.New(rand.NewPCG(seed, 7))
			plan := &crashes{}
			for pos := journal.Pos(1); len(plan.at) < 8; {
				pos += journal.Pos(r.IntN(8))
				plan.at = append(plan.at, crashAt{controller.Moment(r.IntN(3)), pos})
			}
			durably(t, plan, graph)
		})
	}
}
