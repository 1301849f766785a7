// Package clustertest is a whole cluster inside a test: controller, agents, engines and clients as
// goroutines of one process, over a network in memory. It works in a testing/synctest bubble, where
// a minute of heartbeats, lost nodes and restarts takes a millisecond.
//
//	synctest.Test(t, func(t *testing.T) {
//		c := clustertest.Start(t, clustertest.Spec{Nodes: 2, Engines: 2})
//		me := c.Client()
//		f := tutti.Submit(t.Context(), me.Balanced(), square, 7)
//		c.Nodes()[0].Kill()
//		y, err := f.Get(t.Context()) // 49: the other node has done it
//	})
//
// Engines are goroutines that run this program's functions (engine.Memory), and commands are Go
// functions too. The rest is the real thing: the scheduler, the links, the journal on a real disk,
// the blob stores in real shared memory.
//
// # Misfortune
//
// A [Node] can be killed, cut off or silenced, and so can each engine on it ([Engine]); the network
// as a whole can lose, double and delay what it carries ([Cluster.Weather]); the controller can be
// crashed and started again ([Cluster.Crash], [Cluster.Restart]), with [Spec].Probe at a chosen
// record of its journal.
//
// # What always holds
//
// After each step of the controller's scheduler its own Check is called. Freed memory of blobs is
// overwritten, and looked at again at the end. A goroutine that is left behind fails the bubble. The
// end of the test closes everything that it has not closed itself.
package clustertest
