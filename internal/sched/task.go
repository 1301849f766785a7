package sched

import (
	"slices"

	"github.com/tutti-hpc/tutti"
)

// task is what the scheduler keeps of one task. It is in at most one list at a time, so one pair
// of links serves all: a line of ready ones, the runs of a slot, the results of a node.
type task struct {
	id    tutti.TaskID
	class *Class
	kind  *kind
	queue *queue // where it is ready, nil elsewhere and for targeted tasks
	slot  *slot  // where it is assigned
	more  *more  // what most tasks do not have
	tag   any    // the caller's own
	seq   uint64 // order of submission; kept by retries

	next, prev ref
	out, in    ref // edges to those that wait for it, and from those it waits for
	pending    int32
	users      int32 // tasks that have not ended and depend on its result

	attempt tutti.Attempt // the last run's
	epoch   uint32        // the last run's, 0 before
	bytes   uint32        // of its arguments
	size    uint32        // of its result, in KiB
	node    tutti.NodeID  // where it ran last
	flags   uint16
	state   tutti.State
	lost    uint8 // runs that the machinery lost
	failed  uint8 // runs that the user's code failed
	kindOf  tutti.Kind
}

// The flags of a task.
const (
	isLate     uint16 = 1 << iota // stands in the heap of its line
	isForgot                      // its client does not want the result any more
	isAgain                       // finished before, and computed again: no second Finish
	isGone                        // Done, but its result was lost
	isBlob                        // its result is a blob on its node
	isCanceled                    // asked to stop
	isOvertime                    // its limit has passed
	isBroken                      // its run lost an engine or a node, and is being stopped
	isRecalled                    // asked back
	isKeeper                      // nodes are kept free for it
	isNeeded                      // counted in its node's needed
	isKept                        // counted in its node's kept
	isEnding                      // has ended in this Step, and its dependents do not know yet
	inBatch                       // of the batch that is being submitted
)

// more is what tasks with dependencies have, and few others.
type more struct {
	deps  []tutti.TaskID
	until int64  // how long it waits for the node with its data
	delay *delay // before it is tried again
	rare  *rare
	gaps  uint8 // runs that were lost because a result they need was
}

// rare is what hardly any task has.
type rare struct {
	follow []tutti.TaskID
	near   []Place
	cause  tutti.TaskID // the root of a failure that came by dependency
}

// final reports whether the task has ended.
func (t *task) final() bool { return t.state.Final() }

// flying reports whether a run of it is with an agent.
func (t *task) flying() bool { return t.state == tutti.Assigned || t.state == tutti.Running }

// run names the last run.
func (t *task) run() tutti.RunID {
	return tutti.RunID{Task: t.id, Attempt: t.attempt, Epoch: t.epoch}
}

// targeted reports whether the task is for certain engines only: one, or those of a world.
func (t *task) targeted() bool { return t.kind.shape.targeted }

// extra is t.more, made if need be.
func (t *task) extra() *more {
	if t.more == nil {
		t.more = new(more)
	}
	return t.more
}

// setCause notes the root of a failure.
func (t *task) setCause(cause tutti.TaskID) {
	m := t.extra()
	if m.rare == nil {
		m.rare = new(rare)
	}
	m.rare.cause = cause
}

// cause is the root of the failure that ended the task, 0 if it was its own.
func (t *task) cause() tutti.TaskID {
	if t.more == nil || t.more.rare == nil {
		return 0
	}
	return t.more.rare.cause
}

// setState moves t on and keeps the counts.
func (s *State) setState(t *task, to tutti.State) {
	c := s.clientOf(t)
	s.counts[t.state]--
	c.counts[t.state]--
	s.counts[to]++
	c.counts[to]++
	t.state = to
}

// pageBits is how many task numbers share a page of a client's index.
const pageBits = 8

// page maps the numbers of neighbouring tasks to tasks: 0 for never seen.
type page struct {
	at        [1 << pageBits]ref
	seen, old int // numbers used, and of these forgotten
}

// forgot marks the number of a task that was known and is not any more.
const forgot = ^ref(0)

// allForgot stands for every page on which nothing but forgotten tasks is left.
var allForgot = &page{seen: 1 << pageBits, old: 1 << pageBits}

// index finds a client's tasks by number. Clients count their tasks, so pages are dense: some four
// bytes a task, and next to nothing for those that are forgotten.
type index struct {
	pages map[uint64]*page
	hint  *page // the page used last
	hintN uint64
}

// page finds the page of a number. Tasks come and go in runs of neighbours, so that the page used last
// is nearly always the right one.
func (x *index) page(n uint64) *page {
	n >>= pageBits
	if x.hint != nil && x.hintN == n {
		return x.hint
	}
	p := x.pages[n]
	if p != nil {
		x.hint, x.hintN = p, n
	}
	return p
}

// get is the task with that number: 0 if it was never seen, forgot if it is known no more.
func (x *index) get(n uint64) ref {
	switch p := x.page(n); p {
	case nil:
		return 0
	case allForgot:
		return forgot
	default:
		return p.at[n&(1<<pageBits-1)]
	}
}

// put notes a task, or with forgot that it is known no more.
func (x *index) put(n uint64, r ref) {
	p := x.page(n)
	if p == nil {
		if x.pages == nil {
			x.pages = map[uint64]*page{}
		}
		p = new(page)
		x.pages[n>>pageBits] = p
		x.hint, x.hintN = p, n>>pageBits
	}
	was := &p.at[n&(1<<pageBits-1)]
	if *was == 0 {
		p.seen++
	}
	*was = r
	if r != forgot {
		return
	}
	if p.old++; p.old == 1<<pageBits {
		x.pages[n>>pageBits] = allForgot
		x.hint = allForgot
	}
}

// each calls yield for the known tasks in order of their numbers.
func (x *index) each(yield func(ref) bool) {
	numbers := make([]uint64, 0, len(x.pages))
	for n, p := range x.pages {
		if p != allForgot {
			numbers = append(numbers, n)
		}
	}
	slices.Sort(numbers)
	for _, n := range numbers {
		for _, r := range x.pages[n].at {
			if r != 0 && r != forgot && !yield(r) {
				return
			}
		}
	}
}

// find is the task of that name: 0 if it was never seen, forgot if it is known no more.
func (s *State) find(id tutti.TaskID) ref {
	c := s.clients[id.Client()]
	if c == nil || id == 0 {
		return 0
	}
	return c.index.get(id.N())
}

// known is the task of that name, nil if there is none.
func (s *State) known(id tutti.TaskID) (ref, *task) {
	r := s.find(id)
	if r == 0 || r == forgot {
		return 0, nil
	}
	return r, s.tasks.at(r)
}

// current is the task whose current run this is, 0 if the run is not current.
func (s *State) current(run tutti.RunID) (ref, *task) {
	r, t := s.known(run.Task)
	if t == nil || !t.flying() || t.attempt != run.Attempt || t.epoch != run.Epoch {
		return 0, nil
	}
	return r, t
}
