package sched

import (
	"fmt"
	"strings"

	"github.com/tutti-hpc/tutti"
)

// submit takes in tasks. First all of a batch become known, then their dependencies are joined, so
// that these may point forwards; what can never run ends at once, and the rest is made ready.
func (s *State) submit(ev Submit) {
	s.clientOfID(ev.Client)
	batch := s.scratch.batch[:0]
	for i := range ev.Tasks {
		batch = append(batch, s.admit(&ev.Tasks[i]))
	}
	s.scratch.batch = batch
	forward := false
	for i, r := range batch {
		if nt := &ev.Tasks[i]; r != 0 && (len(nt.Deps) > 0 || len(nt.After) > 0) {
			forward = s.join1(r, nt) || forward
		}
	}
	if forward {
		s.breakCycles(batch)
	}
	var seen *shape
	var good *Class
	for _, r := range batch {
		if r == 0 {
			continue
		}
		t := s.tasks.at(r)
		t.flags &^= inBatch
		if t.final() {
			continue
		}
		// A batch is mostly of one class, and what can be wrong is in the class.
		if t.class != good && !s.acceptable(r, t) {
			continue
		}
		good = t.class
		if t.pending == 0 {
			s.makeReady(r, t)
		}
		if sh := t.kind.shape; sh != seen && !sh.targeted {
			s.foresee(t)
			seen = sh
		}
	}
	s.throttle(s.clients[ev.Client])
}

// admit makes a task known, waiting; 0 if it cannot be named, or was known before.
func (s *State) admit(nt *NewTask) ref {
	if nt.ID.Client() == 0 || nt.ID.N() == 0 || nt.Class == nil || s.find(nt.ID) != 0 {
		return 0
	}
	c := s.clientOfID(nt.ID.Client())
	r, t := s.tasks.take()
	s.seq++
	*t = task{
		id: nt.ID, tag: nt.Tag, class: nt.Class, kind: s.kindOf(nt.Class), seq: s.seq,
		bytes: uint32(min(max(nt.Bytes, 0), 1<<31)), node: tutti.NoNode, flags: inBatch,
	}
	if len(nt.Deps) > 0 {
		t.more = &more{deps: nt.Deps}
	}
	if len(nt.Follow)+len(nt.Near) > 0 {
		t.extra().rare = &rare{follow: nt.Follow, near: nt.Near}
	}
	c.index.put(nt.ID.N(), r)
	s.counts[tutti.Waiting]++
	c.counts[tutti.Waiting]++
	c.open.Tasks++
	c.open.Bytes += int64(t.bytes)
	return r
}

// join1 connects a task with those it waits for. It reports whether one of them comes later in
// the same batch, or is the task itself: only then can there be a cycle.
func (s *State) join1(r ref, nt *NewTask) (forward bool) {
	t := s.tasks.at(r)
	for i := range len(nt.Deps) + len(nt.After) {
		need := i < len(nt.Deps)
		var id tutti.TaskID
		if need {
			id = nt.Deps[i]
		} else {
			id = nt.After[i-len(nt.Deps)]
		}
		fr := s.find(id)
		switch {
		case fr == forgot && !need: // it has ended
			continue
		case fr == forgot:
			s.finish(r, t, tutti.Errored, tutti.Expired, 0, fmt.Sprintf("task %v, which it depends on, is forgotten", id))
			return forward
		case fr == 0:
			s.finish(r, t, tutti.Errored, tutti.NotFound, 0, fmt.Sprintf("it waits for task %v, and there is none", id))
			return forward
		}
		from := s.tasks.at(fr)
		switch {
		case from.final() && !need:
			continue
		case from.final() && from.state != tutti.Done:
			s.finish(r, t, tutti.Errored, tutti.Dependency, from.root(), "")
			return forward
		}
		s.connect(fr, r, need, from.state == tutti.Done && from.flags&isGone == 0)
		s.want(fr, from)
		forward = forward || from.flags&inBatch != 0 && from.seq >= t.seq
	}
	return forward
}

