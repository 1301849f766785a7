package engine

import (
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// resolve decodes the running run's arguments: the results of other tasks and the bytes of blobs
// come to stand in their places. What is mapped is released when the run's result is encoded.
func (l *loop) resolve() error {
	r := &l.running
	s := scan{b: r.deps}
	l.deps = s.depValues(l.deps[:0])
	err := s.end()
	s = scan{b: r.args}
	l.args = s.args(l.args[:0], 0)
	if err == nil {
		err = s.end()
	}
	if err != nil {
		return reject(err)
	}
	for i := range l.args {
		if err := l.fill(&l.args[i]); err != nil {
			return err
		}
	}
	return nil
}

// fill resolves one argument and those inside it.
func (l *loop) fill(a *tutti.Arg) error {
	from := a.From
	if from != 0 {
		v, ok := l.dep(from)
		if !ok {
			return reject(tutti.Errorf("read arguments", tutti.Internal, "the result of task %v did not come along", from))
		}
		a.Value, a.From = v, 0
	}
	if !a.Value.Ref.IsZero() {
		if l.blobs == nil {
			return reject(tutti.Errorf("read arguments", tutti.Unsupported, "this engine has no blob store for %v", a.Value.Ref.Blob))
		}
		// Private: a function may write into its argument, large or small, and nobody sees it.
		lease, err := l.blobs.Open(l.current.Load(), a.Value.Ref, blob.Private)
		if err != nil {
			e := tutti.E("read arguments", tutti.KindOf(err), err)
			if from != 0 && e.Kind == tutti.NotFound {
				made := tutti.E(wire.OpMissing, tutti.NotFound, err)
				made.Task, e.Err = from, made
			}
			return machine{e}
		}
		l.leases = append(l.leases, lease)
		a.Value.Data, a.Value.Ref = lease.Bytes(), tutti.Ref{}
	} else if len(a.Value.Data) >= sharesFrom && l.running.block != nil {
		l.running.block.kept.Store(true)
	}
	for i := range a.Items {
		if err := l.fill(&a.Items[i]); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) dep(id tutti.TaskID) (tutti.Value, bool) {
	for i := range l.deps {
		if l.deps[i].Task == id {
			return l.deps[i].Value, true
		}
	}
	return tutti.Value{}, false
}

// keep takes over an argument's bytes for longer than the run: the lease of a blob, or a copy of
// what came in the message, whose memory is used again.
func (l *loop) keep(data []byte) (own []byte, release func()) {
	for i, lease := range l.leases {
		if lease != nil && len(data) > 0 && unsafe.SliceData(lease.Bytes()) == unsafe.SliceData(data) {
			l.leases[i] = nil
			return data, lease.Release
		}
	}
	return append([]byte{}, data...), nil
}

// encode makes a value of a result; a large one becomes a blob.
func (l *loop) encode(result any) (tutti.Value, error) {
	v, err := tutti.Encode(result)
	if err != nil {
		return v, reject(tutti.Errorf("call "+l.running.name, tutti.KindOf(err), "result: %w", err))
	}
	return l.store(v)
}

// store puts a large value into a blob.
func (l *loop) store(v tutti.Value) (tutti.Value, error) {
	if len(v.Data) <= tutti.InlineLimit || l.blobs == nil {
		return v, nil
	}
	ref, err := blob.Put(l.current.Load(), l.blobs, v.Data)
	if err != nil {
		return v, machine{tutti.Errorf("store result", tutti.KindOf(err), "%s: %w", tutti.FormatBytes(int64(len(v.Data))), err)}
	}
	return tutti.Value{Codec: v.Codec, Ref: ref}, nil
}
