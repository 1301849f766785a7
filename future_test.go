package tutti

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"time"
)

// desk is a Submitter that keeps what it is given, and a keeper with ready answers.
type desk struct {
	sync.Mutex
	tasks     []*Task
	promises  []*Promise
	cancelled []TaskID
}

func (d *desk) SubmitTask(_ context.Context, t *Task) *Promise {
	d.Lock()
	defer d.Unlock()
	t.ID = MakeTaskID(1, uint64(len(d.tasks)+1))
	p := NewPromise(t.ID, d)
	if err := t.Check(); err != nil {
		p.Complete(Outcome{Err: err})
	}
	d.tasks, d.promises = append(d.tasks, t), append(d.promises, p)
	return p
}

func (d *desk) Cancel(id TaskID)                        { d.cancelled = append(d.cancelled, id) }
func (d *desk) Info(id TaskID) TaskInfo                 { return TaskInfo{ID: id, State: Running} }
func (d *desk) Why(_ context.Context, id TaskID) string { return "it sits in the desk" }
func (d *desk) Fetch(_ context.Context, v Value) ([]byte, func(), error) {
	if v.Ref.Blob.N == 13 {
		return nil, nil, Errorf("fetch", Lost, "gone")
	}
	return []byte{1, 0, 2, 0}, func() {}, nil
}

var double = Func("root.double", func(_ context.Context, x int) (int, error) { return 2 * x, nil })

func value(t *testing.T, v any) Value {
	t.Helper()
	val, err := Encode(v)
	if err != nil {
		t.Fatal(err)
	}
	return val
}

func TestSubmitAndGet(t *testing.T) {
	ctx, d := context.Background(), &desk{}
	first := Submit(ctx, d, double, 1)
	f := Submit(ctx, d, double, 21, Label("answer"), Priority(3), Retries(2), Limit(time.Hour),
		Needs(Resources{Cores: 2}), After(first), Follow(first), Durable())
	task := d.tasks[1]
	if task.Func != "root.double" || task.Label != "answer" || task.Priority != 3 || task.Retry.Failed != 2 ||
		task.Limit != time.Hour || task.Need.Cores != 2 || !task.Durable || task.After[0] != first.ID() || task.Follow[0] != first.ID() {
		t.Errorf("%+v %+v", task, task.Work)
	}
	h, err := LookupFunc(task.Func)
	if err != nil {
		t.Fatal(err)
	}
	r, err := h(ctx, task.Args)
	if err != nil || r != 42 {
		t.Fatal(r, err)
	}
	if f.Info().State != Running {
		t.Error("info before the end")
	}
	f.Cancel()
	if len(d.cancelled) != 1 || d.cancelled[0] != f.ID() {
		t.Error("cancel", d.cancelled)
	}
	if !d.promises[1].Complete(Outcome{Value: value(t, r), Info: TaskInfo{State: Done}}) ||
		d.promises[1].Complete(Outcome{}) {
		t.Error("only the first Complete counts")
	}
	<-f.Done()
	if y, err := f.Get(ctx); y != 42 || err != nil || f.Info().State != Done {
		t.Error(y, err)
	}
}

func TestGetSaysWhatItWaitedFor(t *testing.T) {
	f := Submit(context.Background(), &desk{}, double, 1)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := f.Get(ctx)
	if !errors.Is(err, Canceled) || !errors.Is(err, context.Canceled) || !strings.Contains(err.Error(), "it sits in the desk") ||
		!strings.Contains(err.Error(), "1.1") {
		t.Error(err)
	}
}

func TestBlobResultsAreFetched(t *testing.T) {
	ctx, d := context.Background(), &desk{}
	get := func(n uint64) ([]int16, error) {
		p := NewPromise(1, d)
		p.Complete(Outcome{Value: Value{Codec: RawInt16, Ref: Ref{Blob: BlobID{N: n}, Size: 4}}})
		return FutureOf[[]int16](p).Get(ctx)
	}
	if v, err := get(1); err != nil || len(v) != 2 || v[1] != 2 {
		t.Error(v, err)
	}
	if _, err := get(13); !errors.Is(err, Lost) {
		t.Error(err)
	}
}

func TestSubmitWhatCannotTravel(t *testing.T) {
	bad := Func("root.bad", func(context.Context, func()) (int, error) { return 0, nil })
	d := &desk{}
	_, err := Submit(context.Background(), d, bad, func() {}).Get(context.Background())
	if !errors.Is(err, Invalid) || len(d.tasks) != 0 {
		t.Error(err)
	}
}