// breakCycles ends the tasks of a batch that wait for one another in a circle. It takes away what
// waits for nothing in the batch, again and again; what is left stands in a circle or behind one.
func (s *State) breakCycles(batch []ref) {
	waits := map[ref]int{}
	var free []ref
	for _, r := range batch {
		if r != 0 && !s.tasks.at(r).final() {
			if waits[r] = s.waitsInBatch(r, nil); waits[r] == 0 {
				free = append(free, r)
			}
		}
	}
	for len(free) > 0 {
		r := free[len(free)-1]
		free = free[:len(free)-1]
		delete(waits, r)
		free = s.letGo(r, waits, free)
	}
	for _, r := range batch {
		if _, left := waits[r]; !left {
			continue
		}
		circle := s.circle(r, waits)
		why := "the tasks wait for one another in a circle: " + s.names(circle)
		for _, m := range circle {
			delete(waits, m)
			s.finish(m, s.tasks.at(m), tutti.Errored, tutti.Unsatisfiable, 0, why)
			free = append(free, m)
		}
		for len(free) > 0 { // those behind it may be free now, for they fail with it
			f := free[len(free)-1]
			free = free[:len(free)-1]
			delete(waits, f)
			free = s.letGo(f, waits, free)
		}
	}
}

// letGo takes away r from what others wait for, and adds those that wait for nothing more to free.
func (s *State) letGo(r ref, waits map[ref]int, free []ref) []ref {
	for er := s.tasks.at(r).out; er != 0; {
		e := s.edges.at(er)
		if n, ok := waits[e.to]; ok {
			if waits[e.to] = n - 1; n == 1 {
				free = append(free, e.to)
			}
		}
		er = e.nextOut
	}
	return free
}

// waitsInBatch counts the unmet edges that lead to r from tasks of the batch; with among, it
// finds the first that is in there instead.
func (s *State) waitsInBatch(r ref, among map[ref]int) int {
	n := 0
	for er := s.tasks.at(r).in; er != 0; {
		e := s.edges.at(er)
		from := s.tasks.at(e.from)
		if among != nil {
			if _, ok := among[e.from]; ok {
				return int(e.from)
			}
		} else if !e.met && from.flags&inBatch != 0 && !from.final() {
			n++
		}
		er = e.nextIn
	}
	return n
}

// circle follows what r waits for, among those that are left, until it comes back to where it was.
func (s *State) circle(r ref, waits map[ref]int) []ref {
	at := map[ref]int{}
	var path []ref
	for {
		if i, seen := at[r]; seen {
			return path[i:]
		}
		at[r] = len(path)
		path = append(path, r)
		r = ref(s.waitsInBatch(r, waits))
		if r == 0 {
			return path
		}
	}
}

// names lists tasks for people, the middle of long lists left out.
func (s *State) names(list []ref) string {
	var parts []string
	for i, r := range list {
		if i >= 4 && i < len(list)-1 {
			if i == 4 {
				parts = append(parts, "...")
			}
			continue
		}
		parts = append(parts, s.tasks.at(r).id.String())
	}
	return strings.Join(append(parts, s.tasks.at(list[0]).id.String()), " -> ")
}

