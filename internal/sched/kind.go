package sched

import (
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/tutti-hpc/tutti"
)

// shape is what decides where a task can be placed: the program and the amounts it needs. Classes
// of equal shape share one. It knows at every moment on which nodes one more such task fits, so
// that placing never searches.
type shape struct {
	key      shapeKey
	prog     *program // nil for commands
	need     amounts
	ranks    int // engines that start together, 1 for all but gangs, 0 for commands
	nodes    int // whole nodes, 0 for a share of one
	left     int64
	targeted bool // for the engines that each names: such shapes have no list of nodes
	world    bool // and these are the ranks of a world, be it of one

	open    []*node // where one fits now
	where   []int32 // by node: the index in open plus one
	queues  []*queue
	ready   int
	slots   int
	thirsty []*slot // engines that could be given more of it ahead of time
	refs    int     // kinds of it
	pos     int     // in kinds.live

	possible  bool // some node, there or in a pool, could ever hold one
	possibleN uint64
}

type shapeKey struct {
	program      string
	cores, gpus  float64
	memory       int64
	nodes, ranks int
	left         time.Duration
	custom       string
	targeted     bool
	world        bool
}

// kind is a shape, a function and a priority; every task has one.
type kind struct {
	key   kindKey
	shape *shape
	fn    *fn
	prio  int
	refs  int // tasks of it
	idle  bool
}

type kindKey struct {
	shape *shape
	fn    *fn
	prio  int
}

// fn is what was learned about a function.
type fn struct {
	key  fnKey
	mean int64 // of its run times, the recent ones weighing more; 0 unknown
	refs int
}

type fnKey struct{ program, name string }

// kinds holds one of each shape, kind and function. What nobody uses lingers for a while, since
// a person at a prompt submits the same again and again.
type kinds struct {
	shapes map[shapeKey]*shape
	live   []*shape // those that are not targeted
	kinds  map[kindKey]*kind
	fns    map[fnKey]*fn
	custom map[string]int
	names  []string
	idle   []*kind // without tasks, longest first
	linger int     // how many of these are remembered

	lastClass *Class
	lastKind  *kind
}

// lingering is how many kinds without tasks are remembered as a rule, and knownFuncs how many
// functions.
const (
	lingering  = 64
	knownFuncs = 10_000
)

// newKinds knows nothing yet.
func newKinds() kinds {
	return kinds{
		shapes: map[shapeKey]*shape{}, kinds: map[kindKey]*kind{},
		fns: map[fnKey]*fn{}, custom: map[string]int{}, linger: lingering,
	}
}

// pinned reports whether tasks of the class are for certain engines only.
func (c *Class) pinned() bool { return c.Target != tutti.NoEngine || len(c.Engines) > 0 }

// kindOf finds the kind of a class, made if need be, and counts one more task of it.
func (s *State) kindOf(c *Class) *kind {
	k := &s.kinds
	if k.lastClass == c {
		k.lastKind.refs++
		return k.lastKind
	}
	sh := s.shapeOf(c)
	f := k.fnOf(fnKey{c.Program, c.Func})
	key := kindKey{sh, f, c.Priority}
	kd := k.kinds[key]
	if kd == nil {
		kd = &kind{key: key, shape: sh, fn: f, prio: c.Priority}
		k.kinds[key] = kd
		sh.refs++
		f.refs++
	}
	kd.refs++
	k.lastClass, k.lastKind = c, kd
	return kd
}

