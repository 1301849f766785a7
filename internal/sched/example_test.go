package sched_test

import (
	"fmt"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/sched"
)

// A controller in small: one node of two cores, three tasks, the third of which needs the others.
func Example() {
	s := sched.New(sched.Config{Epoch: 1})
	now := time.Unix(0, 0)
	step := func(ev sched.Event) {
		for _, a := range s.Step(now, ev) {
			switch a := a.(type) {
			case sched.StartEngine:
				fmt.Printf("start engine %d on node %d\n", a.Engine, a.Node)
			case *sched.Assign:
				fmt.Printf("run %v on engine %d\n", a.Run, a.Engines[0])
			case *sched.Finish:
				fmt.Printf("%v is %v\n", a.Task, a.State)
			}
		}
	}
	step(sched.ProgramUp{Program: "python"})
	step(sched.NodeUp{Node: 0, Name: "h0", Has: tutti.Resources{Cores: 2}})
	step(sched.EngineUp{Engine: 0, Life: 1, Node: 0, Program: "python"})
	step(sched.EngineUp{Engine: 1, Life: 1, Node: 0, Program: "python"})

	f := &sched.Class{Program: "python", Func: "f", Target: tutti.NoEngine}
	a, b, c := tutti.MakeTaskID(1, 1), tutti.MakeTaskID(1, 2), tutti.MakeTaskID(1, 3)
	step(sched.Submit{Client: 1, Tasks: []sched.NewTask{
		{ID: a, Class: f}, {ID: b, Class: f}, {ID: c, Class: f, Deps: []tutti.TaskID{a, b}},
	}})
	fmt.Println("1.3:", s.Explain(c, now))
	for _, id := range []tutti.TaskID{a, b, c} {
		run := tutti.RunID{Task: id, Attempt: 1, Epoch: 1}
		step(sched.Done{Node: 0, Results: []sched.Result{{Run: run, Took: time.Second}}})
	}
	// Output:
	// start engine 0 on node 0
	// start engine 1 on node 0
	// run 1.1#1 on engine 1
	// run 1.2#1 on engine 0
	// 1.3: it waits for 2 tasks, first for 1.1, which is assigned
	// 1.1 is done
	// 1.2 is done
	// run 1.3#1 on engine 0
	// 1.3 is done
}
