package sched

import (
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

func TestPlacement(t *testing.T) {
	t.Run("resources are held", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4)
		st.want(st.tasks(3, cmdClass(tutti.Resources{Cores: 2})), "1.1#1 on h0; 1.2#1 on h0")
		st.explains(id(3), "needs 2 cores, and no node has that free")
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.3#1 on h0")
	})
	t.Run("fractions do not drift", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		c := cmdClass(tutti.Resources{Cores: 1. / 6})
		st.play(st.tasks(6, c))
		if n := st.s.Counts()[tutti.Assigned]; n != 6 {
			t.Fatalf("%d sixths fit into one", n)
		}
		for n := range uint64(6) {
			st.play(ended(n+1, 1, Succeeded))
		}
		st.want(st.tasks(1, cmdClass(tutti.Resources{Cores: 1})), "1.7#1 on h0")
	})
	t.Run("functions need an engine of their program", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		st.want(st.tasks(3, fnClass("f")), "1.1#1 on 1; 1.2#1 on 0")
		st.want(st.tasks(1, &Class{Program: "x", Target: tutti.NoEngine}),
			"warn 1.4: it waits for engines of program x, and nobody starts any")
		st.explains(id(3), "all 2 engines of p are busy")
		st.explains(id(4), "nobody starts any")
	})
	t.Run("priority, then submission", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.play(st.tasks(1, fnClass("f")))
		st.play(st.tasks(2, fnClass("f")))
		high := fnClass("f")
		high.Priority = 1
		st.play(st.tasks(1, high))
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.4#1 on 0")
		st.want(ended(4, 1, Succeeded), "1.4 done; 1.2#1 on 0")
		st.explains(id(3), "all 1 engines of p are busy")
	})
	t.Run("whole nodes", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2, 2, 2)
		st.want(st.tasks(1, cmdClass(tutti.Resources{})), "1.1#1 on h2")
		st.want(st.tasks(2, cmdClass(tutti.Resources{Nodes: 2})), "1.2#1 on h1,h0")
		st.want(ended(1, 1, Succeeded), "1.1 done")
		st.want(ended(2, 1, Succeeded), "1.2 done; 1.3#1 on h1,h0")
		st.want(NodeDown{Node: 0}, "abort [1.3#1]")
		st.want(ended(3, 1, WasCanceled), "repeat 1.3#1; 1.3#2 on h1,h2")
	})
	t.Run("what can never run", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4, 2)
		st.want(st.tasks(2, cmdClass(tutti.Resources{Cores: 8})), "warn 1.1: it needs 8 cores, and the largest node, h0, has 4 cores, 1 GPU")
		st.want(st.tasks(1, &Class{Program: "p", Target: tutti.NoEngine, Need: tutti.Resources{Nodes: 2}}), "1.3 failed (unsupported)")
		st.want(st.tasks(1, cmdClass(tutti.Resources{Ranks: 2})), "1.4 failed (unsupported)")
		st.want(st.tasks(1, cmdClass(tutti.Resources{Cores: -1})), "1.5 failed (invalid)")
		st.want(NodeUp{Node: 2, Name: "h2", Has: tutti.Resources{Cores: 8}}, "start 6.1; start 7.1; start 8.1; start 9.1; start 10.1; start 11.1; start 12.1; start 13.1; 1.1#1 on h2")
	})
	t.Run("time left", func(t *testing.T) {
		st := newStage(t, Config{})
		st.play(NodeUp{Node: 0, Name: "h0", Has: tutti.Resources{Cores: 2}, Until: st.now.Add(time.Hour)})
		c := cmdClass(tutti.Resources{Time: 50 * time.Minute})
		st.want(st.tasks(1, c), "1.1#1 on h0")
		st.wantAfter(20*time.Minute, st.tasks(1, c), "warn 1.2: it needs 1 core, 50m0s, and the largest node, h0, has 2 cores for 40m0s more")
	})
}

func TestLocality(t *testing.T) {
	t.Run("follow", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2, 2)
		st.want(st.tasks(1, fnClass("f")), "1.1#1 on 3")
		st.want(st.task(fnClass("g"), func(n *NewTask) { n.Near = []Place{{Node: 0, Size: 1000}} }), "1.2#1 on 1")
		st.want(st.task(fnClass("g"), func(n *NewTask) { n.Follow = []tutti.TaskID{id(2)} }), "1.3#1 on 0")
	})
	t.Run("large data is waited for, but not for longer than fetching it", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1, 1)
		st.play(st.task(fnClass("f"), func(n *NewTask) { n.Near = []Place{{Node: 0, Size: 1}} }))
		st.want(st.task(fnClass("g"), func(n *NewTask) { n.Near = []Place{{Node: 0, Size: linkSpeed}} }), "")
		st.explains(id(2), "its data lies on h0, which is busy; in 1s it goes elsewhere")
		st.wantAfter(time.Second, Tick{}, "1.2#1 on 1")
	})
	t.Run("results attract", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1, 1)
		st.want(st.tasks(1, fnClass("f")), "1.1#1 on 1")
		st.play(NodeUp{Node: 2, Name: "h2", Has: tutti.Resources{Cores: 1}})
		st.play(st.task(fnClass("g"), deps(id(1))))
		st.want(blob(1, 1, linkSpeed), "1.1 done; 1.2#1 on 1")
	})
}

