package tutti

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
)

// Submitter runs tasks: the balanced and the direct view of a cluster, or a fake in a test.
type Submitter interface {
	// SubmitTask gives t its ID, takes it over, and returns at once. It never returns nil and
	// never fails: what is wrong with t comes through the promise. It blocks, until ctx ends,
	// only while the cluster asks its clients to wait (too much is queued).
	SubmitTask(ctx context.Context, t *Task) *Promise
}

// Submit starts one call of f and returns its future. ctx bounds only the submission; to stop the
// task, cancel the future.
func Submit[A, R any](ctx context.Context, to Submitter, f *Fn[A, R], arg A, opts ...Option) *Future[R] {
	return SubmitArgs[R](ctx, to, f.name, argOf(arg), opts...)
}

// SubmitArgs is Submit for an argument that is already encoded, or is made of other tasks' results.
func SubmitArgs[R any](ctx context.Context, to Submitter, name string, arg func() (Arg, error), opts ...Option) *Future[R] {
	s := Apply(opts...)
	s.Work.Func = name
	a, err := arg()
	if err != nil {
		p := NewPromise(0, nil)
		p.Complete(Outcome{Err: Errorf("submit "+name, KindOf(err), "argument: %w", err)})
		return &Future[R]{p: p}
	}
	t := &Task{Work: &s.Work, Args: []Arg{a}, After: s.After, Follow: s.Follow}
	return &Future[R]{p: to.SubmitTask(ctx, t)}
}

func argOf(v any) func() (Arg, error) {
	return func() (Arg, error) {
		val, err := Encode(v)
		return Arg{Value: val}, err
	}
}

// Outcome is how a task ended.
type Outcome struct {
	Value Value // of a task that ended well; else what its runtime adds to Err: a pickled exception
	Err   error // of one that did not
	Info  TaskInfo
}

// Keeper is what a promise needs from whoever completes it: a view of a cluster.
type Keeper interface {
	Cancel(id TaskID)                                                          // asks for the task to stop; does not wait
	Info(id TaskID) TaskInfo                                                   // what is known now
	Why(ctx context.Context, id TaskID) string                                 // it has not ended
	Fetch(ctx context.Context, v Value) (data []byte, release func(), e error) // the bytes of a value that is a blob
}

// Promise is the untyped future: the side on which results arrive. All methods may be called by
// several goroutines at once.
type Promise struct {
	id     TaskID
	keeper Keeper

	mu      sync.Mutex
	done    chan struct{} // made when somebody waits
	ended   bool
	outcome Outcome
	then    []func(Outcome)
}

// NewPromise makes the promise of a task's result. keeper may be nil for a promise that is
// completed at once.
func NewPromise(id TaskID, keeper Keeper) *Promise { return &Promise{id: id, keeper: keeper} }

// ID names the task.
func (p *Promise) ID() TaskID { return p.id }

// Complete settles the promise; only the first call counts, and reports true.
func (p *Promise) Complete(o Outcome) bool {
	p.mu.Lock()
	if p.ended {
		p.mu.Unlock()
		return false
	}
	p.outcome, p.ended = o, true
	if p.done != nil {
		close(p.done)
	}
	then := p.then
	p.then = nil
	p.mu.Unlock()
	for _, f := range then {
		f(o)
	}
	return true
}

// Then has f called when the task has ended: at once if it has, else by whoever completes the
// promise, which f must not hold up.
func (p *Promise) Then(f func(Outcome)) {
	p.mu.Lock()
	if !p.ended {
		p.then = append(p.then, f)
		p.mu.Unlock()
		return
	}
	p.mu.Unlock()
	f(p.outcome)
}

// Done is closed when the task has ended.
func (p *Promise) Done() <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.done == nil {
		p.done = make(chan struct{})
		if p.ended {
			close(p.done)
		}
	}
	return p.done
}

// Outcome is how the task ended; ok is false while it has not.
func (p *Promise) Outcome() (o Outcome, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.outcome, p.ended
}

// Wait waits for the end of the task or of ctx. An error of ctx says what was waited for.
func (p *Promise) Wait(ctx context.Context) (Outcome, error) {
	if o, ok := p.Outcome(); ok {
		return o, nil
	}
	select {
	case <-p.Done():
		o, _ := p.Outcome()
		return o, nil
	case <-ctx.Done():
	}
	err := E("wait for result", KindOf(ctx.Err()), ctx.Err())
	err.Task = p.id
	if p.keeper != nil {
		if why := p.keeper.Why(context.WithoutCancel(ctx), p.id); why != "" {
			err.Err = Errorf("", Other, "%w; the task: %s", ctx.Err(), why).Err
		}
	}
	return Outcome{}, err
}

