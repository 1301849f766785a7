package sched

import (
	"flag"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// any is a class's target when it has none.
const anyEngine = tutti.NoEngine

// walkClasses are the kinds of work of which random walks are made.
func walkClasses(w *world, engines int) []*Class {
	list := []*Class{
		{Program: "p", Func: "short", Target: anyEngine},
		{Program: "p", Func: "short", Target: anyEngine, Priority: 3},
		{Program: "p", Func: "mixed", Target: anyEngine, Limit: 100 * time.Millisecond},
		{Program: "p", Func: "long", Target: anyEngine, Retry: tutti.Retry{Failed: 2, Delay: 20 * time.Millisecond}},
		{Program: "p", Func: "half", Target: anyEngine, Need: tutti.Resources{Cores: 0.5}},
		{Program: "q", Func: "big", Target: anyEngine, Need: tutti.Resources{Cores: 3}},
		{Program: "p", Func: "gang", Target: anyEngine, Need: tutti.Resources{Ranks: 3}},
		{Program: "p", Func: "gang", Target: anyEngine, Need: tutti.Resources{Ranks: 4, Memory: 1 << 20}, Limit: 50 * time.Millisecond},
		{Target: anyEngine, Need: tutti.Resources{Cores: 2, Custom: map[string]float64{"disk": 0.3}}},
		{Target: anyEngine, Need: tutti.Resources{Nodes: 2}},
		{Target: anyEngine, Need: tutti.Resources{Nodes: 1}, Retry: tutti.Retry{Lost: -1}},
		{Target: anyEngine, Need: tutti.Resources{GPUs: 1, Time: time.Hour}, Durable: true},
	}
	for range 3 {
		list = append(list, &Class{Program: "p", Func: "direct", Target: tutti.EngineID(w.rng.IntN(engines))})
	}
	return append(list,
		&Class{Program: "p", Func: "direct", Target: tutti.EngineID(w.rng.IntN(engines)), Retry: tutti.Retry{Lost: 3}, Need: tutti.Resources{Cores: 1}})
}

// mischief does one thing out of the ordinary.
func (w *world) mischief(classes []*Class) {
	pick := func() tutti.TaskID { return w.ids[w.rng.IntN(len(w.ids))] }
	agents := w.agents()
	switch w.rng.IntN(18) {
	case 0:
		w.step(Cancel{Tasks: []tutti.TaskID{pick(), pick()}})
	case 1, 2:
		for range 5 {
			id := pick()
			w.tasks[id].forgot = true
			w.step(Forget{Tasks: []tutti.TaskID{id}})
		}
	case 3:
		w.step(ResultLost{Task: pick()})
	case 4:
		if len(agents) > 3 && w.chance(w.luck.lost) {
			w.lose(agents[w.rng.IntN(len(agents))], "power")
		}
	case 5:
		if len(agents) > 0 {
			w.step(NodeDrain{Node: agents[w.rng.IntN(len(agents))].id, Off: w.chance(50)})
		}
	case 6:
		if len(agents) < 6 {
			w.join(smallNode, "")
		}
	case 7:
		if len(agents) > 0 {
			a := agents[w.rng.IntN(len(agents))]
			for id, m := range sorted(a.engines) {
				if m.alive && w.chance(w.luck.crash) {
					w.kill(a, id, "out of memory")
				}
			}
		}
	case 8:
		w.step(ProgramUp{Program: "p", PerNode: w.progs["p"]})
	case 9:
		if w.chance(w.luck.lost) {
			w.restart()
		}
	case 10:
		if w.chance(5) {
			c := tutti.ClientID(1 + w.rng.IntN(3))
			w.gone[c] = true
			for _, j := range w.tasks {
				if j.ID.Client() == c && !j.durable {
					j.forgot = true
				}
			}
			w.step(ClientGone{Client: c})
		}
	case 12:
		if len(agents) > 0 {
			w.comeBack(agents[w.rng.IntN(len(agents))]) // what was on the link is lost
		}
	case 13:
		if len(agents) > 2 { // given up, and it was not dead
			a := agents[w.rng.IntN(len(agents))]
			a.life++
			w.step(NodeDown{Node: a.id, Why: "silent"})
			w.run(w.rng.IntN(50))
			w.comeBack(a)
		}
	case 14:
		w.step(ProgramDown{Program: "q"})
		w.run(w.rng.IntN(50))
		w.progs["q"] = 1 + w.rng.IntN(3)
		w.step(ProgramUp{Program: "q", PerNode: w.progs["q"]})
	case 15:
		for id, a := range w.nodes { // it ended while nobody looked
			if !a.up && id == 0 {
				w.step(NodeDown{Node: id})
			}
		}
	case 16, 17: // somebody stops an engine, or starts it again
		if len(agents) > 0 {
			a := agents[w.rng.IntN(len(agents))]
			for id, m := range sorted(a.engines) {
				if !w.chance(5) {
					continue
				}
				if w.chance(50) {
					w.step(EngineLeave{Engine: id})
					w.step(EnginesMore{Program: m.prog, N: 1})
				} else {
					w.step(EngineAgain{Engine: id})
				}
				if m.alive {
					w.kill(a, id, "somebody wished it")
				}
			}
		}
	case 11:
		j := w.tasks[pick()]
		if !j.dropped {
			w.step(Submit{Client: j.ID.Client(), Tasks: []NewTask{j.NewTask}}) // sent again to be sure
		}
	}
}

var smallNode = tutti.Resources{Cores: 4, GPUs: 1, Memory: 1 << 30, Custom: map[string]float64{"disk": 1}}

// sorted iterates over engines by number.
func sorted(m map[tutti.EngineID]*motor) func(func(tutti.EngineID, *motor) bool) {
	return func(yield func(tutti.EngineID, *motor) bool) {
		for id := range tutti.EngineID(1000) {
			if x := m[id]; x != nil && !yield(id, x) {
				return
			}
		}
	}
}

// randomTask makes a task, with dependencies on earlier ones now and then.
func (w *world) randomTask(c tutti.ClientID, n uint64, classes []*Class) NewTask {
	nt := NewTask{ID: tutti.MakeTaskID(c, n), Class: classes[w.rng.IntN(len(classes))], Bytes: w.rng.IntN(1000)}
	earlier := func() []tutti.TaskID {
		var list []tutti.TaskID
		for range w.rng.IntN(3) {
			if id := w.ids[w.rng.IntN(len(w.ids))]; (!w.tasks[id].dropped || w.chance(5)) && !slices.Contains(list, id) {
				list = append(list, id)
			}
		}
		return list
	}
	if len(w.ids) > 0 && w.chance(40) {
		nt.Deps, nt.After, nt.Follow = earlier(), earlier(), earlier()
	}
	if w.chance(3) {
		nt.Deps = append(nt.Deps, tutti.MakeTaskID(c, n+1)) // comes later in the batch, or not at all
	}
	if w.chance(6) && n > 1 {
		nt.Deps = append(nt.Deps, tutti.MakeTaskID(c, n-1)) // just before: with the above, a circle
	}
	if w.chance(3) {
		nt.Class = &Class{Program: "p", Func: "short", Target: anyEngine, Need: tutti.Resources{Memory: int64(1 + w.rng.IntN(1<<20))}}
	}
	if w.chance(20) {
		nt.Near = []Place{{Node: tutti.NodeID(w.rng.IntN(4)), Size: int64(w.rng.IntN(1 << 30))}}
	}
	return nt
}

// walk goes through a random world and asserts that everything ends once it behaves.
func walk(t *testing.T, seed uint64, tracing bool) {
	w := newWorld(t, seed, Config{Window: 4 + int(seed%5), Crashes: 3, High: Mark{Tasks: 60}, Grace: 100 * time.Millisecond, Restart: 50 * time.Millisecond})
	w.tracing = tracing
	w.s.kinds.linger = 3
	if seed%2 == 1 {
		w.unkind = true
		w.luck = luck{crash: 4, badStart: 10, fail: 8, twice: 10, deaf: 40, lost: 30, hang: 30}
	}
	w.progs["p"], w.progs["q"] = 0, 2
	w.pools["cloud"] = PoolSet{Pool: "cloud", Has: smallNode, Max: 2, Idle: 5 * time.Second}
	w.step(w.pools["cloud"])
	w.step(ProgramUp{Program: "p"})
	for range 2 + w.rng.IntN(3) {
		w.join(smallNode, "")
	}
	w.step(ProgramUp{Program: "q", PerNode: 2})
	classes := walkClasses(w, 12)
	numbers := map[tutti.ClientID]uint64{}
	for range 12 {
		for c := tutti.ClientID(1); c <= 3; c++ {
			if w.quiet[c] || w.gone[c] {
				continue
			}
			var batch []NewTask
			one := w.randomTask(c, 0, classes).Class
			for range w.rng.IntN(12) {
				numbers[c]++
				nt := w.randomTask(c, numbers[c], classes)
				if w.chance(50) {
					nt.Class = one
				}
				batch = append(batch, nt)
			}
			w.submit(batch...)
		}
		w.run(w.rng.IntN(120))
		if seed%2 == 1 && len(w.ids) > 0 {
			w.mischief(classes)
		}
	}
	w.settle()
}

// settle makes the world behave, and asserts that then every task ends.
func (w *world) settle() {
	w.luck = luck{}
	for len(w.agents()) < 3 {
		w.join(smallNode, "")
	}
	for _, a := range w.agents() {
		w.step(NodeDrain{Node: a.id, Off: true})
	}
	w.step(ProgramUp{Program: "p"})
	w.step(ProgramUp{Program: "q", PerNode: 2})
	w.step(EnginesMore{Program: "p", N: 24}) // whoever has stopped some makes good for it
	w.step(EnginesMore{Program: "q", N: 12})
	if !w.run(200_000) {
		w.fatalf("the world does not come to rest; %s", w.stuck())
	}
	if why := w.stuck(); why != "" {
		w.fatalf("%s", why)
	}
	for _, id := range w.ids {
		w.tasks[id].forgot = true
	}
	w.step(Forget{Tasks: w.ids})
	for _, id := range w.ids {
		if !w.tasks[id].dropped {
			w.fatalf("task %v was forgotten and is not dropped", id)
		}
	}
	if n := w.s.tasks.len() + w.s.edges.len(); n != 0 {
		w.fatalf("%d items are left in memory", n)
	}
}

// stuck describes the first task that has not ended.
func (w *world) stuck() string {
	for _, id := range w.ids {
		if j := w.tasks[id]; j.finish == nil {
			return fmt.Sprintf("task %v (%+v) does not end: %s", id, *j.Class, w.s.Explain(id, w.now))
		}
	}
	return ""
}

var (
	howMany   = flag.Int("walks", walks, "how many random worlds are gone through")
	firstWalk = flag.Uint64("walk", 0, "the seed of the first of them")
)

// TestWalks goes through many worlds, half of them kind and half of them not.
func TestWalks(t *testing.T) {
	for seed := *firstWalk; seed < *firstWalk+uint64(*howMany); seed++ {
		retrace(t, func(tracing bool) { walk(t, seed, tracing) })
	}
}

// TestSame asserts that the same events give the same answers.
func TestSame(t *testing.T) {
	for seed := range uint64(6) {
		var traces [2][]string
		for i := range traces {
			w := newWorld(t, seed, Config{})
			w.tracing = true
			w.luck = luck{crash: 4, badStart: 10, fail: 8, twice: 10, deaf: 20, lost: 30}
			w.step(ProgramUp{Program: "p"})
			w.step(ProgramUp{Program: "q", PerNode: 2})
			for range 3 {
				w.join(smallNode, "")
			}
			classes := walkClasses(w, 12)
			for n := range uint64(80) {
				w.submit(w.randomTask(tutti.ClientID(1+n%3), n+1, classes))
				w.run(10)
			}
			w.run(1000)
			traces[i] = w.trace
		}
		for i := range traces[0] {
			// classes are printed by address, which differs; all else may not
			if a, b := stripPointers(traces[0][i]), stripPointers(traces[1][i]); a != b {
				t.Fatalf("seed %d, line %d:\n%s\n%s", seed, i, a, b)
			}
		}
	}
}

func stripPointers(s string) string {
	out := []byte{}
	for i := 0; i < len(s); i++ {
		if i+2 <= len(s) && s[i:i+2] == "0x" {
			for i += 2; i < len(s) && (s[i] >= '0' && s[i] <= '9' || s[i] >= 'a' && s[i] <= 'f'); i++ {
			}
			out = append(out, '*')
		}
		if i < len(s) {
			out = append(out, s[i])
		}
	}
	return string(out)
}