func TestWindows(t *testing.T) {
	short := func(n uint64, attempt int) Done {
		return Done{Results: []Result{{Run: runOf(n, attempt), Took: time.Millisecond}}}
	}
	t.Run("unknown and long functions are never queued", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.want(st.tasks(10, fnClass("f")), "1.1#1 on 0")
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.2#1 on 0")
	})
	t.Run("short ones are sent ahead, in batches", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.play(st.tasks(20, fnClass("f")))
		st.want(short(1, 1), "1.1 done; 1.2#1 on 0; 1.3#1 on 0; 1.4#1 on 0; 1.5#1 on 0; 1.6#1 on 0")
		st.want(short(2, 1), "1.2 done")
		st.want(short(3, 1), "1.3 done")
		st.want(short(4, 1), "1.4 done; 1.7#1 on 0; 1.8#1 on 0; 1.9#1 on 0")
		st.explains(id(7), "2 tasks run before it, now 1.5")
	})
	t.Run("what waits behind a long one is asked back", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.play(st.tasks(4, fnClass("f")))
		st.want(short(1, 1), "1.1 done; 1.2#1 on 0; 1.3#1 on 0; 1.4#1 on 0")
		st.wantAfter(100*time.Millisecond, Tick{}, "recall [1.3#1 1.4#1]")
		st.want(Returned{Runs: []tutti.RunID{runOf(3, 1), runOf(4, 1)}}, "")
		st.want(NodeUp{Node: 1, Name: "h1", Has: tutti.Resources{Cores: 1}}, "start 1.1; 1.3#2 on 1") // and not 1.4: its engine is not known to be the faster one
	})
	t.Run("targeted ones wait at their engine", func(t *testing.T) {
		st := newStage(t, Config{Window: 2}).withNodes(2)
		c := &Class{Program: "p", Func: "f", Target: 1}
		st.want(st.tasks(3, c), "1.1#1 on 1; 1.2#1 on 1")
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.3#1 on 1")
	})
}

func TestCommandsAhead(t *testing.T) {
	short := func(n uint64) Done { return Done{Results: []Result{{Run: runOf(n, 1), Took: 2 * time.Millisecond}}} }
	c := &Class{Target: tutti.NoEngine, Func: "true"}
	st := newStage(t, Config{}).withNodes(2)
	st.want(st.tasks(20, c), "1.1#1 on h0; 1.2#1 on h0")
	st.want(short(1), "1.1 done; 1.3#1 on h0; 1.4#1 on h0")
	st.want(short(2), "1.2 done; 1.5#1 on h0; 1.6#1 on h0")
	st.explains(id(4), "it was sent to h0, where 1 tasks run before it, now 1.3")
	for n := range st.s.Nodes() {
		if n.Free.Cores != 0 || n.Runs != 4 { // two hold a core each, and two wait behind them
			t.Errorf("%+v", n)
		}
	}
	st.want(short(3), "1.3 done; 1.7#1 on h0")
	st.wantAfter(100*time.Millisecond, Tick{}, "recall [1.6#1]; recall [1.7#1]")
	st.want(Returned{Runs: []tutti.RunID{runOf(6, 1), runOf(7, 1)}}, "")
	st.want(short(4), "1.4 done; 1.6#2 on h0; 1.7#2 on h0")
	st.want(Cancel{Tasks: []tutti.TaskID{id(7)}}, "abort [1.7#2]")
	st.want(ended(7, 2, WasCanceled), "1.7 cancelled; 1.8#1 on h0")
	st.want(NodeDown{Node: 0}, "repeat 1.6#2; repeat 1.5#1")
}

func TestFairness(t *testing.T) {
	st := newStage(t, Config{}).withNodes(2)
	c := fnClass("f")
	st.play(st.tasks(100, c))
	var other Submit
	other.Client = 2
	for n := range uint64(2) {
		other.Tasks = append(other.Tasks, NewTask{ID: tutti.MakeTaskID(2, n+1), Class: c})
	}
	st.want(other, "")
	st.want(ended(1, 1, Succeeded), "1.1 done; 2.1#1 on 1")
	st.want(ended(2, 1, Succeeded), "1.2 done; 2.2#1 on 0")
}

