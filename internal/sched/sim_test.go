package sched

import (
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// TestManyEngines drives a large cluster through many tasks of two clients, one of which has only
// ten, and checks every invariant now and then.
func TestManyEngines(t *testing.T) {
	c := newCluster(simEngines, 100*time.Microsecond)
	c.submit(simTasks, 10_000)
	rounds, started := 0, 0
	for c.round(48) {
		if rounds++; rounds == 3 {
			c.submitOther(10)
		}
		if started == 0 && c.s.ClientCounts(2) == (Counts{tutti.Assigned: 10}) {
			started = rounds
		}
		c.forget()
		if rounds%20 == 4 {
			if err := c.s.Check(); err != nil {
				t.Fatalf("after %d tasks: %v", c.finished, err)
			}
		}
	}
	if want := simTasks + 10; c.finished != want || c.assigned != want {
		t.Fatalf("of %d tasks %d have ended, in %d runs: %v", want, c.finished, c.assigned, c.s.Counts())
	}
	if started != 3 && started != 4 {
		t.Errorf("the tasks of the small client were sent off in round %d of %d", started, rounds)
	}
	if n := c.s.tasks.len(); n != 0 {
		t.Errorf("%d tasks are left in memory", n)
	}
	if err := c.s.Check(); err != nil {
		t.Fatal(err)
	}
}

// submitOther brings tasks of a second client.
func (c *cluster) submitOther(n int) {
	ev := Submit{Client: 2}
	for i := range n {
		ev.Tasks = append(ev.Tasks, NewTask{ID: tutti.MakeTaskID(2, uint64(i+1)), Class: c.class})
	}
	c.step(ev)
}

// TestIndexIsSmall asserts that what is forgotten costs nearly nothing, and is still told apart
// from what was never there.
func TestIndexIsSmall(t *testing.T) {
	var x index
	for n := uint64(1); n <= 100_000; n++ {
		x.put(n, ref(n))
		x.put(n, forgot)
	}
	if x.get(500) != forgot || x.get(100_001) != 0 || x.get(0) != 0 {
		t.Errorf("got %v, %v, %v", x.get(500), x.get(100_001), x.get(0))
	}
	full := 0
	for _, p := range x.pages {
		if p != allForgot {
			full++
		}
	}
	if full > 2 {
		t.Errorf("%d pages are kept for tasks that are forgotten", full)
	}
}
