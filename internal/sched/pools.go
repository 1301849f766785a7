package sched

import (
	"cmp"
	"slices"
	"time"
)

// pool is where more nodes can come from.
type pool struct {
	name    string
	has     amounts
	max     int
	idle    int64
	nodes   int // that are there
	pending int // asked for
	fails   int // in a row
	notNow  int64
	why     string
}

// horizon is the run time that one node is expected to get through before it pays to have another:
// work that will be done sooner than a node can come is no reason to ask for one.
const (
	horizon  = int64(30 * time.Second)
	poolRest = int64(time.Second) // after a failure, doubled by each further one
)

// pool is the pool of that name, nil if there is none.
func (s *State) pool(name string) *pool {
	i, ok := slices.BinarySearchFunc(s.pools, name, func(p *pool, name string) int { return cmp.Compare(p.name, name) })
	if ok {
		return s.pools[i]
	}
	return nil
}

// poolSet describes a pool, or changes what is known of it.
func (s *State) poolSet(ev PoolSet) {
	p := s.poolMade(ev.Pool)
	if p == nil {
		return
	}
	p.has, p.max, p.idle = s.kinds.amountsOf(ev.Has, owned), ev.Max, int64(ev.Idle)
	s.grown++
	for _, n := range s.up {
		s.calm(n)
	}
}

// poolMade finds or makes a pool; nil for the empty name.
func (s *State) poolMade(name string) *pool {
	if name == "" {
		return nil
	}
	if p := s.pool(name); p != nil {
		return p
	}
	p := &pool{name: name}
	i, _ := slices.BinarySearchFunc(s.pools, name, func(p *pool, name string) int { return cmp.Compare(p.name, name) })
	s.pools = slices.Insert(s.pools, i, p)
	return p
}

// arrive notes that a node has come, maybe one that was asked for.
func (s *State) arrive(n *node, name string) {
	p := s.poolMade(name)
	if p == nil {
		return
	}
	n.pool = p
	p.nodes++
	p.pending = max(0, p.pending-1)
	p.fails, p.notNow, p.why = 0, 0, ""
}

// depart notes that a node is gone.
func (s *State) depart(n *node) {
	if n.pool != nil {
		n.pool.nodes--
	}
}

// acquireFailed takes in that nodes will not come. The pool is left alone for a while.
func (s *State) acquireFailed(ev AcquireFailed) {
	p := s.pool(ev.Pool)
	if p == nil {
		return
	}
	p.pending = max(0, p.pending-max(0, ev.Nodes))
	p.notNow = s.now + poolRest<<min(p.fails, 8)
	p.fails++
	p.why = ev.Why
}

// askForNodes asks the pools for what the waiting tasks need and what is there cannot give soon.
func (s *State) askForNodes() {
	for _, p := range s.pools {
		if p.max <= p.nodes+p.pending || p.notNow > s.now {
			continue
		}
		var want int64 // in millionths of nodes
		for _, sh := range s.kinds.live {
			if sh.ready > 0 && s.firstPool(sh) == p {
				want += s.nodesFor(p, sh)
			}
		}
		// Nodes on their way, and nodes whose engines are only starting, will take their part.
		more := int((want+micro-1)/micro) - p.pending - s.warming(p)
		if more = min(more, p.max-p.nodes-p.pending); more > 0 {
			p.pending += more
			s.do(Acquire{Pool: p.name, Nodes: more})
		}
	}
}

// firstPool is the pool from which nodes for the shape are asked: the first by name that has
// such nodes, and more of them.
func (s *State) firstPool(sh *shape) *pool {
	for _, p := range s.pools {
		if s.poolCould(p, sh) && p.max > p.nodes+p.pending && p.notNow <= s.now {
			return p
		}
	}
	return nil
}

// poolCould reports whether the nodes of a pool could hold a task of the shape.
func (s *State) poolCould(p *pool, sh *shape) bool {
	if !p.has.covers(sh.need) || sh.nodes > p.max || p.max == 0 {
		return false
	}
	return sh.prog == nil || sh.ranks <= 1 || sh.ranks <= s.planned(p, sh.prog)
}

// planned is how many engines of a program a node of the pool would have.
func (s *State) planned(p *pool, prog *program) int {
	return (&node{has: p.has}).wants(prog)
}

// nodesFor is how many nodes of the pool the waiting tasks of a shape could use, in millionths.
func (s *State) nodesFor(p *pool, sh *shape) int64 {
	if sh.nodes > 0 {
		return int64(sh.ready) * int64(sh.nodes) * micro
	}
	per := int64(1 << 30)
	for i, v := range sh.need {
		if v > 0 {
			per = min(per, p.has.get(i)/v)
		}
	}
	if sh.prog != nil {
		if !sh.prog.wanted || sh.prog.broken != "" {
			return 0 // nodes do not help where engines are missing
		}
		per = min(per, int64(s.planned(p, sh.prog)/sh.ranks))
	}
	slots := int64(sh.ready)
	if f := s.typical(sh); f != nil && f.mean > 0 && f.mean < horizon {
		slots = max(1, slots*f.mean/horizon)
	}
	return slots * micro / max(1, per)
}

// typical is the function of one of the shape's waiting tasks.
func (s *State) typical(sh *shape) *fn {
	for _, q := range sh.queues {
		if q.n > 0 {
			return s.tasks.at(s.first(&q.line)).kind.fn
		}
	}
	return nil
}

// warming counts the nodes of a pool that have come and have no engine ready yet.
func (s *State) warming(p *pool) (n int) {
	for _, nd := range s.up {
		if nd.pool != p || nd.drained || len(nd.slots) > 0 {
			continue
		}
		for _, e := range nd.engines {
			if e.state == engineStarting {
				n++
				break
			}
		}
	}
	return n
}