func TestGangs(t *testing.T) {
	gang := &Class{Program: "p", Func: "g", Target: tutti.NoEngine, Need: tutti.Resources{Ranks: 2}}
	t.Run("on one node", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1, 2)
		st.want(st.tasks(1, gang), "1.1#1 on 1,2")
		st.want(st.tasks(1, gang), "")
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.2#1 on 1,2")
	})
	t.Run("too large", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		big := &Class{Program: "p", Target: tutti.NoEngine, Need: tutti.Resources{Ranks: 3}}
		st.want(st.tasks(1, big), "warn 1.1: it needs 3 cores, 3 ranks, and the largest node, h0, has 2 cores, 1 GPU and 2 engines for it")
	})
	t.Run("are not starved by small ones", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		st.want(st.tasks(2, fnClass("f")), "1.1#1 on 1; 1.2#1 on 0")
		st.play(st.tasks(1, gang))
		st.play(Submit{Client: 2, Tasks: []NewTask{{ID: tutti.MakeTaskID(2, 1), Class: fnClass("f")}}})
		st.wantAfter(200*time.Millisecond, Tick{}, "")
		st.wantAfter(200*time.Millisecond, Tick{}, "")
		st.explains(id(3), "gets nothing else until it fits")
		st.want(ended(1, 1, Succeeded), "1.1 done")
		st.want(ended(2, 1, Succeeded), "1.2 done; 1.3#1 on 0,1")
		st.want(ended(3, 1, Succeeded), "1.3 done; 2.1#1 on 1")
	})
	t.Run("losing one engine is the agent's affair", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		st.play(st.tasks(1, gang))
		st.want(EngineDown{Engine: 0, Life: 1, Why: "crash"}, "")
		st.explains(id(1), "an engine or node of its run was lost")
		st.want(ended(1, 1, MachineFailed), "repeat 1.1#1")
		st.wantAfter(time.Second, Tick{}, "start 0.2; 1.1#2 on 0,1")
	})
	t.Run("unless that does nothing about it", func(t *testing.T) {
		st := newStage(t, Config{Restart: time.Hour}).withNodes(2)
		st.play(st.tasks(1, gang))
		st.play(EngineDown{Engine: 0, Life: 1, Why: "crash"})
		st.wantAfter(10*time.Second, Tick{}, "abort [1.1#1]")
		st.wantAfter(10*time.Second, Tick{}, "abort [1.1#1] force")
		st.wantAfter(10*time.Second, Tick{}, "stop 1.1; repeat 1.1#1")
	})
	t.Run("and it can be cancelled meanwhile", func(t *testing.T) {
		st := newStage(t, Config{Restart: time.Hour}).withNodes(2)
		st.play(st.tasks(1, gang))
		st.play(EngineDown{Engine: 0, Life: 1, Why: "crash"})
		st.want(Cancel{Tasks: []tutti.TaskID{id(1)}}, "abort [1.1#1]")
		st.want(Cancel{Tasks: []tutti.TaskID{id(1)}}, "")
		st.want(ended(1, 1, WasCanceled), "1.1 cancelled")
	})
}

// worldOf is a class of worlds of certain engines.
func worldOf(ids ...tutti.EngineID) *Class {
	return &Class{Program: "p", Func: "w", Target: tutti.NoEngine, Engines: ids}
}