// acceptable ends a task that can never run, whatever nodes may come.
func (s *State) acceptable(r ref, t *task) bool {
	need, c := t.class.Need, t.class
	fail := func(kind tutti.Kind, format string, args ...any) bool {
		s.finish(r, t, tutti.Errored, kind, 0, fmt.Sprintf(format, args...))
		return false
	}
	switch {
	case need.Check() != nil:
		return fail(tutti.Invalid, "%v", need.Check())
	case need.Nodes > 1 && c.Program != "":
		return fail(tutti.Unsupported, "only commands can span several nodes, and this is a function that asks for %d", need.Nodes)
	case need.Ranks > 1 && c.Program == "":
		return fail(tutti.Unsupported, "a command runs without engines and cannot have %d ranks; ask for cores, and start mpiexec in it", need.Ranks)
	case !t.targeted():
		return true
	case t.kind.shape.world:
		kind, why := s.worldTrouble(t)
		return why == "" || fail(kind, "%s", why)
	case need.Ranks > 1 || need.Nodes > 0:
		return fail(tutti.Unsupported, "a task for one engine cannot have several ranks or whole nodes")
	}
	e := s.engine(c.Target)
	switch {
	case e == nil:
		return fail(tutti.NotFound, "there is no engine %d", c.Target)
	case e.state == engineGone:
		return fail(tutti.Lost, "%s", s.whyGone(c.Target))
	case e.state == engineAwaited:
		return true
	case c.Program != e.prog.name:
		return fail(tutti.Invalid, "engine %d runs %s, and the task is for %s", e.id, e.prog.name, c.Program)
	case !e.node.has.covers(t.kind.shape.need):
		return fail(tutti.Unsatisfiable, "it needs %v, and the node of engine %d has %v", need, e.id, s.kinds.resources(e.node.has))
	}
	return true
}

// restore takes in tasks that had ended in an earlier life of the controller.
func (s *State) restore(ev Restore) {
	for id := tutti.EngineID(len(s.engines)); id < min(ev.Engines, maxEngine); id++ {
		s.engines = append(s.engines, &engine{id: id, state: engineAwaited, node: nowhere, prog: nothing})
		s.ringBy(&s.awaiting, (*patience)(s), s.now+returnTime)
	}
	for i := range ev.Tasks {
		rt := &ev.Tasks[i]
		if !rt.State.Final() {
			continue
		}
		r := s.admit(&rt.NewTask)
		if r == 0 {
			continue
		}
		t := s.tasks.at(r)
		c := s.clientOf(t)
		c.open.Tasks--
		c.open.Bytes -= int64(t.bytes)
		t.flags &^= inBatch
		t.kindOf, t.attempt, t.epoch = rt.Kind, rt.Run.Attempt, rt.Run.Epoch
		t.size = uint32(min(max(rt.Size, 0)>>10+1, 1<<31))
		if rt.Cause != 0 {
			t.setCause(rt.Cause)
		}
		s.setState(t, rt.State)
		if rt.State == tutti.Done && rt.Node >= 0 && rt.Node <= maxNode {
			t.flags |= isBlob
			t.node = rt.Node
			s.keepResult(s.await(rt.Node), r, t)
			s.tally(t)
		}
	}
}

// await is the node with that number, or a place for it until it comes.
func (s *State) await(id tutti.NodeID) *node {
	for int(id) >= len(s.nodes) {
		s.nodes = append(s.nodes, nil)
	}
	if s.nodes[id] == nil {
		s.nodes[id] = &node{id: id, awaited: true}
		s.ringBy(&s.awaiting, (*patience)(s), s.now+returnTime)
	}
	return s.nodes[id]
}

// total is how many of the client's tasks are known.
func (c *client) total() (n int) {
	for _, v := range c.counts {
		n += v
	}
	return n
}

// clientGone takes in that a client has left for good. What is durable goes on, and its results
// stay until somebody forgets them.
func (s *State) clientGone(ev ClientGone) {
	c := s.clients[ev.Client]
	if c == nil || ev.Keep {
		return
	}
	c.gone = true
	for r := range c.index.each {
		t := s.tasks.at(r)
		if t.class.Durable {
			continue
		}
		t.flags |= isForgot
		s.cancelTask(r, t)
		s.tidy(r, t)
	}
	if c.total() == 0 {
		s.dropClient(c)
	}
}

// dropClient forgets a client that has left, with nothing of it left.
func (s *State) dropClient(c *client) {
	for len(c.queues) > 0 {
		s.dropQueue(c.queues[0])
	}
	s.unkeep(c)
	delete(s.clients, c.id)
	s.last = nil
	s.order = without(s.order, c)
}