// Value waits, and fetches the value if it is a blob, so that its bytes are in Data. They share
// memory with no segment.
func (p *Promise) Value(ctx context.Context) (Value, error) {
	o, err := p.Wait(ctx)
	switch {
	case err != nil:
		return Value{}, err
	case o.Err != nil:
		return Value{}, o.Err
	case o.Value.Ref.IsZero():
		return o.Value, nil
	}
	data, release, err := p.keeper.Fetch(ctx, o.Value)
	if err != nil {
		return Value{}, err
	}
	defer release()
	own := make([]byte, len(data))
	copy(own, data)
	return Value{Codec: o.Value.Codec, Data: own}, nil
}

// Read is Value, decoded into *into.
func (p *Promise) Read(ctx context.Context, into any) error {
	v, err := p.Value(ctx)
	if err != nil {
		return err
	}
	return Decode(v, into)
}

// Cancel asks for the task to stop: one that waits never starts, one that runs is interrupted,
// then killed. The promise ends with kind [Canceled] unless the task was faster. It does not wait.
func (p *Promise) Cancel() {
	if p.keeper != nil {
		p.keeper.Cancel(p.id)
	}
}

// Info is what is known of the task at the moment.
func (p *Promise) Info() TaskInfo {
	if o, ok := p.Outcome(); ok || p.keeper == nil {
		return o.Info
	}
	return p.keeper.Info(p.id)
}

// Future is the promise of an R.
type Future[R any] struct {
	p    *Promise
	read func(ctx context.Context) (R, error) // nil: what the promise holds, decoded
}

// FutureOf gives a promise its type.
func FutureOf[R any](p *Promise) *Future[R] { return &Future[R]{p: p} }

// FutureVia gives a promise a type whose values are made from the promise's by read.
func FutureVia[R any](p *Promise, read func(Value) (R, error)) *Future[R] {
	return &Future[R]{p: p, read: func(ctx context.Context) (r R, err error) {
		v, err := p.Value(ctx)
		if err != nil {
			return r, err
		}
		return read(v)
	}}
}

// JoinPromises makes one future of several promises of the same type; it ends when all have. The
// error of the first that failed, in order, is its error, followed by the others'.
func JoinPromises[R any](parts []*Promise) *Future[[]R] {
	all := &Promise{keeper: joined(parts)}
	var left atomic.Int64
	left.Store(int64(len(parts)) + 1)
	one := func(Outcome) {
		if left.Add(-1) == 0 {
			all.Complete(Outcome{})
		}
	}
	for _, p := range parts {
		all.id = parts[0].id
		p.Then(one)
	}
	one(Outcome{})
	return &Future[[]R]{p: all, read: func(ctx context.Context) ([]R, error) {
		if _, err := all.Wait(ctx); err != nil {
			return nil, err
		}
		out, errs := make([]R, len(parts)), []error(nil)
		for i, p := range parts {
			if err := p.Read(ctx, &out[i]); err != nil {
				errs = append(errs, err)
			}
		}
		switch len(errs) {
		case 0:
			return out, nil
		case 1:
			return nil, errs[0]
		}
		return nil, errors.Join(errs...)
	}}
}

// joined is the keeper of a promise that stands for several.
type joined []*Promise

func (j joined) Cancel(TaskID) {
	for _, p := range j {
		p.Cancel()
	}
}

func (j joined) Info(TaskID) TaskInfo {
	for _, p := range j {
		if _, ok := p.Outcome(); !ok {
			return p.Info()
		}
	}
	return TaskInfo{State: Done, Engine: NoEngine}
}

func (j joined) Why(ctx context.Context, _ TaskID) string {
	for _, p := range j {
		if _, ok := p.Outcome(); !ok && p.keeper != nil {
			return p.keeper.Why(ctx, p.id)
		}
	}
	return ""
}

func (j joined) Fetch(context.Context, Value) ([]byte, func(), error) {
	return nil, nil, Errorf("fetch value", Internal, "a joined promise has no value of its own")
}

// Get waits for the result. If ctx ends first, the error is of kind [Timeout] or [Canceled] and
// says what the task was waiting for; the task itself goes on. A failed task gives an [*Error]
// that says engine, host and rank.
func (f *Future[R]) Get(ctx context.Context) (R, error) {
	if f.read != nil {
		return f.read(ctx)
	}
	var r R
	err := f.p.Read(ctx, &r)
	return r, err
}

// ID names the task, for After, Follow and the command line.
func (f *Future[R]) ID() TaskID { return f.p.ID() }

// Done is closed when the task has ended, well or not.
func (f *Future[R]) Done() <-chan struct{} { return f.p.Done() }

// Cancel asks for the task to stop; see [Promise.Cancel].
func (f *Future[R]) Cancel() { f.p.Cancel() }

// Info is what is known of the task at the moment.
func (f *Future[R]) Info() TaskInfo { return f.p.Info() }

// Promise is the untyped side, for packages that join results.
func (f *Future[R]) Promise() *Promise { return f.p }