func TestWorlds(t *testing.T) {
	t.Run("rank is place, and all engines are free at once", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4)
		st.want(st.tasks(1, &Class{Program: "p", Func: "f", Target: 1}), "1.1#1 on 1")
		st.want(st.tasks(1, worldOf(3, 1)), "")
		st.explains(id(2), "engines [3 1] together; engine 1 (h0) is busy with task 1.1")
		st.want(st.tasks(4, fnClass("f")), "1.3#1 on 2; 1.4#1 on 0") // engine 3 waits for engine 1
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.2#1 on 3,1")
		st.want(ended(2, 1, Succeeded), "1.2 done; 1.5#1 on 1; 1.6#1 on 3")
	})
	t.Run("disjoint ones run beside each other, overlapping ones in order", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4)
		st.want(st.tasks(1, worldOf(0, 1)), "1.1#1 on 0,1")
		st.want(st.tasks(1, worldOf(2, 3)), "1.2#1 on 2,3")
		st.want(st.tasks(1, worldOf(1, 2)), "")
		st.want(st.tasks(1, worldOf(3, 0)), "")
		st.want(st.tasks(1, worldOf(2)), "")
		st.explains(id(5), "engine 2 (h0) is busy with task 1.2, and task 1.3 is before it there")
		st.want(ended(1, 1, Succeeded), "1.1 done")
		st.want(ended(2, 1, Succeeded), "1.2 done; 1.3#1 on 1,2; 1.4#1 on 3,0")
		st.want(ended(3, 1, UserFailed), "1.3 failed (failed); 1.5#1 on 2")
	})
	t.Run("in turn with tasks for one engine", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		one := &Class{Program: "p", Func: "f", Target: 0}
		st.want(st.tasks(2, one), "1.1#1 on 0; 1.2#1 on 0")
		st.want(st.tasks(1, worldOf(0, 1)), "")
		st.want(st.tasks(1, one), "")
		st.want(ended(1, 1, Succeeded), "1.1 done")
		st.want(ended(2, 1, Succeeded), "1.2 done; 1.3#1 on 0,1")
		st.want(ended(3, 1, Succeeded), "1.3 done; 1.4#1 on 0")
	})
	t.Run("what it asks for is held, and waited for", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		st.want(st.tasks(1, cmdClass(tutti.Resources{Cores: 2})), "1.1#1 on h0")
		c := worldOf(1, 0)
		c.Need.Cores = 2
		st.want(st.tasks(1, c), "")
		st.explains(id(2), "it needs 2 cores, and h0 has 1 GPU free")
		st.want(st.tasks(1, cmdClass(tutti.Resources{Cores: 1})), "")
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.2#1 on 1,0")
		st.want(ended(2, 1, Succeeded), "1.2 done; 1.3#1 on h0")
	})
	t.Run("ranks of any engines come first when it is their turn", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		st.want(st.tasks(1, fnClass("f")), "1.1#1 on 1")
		st.play(st.tasks(1, &Class{Program: "p", Func: "g", Target: tutti.NoEngine, Need: tutti.Resources{Ranks: 2}}))
		st.wantAfter(200*time.Millisecond, Tick{}, "")
		st.wantAfter(200*time.Millisecond, Tick{}, "")
		st.want(st.tasks(1, worldOf(0)), "")
		st.explains(id(3), "cleared for other ranks")
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.2#1 on 0,1")
		st.want(ended(2, 1, Succeeded), "1.2 done; 1.3#1 on 0")
	})
	t.Run("what can never be", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2, 2)
		st.want(st.tasks(1, worldOf(1, 2)), "1.1 failed (unsupported)")
		st.want(st.tasks(1, worldOf(1, 1)), "1.2 failed (invalid)")
		st.want(st.tasks(1, worldOf(1, 9)), "1.3 failed (not found)")
		c := worldOf(0, 1)
		c.Need.Ranks = 3
		st.want(st.tasks(1, c), "1.4 failed (invalid)")
		st.want(st.tasks(1, &Class{Target: tutti.NoEngine, Engines: c.Engines}), "1.5 failed (unsupported)")
		st.want(st.tasks(1, &Class{Program: "q", Target: tutti.NoEngine, Engines: c.Engines}), "1.6 failed (invalid)")
		c = worldOf(0, 1)
		c.Need.Cores = 3
		st.want(st.tasks(1, c), "1.7 failed (cannot be satisfied)")
		st.want(NodeDown{Node: 1}, "")
		st.want(st.tasks(1, worldOf(2, 3)), "1.8 failed (lost)")
	})
	t.Run("an engine that is started again is waited for, its variables are not", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		st.want(st.tasks(2, worldOf(0, 1)), "1.1#1 on 0,1")
		again := worldOf(1, 0)
		again.Retry.Lost = 1
		st.want(st.tasks(1, again), "")
		st.want(EngineDown{Engine: 1, Life: 1, Why: "killed"}, "1.2 failed (lost)")
		st.want(ended(1, 1, MachineFailed), "1.1 failed (lost)") // what it found in its engines is gone
		st.want(st.tasks(1, worldOf(1)), "")
		st.explains(id(4), "engine 1 (h0) is waiting to be started again, and task 1.3 is before it there")
		st.wantAfter(time.Second, Tick{}, "start 1.2; 1.3#1 on 1,0")
		st.want(Cancel{Tasks: []tutti.TaskID{id(3)}}, "abort [1.3#1]")
		st.want(ended(3, 1, WasCanceled), "1.3 cancelled; 1.4#1 on 1")
	})
	t.Run("cancelled while it waits", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(3)
		st.play(st.tasks(1, &Class{Program: "p", Func: "f", Target: 0}))
		st.want(st.tasks(1, worldOf(0, 1)), "")
		st.want(st.tasks(1, worldOf(1, 2)), "")
		st.want(Cancel{Tasks: []tutti.TaskID{id(2)}}, "1.3#1 on 1,2; 1.2 cancelled")
	})
}

