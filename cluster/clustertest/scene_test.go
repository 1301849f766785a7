package clustertest_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/cluster/clustertest"
	"github.com/tutti-hpc/tutti/internal/controller"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

var (
	sceneSeed  = flag.Uint64("scene", 0, "run the scene of this seed alone, and tell what happens")
	sceneFirst = flag.Uint64("first", 1, "the seed of the first of them")
	sceneCount = flag.Int("scenes", defaultScenes, "how many scenes TestScenes runs")
)

// Each scene is a cluster, work and misfortunes, all drawn from its seed. Whatever happens, every
// future ends, once, with the right value or a reason that fits, and nothing is left over.
func TestScenes(t *testing.T) {
	if *sceneSeed != 0 {
		playScene(t, *sceneSeed)
		return
	}
	for i := range uint64(*sceneCount) {
		seed := *sceneFirst + i
		t.Run(fmt.Sprint(seed), func(t *testing.T) { playScene(t, seed) })
	}
}

// playScene runs the scene of a seed in a bubble of its own.
func playScene(t *testing.T, seed uint64) {
	dir := t.TempDir()
	defer func() {
		if t.Failed() {
			t.Logf("alone: go test -run TestScenes -v ./cluster/clustertest -scene %d", seed)
		}
	}()
	synctest.Test(t, func(t *testing.T) {
		s := newScene(t, seed, dir)
		s.play()
		s.end()
	})
}

// scene is one cluster with what is to be done on it and to it.
type scene struct {
	t     *testing.T
	seed  uint64
	ctx   context.Context
	c     *clustertest.Cluster
	stage *stage
	rng   *rand.Rand // of the goroutine that plays
	spec  clustertest.Spec
	began time.Time

	mu    sync.Mutex
	items []*item
	keys  uint64
	guest []*guest
	story []string
}

// guest is a client with what it waits for.
type guest struct {
	*cluster.Client
	gone  bool // it has left: whatever it waited for may end with an error
	lasts bool // all it submits is durable
	tasks sync.WaitGroup
}

// item is one thing that somebody waits for.
type item struct {
	name   string
	guest  *guest
	id     tutti.TaskID
	cancel func()
	why    func() string

	mu    sync.Mutex
	allow []tutti.Kind // errors that are possible, or became so
	ended bool
}

// weathers are what links may have to bear.
var weathers = []wire.Misfortune{
	{}, {},
	{Delay: wire.Uniform(time.Millisecond, 50*time.Millisecond)},
	{Loss: 0.02, Duplicate: 0.02},
	{Loss: 0.1, Duplicate: 0.1, Delay: wire.Exponential(10 * time.Millisecond)},
	{Loss: 0.2, Delay: wire.Uniform(0, 200*time.Millisecond), Ordered: true},
}

func newScene(t *testing.T, seed uint64, dir string) *scene {
	r := rand.New(rand.NewPCG(seed, 0x5ce4e))
	s := &scene{t: t, seed: seed, rng: r, began: time.Now()}
	engines := 1 + r.IntN(3)
	s.spec = clustertest.Spec{
		Seed: seed, Nodes: 1 + r.IntN(4), Engines: engines, Blobs: r.IntN(2) == 0,
		Has: tutti.Resources{Cores: float64(engines + r.IntN(2)), Memory: 1 << 30},
	}
	if r.IntN(10) < 7 {
		s.spec.Dir = dir
	}
	if r.IntN(4) == 0 {
		s.spec.Controller = func(c *controller.Config) { c.KeepResults = 10 }
	}
	s.stage = newStage(seed, s.spec.Has.Cores)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Hour)
	t.Cleanup(cancel)
	s.ctx = ctx
	t.Cleanup(func() {
		if t.Failed() || *sceneSeed != 0 {
			t.Log("what happened:\n" + strings.Join(s.story, "\n"))
		}
	})
	s.c = clustertest.Start(t, s.spec)
	s.tell("%d nodes with %d engines, blobs %v, journal %v", s.spec.Nodes, engines, s.spec.Blobs, s.spec.Dir != "")
	return s
}

