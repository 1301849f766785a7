package clustertest_test

import (
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster/clustertest"
)

// misfortune is something that may befall a scene.
type misfortune struct {
	name    string
	journal bool // it is borne by clusters with a journal only
	befall  func(s *scene, working *sync.WaitGroup)
}

// onNode makes a misfortune of one node.
func onNode(f func(s *scene, n *clustertest.Node)) func(*scene, *sync.WaitGroup) {
	return func(s *scene, _ *sync.WaitGroup) {
		if nodes := s.c.Nodes(); len(nodes) > 0 {
			n := nodes[s.rng.IntN(len(nodes))]
			s.tell("  it is %s", n.Host)
			f(s, n)
		}
	}
}

// onEngine makes a misfortune of one engine.
func onEngine(f func(s *scene, e clustertest.Engine)) func(*scene, *sync.WaitGroup) {
	return onNode(func(s *scene, n *clustertest.Node) {
		if list := n.Engines(); len(list) > 0 {
			f(s, list[s.rng.IntN(len(list))])
		}
	})
}

// pause lets time pass.
func (s *scene) pause(lo, hi time.Duration) {
	time.Sleep(lo + time.Duration(s.rng.Int64N(int64(hi-lo))))
}

var misfortunes = []misfortune{
	{"engine killed", false, onEngine(func(s *scene, e clustertest.Engine) { e.Kill() })},
	{"engine stopped", false, onEngine(func(s *scene, e clustertest.Engine) { e.Hang() })},
	{"engine stopped for a while", false, onEngine(func(s *scene, e clustertest.Engine) {
		e.Hang()
		s.pause(time.Second, 20*time.Second)
		e.Unhang()
	})},
	{"all engines of a node killed", false, onNode(func(s *scene, n *clustertest.Node) {
		for _, e := range n.Engines() {
			e.Kill()
		}
	})},
	{"node killed, another comes", false, onNode(func(s *scene, n *clustertest.Node) {
		n.Kill()
		s.c.AddNode()
	})},
	{"node killed, another comes later", false, onNode(func(s *scene, n *clustertest.Node) {
		n.Kill()
		s.pause(0, 10*time.Second)
		s.c.AddNode()
	})},
	{"node leaves, another comes", false, onNode(func(s *scene, n *clustertest.Node) {
		s.c.AddNode()
		n.Stop()
	})},
	{"connection cut", false, onNode(func(s *scene, n *clustertest.Node) { n.Cut() })},
	{"all connections cut", false, func(s *scene, _ *sync.WaitGroup) { s.c.Net.CutAll() }},
	{"node cut off for a moment", false, onNode(func(s *scene, n *clustertest.Node) {
		n.Partition()
		s.pause(0, 3*time.Second)
		n.Mend()
	})},
	{"node cut off for long", false, onNode(func(s *scene, n *clustertest.Node) {
		n.Partition()
		s.pause(4*time.Second, 20*time.Second)
		n.Mend()
	})},
	{"node silent for long", false, onNode(func(s *scene, n *clustertest.Node) {
		n.Silence()
		s.pause(4*time.Second, 20*time.Second)
		n.Mend()
	})},
	{"controller crashes", true, func(s *scene, _ *sync.WaitGroup) {
		s.c.Crash()
		s.c.Restart()
	}},
	{"controller crashes, and is away for a while", true, func(s *scene, _ *sync.WaitGroup) {
		s.c.Crash()
		s.pause(0, 30*time.Second)
		s.c.Restart()
	}},
	{"controller crashes while a node is cut off", true, func(s *scene, working *sync.WaitGroup) {
		onNode(func(s *scene, n *clustertest.Node) {
			n.Partition()
			s.pause(0, 10*time.Second)
			s.c.Crash()
			s.c.Restart()
			s.pause(0, 10*time.Second)
			n.Mend()
		})(s, working)
	}},
	{"tasks cancelled", false, func(s *scene, _ *sync.WaitGroup) {
		s.mu.Lock()
		items := s.items
		s.mu.Unlock()
		for _, i := range items {
			if s.rng.IntN(4) == 0 && i.permit(tutti.Canceled) {
				s.tell("  cancel %s (task %v)", i.name, i.id)
				i.cancel()
			}
		}
	}},
	{"client leaves, another comes", false, func(s *scene, working *sync.WaitGroup) {
		s.mu.Lock()
		g := s.guest[s.rng.IntN(len(s.guest))]
		s.mu.Unlock()
		s.leave(g)
		s.welcome(working)
	}},
	{"node comes", false, func(s *scene, _ *sync.WaitGroup) { s.c.AddNode() }},
}