func TestDependencies(t *testing.T) {
	f := fnClass("f")
	t.Run("order", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4)
		st.play(st.tasks(2, f))
		st.want(st.task(f, deps(id(1), id(2))), "")
		st.explains(id(3), "waits for 2 tasks, first for 1.1, which is assigned")
		st.play(Started{Runs: []tutti.RunID{runOf(1, 1)}})
		st.explains(id(3), "first for 1.1, which is running on engine 3 (h0)")
		st.want(ended(1, 1, Succeeded), "1.1 done")
		st.want(ended(2, 1, Succeeded), "1.2 done; 1.3#1 on 2")
	})
	t.Run("failure reaches all that depend, with its root", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4)
		st.play(st.tasks(1, f))
		st.play(st.task(f, deps(id(1))))
		st.play(st.task(f, deps(id(2))))
		st.play(st.task(f, func(n *NewTask) { n.After = []tutti.TaskID{id(3)} }))
		st.want(ended(1, 1, UserFailed), "1.1 failed (failed); 1.2 failed (dependency failed) by 1.1; 1.3 failed (dependency failed) by 1.1; 1.4#1 on 3")
		st.want(st.task(f, deps(id(3))), "1.5 failed (dependency failed) by 1.1")
		st.explains(id(5), "because task 1.1")
	})
	t.Run("cancelled", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4)
		st.play(st.tasks(1, f))
		st.play(st.task(f, deps(id(1))))
		st.play(st.task(f, deps(id(2))))
		st.want(Cancel{Tasks: []tutti.TaskID{id(2)}}, "1.2 cancelled; 1.3 failed (dependency failed) by 1.2")
	})
	t.Run("unknown and forgotten", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4)
		st.want(st.task(f, deps(id(99))), "1.1 failed (not found)")
		st.want(Forget{Tasks: []tutti.TaskID{id(1)}}, "drop 1.1")
		st.want(st.task(f, deps(id(1))), "1.2 failed (expired)")
		st.want(st.task(f, func(n *NewTask) { n.After = []tutti.TaskID{id(1)} }), "1.3#1 on 3")
		st.want(Submit{Client: 1, Tasks: []NewTask{{ID: id(1), Class: f}, {ID: id(3), Class: f}}}, "")
	})
	t.Run("circles", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4)
		st.want(Submit{Client: 1, Tasks: []NewTask{
			{ID: id(1), Class: f, Deps: []tutti.TaskID{id(2)}},
			{ID: id(2), Class: f, Deps: []tutti.TaskID{id(3)}},
			{ID: id(3), Class: f, After: []tutti.TaskID{id(1)}},
			{ID: id(4), Class: f, Deps: []tutti.TaskID{id(3)}},
			{ID: id(5), Class: f, Deps: []tutti.TaskID{id(5)}},
			{ID: id(6), Class: f, Deps: []tutti.TaskID{id(7)}},
			{ID: id(7), Class: f},
		}}, "1.1 failed (cannot be satisfied); 1.2 failed (cannot be satisfied); 1.3 failed (cannot be satisfied); 1.5 failed (cannot be satisfied); "+
			"1.4 failed (dependency failed) by 1.3; 1.7#1 on 3")
		st.want(ended(7, 1, Succeeded), "1.7 done; 1.6#1 on 3")
	})
	t.Run("drop waits for those that depend", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(4)
		st.play(st.tasks(1, f))
		st.play(st.task(f, deps(id(1))))
		st.want(Forget{Tasks: []tutti.TaskID{id(1)}}, "")
		st.want(ended(1, 1, Succeeded), "1.1 done; 1.2#1 on 3")
		st.want(ended(2, 1, Succeeded), "1.2 done; drop 1.1")
	})
	t.Run("a chain of a hundred thousand", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.play(st.tasks(1, f))
		var ev Submit
		for n := uint64(2); n <= 100_000; n++ {
			ev.Tasks = append(ev.Tasks, NewTask{ID: id(n), Class: f, Deps: []tutti.TaskID{id(n - 1)}})
		}
		ev.Client = 1
		st.play(ev)
		st.play(ended(1, 1, UserFailed))
		if n := st.s.Counts()[tutti.Errored]; n != 100_000 {
			t.Fatalf("%d of 100,000 have failed", n)
		}
	})
}

func TestRetries(t *testing.T) {
	t.Run("the user's errors only if asked", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		c := fnClass("f")
		c.Retry = tutti.Retry{Failed: 2, Delay: time.Second}
		st.play(st.tasks(1, c))
		st.want(ended(1, 1, UserFailed), "repeat 1.1#1")
		st.explains(id(1), "failed 1 times and was lost 0 times; it is tried again in 1s")
		st.wantAfter(time.Second, Tick{}, "1.1#2 on 0")
		st.want(ended(1, 2, UserFailed), "repeat 1.1#2")
		st.wantAfter(time.Second, Tick{}, "")
		st.wantAfter(time.Second, Tick{}, "1.1#3 on 0")
		st.want(ended(1, 3, UserFailed), "1.1 failed (failed)")
	})
	t.Run("a task that kills its engines", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		c := fnClass("f")
		c.Retry.Lost = 1
		st.play(st.tasks(1, c))
		st.want(EngineDown{Engine: 0, Life: 1, Why: "segmentation fault"}, "repeat 1.1#1")
		st.wantAfter(time.Second, Tick{}, "start 0.2; 1.1#2 on 0")
		st.want(EngineDown{Engine: 0, Life: 2}, "1.1 failed (lost)")
	})
	t.Run("what waited behind comes back unharmed and keeps its place", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		c := fnClass("f")
		c.Retry.Lost = -1
		st.play(st.tasks(5, c))
		st.want(Done{Results: []Result{{Run: runOf(1, 1), Took: 2 * time.Millisecond}}}, "1.1 done; 1.2#1 on 0; 1.3#1 on 0")
		st.want(EngineDown{Engine: 0, Life: 1}, "1.2 failed (lost)")
		st.wantAfter(time.Second, Tick{}, "start 0.2; 1.3#2 on 0; 1.4#1 on 0")
	})
	t.Run("old words are ignored", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.play(st.tasks(1, fnClass("f")))
		st.play(EngineDown{Engine: 0, Life: 1})
		st.play(EngineDown{Engine: 0, Life: 1})
		st.wantAfter(time.Second, Tick{}, "start 0.2; 1.1#2 on 0")
		acts := st.s.Step(st.now, ended(1, 1, Succeeded))
		if a, ok := acts[0].(Ack); !ok || len(acts) != 1 || len(a.Runs) != 1 {
			t.Fatalf("an old run is answered with %v", acts)
		}
		st.want(EngineDown{Engine: 0, Life: 1}, "")
	})
}

