package engine

import (
	"context"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// identity is what an engine knows of itself. It travels in the environment, as JSON.
type identity struct {
	Engine  tutti.EngineID `json:"engine"`
	Life    uint32         `json:"life"`
	Host    string         `json:"host"`
	Threads int            `json:"threads"`
	Blobs   bool           `json:"blobs"` // there is a connection to the node's blob store
}

// loop is the engine's end: one worker goroutine runs tasks in order, one reader (serve) takes
// messages meanwhile, one watcher flushes and tells of runs that last.
type loop struct {
	identity
	out     *sender
	board   *board
	blobs   blob.Space // nil: large values travel inside messages
	capture *capture   // nil where the process's output is not ours
	shown   *allowance // for displays, where capture is nil
	setEnv  bool       // the process is ours: its environment may follow the run
	vars    *tutti.Namespace
	base    context.Context

	queue    *queue
	handlers map[string]named // the reader's cache
	current  atomic.Pointer[runContext]
	watch    watcher
	done     chan struct{} // closed when the worker has ended

	// The worker's own.
	running queued
	started time.Time
	ended   time.Time
	args    []tutti.Arg
	deps    []wire.DepValue
	leases  []*blob.Lease
	env     allotment
}

func newLoop(id identity, out *sender, b *board, blobs blob.Space) *loop {
	l := &loop{
		identity: id, out: out, board: b, blobs: blobs,
		vars: tutti.NewNamespace(), handlers: map[string]named{},
		done: make(chan struct{}), shown: newAllowance(),
	}
	l.queue = newQueue(func(r *queued) {
		l.current.Store(&runContext{base: l.base, id: r.id, held: r.world})
	})
	l.base = tutti.WithSink(tutti.WithNamespace(context.Background(), l.vars), l.display)
	l.base = context.WithValue(l.base, placeKey{}, id)
	l.watch.wake = make(chan struct{}, 1)
	return l
}

// work is the worker. User code may end its goroutine, by Goexit or by a panic that got past all
// that catches them: then another one takes over where it was.
func (l *loop) work() {
	finished := false
	defer func() {
		p := recover()
		if finished {
			return
		}
		l.fell(p)
		go l.work()
	}()
	debug.SetPanicOnFault(true) // a write to a mapped, read-only argument is the run's fault, not the engine's end
	for l.next() {
		l.begin()
		value, err := l.call()
		l.finish(value, err)
	}
	finished = true
	l.out.drain()
	close(l.done)
}

// next waits for a run. What was gathered leaves before the worker sleeps.
func (l *loop) next() bool {
	if l.queue.tryPop(&l.running) {
		return true
	}
	l.out.flush()
	ok := l.queue.pop(&l.running)
	l.ended = time.Time{}
	return ok
}

func (l *loop) begin() {
	r := &l.running
	l.started = l.ended // of the run before: one look at the clock serves both
	if l.started.IsZero() {
		l.started = time.Now()
	}
	l.board.begun.Store(r.serial)
	l.watch.begin(r.serial)
	if l.setEnv {
		l.env.follow(r)
	}
	if l.capture != nil {
		l.capture.begin(r.id)
	}
}

// call runs the function and encodes what it returns.
func (l *loop) call() (tutti.Value, error) {
	r := &l.running
	if r.handler == nil {
		_, err := tutti.LookupFunc(r.name)
		return tutti.Value{}, reject(err)
	}
	if err := l.resolve(); err != nil {
		return tutti.Value{}, err
	}
	result, err := r.world.inWorld(l.current.Load(), func(ctx context.Context) (any, error) {
		return r.handler(l, ctx, l.args)
	})
	if err != nil {
		return tutti.Value{}, err
	}
	return l.encode(result)
}

// finish reports the end of the running run and lets go of what it held.
func (l *loop) finish(v tutti.Value, err error) {
	r := &l.running
	if l.capture != nil {
		l.capture.end() // what it printed goes before its result
	}
	l.ended = time.Now()
	asked, timeout := l.current.Load().finish()
	res := wire.Result{
		Run: r.id, Ending: Succeeded, Value: v, Engine: l.Engine,
		Started: l.started.UnixNano(), Took: int64(l.ended.Sub(l.started)),
	}
	if err != nil {
		res.Ending, err = judge(err, asked, timeout)
		res.Fail = pack(l.place(err, r))
	}
	l.out.result(&res)
	l.board.ended.Store(r.serial)
	l.letGo()
}

// letGo releases the running run's memory: its result is encoded, so nothing needs it.
func (l *loop) letGo() {
	for _, lease := range l.leases {
		if lease != nil {
			lease.Release()
		}
	}
	clear(l.args)
	clear(l.deps)
	clear(l.leases)
	l.args, l.deps, l.leases = l.args[:0], l.deps[:0], l.leases[:0]
	l.watch.end()
	l.current.Store(nil)
	if b := l.running.block; b != nil {
		b.release()
	}
	l.running = queued{}
}

// fell reports a run that took its goroutine with it.
func (l *loop) fell(p any) {
	if l.current.Load() == nil {
		if p != nil {
			panic(p) // our own mistake, outside of any run
		}
		return
	}
	var err *tutti.Error
	if p == nil {
		err = tutti.Errorf("call "+l.running.name, tutti.Failed, "the function ended its goroutine (runtime.Goexit)").
			WithHint("testing's FailNow and Skip do that too: return an error instead")
	} else {
		err = tutti.Errorf("call "+l.running.name, tutti.Panicked, "%v", p)
		err.Stack = string(debug.Stack())
	}
	l.finish(tutti.Value{}, err)
}

// place says where an error happened.
func (l *loop) place(err error, r *queued) error {
	e, ok := err.(*tutti.Error)
	if !ok {
		e = tutti.E("call "+r.name, tutti.KindOf(err), err)
	}
	at := *e
	at.Task, at.Engine, at.Host = r.id.Task, l.Engine, l.Host
	if r.world != nil {
		at.Rank = r.world.Rank
	}
	return &at
}

// maxText bounds what an error may say: more would be a message nobody can carry.
const maxText = 64 << 10

func pack(err error) *wire.Failure {
	f := wire.PackError(err)
	f.Text = clip(f.Text)
	for i := range f.Chain {
		f.Chain[i].Stack = clip(f.Chain[i].Stack)
		f.Chain[i].Hint = clip(f.Chain[i].Hint)
	}
	return f
}

func clip(s string) string {
	if len(s) > maxText {
		return s[:maxText] + " ... (cut)"
	}
	return s
}

// rejected marks an error that no repetition would mend.
type rejected struct{ error }

func (r rejected) Unwrap() error { return r.error }

func reject(err error) error { return rejected{err} }

// machine marks an error of ours in an otherwise healthy engine.
type machine struct{ error }

func (m machine) Unwrap() error { return m.error }

// judge finds how a run with that error ended, and the error without its mark.
func judge(err error, asked, timeout bool) (Ending, error) {
	kind := tutti.KindOf(err)
	if e, ok := err.(rejected); ok {
		return Rejected, e.error
	}
	if asked && kind != tutti.Panicked {
		return WasCanceled, stopped(timeout)
	}
	if e, ok := err.(machine); ok {
		return MachineFailed, e.error
	}
	switch kind {
	case tutti.Invalid, tutti.Corrupt, tutti.Unsupported:
		return Rejected, err // it could not read its argument: the user's own errors are of kind Failed
	}
	return UserFailed, err
}

// stopped is the error of a run that was asked to stop.
func stopped(timeout bool) *tutti.Error {
	if timeout {
		return tutti.Errorf("run", tutti.Timeout, "it was stopped when its time limit had passed")
	}
	return tutti.Errorf("run", tutti.Canceled, "it was stopped")
}