func TestJoinPromises(t *testing.T) {
	ctx := context.Background()
	a, b := NewPromise(1, nil), NewPromise(2, nil)
	all := JoinPromises[int]([]*Promise{a, b})
	a.Complete(Outcome{Value: value(t, 1)})
	select {
	case <-all.Done():
		t.Fatal("ended with one part open")
	default:
	}
	b.Complete(Outcome{Value: value(t, 2)})
	<-all.Done()
	if v, err := all.Get(ctx); err != nil || len(v) != 2 || v[0]+v[1] != 3 {
		t.Error(v, err)
	}
	c := NewPromise(3, nil)
	c.Complete(Outcome{Err: E("x", Lost, nil)})
	if _, err := JoinPromises[int]([]*Promise{a, c}).Get(ctx); !errors.Is(err, Lost) {
		t.Error(err)
	}
	if v, err := JoinPromises[int](nil).Get(ctx); err != nil || len(v) != 0 {
		t.Error(v, err)
	}
}

func TestHandlerErrors(t *testing.T) {
	ctx := context.Background()
	fails := Func("root.fails", func(_ context.Context, how string) (int, error) {
		switch how {
		case "panic":
			panic("oh")
		case "cancel":
			return 0, context.Canceled
		}
		return 0, errors.New(how)
	})
	for how, kind := range map[string]Kind{"panic": Panicked, "cancel": Canceled, "other": Failed} {
		h, err := LookupFunc(fails.Name())
		if err != nil {
			t.Fatal(err)
		}
		_, err = h(ctx, []Arg{{Value: value(t, how)}})
		var e *Error
		if !errors.As(err, &e) || e.Kind != kind || (kind == Panicked) != strings.Contains(e.Stack, "future_test.go") {
			t.Errorf("%s: %v", how, err)
		}
	}
	h, _ := LookupFunc(double.Name())
	if _, err := h(ctx, nil); !errors.Is(err, Invalid) {
		t.Error("no argument:", err)
	}
	if _, err := h(ctx, []Arg{{Value: value(t, "x")}}); !errors.Is(err, Invalid) {
		t.Error("wrong type:", err)
	}
	if _, err := LookupFunc("nobody"); !errors.Is(err, NotFound) || !strings.Contains(HintOf(err), "root.double") {
		t.Error(err)
	}
}

func TestDecodeArgLists(t *testing.T) {
	one, two := Arg{Value: value(t, 1)}, Arg{Value: value(t, "x")}
	var list []int
	if err := DecodeArg(Arg{Items: []Arg{one, one}}, &list); err != nil || len(list) != 2 {
		t.Error(list, err)
	}
	var p Pair[[]int, string]
	if err := DecodeArg(Arg{Items: []Arg{{Items: []Arg{one}}, two}}, &p); err != nil || p.First[0] != 1 || p.Second != "x" {
		t.Error(p, err)
	}
	var n int
	if err := DecodeArg(Arg{Items: []Arg{one}}, &n); !errors.Is(err, Invalid) {
		t.Error(err)
	}
}

func TestTaskCheck(t *testing.T) {
	ok := func() *Task { return &Task{ID: MakeTaskID(1, 9), Work: &Work{Func: "f"}} }
	if err := ok().Check(); err != nil {
		t.Error(err)
	}
	for name, spoil := range map[string]func(*Task){
		"no work":       func(t *Task) { t.Work = nil },
		"nothing":       func(t *Task) { t.Func = "" },
		"two things":    func(t *Task) { t.Script = "ls" },
		"empty command": func(t *Task) { t.Func, t.Argv = "", []string{""} },
		"limit":         func(t *Task) { t.Limit = -1 },
		"cores":         func(t *Task) { t.Need.Cores = -1 },
		"custom":        func(t *Task) { t.Need.Custom = map[string]float64{"": 1} },
		"itself":        func(t *Task) { t.Args = []Arg{{Items: []Arg{{From: t.ID}}}} },
	} {
		x := ok()
		spoil(x)
		if err := x.Check(); KindOf(err) != Invalid && KindOf(err) != Unsatisfiable {
			t.Errorf("%s: %v", name, err)
		}
	}
	x := ok()
	x.Args = []Arg{{From: 5}, {Items: []Arg{{From: 6}, {From: 5}}}}
	if err := x.Check(); err != nil || len(x.Deps) != 2 {
		t.Error(x.Deps, err)
	}
}