func TestStopping(t *testing.T) {
	t.Run("limits", func(t *testing.T) {
		st := newStage(t, Config{Grace: time.Second}).withNodes(1)
		c := fnClass("f")
		c.Limit = time.Minute
		st.play(st.tasks(1, c))
		st.play(Started{Runs: []tutti.RunID{runOf(1, 1)}})
		st.wantAfter(time.Minute, Tick{}, "abort [1.1#1] timeout")
		st.wantAfter(time.Second, Tick{}, "abort [1.1#1] timeout force")
		st.explains(id(1), "by force")
		st.wantAfter(time.Second, Tick{}, "stop 0.1; 1.1 failed (timed out)")
	})
	t.Run("a limit of centuries", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		c := fnClass("f")
		c.Limit = 1<<63 - 1
		st.play(st.tasks(1, c))
		st.play(Started{Runs: []tutti.RunID{runOf(1, 1)}})
		st.wantAfter(time.Hour, Tick{}, "")
	})
	t.Run("cancel", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.play(st.tasks(3, fnClass("f")))
		all := Cancel{Tasks: []tutti.TaskID{id(1), id(2), id(77)}}
		st.want(all, "abort [1.1#1]; 1.2 cancelled")
		st.want(all, "")
		st.want(ended(1, 1, WasCanceled), "1.1 cancelled; 1.3#1 on 0")
		st.play(Cancel{Tasks: []tutti.TaskID{id(3)}})
		st.want(ended(3, 1, Succeeded), "1.3 done") // it was faster
		st.want(Cancel{Tasks: []tutti.TaskID{id(3)}}, "")
	})
	t.Run("cancel, and the engine goes down", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.play(st.tasks(1, fnClass("f")))
		st.play(Cancel{Tasks: []tutti.TaskID{id(1)}})
		st.want(EngineDown{Engine: 0, Life: 1}, "1.1 cancelled")
	})
	t.Run("a client that leaves", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1)
		st.play(st.tasks(2, fnClass("f")))
		kept := fnClass("f")
		kept.Durable = true
		st.play(st.tasks(1, kept))
		st.want(ClientGone{Client: 1, Keep: true}, "")
		st.want(ClientGone{Client: 1}, "abort [1.1#1]; 1.2 cancelled; drop 1.2")
		st.want(ended(1, 1, WasCanceled), "1.1 cancelled; drop 1.1; 1.3#1 on 0")
		st.want(ended(3, 1, Succeeded), "1.3 done")
		st.want(Forget{Tasks: []tutti.TaskID{id(3)}}, "drop 1.3")
	})
	t.Run("back-pressure", func(t *testing.T) {
		st := newStage(t, Config{High: Mark{Tasks: 3}, Low: Mark{Tasks: 1}}).withNodes(1)
		st.want(st.tasks(4, cmdClass(tutti.Resources{Cores: 100, GPUs: 1})), "warn 1.1: it needs 100 cores, 1 GPU, and the largest node, h0, has 1 core, 1 GPU; throttle 1 true")
		st.want(Cancel{Tasks: []tutti.TaskID{id(1), id(2), id(3)}}, "1.1 cancelled; 1.2 cancelled; 1.3 cancelled; throttle 1 false")
	})
}

