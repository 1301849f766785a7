package sched

import (
	"cmp"
	"container/heap"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// world stands in for everything outside the scheduler: agents with engines, links with delays,
// clients, and bad luck. It answers actions the way a controller would, and checks what it sees.
type world struct {
	t       testing.TB
	s       *State
	cfg     Config
	rng     *rand.Rand
	now     time.Time
	mail    mailbox
	seq     int
	luck    luck
	unkind  bool // there is mischief
	nodes   map[tutti.NodeID]*agent
	next    tutti.NodeID // the number of the next node
	tasks   map[tutti.TaskID]*job
	ids     []tutti.TaskID
	steps   int
	check   bool // call Check after every Step
	tracing bool
	trace   []string
	progs   map[string]int
	pools   map[string]PoolSet
	quiet   map[tutti.ClientID]bool // asked to stop submitting
	gone    map[tutti.ClientID]bool
	lives   map[tutti.EngineID]uint32
}

// luck is how often, in percent, things go wrong.
type luck struct {
	crash, badStart, fail, twice, deaf, lost, hang int
}

// job is what the world knows of a task.
type job struct {
	NewTask
	finish  *Finish
	dropped bool
	again   bool // being computed again
	forgot  bool
	runs    int
	durable bool
	lies    tutti.NodeID // where its last result lies
}

// agent is a node's agent.
type agent struct {
	id      tutti.NodeID
	has     tutti.Resources
	pool    string
	up      bool
	last    time.Time // of the mail sent last: links keep the order
	lastIn  time.Time
	engines map[tutti.EngineID]*motor
	runs    map[tutti.RunID]*run
	done    map[tutti.RunID]Result // not acknowledged
	slots   map[slotName][]*run    // of commands, in order: the first runs
	life    int
}

// motor is an engine as its agent sees it.
type motor struct {
	life  uint32
	prog  string
	alive bool
	queue []*run
}

// run is a run as its agent sees it.
type run struct {
	Assign
	engines []tutti.EngineID
	started bool
	over    bool
	broken  bool // an engine of its gang died
}

// slotName is what an agent calls a slot of commands.
type slotName struct{ epoch, no uint32 }

func (r *run) slot() slotName { return slotName{r.Run.Epoch, r.Slot} }

type letter struct {
	at  time.Time
	seq int
	do  func()
}

type mailbox []letter

func (m mailbox) Len() int           { return len(m) }
func (m mailbox) Less(i, j int) bool { return cmp.Or(m[i].at.Compare(m[j].at), m[i].seq-m[j].seq) < 0 }
func (m mailbox) Swap(i, j int)      { m[i], m[j] = m[j], m[i] }
func (m *mailbox) Push(x any)        { *m = append(*m, x.(letter)) }
func (m *mailbox) Pop() any          { l := (*m)[len(*m)-1]; *m = (*m)[:len(*m)-1]; return l }

func newWorld(t testing.TB, seed uint64, cfg Config) *world {
	cfg.Epoch = 1
	return &world{
		t: t, s: New(cfg), cfg: cfg, rng: rand.New(rand.NewPCG(seed, 1)), now: time.Unix(1000, 0),
		nodes: map[tutti.NodeID]*agent{}, tasks: map[tutti.TaskID]*job{}, check: true,
		progs: map[string]int{}, pools: map[string]PoolSet{}, quiet: map[tutti.ClientID]bool{},
		gone: map[tutti.ClientID]bool{}, lives: map[tutti.EngineID]uint32{},
	}
}

func (w *world) chance(percent int) bool { return w.rng.IntN(100) < percent }

// after has something done later.
func (w *world) after(d time.Duration, do func()) {
	w.seq++
	heap.Push(&w.mail, letter{w.now.Add(d), w.seq, do})
}

func (w *world) fatalf(format string, args ...any) {
	w.t.Helper()
	if !w.tracing {
		panic(failure{})
	}
	for _, line := range w.trace[max(0, len(w.trace)-60):] {
		w.t.Log(line)
	}
	w.t.Fatalf(format, args...)
}

// failure ends a walk that went wrong, so that it can be repeated with its trace.
type failure struct{}

// retrace runs a walk; if it fails it runs it again, to print what led to it.
func retrace(t testing.TB, walk func(tracing bool)) {
	t.Helper()
	func() {
		defer func() {
			if p := recover(); p != nil {
				if _, ok := p.(failure); !ok {
					t.Log("panic: ", p)
				}
				walk(true)
			}
		}()
		walk(false)
	}()
}

// step gives the scheduler an event and does what it asks for.
func (w *world) step(ev Event) {
	w.t.Helper()
	w.steps++
	if w.tracing {
		w.trace = append(w.trace, fmt.Sprintf("%v <- %T %+v", w.now.Sub(time.Unix(1000, 0)), ev, ev))
	}
	acts := w.s.Step(w.now, ev)
	for _, a := range acts {
		if w.tracing {
			w.trace = append(w.trace, fmt.Sprintf("    -> %T %+v", a, a))
		}
		w.act(a)
	}
	if w.check {
		if err := w.s.Check(); err != nil {
			w.fatalf("after step %d: %v", w.steps, err)
		}
	}
}

// run lets time pass until nothing is to come, or until the steps are used up.
func (w *world) run(steps int) bool {
	for ; steps > 0; steps-- {
		wake, ok := w.s.Wake()
		switch {
		case len(w.mail) > 0 && (!ok || !w.mail[0].at.After(wake)):
			l := heap.Pop(&w.mail).(letter)
			w.now = l.at
			l.do()
		case ok:
			w.now = later(w.now, wake)
			w.step(Tick{})
		default:
			return true
		}
	}
	return false
}

func later(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// toNode sends something down the link to a node: in order, and lost if the node is.
func (w *world) toNode(id tutti.NodeID, do func(a *agent)) {
	a := w.nodes[id]
	if a == nil || !a.up {
		return
	}
	life := a.life
	a.lastIn = later(a.lastIn, w.now.Add(time.Duration(w.rng.IntN(2000))*time.Microsecond))
	w.after(a.lastIn.Sub(w.now), func() {
		if a.up && a.life == life {
			do(a)
		}
	})
}

// toHub sends an event up the link of a node.
func (w *world) toHub(a *agent, ev Event) {
	a.last = later(a.last, w.now.Add(time.Duration(w.rng.IntN(2000))*time.Microsecond))
	life := a.life
	w.after(a.last.Sub(w.now), func() {
		if a.up && a.life == life {
			w.step(ev)
		}
	})
}

// act does what the scheduler asks for.
func (w *world) act(a Action) {
	switch a := a.(type) {
	case *Assign:
		w.assigned(*a)
	case Recall:
		runs := slices.Clone(a.Runs)
		w.toNode(a.Node, func(ag *agent) { w.recall(ag, runs) })
	case Abort:
		runs := slices.Clone(a.Runs)
		w.toNode(a.Node, func(ag *agent) {
			for _, r := range runs {
				w.abort(ag, r, a.Force)
			}
		})
	case Ack:
		runs := slices.Clone(a.Runs)
		w.toNode(a.Node, func(ag *agent) {
			for _, r := range runs {
				delete(ag.done, r)
			}
		})
	case *Finish:
		w.finished(*a)
	case Drop:
		j := w.tasks[a.Task]
		if j.dropped || j.finish == nil || !j.forgot {
			w.fatalf("task %v is dropped: %+v", a.Task, j)
		}
		j.dropped = true
	case Recompute:
		j := w.tasks[a.Task]
		if j.finish == nil || j.finish.State != tutti.Done {
			w.fatalf("task %v is computed again and was never done", a.Task)
		}
		j.again = true
	case StartEngine:
		w.startEngine(a)
	case StopEngine:
		w.toNode(a.Node, func(ag *agent) {
			if m := ag.engines[a.Engine]; m != nil && m.life == a.Life && m.alive {
				w.kill(ag, a.Engine, "stopped")
			}
		})
	case Acquire:
		w.acquire(a)
	case NodeIdle:
		if n := w.nodes[a.Node]; n != nil && n.up && n.pool != "" {
			w.after(time.Second, func() { w.lose(n, "given back") })
		}
	case Throttle:
		if w.quiet[a.Client] == a.On {
			w.fatalf("client %d is asked twice the same", a.Client)
		}
		w.quiet[a.Client] = a.On
	}
}

// assigned checks what no assignment may break, and sends it off.
func (w *world) assigned(a Assign) {
	j := w.tasks[a.Run.Task]
	if j == nil || j.finish != nil && !j.again {
		w.fatalf("task %v is assigned and has ended", a.Run.Task)
	}
	if a.Class != j.Class {
		w.fatalf("task %v comes with another class than it was submitted with", a.Run.Task)
	}
	if a.Run.Epoch != w.cfg.Epoch {
		w.fatalf("run %v has the wrong epoch", a.Run)
	}
	for _, d := range j.Deps {
		if f := w.tasks[d].finish; f == nil || f.State != tutti.Done {
			w.fatalf("task %v is assigned before %v is done", a.Run.Task, d)
		}
	}
	for _, d := range j.After {
		if w.tasks[d].finish == nil {
			w.fatalf("task %v is assigned before %v has ended", a.Run.Task, d)
		}
	}
	want := max(1, j.Class.Need.Ranks)
	switch {
	case j.Class.Program == "":
		want = 0
	case len(j.Class.Engines) > 0:
		want = len(j.Class.Engines)
		if !slices.Equal(a.Engines, j.Class.Engines) {
			w.fatalf("task %v is a world of %v and gets engines %v", a.Run.Task, j.Class.Engines, a.Engines)
		}
	}
	if len(a.Engines) != want || j.Class.Need.Nodes > 1 && len(a.Nodes) != j.Class.Need.Nodes {
		w.fatalf("task %v gets engines %v, nodes %v", a.Run.Task, a.Engines, a.Nodes)
	}
	if j.Class.Target != tutti.NoEngine && a.Engines[0] != j.Class.Target {
		w.fatalf("task %v runs on engine %d instead of %d", a.Run.Task, a.Engines[0], j.Class.Target)
	}
	j.runs++
	r := &run{Assign: a, engines: slices.Clone(a.Engines)}
	r.Engines, r.Nodes = r.engines, slices.Clone(a.Nodes)
	w.toNode(a.Node, func(ag *agent) { w.accept(ag, r) })
}

// accept takes a run in at its agent.
func (w *world) accept(a *agent, r *run) {
	for _, e := range r.engines {
		if m := a.engines[e]; m == nil || !m.alive {
			w.toHub(a, Done{Node: a.id, Results: []Result{{Run: r.Run, Kind: MachineFailed, Reason: "no such engine"}}})
			return
		}
	}
	a.runs[r.Run] = r
	for _, e := range r.engines {
		a.engines[e].queue = append(a.engines[e].queue, r)
	}
	if r.Slot != 0 && r.Class.Program != "" {
		w.fatalf("task %v is given slot %d", r.Run.Task, r.Slot)
	}
	if r.Slot != 0 {
		a.slots[r.slot()] = append(a.slots[r.slot()], r)
	}
	w.tryStart(a, r)
}

// tryStart begins a run if it is first on all its engines.
func (w *world) tryStart(a *agent, r *run) {
	for _, e := range r.engines {
		if m := a.engines[e]; m == nil || len(m.queue) == 0 || m.queue[0] != r {
			return
		}
	}
	if r.started || r.Slot != 0 && a.slots[r.slot()][0] != r {
		return
	}
	r.started = true
	w.crowd(a)
	took := w.tasks[r.Run.Task].took(w)
	if w.chance(50) || took > 10*time.Millisecond {
		w.toHub(a, Started{Runs: []tutti.RunID{r.Run}})
	}
	if w.tasks[r.Run.Task].Class.Limit > 0 && w.chance(w.luck.hang) {
		w.toHub(a, Started{Runs: []tutti.RunID{r.Run}})
		return // until its limit has passed
	}
	w.after(took, func() {
		if a.up && a.runs[r.Run] == r && !r.over {
			w.complete(a, r, took)
		}
	})
}

// crowd checks that what runs on a node does not take more cores than there are. Where there is
// mischief, runs that nobody knows of any more may be ending still.
func (w *world) crowd(a *agent) {
	used := 0.0
	for _, r := range a.runs {
		n := r.Class.Need
		switch {
		case !r.started || r.over || len(r.Nodes) > 0 || n.Nodes > 0:
		case n.Cores > 0:
			used += n.Cores
		case r.Class.pinned():
		default:
			used += float64(max(1, n.Ranks))
		}
	}
	if !w.unkind && used > a.has.Cores+1e-6 {
		w.fatalf("%v cores of node %d are in use, which has %v", used, a.id, a.has.Cores)
	}
}

// took is how long a task runs, by its function's name.
func (j *job) took(w *world) time.Duration {
	switch j.Class.Func {
	case "short", "true":
		return time.Duration(50+w.rng.IntN(100)) * time.Microsecond
	case "mixed":
		if w.chance(10) {
			return 300 * time.Millisecond
		}
		return time.Duration(200+w.rng.IntN(300)) * time.Microsecond
	}
	return time.Duration(1+w.rng.IntN(200)) * time.Millisecond
}

// complete ends a run in one of the ways in which runs end.
func (w *world) complete(a *agent, r *run, took time.Duration) {
	j := w.tasks[r.Run.Task]
	res := Result{Run: r.Run, Took: took, Size: 1 << 20}
	switch {
	case r.broken && w.chance(w.luck.deaf):
		w.after(time.Second, func() { w.loseEngines(a, r) }) // its agent loses patience after the scheduler
		return
	case r.broken:
		res.Kind, res.Reason = MachineFailed, "a rank was lost"
	case w.chance(w.luck.crash) && len(r.engines) > 0:
		w.kill(a, r.engines[w.rng.IntN(len(r.engines))], "segmentation fault")
		return
	case w.chance(w.luck.crash):
		res.Kind, res.Reason = MachineFailed, "disk"
	case w.chance(w.luck.fail):
		res.Kind, res.Reason = UserFailed, "division by zero"
	case w.chance(w.luck.fail) && w.chance(10):
		res.Kind, res.Reason = Rejected, "no such function"
	default:
		res.Blob = j.ID.N()%3 == 0
	}
	w.end(a, r, res)
}

// end reports a run and lets the next begin.
func (w *world) end(a *agent, r *run, res Result) {
	r.over = true
	delete(a.runs, r.Run)
	a.done[r.Run] = res
	if res.Blob {
		w.tasks[r.Run.Task].lies = a.id
	}
	w.toHub(a, Done{Node: a.id, Results: []Result{res}})
	if w.chance(w.luck.twice) {
		w.toHub(a, Done{Node: a.id, Results: []Result{res, {Run: tutti.RunID{Task: res.Run.Task, Attempt: res.Run.Attempt + 7, Epoch: res.Run.Epoch}}}})
	}
	w.advance(a, r)
}

// advance takes r from its engines' queues and begins what is next.
func (w *world) advance(a *agent, r *run) {
	for _, e := range r.engines {
		if m := a.engines[e]; m != nil {
			m.queue = slices.DeleteFunc(m.queue, func(o *run) bool { return o == r })
		}
	}
	for _, e := range r.engines {
		if m := a.engines[e]; m != nil && m.alive && len(m.queue) > 0 {
			w.tryStart(a, m.queue[0])
		}
	}
	if r.Slot == 0 {
		return
	}
	rest := slices.DeleteFunc(a.slots[r.slot()], func(o *run) bool { return o == r })
	if a.slots[r.slot()] = rest; len(rest) > 0 {
		w.tryStart(a, rest[0])
	} else {
		delete(a.slots, r.slot())
	}
}

func (w *world) recall(a *agent, runs []tutti.RunID) {
	var back []tutti.RunID
	for _, id := range runs {
		if r := a.runs[id]; r != nil && !r.started {
			r.over = true
			delete(a.runs, id)
			back = append(back, id)
			w.advance(a, r)
		}
	}
	w.toHub(a, Returned{Runs: back})
}

func (w *world) abort(a *agent, id tutti.RunID, force bool) {
	r := a.runs[id]
	switch {
	case r == nil:
		return
	case force && len(r.engines) > 0 && !w.chance(w.luck.deaf):
		w.kill(a, r.engines[0], "killed")
		if a.runs[id] != nil {
			w.end(a, r, Result{Run: id, Kind: WasCanceled})
		}
	case r.started && w.chance(w.luck.deaf):
		w.after(time.Second, func() { w.loseEngines(a, r) }) // its agent insists, also when nobody asks again
	default:
		w.end(a, r, Result{Run: id, Kind: WasCanceled})
	}
}

// kill ends an engine: its runs vanish. Those of gangs on the other engines end soon, or go on until
// stopped if they do not listen.
func (w *world) kill(a *agent, id tutti.EngineID, why string) {
	m := a.engines[id]
	if m == nil {
		return // gone already
	}
	m.alive = false
	for _, r := range slices.Clone(m.queue) {
		gang := len(r.engines) > 1 || len(r.Class.Engines) > 0
		switch {
		case !gang:
			r.over = true
			delete(a.runs, r.Run)
		case !r.broken && !w.chance(w.luck.deaf):
			w.after(time.Duration(w.rng.IntN(50))*time.Millisecond, func() {
				if a.up && a.runs[r.Run] == r && !r.over {
					w.end(a, r, Result{Run: r.Run, Kind: MachineFailed, Reason: "a rank was lost"})
				}
			})
		}
		r.broken = r.broken || gang
	}
	m.queue = nil
	w.toHub(a, EngineDown{Engine: id, Life: m.life, Why: why})
}

// loseEngines kills all engines of a run that does not end.
func (w *world) loseEngines(a *agent, r *run) {
	if !a.up || a.runs[r.Run] != r || r.over {
		return
	}
	for _, e := range r.engines {
		if m := a.engines[e]; m != nil && m.alive && slices.Contains(m.queue, r) {
			w.kill(a, e, "its run did not end")
		}
	}
	if !r.over {
		w.end(a, r, Result{Run: r.Run, Kind: MachineFailed, Reason: "a rank was lost"})
	}
}

func (w *world) startEngine(a StartEngine) {
	if a.Life != w.lives[a.Engine]+1 {
		w.fatalf("engine %d is started with life %d after %d", a.Engine, a.Life, w.lives[a.Engine])
	}
	w.lives[a.Engine] = a.Life
	w.toNode(a.Node, func(ag *agent) {
		if m := ag.engines[a.Engine]; m != nil && m.alive {
			w.kill(ag, a.Engine, "replaced")
		}
		m := &motor{life: a.Life, prog: a.Program}
		ag.engines[a.Engine] = m
		life := ag.life
		w.after(time.Duration(w.rng.IntN(50))*time.Millisecond, func() {
			if !ag.up || ag.life != life || ag.engines[a.Engine] != m {
				return
			}
			if w.chance(w.luck.badStart) {
				w.toHub(ag, EngineDown{Engine: a.Engine, Life: a.Life, Why: "no module named numpy"})
				return
			}
			m.alive = true
			w.toHub(ag, EngineUp{Engine: a.Engine, Life: a.Life, Node: ag.id, Program: a.Program})
		})
	})
}

func (w *world) acquire(a Acquire) {
	for range a.Nodes {
		w.after(time.Duration(w.rng.IntN(5))*time.Second, func() {
			up := 0
			for _, n := range w.nodes {
				if n.up && n.pool == a.Pool {
					up++
				}
			}
			p := w.pools[a.Pool]
			if up >= p.Max && !w.unkind {
				w.fatalf("pool %s has %d nodes, and %d are allowed", a.Pool, up, p.Max)
			}
			if w.chance(w.luck.lost) || up >= p.Max {
				w.step(AcquireFailed{Pool: a.Pool, Nodes: 1, Why: "queue is full"})
				return
			}
			w.join(p.Has, a.Pool)
		})
	}
}

// join brings a new node.
func (w *world) join(has tutti.Resources, pool string) *agent {
	a := &agent{id: w.next, has: has, pool: pool, up: true, engines: map[tutti.EngineID]*motor{},
		runs: map[tutti.RunID]*run{}, done: map[tutti.RunID]Result{}, slots: map[slotName][]*run{}}
	w.next++
	w.nodes[a.id] = a
	w.step(NodeUp{Node: a.id, Name: fmt.Sprintf("h%d", a.id), Pool: pool, Has: has})
	return a
}

// lose takes a node away.
func (w *world) lose(a *agent, why string) {
	if a.up {
		a.up = false
		w.step(NodeDown{Node: a.id, Why: why})
	}
}

func (w *world) finished(f Finish) {
	j := w.tasks[f.Task]
	if j == nil || j.finish != nil {
		w.fatalf("task %v ends twice: %+v", f.Task, f)
	}
	if f.State == tutti.Done && j.runs == 0 && f.Run.Epoch == w.cfg.Epoch {
		w.fatalf("task %v is done and never ran", f.Task)
	}
	j.finish = &f
}

// submit brings tasks of one client.
func (w *world) submit(tasks ...NewTask) {
	for _, nt := range tasks {
		if w.tasks[nt.ID] == nil {
			w.tasks[nt.ID] = &job{NewTask: nt, durable: nt.Class.Durable, lies: tutti.NoNode}
			w.ids = append(w.ids, nt.ID)
		}
	}
	if len(tasks) > 0 {
		w.step(Submit{Client: tasks[0].ID.Client(), Tasks: tasks})
	}
}

// agents lists the nodes in order.
func (w *world) agents() []*agent {
	var list []*agent
	for _, id := range slices.Sorted(maps.Keys(w.nodes)) {
		if w.nodes[id].up {
			list = append(list, w.nodes[id])
		}
	}
	return list
}

// restart replaces the scheduler by a new one, as when the controller is started again: it is told
// what the journal knows, then the agents come back with what they have.
func (w *world) restart() {
	w.cfg.Epoch++
	w.s = New(w.cfg)
	w.s.kinds.linger = 3
	clear(w.quiet)
	kept := w.mail[:0]
	w.mail = kept // letters to the old controller are lost, and those from it
	for _, p := range slices.Sorted(maps.Keys(w.pools)) {
		w.step(w.pools[p])
	}
	var old []Restored
	var waiting []NewTask
	for _, id := range w.ids {
		j := w.tasks[id]
		switch {
		case j.dropped:
		case j.finish != nil:
			r := Restored{NewTask: j.NewTask, Run: j.finish.Run, State: j.finish.State, Kind: j.finish.Kind, Cause: j.finish.Cause, Node: j.lies}
			old = append(old, r)
		default:
			waiting = append(waiting, j.NewTask)
		}
		j.again = false
	}
	next := tutti.EngineID(0)
	for id := range w.lives {
		next = max(next, id+1)
	}
	w.step(Restore{Tasks: old, Engines: next})
	for _, nt := range waiting {
		w.step(Submit{Client: nt.ID.Client(), Tasks: []NewTask{nt}})
	}
	for _, id := range slices.Sorted(maps.Keys(w.nodes)) {
		if a := w.nodes[id]; a.up {
			w.comeBack(a)
		} else {
			w.step(NodeDown{Node: id})
		}
	}
	for _, p := range slices.Sorted(maps.Keys(w.progs)) {
		w.step(ProgramUp{Program: p, PerNode: w.progs[p]})
	}
	for _, id := range w.ids {
		if j := w.tasks[id]; j.forgot && !j.dropped {
			w.step(Forget{Tasks: []tutti.TaskID{id}})
		}
	}
}

// comeBack lets an agent join a new controller.
func (w *world) comeBack(a *agent) {
	a.life++
	a.last, a.lastIn = w.now, w.now
	up := NodeUp{Node: a.id, Name: fmt.Sprintf("h%d", a.id), Pool: a.pool, Has: a.has}
	for _, id := range slices.Sorted(maps.Keys(a.engines)) {
		m := a.engines[id]
		if !m.alive {
			delete(a.engines, id)
			continue
		}
		up.Engines = append(up.Engines, EngineUp{Engine: id, Life: m.life, Node: a.id, Program: m.prog})
	}
	runs := slices.SortedFunc(maps.Keys(a.runs), func(x, y tutti.RunID) int { return w.before(a, x, y) })
	for _, id := range runs {
		r := a.runs[id]
		up.Runs = append(up.Runs, Held{Run: id, Engines: r.engines, Started: r.started})
	}
	results := slices.SortedFunc(maps.Keys(a.done), func(x, y tutti.RunID) int { return compareRuns(x, y) })
	for i, id := range results {
		if i%2 == 0 {
			up.Runs = append(up.Runs, Held{Run: id, Started: true})
		}
	}
	w.step(up)
	for _, id := range results {
		w.toHub(a, Done{Node: a.id, Results: []Result{a.done[id]}})
	}
	for _, id := range runs { // their ends were in letters that are lost
		r := a.runs[id]
		if r.started {
			w.after(10*time.Millisecond, func() {
				if a.up && a.runs[r.Run] == r && !r.over {
					w.complete(a, r, 10*time.Millisecond)
				}
			})
		}
	}
}

// before orders runs as they stand in their engines.
func (w *world) before(a *agent, x, y tutti.RunID) int {
	rx, ry := a.runs[x], a.runs[y]
	if len(rx.engines) == 1 && len(ry.engines) == 1 && rx.engines[0] == ry.engines[0] {
		q := a.engines[rx.engines[0]].queue
		return slices.Index(q, rx) - slices.Index(q, ry)
	}
	if c := slices.Compare(rx.engines, ry.engines); c != 0 {
		return c
	}
	return compareRuns(x, y)
}

func compareRuns(x, y tutti.RunID) int {
	return cmp.Or(cmp.Compare(x.Task, y.Task), cmp.Compare(x.Attempt, y.Attempt), cmp.Compare(x.Epoch, y.Epoch))
}
