package sched

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// stage plays events to a scheduler one by one and shows the answers as short lines, for tests of
// single rules. Engines that are asked for come up at once.
type stage struct {
	t   *testing.T
	s   *State
	now time.Time
	n   uint64 // of the last task of client 1
}

func newStage(t *testing.T, cfg Config) *stage {
	cfg.Epoch = 1
	return &stage{t: t, s: New(cfg), now: time.Unix(1000, 0)}
}

// withNodes brings one node for each number of cores, with an engine of program p on each core.
func (st *stage) withNodes(cores ...float64) *stage {
	st.play(ProgramUp{Program: "p"})
	for i, c := range cores {
		st.play(NodeUp{Node: tutti.NodeID(i), Name: fmt.Sprintf("h%d", i), Has: tutti.Resources{Cores: c, GPUs: 1}})
	}
	return st
}

// play gives an event, and returns the answer without acknowledgements.
func (st *stage) play(ev Event) string {
	st.t.Helper()
	var lines []string
	var up []EngineUp
	for _, a := range st.s.Step(st.now, ev) {
		if e, ok := a.(StartEngine); ok {
			up = append(up, EngineUp{Engine: e.Engine, Life: e.Life, Node: e.Node, Program: e.Program})
		}
		if l := show(a); l != "" {
			lines = append(lines, l)
		}
	}
	if err := st.s.Check(); err != nil {
		st.t.Fatalf("after %T %+v: %v", ev, ev, err)
	}
	for _, e := range up {
		if e.Program == "p" {
			if l := st.play(e); l != "" {
				lines = append(lines, l)
			}
		}
	}
	return strings.Join(lines, "; ")
}

// want plays an event and compares the answer.
func (st *stage) want(ev Event, answer string) {
	st.t.Helper()
	if got := st.play(ev); got != answer {
		st.t.Fatalf("%T %+v\n got: %s\nwant: %s", ev, ev, got, answer)
	}
}

// wantAfter lets time pass before.
func (st *stage) wantAfter(d time.Duration, ev Event, answer string) {
	st.t.Helper()
	st.now = st.now.Add(d)
	st.want(ev, answer)
}

// explains compares a part of what Explain says.
func (st *stage) explains(id tutti.TaskID, part string) {
	st.t.Helper()
	if got := st.s.Explain(id, st.now); !strings.Contains(got, part) {
		st.t.Fatalf("task %v: %q does not say %q", id, got, part)
	}
}

func show(a Action) string {
	switch a := a.(type) {
	case *Assign:
		to := fmt.Sprintf("h%d", a.Node)
		if len(a.Engines) > 0 {
			to = strings.Trim(strings.ReplaceAll(fmt.Sprint(a.Engines), " ", ","), "[]")
		} else if len(a.Nodes) > 0 {
			to = "h" + strings.Trim(strings.ReplaceAll(fmt.Sprint(a.Nodes), " ", ",h"), "[]")
		}
		return fmt.Sprintf("%v on %s", a.Run, to)
	case Recall:
		return fmt.Sprintf("recall %v", a.Runs)
	case Abort:
		text := fmt.Sprintf("abort %v", a.Runs)
		if a.Timeout {
			text += " timeout"
		}
		if a.Force {
			text += " force"
		}
		return text
	case *Finish:
		text := fmt.Sprintf("%v %v", a.Task, a.State)
		if a.State == tutti.Errored {
			text += " (" + a.Kind.String() + ")"
		}
		if a.Cause != 0 {
			text += fmt.Sprintf(" by %v", a.Cause)
		}
		return text
	case Repeat:
		return fmt.Sprintf("repeat %v#%d", a.Task, a.Attempt)
	case Drop:
		return fmt.Sprintf("drop %v", a.Task)
	case Recompute:
		return fmt.Sprintf("recompute %v", a.Task)
	case StartEngine:
		return fmt.Sprintf("start %d.%d", a.Engine, a.Life)
	case StopEngine:
		return fmt.Sprintf("stop %d.%d", a.Engine, a.Life)
	case Acquire:
		return fmt.Sprintf("acquire %d of %s", a.Nodes, a.Pool)
	case NodeIdle:
		return fmt.Sprintf("idle h%d", a.Node)
	case Throttle:
		return fmt.Sprintf("throttle %d %v", a.Client, a.On)
	case Warn:
		return fmt.Sprintf("warn %v: %s", a.Task, a.Text)
	}
	return ""
}

// id is a task of client 1.
func id(n uint64) tutti.TaskID { return tutti.MakeTaskID(1, n) }

// run is an attempt at a task of client 1.
func runOf(n uint64, attempt int) tutti.RunID {
	return tutti.RunID{Task: id(n), Attempt: tutti.Attempt(attempt), Epoch: 1}
}

// fnClass is a function of program p, cmdClass a command.
func fnClass(name string) *Class { return &Class{Program: "p", Func: name, Target: tutti.NoEngine} }
func cmdClass(r tutti.Resources) *Class {
	return &Class{Target: tutti.NoEngine, Need: r}
}

// tasks makes the event that submits n tasks of client 1.
func (st *stage) tasks(n int, c *Class) Submit {
	ev := Submit{Client: 1}
	for range n {
		st.n++
		ev.Tasks = append(ev.Tasks, NewTask{ID: id(st.n), Class: c})
	}
	return ev
}

// task makes the event that submits one task, changed as wished.
func (st *stage) task(c *Class, change func(*NewTask)) Submit {
	ev := st.tasks(1, c)
	if change != nil {
		change(&ev.Tasks[0])
	}
	return ev
}

func deps(list ...tutti.TaskID) func(*NewTask) { return func(t *NewTask) { t.Deps = list } }

// ended makes the event that reports one run.
func ended(n uint64, attempt int, kind Ending) Done {
	return Done{Results: []Result{{Run: runOf(n, attempt), Kind: kind, Took: time.Second}}}
}

// blob makes the event that reports a run whose result is a blob.
func blob(n uint64, node tutti.NodeID, size int64) Done {
	return Done{Node: node, Results: []Result{{Run: runOf(n, 1), Took: time.Second, Blob: true, Size: size}}}
}