func TestLoss(t *testing.T) {
	f := fnClass("f")
	t.Run("lost results are computed again, and what they need", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2, 2)
		st.want(st.tasks(1, f), "1.1#1 on 3")
		st.play(blob(1, 1, 10))
		st.want(st.task(f, deps(id(1))), "1.2#1 on 3")
		st.play(blob(2, 1, 10))
		st.play(st.task(cmdClass(tutti.Resources{}), deps(id(2))))
		st.want(NodeDown{Node: 1}, "repeat 1.3#1; recompute 1.2; recompute 1.1; 1.1#2 on 1")
		st.want(ended(1, 2, Succeeded), "1.2#2 on 1")
		st.explains(id(3), "computed again")
		st.want(ended(2, 2, Succeeded), "1.3#2 on h0")
		st.want(ended(3, 2, Succeeded), "1.3 done")
	})
	t.Run("not if nobody needs them, until somebody does", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2, 2)
		st.play(st.tasks(1, f))
		st.play(blob(1, 1, 10))
		st.want(NodeDown{Node: 1}, "")
		st.want(st.task(f, deps(id(1))), "recompute 1.1; 1.1#2 on 1")
		st.want(ended(1, 2, Succeeded), "1.2#1 on 1")
		st.want(ResultLost{Task: id(1)}, "recompute 1.1; 1.1#3 on 0")
		st.want(ended(1, 3, UserFailed), "")
		st.want(ended(2, 1, MachineFailed), "repeat 1.2#1; 1.2 failed (dependency failed) by 1.1")
	})
	t.Run("a run that fails for want of a result is not held against its task", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2, 2)
		st.play(st.tasks(1, f))
		st.play(blob(1, 1, 10))
		once := fnClass("g")
		once.Retry.Lost = -1
		st.want(st.task(once, deps(id(1))), "1.2#1 on 3")
		st.want(ResultLost{Task: id(1)}, "recompute 1.1; 1.1#2 on 2")
		st.want(ended(2, 1, MachineFailed), "repeat 1.2#1")
		st.want(ended(1, 2, Succeeded), "1.2#2 on 2")
		st.want(ended(2, 2, MachineFailed), "1.2 failed (lost)")
	})
	t.Run("drained nodes", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(1, 1)
		st.play(st.tasks(1, f))
		st.want(NodeDrain{Node: 1}, "")
		st.want(st.tasks(2, f), "1.2#1 on 0")
		st.want(ended(1, 1, Succeeded), "1.1 done; idle h1")
		st.want(NodeDrain{Node: 1, Off: true}, "1.3#1 on 1")
	})
	t.Run("a program that cannot start", func(t *testing.T) {
		st := newStage(t, Config{Crashes: 2})
		st.play(NodeUp{Node: 0, Name: "h0", Has: tutti.Resources{Cores: 1}})
		st.want(ProgramUp{Program: "bad"}, "start 0.1")
		st.play(st.tasks(2, &Class{Program: "bad", Target: tutti.NoEngine}))
		st.explains(id(1), "engines of program bad: none ready, 1 starting")
		st.want(EngineDown{Engine: 0, Life: 1, Why: "no numpy"}, "")
		st.explains(id(1), "1 died and are started again, the first in 1s")
		st.wantAfter(time.Second, Tick{}, "start 0.2")
		st.want(EngineDown{Engine: 0, Life: 2, Why: "no numpy"}, "warn 1.1: engines of program bad end as soon as they start (no numpy), and are not started any more")
		st.wantAfter(time.Hour, Tick{}, "")
		st.want(ProgramUp{Program: "bad"}, "")
		st.wantAfter(time.Second, Tick{}, "start 0.3")
	})
	t.Run("targeted tasks", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		c := &Class{Program: "p", Target: 0}
		stays := &Class{Program: "p", Target: 0, Retry: tutti.Retry{Lost: 1}}
		st.play(st.tasks(2, c))
		st.play(st.tasks(1, stays))
		st.want(EngineDown{Engine: 0, Life: 1}, "1.1 failed (lost); 1.2 failed (lost)")
		st.explains(id(3), "it is for engine 0 (h0), which is waiting to be started again; 0 tasks before it there")
		st.wantAfter(time.Second, Tick{}, "start 0.2; 1.3#2 on 0")
		st.want(NodeDown{Node: 0}, "repeat 1.3#2; 1.3 failed (lost)")
		st.want(st.tasks(1, c), "1.4 failed (lost)")
		st.want(st.tasks(1, &Class{Program: "p", Target: 9}), "1.5 failed (not found)")
	})
	t.Run("engines nobody wants", func(t *testing.T) {
		st := newStage(t, Config{}).withNodes(2)
		st.play(st.tasks(1, f))
		st.want(ProgramDown{Program: "p"}, "stop 0.1")
		st.want(ended(1, 1, Succeeded), "1.1 done; stop 1.1")
		st.want(EngineDown{Engine: 0, Life: 1}, "")
		st.want(ProgramUp{Program: "p", PerNode: 2}, "start 2.1")
	})
}