// shapeOf finds or makes the shape of a class. A new one has to look at every node once; from then on
// it is told of changes.
func (s *State) shapeOf(c *Class) *shape {
	n := c.Need
	key := shapeKey{program: c.Program, cores: n.Cores, gpus: n.GPUs, memory: n.Memory, nodes: n.Nodes,
		ranks: n.Ranks, left: n.Time, targeted: c.pinned(), world: len(c.Engines) > 0}
	if key.world {
		key.ranks = len(c.Engines)
	}
	for _, name := range slices.Sorted(maps.Keys(n.Custom)) {
		key.custom += strconv.Quote(name) + strconv.FormatFloat(n.Custom[name], 'g', -1, 64)
	}
	if sh := s.kinds.shapes[key]; sh != nil {
		return sh
	}
	sh := &shape{key: key, nodes: n.Nodes, left: int64(n.Time), targeted: key.targeted, world: key.world, pos: -1}
	if c.Program != "" {
		sh.prog, sh.ranks = s.programOf(c.Program), max(1, key.ranks)
	}
	if n.Cores == 0 && !sh.targeted {
		n.Cores = float64(max(1, sh.ranks))
	}
	sh.need = s.kinds.amountsOf(n, asked)
	s.kinds.shapes[key] = sh
	if !sh.targeted {
		sh.pos = len(s.kinds.live)
		s.kinds.live = append(s.kinds.live, sh)
		for _, n := range s.up {
			s.see(n, sh)
		}
	}
	return sh
}

// fnOf finds what is known of a function. Of too many, those not in use are forgotten.
func (k *kinds) fnOf(key fnKey) *fn {
	f := k.fns[key]
	if f == nil {
		if len(k.fns) >= knownFuncs {
			maps.DeleteFunc(k.fns, func(_ fnKey, f *fn) bool { return f.refs == 0 })
		}
		f = &fn{key: key}
		k.fns[key] = f
	}
	return f
}

// unref says that a task of the kind is gone.
func (s *State) unref(kd *kind) {
	if kd.refs--; kd.refs > 0 || kd.idle {
		return
	}
	kd.idle = true
	k := &s.kinds
	k.idle = append(k.idle, kd)
	if len(k.idle) <= k.linger {
		return
	}
	old := k.idle[0]
	k.idle = append(k.idle[:0], k.idle[1:]...)
	old.idle = false
	if old.refs == 0 {
		s.dropKind(old)
	}
}

// dropKind forgets a kind, and its shape with the last kind of that. Every live shape costs a look at
// each change of a node, so shapes that nobody uses must go.
func (s *State) dropKind(kd *kind) {
	k := &s.kinds
	delete(k.kinds, kd.key)
	if k.lastKind == kd {
		k.lastClass, k.lastKind = nil, nil
	}
	kd.fn.refs--
	sh := kd.shape
	if sh.refs--; sh.refs > 0 {
		return
	}
	delete(k.shapes, sh.key)
	for _, c := range s.order {
		delete(c.warned, sh)
	}
	for len(sh.queues) > 0 {
		s.dropQueue(sh.queues[len(sh.queues)-1])
	}
	if sh.pos >= 0 {
		last := len(k.live) - 1
		k.live[sh.pos] = k.live[last]
		k.live[sh.pos].pos = sh.pos
		k.live[last] = nil
		k.live = k.live[:last]
	}
}

// isOpen reports whether a task of the shape can be placed now.
func (sh *shape) isOpen() bool { return len(sh.open) >= max(1, sh.nodes) }

// opens reports whether a task of the shape fits on n now, as last seen.
func (sh *shape) opens(n *node) bool { return int(n.id) < len(sh.where) && sh.where[n.id] != 0 }

// setOpen notes whether one fits on n.
func (sh *shape) setOpen(n *node, fits bool) {
	for int(n.id) >= len(sh.where) {
		sh.where = append(sh.where, 0)
	}
	if fits {
		sh.open = append(sh.open, n)
		sh.where[n.id] = int32(len(sh.open))
		return
	}
	i, last := sh.where[n.id]-1, len(sh.open)-1
	sh.open[i] = sh.open[last]
	sh.where[sh.open[i].id] = i + 1
	sh.where[n.id] = 0
	sh.open[last] = nil
	sh.open = sh.open[:last]
}

// learn takes in one run time. Longer ones count at once, shorter ones slowly: a task behind a
// long one waits, an engine without a next task only idles for a moment.
func (f *fn) learn(took time.Duration) {
	t := max(1, int64(took))
	switch {
	case f.mean == 0:
		f.mean = t
	case t > f.mean:
		f.mean += (t - f.mean + 1) / 2
	default:
		f.mean -= (f.mean - t) / 8
	}
}
