package sched

import (
	"iter"

	"github.com/tutti-hpc/tutti"
)

// Counts is how many tasks are in each state; index it by [tutti.State].
type Counts [tutti.Stopped + 1]int

// Info is what is known of a task at a moment.
type Info struct {
	ID      tutti.TaskID
	Tag     any
	Class   *Class
	State   tutti.State
	Run     tutti.RunID      // the last, zero if it never ran
	Engine  tutti.EngineID   // where it is, NoEngine for commands and while it is nowhere
	Engines []tutti.EngineID // of a gang
	Node    tutti.NodeID     // where it is or ran last
	Host    string           // that node's name
	Kind    tutti.Kind       // of its error
	Cause   tutti.TaskID     // of a failed dependency
	Lost    int              // runs that the machinery lost
	Failed  int              // runs that its own code failed
}

// Task is what is known of a task; false if it is not known, or forgotten.
func (s *State) Task(id tutti.TaskID) (Info, bool) {
	_, t := s.known(id)
	if t == nil {
		return Info{}, false
	}
	return s.info(t), true
}

// Tag is what the task was submitted with, nil if it is not known, or forgotten.
func (s *State) Tag(id tutti.TaskID) any {
	if _, t := s.known(id); t != nil {
		return t.tag
	}
	return nil
}

// Forgotten reports whether a task was known and is not any more: one of that name is not taken again.
func (s *State) Forgotten(id tutti.TaskID) bool { return s.find(id) == forgot }

// info copies what is known, so that nothing of the State leaves it.
func (s *State) info(t *task) Info {
	i := Info{ID: t.id, Tag: t.tag, Class: t.class, State: t.state, Engine: tutti.NoEngine, Node: t.node,
		Kind: t.kindOf, Cause: t.cause(), Lost: int(t.lost), Failed: int(t.failed)}
	if t.attempt != 0 {
		i.Run = t.run()
	}
	if t.node >= 0 && s.nodes[t.node] != nil {
		i.Host = s.nodes[t.node].name
	}
	if sl := t.slot; sl != nil {
		if sl.engine != nil {
			i.Engine = sl.engine.id
		}
		for _, e := range sl.gang {
			i.Engines = append(i.Engines, e.id)
		}
	}
	return i
}

// Tasks iterates over a client's tasks in the order of their numbers. The State may not be used
// otherwise meanwhile.
func (s *State) Tasks(c tutti.ClientID) iter.Seq[Info] {
	return func(yield func(Info) bool) {
		if cl := s.clients[c]; cl != nil {
			for r := range cl.index.each {
				if !yield(s.info(s.tasks.at(r))) {
					return
				}
			}
		}
	}
}

// Counts is how many of all tasks are in each state. Forgotten ones do not count.
func (s *State) Counts() Counts { return s.counts }

// ClientCounts is the same for one client.
func (s *State) ClientCounts(c tutti.ClientID) Counts {
	if cl := s.clients[c]; cl != nil {
		return cl.counts
	}
	return Counts{}
}

// Clients iterates over the clients by number.
func (s *State) Clients() iter.Seq[tutti.ClientID] {
	return func(yield func(tutti.ClientID) bool) {
		for _, c := range s.order {
			if !yield(c.id) {
				return
			}
		}
	}
}

// NodeInfo is what is known of a node at a moment.
type NodeInfo struct {
	Node    tutti.NodeID
	Name    string
	Pool    string
	Has     tutti.Resources
	Free    tutti.Resources
	Drained bool
	Engines int // that live or are to live
	Runs    int // sent there and not ended
	Results int // blobs that lie there and that somebody may ask for
}

// Nodes iterates over the nodes that are there, in order of joining.
func (s *State) Nodes() iter.Seq[NodeInfo] {
	return func(yield func(NodeInfo) bool) {
		for _, n := range s.up {
			i := NodeInfo{Node: n.id, Name: n.name, Has: s.kinds.resources(n.has), Free: s.kinds.resources(n.free),
				Drained: n.drained, Engines: len(n.engines), Results: n.kept}
			if n.pool != nil {
				i.Pool = n.pool.name
			}
			for _, sl := range n.slots {
				i.Runs += sl.n
			}
			if !yield(i) {
				return
			}
		}
	}
}

// EngineInfo is what is known of an engine at a moment.
type EngineInfo struct {
	Engine  tutti.EngineID
	Life    uint32
	Node    tutti.NodeID
	Program string
	State   string       // idle, busy, starting, ...
	Runs    int          // sent to it and not ended
	Waiting int          // meant for it alone and not sent yet
	Task    tutti.TaskID // the first of those sent, 0 if none
	Why     string       // it died last
}

// Engines iterates over the engines that live or are to live, by number.
func (s *State) Engines() iter.Seq[EngineInfo] {
	return func(yield func(EngineInfo) bool) {
		for _, e := range s.engines {
			if e == nil || e.state == engineGone || e.state == engineAwaited {
				continue
			}
			i := EngineInfo{Engine: e.id, Life: e.life, Node: e.node.id, Program: e.prog.name,
				State: engineStates[e.state], Waiting: e.line.n, Why: e.why}
			if sl := e.slot; sl != nil && sl.head != 0 {
				i.Runs, i.Task = sl.n, s.tasks.at(sl.head).id
			}
			if !yield(i) {
				return
			}
		}
	}
}