func TestRestart(t *testing.T) {
	st := newStage(t, Config{})
	st.s = New(Config{Epoch: 2})
	f := fnClass("f")
	st.play(Restore{Engines: 3, Tasks: []Restored{{NewTask: NewTask{ID: id(1), Class: f}, Run: runOf(1, 1), State: tutti.Done, Node: 0, Size: 10}}})
	st.play(Submit{Client: 1, Tasks: []NewTask{
		{ID: id(2), Class: f, Deps: []tutti.TaskID{id(1)}}, {ID: id(3), Class: f}, {ID: id(4), Class: f},
		{ID: id(5), Class: &Class{Program: "p", Target: 1}}, {ID: id(6), Class: &Class{Program: "p", Target: 2}},
	}})
	st.explains(id(5), "which is awaited")
	up := func(e tutti.EngineID) EngineUp { return EngineUp{Engine: e, Life: 4, Program: "p"} }
	st.want(NodeUp{Node: 0, Name: "h0", Has: tutti.Resources{Cores: 2}, Engines: []EngineUp{up(0), up(1)}, Runs: []Held{
		{Run: runOf(3, 7), Engines: []tutti.EngineID{0}, Started: true},
		{Run: runOf(9, 1), Engines: []tutti.EngineID{0}},
	}}, "abort [1.9#1]; 1.5#1 on 1")
	st.want(ProgramUp{Program: "p", PerNode: 3}, "start 3.1; 1.2#1 on 3") // not number 2, which is still awaited
	st.want(NodeUp{Node: 1, Name: "h1", Has: tutti.Resources{Cores: 1}, Engines: []EngineUp{up(3)}}, "stop 3.4; start 4.1; start 5.1; start 6.1; 1.4#1 on 4")
	st.want(ended(3, 7, Succeeded), "1.3 done")
	st.wantAfter(time.Minute, Tick{}, "1.6 failed (lost)")
	st.want(Done{Results: []Result{{Run: runOf(4, 1), Took: 1}}}, "") // of the first life: 1.4 runs in the second
}

func TestRestartWithWorlds(t *testing.T) {
	st := newStage(t, Config{})
	st.s = New(Config{Epoch: 2})
	st.play(Restore{Engines: 4})
	st.want(Submit{Client: 1, Tasks: []NewTask{{ID: id(1), Class: worldOf(1, 0)}, {ID: id(2), Class: worldOf(0, 1)}, {ID: id(3), Class: worldOf(1, 2)}, {ID: id(4), Class: worldOf(3)}}}, "")
	st.explains(id(1), "engine 1 (not back yet) is awaited")
	up := func(e tutti.EngineID) EngineUp { return EngineUp{Engine: e, Life: 4, Program: "p"} }
	st.want(NodeUp{Node: 0, Name: "h0", Has: tutti.Resources{Cores: 2}, Engines: []EngineUp{up(0), up(1)},
		Runs: []Held{{Run: runOf(1, 3), Engines: []tutti.EngineID{1, 0}, Started: true}}}, "")
	st.want(NodeUp{Node: 1, Name: "h1", Has: tutti.Resources{Cores: 1}, Engines: []EngineUp{{Engine: 2, Life: 1, Program: "p"}}}, "1.3 failed (unsupported)")
	st.want(ended(1, 3, Succeeded), "1.1 done; 1.2#1 on 0,1")
	st.wantAfter(time.Minute, Tick{}, "1.4 failed (lost)")
}

func TestPools(t *testing.T) {
	st := newStage(t, Config{})
	st.play(ProgramUp{Program: "p"})
	set := PoolSet{Pool: "cloud", Has: tutti.Resources{Cores: 2}, Max: 3, Idle: time.Minute}
	st.want(set, "")
	st.want(st.tasks(5, fnClass("f")), "")
	st.wantAfter(100*time.Millisecond, Tick{}, "acquire 3 of cloud")
	st.explains(id(1), "3 nodes of pool cloud are asked for")
	st.wantAfter(time.Second, Tick{}, "")
	st.want(AcquireFailed{Pool: "cloud", Nodes: 1, Why: "no quota"}, "")
	st.wantAfter(100*time.Millisecond, Tick{}, "")
	st.wantAfter(time.Second, Tick{}, "acquire 1 of cloud")
	st.want(NodeUp{Node: 0, Name: "h0", Pool: "cloud", Has: set.Has}, "start 0.1; start 1.1; 1.1#1 on 0; 1.2#1 on 1")
	st.play(Cancel{Tasks: []tutti.TaskID{id(3), id(4), id(5)}})
	st.play(ended(1, 1, Succeeded))
	st.wantAfter(time.Hour, Tick{}, "")
	st.play(Done{Results: []Result{{Run: runOf(2, 1), Took: time.Second, Blob: true}}})
	st.wantAfter(time.Hour, Tick{}, "") // a result lies there
	st.play(Forget{Tasks: []tutti.TaskID{id(2)}})
	st.wantAfter(time.Minute, Tick{}, "idle h0")
	st.want(st.tasks(1, cmdClass(tutti.Resources{Cores: 3})), "warn 1.6: it needs 3 cores, and the largest node, h0, has 2 cores, and gets no new work")
}