// tell notes what happens: it is told if the scene fails, since the next time it may go well.
func (s *scene) tell(format string, args ...any) {
	line := fmt.Sprintf("%8.3f  "+format, append([]any{time.Since(s.began).Seconds()}, args...)...)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.story = append(s.story, line)
}

// play lets guests work and misfortunes befall them, then sees to it that all can end.
func (s *scene) play() {
	var working sync.WaitGroup
	for range 1 + s.rng.IntN(2) {
		s.welcome(&working)
	}
	s.c.Weather(weathers[s.rng.IntN(len(weathers))])
	for range 2 + s.rng.IntN(7) {
		time.Sleep(time.Duration(s.rng.IntN(4000)) * time.Millisecond)
		m := misfortunes[s.rng.IntN(len(misfortunes))]
		if m.journal && s.spec.Dir == "" {
			continue
		}
		s.tell("misfortune: %s", m.name)
		m.befall(s, &working)
	}
	s.c.Weather(wire.Misfortune{})
	for _, n := range s.c.Nodes() {
		n.Mend()
	}
	if len(s.c.Nodes()) == 0 {
		s.c.AddNode()
	}
	s.tell("fair weather")
	working.Wait()
}

// welcome lets a new guest in, who works on his own.
func (s *scene) welcome(working *sync.WaitGroup) {
	g := &guest{Client: s.c.Client(), lasts: s.spec.Dir != "" && s.rng.IntN(2) == 0}
	s.tell("client %d joins", g.ID())
	s.mu.Lock()
	s.guest = append(s.guest, g)
	s.mu.Unlock()
	w := &worker{scene: s, guest: g, rng: rand.New(rand.NewPCG(s.seed, s.rng.Uint64()))}
	working.Go(func() {
		for range 5 + w.rng.IntN(40) {
			if s.isGone(g) {
				break
			}
			works[w.rng.IntN(len(works))](w)
			if w.rng.IntN(3) == 0 {
				time.Sleep(time.Duration(w.rng.IntN(1000)) * time.Millisecond)
			}
		}
		g.tasks.Wait()
	})
}

func (s *scene) isGone(g *guest) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return g.gone
}

// leave lets a guest go, in order.
func (s *scene) leave(g *guest) {
	s.mu.Lock()
	g.gone = true
	s.mu.Unlock()
	g.Close()
}

// key numbers what is computed.
func (s *scene) key() uint64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys++
	return s.keys
}

// end holds what must be so when all is over.
func (s *scene) end() {
	s.mu.Lock()
	for _, i := range s.items {
		if !i.ended {
			s.t.Errorf("%s (task %v) has not ended: %s", i.name, i.id, i.why())
		}
	}
	guests := s.guest
	s.mu.Unlock()
	if s.t.Failed() {
		return
	}
	for _, g := range guests {
		s.leave(g)
	}
	time.Sleep(time.Minute) // runs that nobody waits for any more are stopped
	status, err := s.c.Status(s.ctx)
	if err != nil {
		s.t.Errorf("status: %v", err)
	}
	for state, n := range status.Tasks {
		if n > 0 && s.spec.Dir == "" {
			s.t.Errorf("%d tasks are left %s when all clients have gone", n, state)
		}
	}
	if status.Clients != 0 {
		s.t.Errorf("%d clients are left", status.Clients)
	}
	s.stage.mu.Lock()
	if s.stage.exceeded != "" {
		s.t.Error(s.stage.exceeded)
	}
	s.stage.mu.Unlock()
	s.c.Close()
	time.Sleep(time.Hour) // functions that do not listen come to their end
	stages.Delete(s.seed)
}

// worker submits a guest's work.
type worker struct {
	*scene
	guest  *guest
	rng    *rand.Rand
	values []*tutti.Future[uint64] // that will end well, with
	wants  []uint64
	failed []*tutti.Future[uint64] // that will not
}

