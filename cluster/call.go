package cluster

import (
	"context"
	"errors"
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Call calls f with the same argument on every engine of the view. The results come in the order
// of the view's engines. If several calls fail, the error is the first one's, joined by the rest.
func Call[A, R any](ctx context.Context, d *Direct, f *tutti.Fn[A, R], arg A, opts ...tutti.Option) *tutti.Future[[]R] {
	v, err := tutti.Encode(arg)
	if err != nil {
		return tutti.FutureOf[[]R](failedPromise(tutti.Errorf("call "+f.Name(), tutti.Invalid, "argument: %w", err)))
	}
	s := tutti.Apply(opts...)
	s.Work.Func = f.Name()
	return together[R](ctx, d, func(int) *tutti.Task {
		return &tutti.Task{Work: &s.Work, Args: []tutti.Arg{{Value: v}}, After: s.After}
	})
}

// together submits one task to each engine of a view, and joins the promises.
func together[R any](ctx context.Context, d *Direct, task func(i int) *tutti.Task) *tutti.Future[[]R] {
	ids, err := d.Targets(ctx)
	if err != nil {
		return tutti.FutureOf[[]R](failedPromise(err))
	}
	parts := make([]*tutti.Promise, len(ids))
	for i, id := range ids {
		parts[i] = d.to(ctx, id, task(i))
	}
	return tutti.JoinPromises[R](parts)
}

// CallRanks calls f on n engines at once, as the ranks of a world of their own: mpi.From(ctx)
// finds it. The results come in the order of ranks. The engines are all free at the same time and
// on one node; the call waits for that. If any rank fails the error is that of the first which did,
// joined by those of all others; see [CallRanksOn], which also tells what becomes of the others.
func CallRanks[A, R any](ctx context.Context, b *Balanced, n int, f *tutti.Fn[A, R], arg A, opts ...tutti.Option) *tutti.Future[[]R] {
	if n < 1 {
		return tutti.FutureOf[[]R](failedPromise(tutti.Errorf("call "+f.Name(), tutti.Invalid, "a world of %d ranks", n)))
	}
	return callWorld[R](ctx, b, f.Name(), arg, opts, func(w *tutti.Work) { w.Need.Ranks = n })
}

// CallRanksOn calls f on the engines of the view at once, as the ranks of a world of their own: the
// rank is the place in the view, and mpi.From(ctx) finds the world. It waits until all of them are
// free for it; what was submitted before for any of them goes first. Several worlds may be at work
// at once on engines that they do not share, and every call may make another one.
//
// A rank that fails or dies ends its world: the calls that others have in it end with kind
// [tutti.Revoked], and who still goes on after a second is asked to stop. The engines live on with
// their variables, except one that died, which is started again without them; the call is not
// repeated for that unless its Retry.Lost says so.
//
// If any rank fails the error is that of the first which did, joined by those of all others.
// Kinds: NotFound for an engine that there is not, Invalid for one that is named twice, Lost for one
// that is gone for good, Unsupported for engines that are not all on one node.
func CallRanksOn[A, R any](ctx context.Context, d *Direct, f *tutti.Fn[A, R], arg A, opts ...tutti.Option) *tutti.Future[[]R] {
	ids, err := d.Targets(ctx)
	if err == nil && len(ids) == 0 {
		err = tutti.Errorf("call "+f.Name(), tutti.Invalid, "a world of no engines")
	}
	if err != nil {
		return tutti.FutureOf[[]R](failedPromise(err))
	}
	to := &Balanced{c: d.c}
	return callWorld[R](ctx, to, f.Name(), arg, opts, func(w *tutti.Work) { w.Engines = slices.Clone(ids) })
}

// callWorld submits a function whose ranks are as set says.
func callWorld[R any](ctx context.Context, to tutti.Submitter, name string, arg any, opts []tutti.Option, set func(*tutti.Work)) *tutti.Future[[]R] {
	v, err := tutti.Encode(arg)
	if err != nil {
		return tutti.FutureOf[[]R](failedPromise(tutti.Errorf("call "+name, tutti.Invalid, "argument: %w", err)))
	}
	s := tutti.Apply(opts...)
	s.Work.Func = name
	set(&s.Work)
	p := to.SubmitTask(ctx, &tutti.Task{Work: &s.Work, Args: []tutti.Arg{{Value: v}}, After: s.After, Follow: s.Follow})
	return tutti.FutureVia(p, rankResults[R])
}

// rankErrors are the errors of all ranks of a world that failed, that of the whole first.
func rankErrors(o tutti.Outcome) error {
	ends, ok := wire.UnpackRankEnds(o.Value)
	if !ok {
		return o.Err
	}
	errs := []error{o.Err}
	var first *tutti.Error
	errors.As(o.Err, &first)
	for rank := range ends {
		if err := ends[rank].Error(); err != nil && (first == nil || first.Rank != rank) {
			errs = append(errs, err)
		}
	}
	if len(errs) == 1 {
		return o.Err
	}
	return errors.Join(errs...)
}

// rankResults reads the results of a world: a CBOR array of (codec, bytes).
func rankResults[R any](o tutti.Outcome) ([]R, error) {
	if o.Err != nil {
		return nil, rankErrors(o)
	}
	v := o.Value
	var raw []struct {
		_     struct{} `cbor:",toarray"`
		Codec tutti.Codec
		Data  []byte
	}
	if v.Codec != tutti.CBOR {
		return nil, tutti.Errorf("read results of ranks", tutti.Corrupt, "codec %d", v.Codec)
	}
	if err := cbor.Unmarshal(v.Data, &raw); err != nil {
		return nil, tutti.E("read results of ranks", tutti.Corrupt, err)
	}
	out := make([]R, len(raw))
	for i, r := range raw {
		if err := tutti.Decode(tutti.Value{Codec: r.Codec, Data: r.Data}, &out[i]); err != nil {
			return nil, err
		}
	}
	return out, nil
}

// Push gives every engine of the view a variable; a task there reads it with tutti.Var.
func (d *Direct) Push(ctx context.Context, name string, v any) error {
	val, err := tutti.Encode(v)
	if err != nil {
		return err
	}
	_, err = together[tutti.Value](ctx, d, func(int) *tutti.Task { return pushTask(name, val) }).Get(ctx)
	return err
}

// pushTask is the built-in function of engines that keeps a variable.
func pushTask(name string, v tutti.Value) *tutti.Task {
	n, _ := tutti.Encode(name) // a string can always be encoded
	return &tutti.Task{Work: &tutti.Work{Func: "tutti.push"}, Args: []tutti.Arg{{Value: n}, {Value: v}}}
}

func pullTask(name string) *tutti.Task {
	n, _ := tutti.Encode(name)
	return &tutti.Task{Work: &tutti.Work{Func: "tutti.pull"}, Args: []tutti.Arg{{Value: n}}}
}

// Pull reads a variable from every engine of the view, in the order of its engines. Unknown names
// give an error of kind NotFound.
func Pull[T any](ctx context.Context, d *Direct, name string) ([]T, error) {
	return together[T](ctx, d, func(int) *tutti.Task { return pullTask(name) }).Get(ctx)
}

// Delete removes variables from every engine of the view; without names, all.
func (d *Direct) Delete(ctx context.Context, names ...string) error {
	args := make([]tutti.Arg, len(names))
	for i, n := range names {
		args[i].Value, _ = tutti.Encode(n)
	}
	_, err := together[tutti.Value](ctx, d, func(int) *tutti.Task {
		return &tutti.Task{Work: &tutti.Work{Func: "tutti.delete"}, Args: args}
	}).Get(ctx)
	return err
}

// Scatter cuts s into one contiguous part for each engine of the view, as equal as can be (the
// first ones get the elements that are over), and gives each engine its part as a variable.
func Scatter[T any](ctx context.Context, d *Direct, name string, s []T) error {
	ids, err := d.Targets(ctx)
	if err != nil {
		return err
	}
	fixed := &Direct{c: d.c, ids: ids}
	values := make([]tutti.Value, len(ids))
	for i := range ids {
		lo, hi := Part(len(s), len(ids), i)
		if values[i], err = tutti.Encode(s[lo:hi]); err != nil {
			return err
		}
	}
	_, err = together[tutti.Value](ctx, fixed, func(i int) *tutti.Task { return pushTask(name, values[i]) }).Get(ctx)
	return err
}

// Part gives the bounds of the i-th of p parts of n elements, as [Scatter] cuts them.
func Part(n, p, i int) (lo, hi int) {
	size, over := n/p, n%p
	lo = i*size + min(i, over)
	if hi = lo + size; i < over {
		hi++
	}
	return lo, hi
}

// Gather joins the parts of a variable in the order of the view's engines: the reverse of Scatter.
func Gather[T any](ctx context.Context, d *Direct, name string) ([]T, error) {
	parts, err := together[[]T](ctx, d, func(int) *tutti.Task { return pullTask(name) }).Get(ctx)
	if err != nil {
		return nil, err
	}
	var all []T
	for _, p := range parts {
		all = append(all, p...)
	}
	return all, nil
}
