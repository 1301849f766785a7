package cluster

import (
	"context"
	"iter"
	"sync"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// aheadKey is where Ahead keeps its number among the settings.
type aheadKey struct{}

// Ahead bounds how many elements of its input a Map takes before their results have been taken
// from it. Without it that is 4,096 elements, or 64 MiB of arguments if that is less.
func Ahead(n int) tutti.Option { return func(s *tutti.Settings) { s.Set(aheadKey{}, n) } }

// What a Map takes ahead unless told otherwise.
const (
	aheadElements = 4096
	aheadBytes    = 64 << 20
)

// Indexed is a result of MapUnordered, with the place of its element in the input.
type Indexed[R any] struct {
	Index int
	Value R
}

// Map calls f for each element of in, on whichever engines are free, and yields the results in
// the order of the input: at each place a result or the error of that element, which does not end
// the rest. It is lazy: elements are taken as results are (see [Ahead]), so in may be endless.
// Leaving the loop early, or the end of ctx, cancels what has not ended; after the end of ctx one
// last error says so.
//
// in is run by another goroutine while the results are consumed.
func Map[A, R any](ctx context.Context, b *Balanced, f *tutti.Fn[A, R], in iter.Seq[A], opts ...tutti.Option) iter.Seq2[R, error] {
	return func(yield func(R, error) bool) {
		m := newMapping(ctx, b, f.Name(), true, opts)
		go feed(m, in)
		defer m.leave()
		for {
			_, o, err, ok := m.next()
			if !ok {
				return
			}
			var r R
			if err == nil {
				r, err = result[R](m, o)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// MapUnordered is Map in the order in which results arrive, each with its index.
func MapUnordered[A, R any](ctx context.Context, b *Balanced, f *tutti.Fn[A, R], in iter.Seq[A], opts ...tutti.Option) iter.Seq2[Indexed[R], error] {
	return func(yield func(Indexed[R], error) bool) {
		m := newMapping(ctx, b, f.Name(), false, opts)
		go feed(m, in)
		defer m.leave()
		for {
			i, o, err, ok := m.next()
			if !ok {
				return
			}
			r := Indexed[R]{Index: i}
			if err == nil {
				r.Value, err = result[R](m, o)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// mapping is one Map under way: slots between the goroutine that feeds it and the one that
// consumes. An element has a slot from the time it is taken until it is consumed.
type mapping struct {
	c       *Client
	ctx     context.Context
	cancel  context.CancelFunc
	work    *tutti.Work
	ordered bool

	calls []call // of the goroutine that feeds: memory for what comes next
	args  []byte

	mu      sync.Mutex
	moved   sync.Cond
	slots   []slot // ordered: the slot of an element is its index modulo their number
	free    []int  // unordered: slots without an element
	arrived []int  // unordered: slots in the order in which their elements ended
	taken   int    // elements that were consumed
	fed     int    // elements that were given a slot
	bytes   int    // of arguments of elements in slots
	end     bool   // the input has ended
	left    bool   // the consumer has left
}

// slot is where an element waits.
type slot struct {
	index   int    // of the element, -1 if there is none
	n       uint64 // its task, 0 if it never became one, or was not sent yet
	bytes   int
	outcome *wire.Outcome
	err     error // why it never became a task
}

func newMapping(ctx context.Context, b *Balanced, name string, ordered bool, opts []tutti.Option) *mapping {
	s := tutti.Apply(append(append([]tutti.Option(nil), b.opts...), opts...)...)
	s.Work.Func, s.Work.Program = name, b.c.program
	n, ok := s.Get(aheadKey{}).(int)
	if !ok {
		n = aheadElements
	}
	m := &mapping{c: b.c, work: &s.Work, ordered: ordered, slots: make([]slot, max(n, 1))}
	for i := range m.slots {
		m.slots[i].index = -1
		if !ordered {
			m.free = append(m.free, i)
		}
	}
	m.ctx, m.cancel = context.WithCancel(ctx)
	m.moved.L = &m.mu
	context.AfterFunc(m.ctx, func() {
		m.mu.Lock()
		defer m.mu.Unlock()
		m.moved.Broadcast()
	})
	return m
}

// settle implements sink: the element in that slot has ended.
func (m *mapping) settle(at uint64, o *wire.Outcome) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.slots[at].outcome = o
	m.ready(int(at))
}

// ready notes that the element in a slot can be consumed; mu is held.
func (m *mapping) ready(at int) {
	if !m.ordered {
		m.arrived = append(m.arrived, at)
	}
	if !m.ordered || m.slots[at].index == m.taken {
		m.moved.Broadcast()
	}
}

// full reports whether no element may be taken; mu is held.
func (m *mapping) full() bool { return m.fed-m.taken >= len(m.slots) || m.bytes >= aheadBytes }

// room waits until an element may be taken, and gives it a slot.
func (m *mapping) room() (at int, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for !m.left && m.ctx.Err() == nil && m.full() {
		m.moved.Wait()
	}
	if m.left || m.ctx.Err() != nil {
		return 0, false
	}
	if m.ordered {
		at = m.fed % len(m.slots)
	} else {
		at = m.free[len(m.free)-1]
		m.free = m.free[:len(m.free)-1]
	}
	m.slots[at].index = m.fed
	m.fed++
	return at, true
}

// feed submits the elements of in, until it ends or nobody wants more.
func feed[A any](m *mapping, in iter.Seq[A]) {
	defer m.finish()
	for a := range in {
		at, ok := m.room()
		if !ok {
			return
		}
		m.offer(at, a)
	}
}

// offer submits the element that was given a slot. What cannot be encoded or submitted ends at
// once with its error.
func (m *mapping) offer(at int, a any) {
	v, err := tutti.Encode(a)
	cl := m.newCall()
	cl.work, cl.sink, cl.tag = m.work, m, uint64(at)
	if err == nil {
		err = m.pack(cl, v)
	}
	m.mu.Lock()
	index := m.slots[at].index
	m.slots[at].bytes = len(v.Data)
	m.bytes += len(v.Data)
	m.mu.Unlock()
	if err == nil {
		err = m.c.box.add(m.ctx, cl)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case err != nil:
		m.slots[at].err = err
		m.ready(at)
	case m.slots[at].index == index: // else it has ended and was consumed already
		m.slots[at].n = cl.n
	}
}

// newCall takes a call from a chunk of them, which is one allocation for many.
func (m *mapping) newCall() *call {
	if len(m.calls) == 0 {
		m.calls = make([]call, 64)
	}
	cl := &m.calls[0]
	m.calls = m.calls[1:]
	return cl
}

// chunk is how much memory for arguments is allocated at once.
const chunk = 16 << 10

// pack lays out a call's one argument: in a blob, or at the end of the chunk of arguments.
func (m *mapping) pack(cl *call, v tutti.Value) (err error) {
	arg := [1]tutti.Arg{{Value: v}}
	if len(v.Data) > tutti.InlineLimit {
		return m.c.fill(m.ctx, cl, &tutti.Task{Work: m.work, Args: arg[:]})
	}
	if cap(m.args)-len(m.args) < arg[0].Msgsize()+8 {
		m.args = make([]byte, 0, max(chunk, arg[0].Msgsize()+8))
	}
	before := len(m.args)
	if m.args, err = wire.PackArgs(m.args, arg[:]); err == nil {
		cl.msg.Args = m.args[before:len(m.args):len(m.args)]
	}
	return err
}

// finish notes the end of the input.
func (m *mapping) finish() {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.end = true
	m.moved.Broadcast()
}

// next waits for the next element to consume. ok is false at the end.
func (m *mapping) next() (index int, o *wire.Outcome, err error, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for {
		if at, some := m.endedSlot(); some {
			s := m.slots[at]
			m.consume(at)
			return s.index, s.outcome, s.err, true
		}
		switch {
		case m.left, m.end && m.taken == m.fed:
			return 0, nil, nil, false
		case m.ctx.Err() != nil:
			m.left = true // one last error
			return m.taken, nil, tutti.Errorf("map "+m.work.Func, tutti.KindOf(m.ctx.Err()),
				"%d of the %d elements taken so far had ended: %w", m.taken, m.fed, m.ctx.Err()), true
		}
		m.moved.Wait()
	}
}

// endedSlot finds the slot of the element that is to be consumed next; mu is held.
func (m *mapping) endedSlot() (at int, ok bool) {
	if !m.ordered {
		if len(m.arrived) == 0 {
			return 0, false
		}
		at, m.arrived = m.arrived[0], m.arrived[1:]
		return at, true
	}
	at = m.taken % len(m.slots)
	s := &m.slots[at]
	return at, s.index == m.taken && (s.outcome != nil || s.err != nil)
}

// consume frees a slot, and the result at the controller; mu is held.
func (m *mapping) consume(at int) {
	wasFull := m.full()
	s := &m.slots[at]
	if s.outcome != nil && s.outcome.Value.Ref.IsZero() && s.outcome.Task != 0 {
		m.c.box.forget(s.outcome.Task)
	}
	m.bytes -= s.bytes
	*s = slot{index: -1}
	m.taken++
	if !m.ordered {
		m.free = append(m.free, at)
	}
	if wasFull {
		m.moved.Broadcast()
	}
}

// leave ends a mapping whose consumer has left: what has not ended is cancelled.
func (m *mapping) leave() {
	me := m.c.ID()
	m.mu.Lock()
	m.left = true
	var open []tutti.TaskID
	for i := range m.slots {
		if s := &m.slots[i]; s.n != 0 {
			open = append(open, tutti.MakeTaskID(me, s.n))
		}
	}
	m.moved.Broadcast()
	m.mu.Unlock()
	m.cancel()
	if len(open) > 0 {
		m.c.box.cancel(open...)
		m.c.box.forget(open...)
	}
}

// result decodes an element's result.
func result[R any](m *mapping, o *wire.Outcome) (r R, err error) {
	if err := errorOf(o.Task, o); err != nil {
		return r, err
	}
	if o.Value.Ref.IsZero() {
		return r, tutti.Decode(o.Value, &r)
	}
	p := tutti.NewPromise(o.Task, keeper{m.c})
	p.Complete(outcomeOf(o.Task, o))
	err = p.Read(m.ctx, &r)
	m.c.box.forget(o.Task)
	return r, err
}