// watch waits for a future beside everything else, and judges how it ends. An error of one of the
// kinds is expected instead of a value; without kinds a value is.
func watch[R any](w *worker, name string, f *tutti.Future[R], fits func(R) bool, kinds ...tutti.Kind) *item {
	i := &item{name: name, guest: w.guest, id: f.ID(), cancel: f.Cancel, allow: append(w.scarce(), kinds...)}
	i.why = func() string { return f.Info().State.String() }
	must := len(kinds) > 0 && fits == nil
	w.mu.Lock()
	w.items = append(w.items, i)
	w.mu.Unlock()
	w.guest.tasks.Go(func() {
		v, err := f.Get(w.ctx)
		i.mu.Lock()
		defer i.mu.Unlock()
		i.ended = w.ctx.Err() == nil
		w.tell("%v %s: %v %v", i.id, name, brief(v), err)
		switch {
		case w.isGone(w.guest):
		case err == nil && must:
			w.t.Errorf("%s (task %v) ended well, with %v, instead of %v", name, i.id, brief(v), kinds)
		case err == nil && !fits(v):
			w.t.Errorf("%s (task %v) gave %v", name, i.id, brief(v))
		case err != nil && !slices.ContainsFunc(i.allow, func(k tutti.Kind) bool { return errors.Is(err, k) }):
			w.t.Errorf("%s (task %v): %v", name, i.id, err)
		}
	})
	return i
}

func brief(v any) string {
	text := fmt.Sprint(v)
	return text[:min(len(text), 60)]
}

// permit makes an error possible.
func (i *item) permit(k tutti.Kind) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	i.allow = append(i.allow, k)
	return !i.ended
}

// job draws a job.
func (w *worker) job() job {
	j := job{Scene: w.seed, Key: w.key(), Cores: 1}
	switch w.rng.IntN(4) {
	case 0:
		j.Nap = time.Duration(w.rng.IntN(20)) * time.Millisecond
	case 1:
		j.Nap = time.Duration(w.rng.IntN(3000)) * time.Millisecond
	case 2:
		j.Nap = time.Duration(w.rng.IntN(20)) * time.Second
	}
	return j
}

// opts are options that every task may have. Losing engines again and again is this test's
// business, so it is no reason to give up.
func (w *worker) opts(more ...tutti.Option) []tutti.Option {
	opts := []tutti.Option{tutti.RetryPolicy(tutti.Retry{Lost: 1000})}
	if w.guest.lasts {
		opts = append(opts, tutti.Durable())
	}
	if w.rng.IntN(5) == 0 {
		opts = append(opts, tutti.Priority(w.rng.IntN(5)-2))
	}
	return append(opts, more...)
}

// works are what a guest may do next.
var works = []func(*worker){
	(*worker).value, (*worker).value, (*worker).value, (*worker).wide, (*worker).fail, (*worker).panic, (*worker).flaky,
	(*worker).sum, (*worker).sum, (*worker).orphan, (*worker).overtime, (*worker).gang, (*worker).command,
	(*worker).deaf, (*worker).big, (*worker).carried, (*worker).mapped, (*worker).direct, (*worker).hopeless,
}

func (w *worker) value() {
	j := w.job()
	f := tutti.Submit(w.ctx, w.guest.Balanced(), fnValue, j, w.opts()...)
	watch(w, "value", f, func(v uint64) bool { return v == answer(j.Key) })
	w.values, w.wants = append(w.values, f), append(w.wants, answer(j.Key))
}

// wide holds all of a node's cores, or half of one.
func (w *worker) wide() {
	j := w.job()
	j.Cores = []float64{w.spec.Has.Cores, 0.5}[w.rng.IntN(2)]
	f := tutti.Submit(w.ctx, w.guest.Balanced(), fnValue, j, w.opts(tutti.Needs(tutti.Resources{Cores: j.Cores}))...)
	watch(w, fmt.Sprintf("value on %v cores", j.Cores), f, func(v uint64) bool { return v == answer(j.Key) })
}

