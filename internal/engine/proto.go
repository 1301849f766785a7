package engine

import (
	"fmt"

	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// runFields is the length of a run's tuple: serial, task, attempt, epoch, function, arguments,
// results of other tasks, world, accelerators, threads. An empty function name means the same as
// the run's before it in the frame.
const runFields = 10

// appendRun encodes a run; before is the function's name of the run in front of it.
func appendRun(b []byte, r *Run, before string) []byte {
	b = msgp.AppendArrayHeader(b, runFields)
	b = msgp.AppendUint64(b, r.Serial)
	b = msgp.AppendUint64(b, uint64(r.ID.Task))
	b = msgp.AppendUint32(b, uint32(r.ID.Attempt))
	b = msgp.AppendUint32(b, r.ID.Epoch)
	name := r.Func
	if name == before {
		name = ""
	}
	b = msgp.AppendString(b, name)
	if len(r.Args) == 0 {
		b = msgp.AppendArrayHeader(b, 0)
	} else {
		b = append(b, r.Args...)
	}
	b = msgp.AppendArrayHeader(b, uint32(len(r.Deps)))
	for i := range r.Deps {
		b, _ = r.Deps[i].MarshalMsg(b) // of numbers and bytes: cannot fail
	}
	b = appendWorld(b, r.World)
	b = msgp.AppendArrayHeader(b, uint32(len(r.GPUs)))
	for _, g := range r.GPUs {
		b = msgp.AppendString(b, g)
	}
	return msgp.AppendInt(b, r.Threads)
}

func appendWorld(b []byte, w *World) []byte {
	if w == nil {
		return msgp.AppendNil(b)
	}
	b = msgp.AppendArrayHeader(b, 4)
	b = msgp.AppendString(b, w.Name)
	b = msgp.AppendString(b, w.Segment)
	b = msgp.AppendInt(b, w.Rank)
	b = msgp.AppendArrayHeader(b, uint32(len(w.Engines)))
	for _, e := range w.Engines {
		b = msgp.AppendInt32(b, int32(e))
	}
	return b
}

// scan takes msgpack values off the front of b; after the first that is not there, or not of that
// type, it gives zeros and remembers the error. Byte slices share b's memory.
type scan struct {
	b   []byte
	err error
}

func (s *scan) fail(err error) {
	if err != nil && s.err == nil {
		s.err = tutti.E("decode message", tutti.Corrupt, err)
		s.b = nil
	}
}

// count reads an array's length, refusing one that the bytes left could not hold.
func (s *scan) count() int {
	n, rest, err := msgp.ReadArrayHeaderBytes(s.b)
	s.b = rest
	s.fail(err)
	if s.err == nil && int64(n) > int64(len(rest)) {
		s.fail(msgp.ErrLimitExceeded)
	}
	if s.err != nil {
		return 0
	}
	return int(n)
}

// tuple reads the length of an array that must be n long.
func (s *scan) tuple(n int) {
	if m := s.count(); m != n && s.err == nil {
		s.fail(msgp.ArrayError{Wanted: uint32(n), Got: uint32(m)})
	}
}

func (s *scan) uint() uint64 {
	v, rest, err := msgp.ReadUint64Bytes(s.b)
	s.b = rest
	s.fail(err)
	return v
}

func (s *scan) int() int64 {
	v, rest, err := msgp.ReadInt64Bytes(s.b)
	s.b = rest
	s.fail(err)
	return v
}

func (s *scan) bytes() []byte {
	v, rest, err := msgp.ReadBytesZC(s.b)
	s.b = rest
	s.fail(err)
	return v
}

func (s *scan) text() []byte {
	v, rest, err := msgp.ReadStringZC(s.b)
	s.b = rest
	s.fail(err)
	return v
}

// skip gives the bytes of the next value, whatever it is.
func (s *scan) skip() []byte {
	rest, err := msgp.Skip(s.b)
	v := s.b[:len(s.b)-len(rest)]
	s.b = rest
	s.fail(err)
	return v
}

func (s *scan) runID() tutti.RunID {
	return tutti.RunID{Task: tutti.TaskID(s.uint()), Attempt: tutti.Attempt(s.uint()), Epoch: uint32(s.uint())}
}

// end is the error so far; bytes that are left over are one too.
func (s *scan) end() error {
	if s.err == nil && len(s.b) > 0 {
		s.fail(fmt.Errorf("%d bytes too many", len(s.b)))
	}
	return s.err
}

// queued is a run in the engine's queue. args and deps are msgpack inside of block.
type queued struct {
	id      tutti.RunID
	serial  uint64
	handler handler
	name    string
	args    []byte
	deps    []byte
	world   *World
	gpus    []string
	threads int
	block   *block
}

// run reads what appendRun wrote. find resolves the function; before is the run in front.
func (s *scan) run(q *queued, before *queued, find func(name []byte) (string, handler)) {
	s.tuple(runFields)
	q.serial = s.uint()
	q.id = s.runID()
	if name := s.text(); len(name) > 0 {
		q.name, q.handler = find(name)
	} else {
		q.name, q.handler = before.name, before.handler
	}
	q.args = s.skip()
	q.deps = s.skip()
	if msgp.IsNil(s.b) {
		s.skip()
	} else {
		q.world = s.world()
	}
	if n := s.count(); n > 0 {
		q.gpus = make([]string, n)
		for i := range q.gpus {
			q.gpus[i] = string(s.text())
		}
	}
	q.threads = int(s.int())
}

func (s *scan) world() *World {
	s.tuple(4)
	w := &World{Name: string(s.text()), Segment: string(s.text()), Rank: int(s.int())}
	w.Engines = make([]tutti.EngineID, s.count())
	for i := range w.Engines {
		w.Engines[i] = tutti.EngineID(s.int())
	}
	if s.err == nil && (w.Rank < 0 || w.Rank >= len(w.Engines)) {
		s.fail(msgp.ErrLimitExceeded)
	}
	return w
}

// maxDepth bounds how deep arguments may nest.
const maxDepth = 64

// value reads a tutti.Value whose Data shares the message's memory.
func (s *scan) value() (v tutti.Value) {
	s.tuple(3)
	v.Codec = tutti.Codec(s.uint())
	v.Data = s.bytes()
	rest, err := v.Ref.UnmarshalMsg(s.b)
	s.b = rest
	s.fail(err)
	return v
}

// args reads a list of arguments into into's memory.
func (s *scan) args(into []tutti.Arg, depth int) []tutti.Arg {
	n := s.count()
	if depth > maxDepth {
		s.fail(msgp.ErrRecursion)
		return nil
	}
	for range n {
		var a tutti.Arg
		s.tuple(3)
		a.Value = s.value()
		a.From = tutti.TaskID(s.uint())
		a.Items = s.args(nil, depth+1)
		if s.err != nil {
			return nil
		}
		into = append(into, a)
	}
	return into
}

// depValues reads the results of other tasks.
func (s *scan) depValues(into []wire.DepValue) []wire.DepValue {
	for range s.count() {
		s.tuple(2)
		d := wire.DepValue{Task: tutti.TaskID(s.uint())}
		d.Value = s.value()
		into = append(into, d)
	}
	return into
}

// Refs lists the blobs that a run's arguments and the results of other tasks refer to. Bytes that
// are no arguments have none: the engine will say what is wrong with them.
func Refs(into []tutti.Ref, args msgp.Raw, deps []wire.DepValue) []tutti.Ref {
	for i := range deps {
		if r := deps[i].Value.Ref; !r.IsZero() {
			into = append(into, r)
		}
	}
	s := scan{b: args}
	if len(args) > 0 {
		into = s.refs(into, 0)
	}
	return into
}

func (s *scan) refs(into []tutti.Ref, depth int) []tutti.Ref {
	n := s.count()
	if depth > maxDepth {
		s.fail(msgp.ErrRecursion)
		return into
	}
	for ; n > 0 && s.err == nil; n-- {
		s.tuple(3)
		if v := s.value(); s.err == nil && !v.Ref.IsZero() {
			into = append(into, v.Ref)
		}
		s.uint()
		into = s.refs(into, depth+1)
	}
	return into
}
