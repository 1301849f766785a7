package sched

import (
	"cmp"
	"slices"
)

// look is the State when it looks, now and then while tasks wait, who has been passed over for too
// long and whether more nodes should be asked for.
type look State

// wake looks at everybody once, and comes again as long as tasks wait. Its cost is spread over
// Config.Patience, so it may go through all queues, and all nodes where a task was passed over.
func (l *look) wake(s *State) {
	if s.ready == 0 {
		return
	}
	for _, c := range s.order {
		s.mind(c)
	}
	s.askForNodes()
	s.setTimer(&s.looking, l, s.now+int64(s.cfg.Patience))
}

// mind keeps nodes free for the task that is first in its client's order if it has been first,
// and has not been placed, since the last look. Without that, small tasks would for ever take what
// comes free before there is enough for a large one: a gang, a whole node, many cores. Every client
// keeps nodes for one task at most, and takes all the nodes it keeps at once, or none: so two
// gangs never wait for each other.
func (s *State) mind(c *client) {
	q := s.foremost(c)
	if q == nil {
		s.unkeep(c)
		c.first = 0
		return
	}
	r := s.first(&q.line)
	seq := s.tasks.at(r).seq
	if c.keeping != 0 && c.keeping != r {
		s.unkeep(c)
	}
	// Being first twice in a row, with nothing placed in between, is being passed over.
	if c.first == seq && c.keeping == 0 && s.contended(q.shape) {
		s.keepFor(c, r, q.shape)
	}
	c.first = seq
}

// foremost is the queue whose first task is the client's next, of those that some node that is
// there could hold.
func (s *State) foremost(c *client) (best *queue) {
	for _, q := range c.queues {
		if q.n == 0 || !s.couldBe(q.shape) {
			continue
		}
		q.seq = s.tasks.at(s.first(&q.line)).seq
		if best == nil || q.before(best) {
			best = q
		}
	}
	return best
}

// contended reports whether tasks of other shapes wait or run, so that keeping nodes can help.
func (s *State) contended(sh *shape) bool {
	for _, o := range s.kinds.live {
		if o != sh && (o.ready > 0 || o.slots > 0) {
			return true
		}
	}
	return false
}

// keepFor chooses the nodes that lack least of what the task needs.
func (s *State) keepFor(c *client, r ref, sh *shape) {
	type candidate struct {
		n     *node
		lacks int64
	}
	var list []candidate
	want := max(1, sh.nodes)
	for _, n := range s.up {
		if n.drained || n.keeper != 0 || !s.could(n, sh) {
			continue
		}
		lacks := n.free.lacks(sh.need, n.has)
		if sh.nodes > 0 {
			lacks = n.free.lacks(n.has, n.has)
		}
		if sh.prog != nil {
			lacks += int64(max(0, sh.ranks-n.crew(sh.prog).idle)) * micro
		}
		list = append(list, candidate{n, lacks})
	}
	if len(list) < want {
		return
	}
	slices.SortStableFunc(list, func(a, b candidate) int { return cmp.Compare(a.lacks, b.lacks) })
	s.tasks.at(r).flags |= isKeeper
	c.keeping = r
	for _, cand := range list[:want] {
		cand.n.keeper = r
		c.kept = append(c.kept, cand.n)
		s.kicks = append(s.kicks, cand.n) // engines that wait for room for their own tasks are the gang's
		s.update(cand.n)
	}
}

// unkeep gives the nodes free again that were kept for a task of c.
func (s *State) unkeep(c *client) {
	if c.keeping == 0 {
		return
	}
	s.tasks.at(c.keeping).flags &^= isKeeper
	c.keeping = 0
	kept := c.kept
	c.kept = nil
	for _, n := range kept {
		n.keeper = 0
		s.kicks = append(s.kicks, n) // not at once: its place may be for the gang just taken from here
		s.update(n)
	}
}

// kickAll tries the engines of nodes that are not kept any more.
func (s *State) kickAll() {
	for i := 0; i < len(s.kicks); i++ {
		s.kick(s.kicks[i])
		s.update(s.kicks[i])
	}
	clear(s.kicks)
	s.kicks = s.kicks[:0]
}

// gangHolds reports whether a node's engines of p are being gathered for a gang.
func (s *State) gangHolds(n *node, p *program) bool {
	if n.keeper == 0 {
		return false
	}
	sh := s.tasks.at(n.keeper).kind.shape
	return sh.ranks > 1 && sh.prog == p
}

// could reports whether a node could hold a task of the shape if it had nothing else to do.
func (s *State) could(n *node, sh *shape) bool {
	if !n.has.covers(sh.need) || sh.left > 0 && n.until > 0 && n.until-s.now < sh.left {
		return false
	}
	return sh.prog == nil || sh.ranks <= 1 || sh.ranks <= s.crewSize(n, sh.prog)
}

// crewSize is how many engines of a program a node has, or will have.
func (s *State) crewSize(n *node, p *program) int {
	size := n.crew(p).total
	if p.wanted {
		size = max(size, n.wants(p))
	}
	return size
}

// couldBe reports whether enough nodes are there that could hold a task of the shape.
func (s *State) couldBe(sh *shape) bool {
	if sh.possibleN == s.grown && sh.left == 0 {
		return sh.possible
	}
	found := 0
	for _, n := range s.up {
		if !n.drained && s.could(n, sh) {
			if found++; found >= max(1, sh.nodes) {
				break
			}
		}
	}
	sh.possible, sh.possibleN = found >= max(1, sh.nodes), s.grown
	return sh.possible
}