func (w *worker) fail() {
	f := tutti.Submit(w.ctx, w.guest.Balanced(), fnFail, w.job(), w.opts()...)
	watch(w, "failure", f, nil, tutti.Failed)
	w.failed = append(w.failed, f)
}

func (w *worker) panic() {
	f := tutti.Submit(w.ctx, w.guest.Balanced(), fnPanic, w.job(), w.opts()...)
	watch(w, "panic", f, nil, tutti.Panicked)
	w.failed = append(w.failed, f)
}

func (w *worker) flaky() {
	j := w.job()
	j.Times = w.rng.IntN(4)
	f := tutti.Submit(w.ctx, w.guest.Balanced(), fnFlaky, j, w.opts(tutti.RetryPolicy(tutti.Retry{
		Lost: 1000, Failed: j.Times, Delay: time.Duration(w.rng.IntN(2)) * time.Second,
	}))...)
	watch(w, "flaky", f, func(v uint64) bool { return v == answer(j.Key) })
}

// sum depends on values.
func (w *worker) sum() {
	if len(w.values) == 0 {
		return
	}
	var arg tutti.Arg
	var after []tutti.Tasked
	want := uint64(0)
	for range 1 + w.rng.IntN(4) {
		i := w.rng.IntN(len(w.values))
		arg.Items = append(arg.Items, tutti.Arg{From: w.values[i].ID()})
		want += w.wants[i]
	}
	if len(w.failed) > 0 && w.rng.IntN(2) == 0 { // after one that fails is fine
		after = append(after, w.failed[w.rng.IntN(len(w.failed))])
	}
	f := tutti.SubmitArgs[uint64](w.ctx, w.guest.Balanced(), fnSum.Name(), func() (tutti.Arg, error) { return arg, nil },
		w.opts(tutti.After(after...), tutti.Follow(after...))...)
	// If one of the values is cancelled this cannot end well.
	watch(w, "sum", f, func(v uint64) bool { return v == want }, tutti.Dependency)
}

// orphan depends on a task that fails.
func (w *worker) orphan() {
	if len(w.failed) == 0 {
		return
	}
	arg := tutti.Arg{Items: []tutti.Arg{{From: w.failed[w.rng.IntN(len(w.failed))].ID()}}}
	f := tutti.SubmitArgs[uint64](w.ctx, w.guest.Balanced(), fnSum.Name(), func() (tutti.Arg, error) { return arg, nil }, w.opts()...)
	watch(w, "orphan", f, nil, tutti.Dependency)
}

func (w *worker) overtime() {
	j := w.job()
	j.Nap = time.Minute
	f := tutti.Submit(w.ctx, w.guest.Balanced(), fnValue, j, w.opts(tutti.Limit(time.Duration(1+w.rng.IntN(3000))*time.Millisecond))...)
	watch(w, "overtime", f, nil, tutti.Timeout)
}

// gang runs on several engines at once, which must meet.
func (w *worker) gang() {
	n := 1 + w.rng.IntN(w.spec.Engines)
	f := cluster.CallRanks(w.ctx, w.guest.Balanced(), n, fnRank, w.job(), w.opts()...)
	watch(w, fmt.Sprintf("gang of %d", n), f, func(list []int) bool {
		for rank, v := range list {
			if v != rank+1000*n {
				return false
			}
		}
		return len(list) == n
	})
}

func (w *worker) command() {
	word := fmt.Sprintf("word%d", w.key())
	argv := [][]string{{"echo", word}, {"sleep", "3s"}, {"false"}}[w.rng.IntN(3)]
	s := tutti.Apply(w.opts()...)
	s.Work.Argv = argv
	f := tutti.FutureOf[engine.Exit](w.guest.Balanced().SubmitTask(w.ctx, &tutti.Task{Work: &s.Work}))
	if argv[0] == "false" {
		watch(w, "command "+strings.Join(argv, " "), f, nil, tutti.Failed)
		return
	}
	watch(w, "command "+strings.Join(argv, " "), f, func(e engine.Exit) bool { return e == engine.Exit{} })
}

// deaf does not hear when it is told to stop.
func (w *worker) deaf() {
	j := w.job()
	f := tutti.Submit(w.ctx, w.guest.Balanced(), fnDeaf, j, w.opts()...)
	watch(w, "deaf value", f, func(v uint64) bool { return v == answer(j.Key) })
}

// big makes a large result on an engine, for another to read.
func (w *worker) big() {
	j := w.job()
	j.Size = 1000 + w.rng.IntN(50_000)
	made := tutti.Submit(w.ctx, w.guest.Balanced(), fnBig, j, w.opts()...)
	f := tutti.SubmitArgs[float64](w.ctx, w.guest.Balanced(), fnTotal.Name(), func() (tutti.Arg, error) {
		return tutti.Arg{From: made.ID()}, nil
	}, w.opts()...)
	watch(w, "total", f, func(v float64) bool { return v == weight(j) })
}

// carried sends a large argument.
func (w *worker) carried() {
	x := make([]float64, 1000+w.rng.IntN(50_000))
	for i := range x {
		x[i] = 3
	}
	f := tutti.Submit(w.ctx, w.guest.Balanced(), fnTotal, x, w.opts()...)
	// It lies on one node: when that is gone nobody can have it.
	watch(w, "carried", f, func(v float64) bool { return v == 3*float64(len(x)) }, tutti.Lost, tutti.NotFound)
}

// scarce are the errors of who comes too late, in scenes that keep few results.
func (w *worker) scarce() []tutti.Kind {
	if w.spec.Controller != nil {
		return []tutti.Kind{tutti.Expired, tutti.NotFound, tutti.Dependency}
	}
	return nil
}

// mapped maps over a list and takes all of it, or leaves early.
func (w *worker) mapped() {
	base, n := w.job(), 1+w.rng.IntN(60)
	base.Nap %= time.Second
	take := n
	if w.rng.IntN(3) == 0 {
		take = w.rng.IntN(n)
	}
	jobs := func(yield func(job) bool) {
		for i := range n {
			j := base
			j.Key = base.Key<<32 + uint64(i)
			if !yield(j) {
				return
			}
		}
	}
	opts := w.opts(cluster.Ahead(1 + w.rng.IntN(20)))
	name := fmt.Sprintf("map of %d, %d taken", n, take)
	w.guest.tasks.Go(func() {
		got := 0
		for v, err := range cluster.Map(w.ctx, w.guest.Balanced(), fnValue, jobs, opts...) {
			if w.isGone(w.guest) || slices.ContainsFunc(w.scarce(), func(k tutti.Kind) bool { return errors.Is(err, k) }) {
				return
			}
			if err != nil || v != answer(base.Key<<32+uint64(got)) {
				w.t.Errorf("%s: at %d: %v %v", name, got, v, err)
				return
			}
			if got++; got >= take {
				break
			}
		}
		w.tell("%s: %d", name, got)
		if got < take && !w.isGone(w.guest) {
			w.t.Errorf("%s: only %d", name, got)
		}
	})
}

// direct calls on all engines that there are.
func (w *worker) direct() {
	j := w.job()
	j.Cores = 0
	f := cluster.Call(w.ctx, w.guest.Direct(), fnValue, j, w.opts()...)
	// An engine may go for good before it is its turn.
	watch(w, "direct", f, func(list []uint64) bool {
		return !slices.ContainsFunc(list, func(v uint64) bool { return v != answer(j.Key) })
	}, tutti.Lost, tutti.NotFound, tutti.Unsatisfiable, tutti.Closed)
}

// hopeless asks for what no node has, and gives up.
func (w *worker) hopeless() {
	f := tutti.Submit(w.ctx, w.guest.Balanced(), fnValue, w.job(), w.opts(tutti.Needs(tutti.Resources{Cores: 1000}))...)
	i := watch(w, "hopeless", f, nil, tutti.Canceled)
	w.guest.tasks.Go(func() {
		time.Sleep(5 * time.Second)
		i.cancel()
	})
}
