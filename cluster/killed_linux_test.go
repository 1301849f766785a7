package cluster_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/mpi"
)

var killings = flag.Int("killings", 12, "how many ranks TestKilledRanks kills")

// sums adds numbers for ever, round by round, and counts them in a variable of its engine.
var sums = tutti.Func("cluster.sums", func(ctx context.Context, rounds int) (int, error) {
	c, _ := mpi.From(ctx)
	x := make([]float64, 1000)
	for i := 0; rounds == 0 || i < rounds; i++ {
		if err := mpi.Allreduce(c, x, x, mpi.Sum); err != nil {
			return i, err
		}
	}
	return tutti.Var[int](ctx, "number")
})

// A rank is killed in the middle of its work, again and again: each time the others say so, keep
// what they have, and are ranks of the next world.
func TestKilledRanks(t *testing.T) {
	ctx := t.Context()
	c := cluster.Hurried(t, 4)
	all := []tutti.EngineID{0, 1, 2, 3}
	survivor := infos(t, c)[0].Pid
	if _, err := cluster.CallRanksOn(ctx, c.Direct(all...), sums, 3).Get(ctx); err != nil {
		t.Fatal(err)
	}
	files, shared := descriptors(t, os.Getpid()), sharedMemory(t)
	theirs, maps := descriptors(t, survivor), mappings(t, survivor)
	slowest := time.Duration(0)
	for n := range *killings {
		victim := tutti.EngineID(1 + n%3)
		f := cluster.CallRanksOn(ctx, c.Direct(all...), sums, 0)
		killBusy(t, c, victim, n)
		began := time.Now()
		_, err := f.Get(ctx)
		slowest = max(slowest, time.Since(began))
		var e *tutti.Error
		if !errors.As(err, &e) || e.Kind != tutti.Lost || e.Rank != int(victim) || !errors.Is(err, tutti.Revoked) {
			t.Fatalf("killing %d: %v", n, err)
		}
		if got := strings.Count(err.Error(), "revoked"); got != 3 {
			t.Fatalf("killing %d: %d others report: %v", n, got, err)
		}
		// The survivors are a world at once, the killed one when it is back.
		rest := slices.DeleteFunc(slices.Clone(all), func(id tutti.EngineID) bool { return id == victim })
		if got, err := cluster.CallRanksOn(ctx, c.Direct(rest...), sums, 3).Get(ctx); err != nil || got[0] != int(rest[0]) || got[2] != int(rest[2]) {
			t.Fatalf("after killing %d: %v %v", n, got, err)
		}
		if err := c.Direct(victim).Push(ctx, "number", int(victim)); err != nil {
			t.Fatalf("after killing %d: %v", n, err)
		}
	}
	if got, err := cluster.CallRanksOn(ctx, c.Direct(all...), sums, 3).Get(ctx); err != nil || !slices.Equal(got, []int{0, 1, 2, 3}) {
		t.Error(got, err)
	}
	if now := descriptors(t, os.Getpid()); now > files+8 {
		t.Errorf("%d descriptors are open, and %d were", now, files)
	}
	// A rank that nobody tells would notice at its next look, a quarter of a second later; who is only
	// waited for is asked to stop after a second.
	if t.Logf("the slowest of %d killings was heard of after %v", *killings, slowest); slowest > 5*time.Second {
		t.Errorf("one killing was heard of after %v", slowest)
	}
	if pid := infos(t, c)[0].Pid; pid != survivor {
		t.Errorf("engine 0 was started again")
	} else if f, m := descriptors(t, pid), mappings(t, pid); f > theirs+4 || m > maps+2 {
		t.Errorf("engine 0 has %d descriptors and %d worlds in its memory, and had %d and %d", f, m, theirs, maps)
	}
	if now := sharedMemory(t); now != shared {
		t.Errorf("/dev/shm has %s, and had %s", now, shared)
	}
}

// killBusy kills an engine when it is at work.
func killBusy(t *testing.T, c *cluster.Client, id tutti.EngineID, n int) {
	t.Helper()
	for {
		for _, e := range infos(t, c) {
			if e.ID == id && e.Running != 0 {
				time.Sleep(time.Duration(n%7) * time.Millisecond) // somewhere in its work, be it before the first call
				if err := syscall.Kill(e.Pid, syscall.SIGKILL); err != nil {
					t.Fatal(err)
				}
				return
			}
		}
	}
}

func infos(t *testing.T, c *cluster.Client) []cluster.EngineInfo {
	t.Helper()
	list, err := c.Engines(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// descriptors counts what a process has open.
func descriptors(t *testing.T, pid int) int {
	list, err := os.ReadDir(fmt.Sprintf("/proc/%d/fd", pid))
	if err != nil {
		t.Fatal(err)
	}
	return len(list)
}

// mappings counts the pieces of shared memory without a name that a process has mapped.
func mappings(t *testing.T, pid int) int {
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/maps", pid))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(text), "memfd:")
}

// sharedMemory lists what of ours lies in /dev/shm.
func sharedMemory(t *testing.T) string {
	list, err := os.ReadDir("/dev/shm")
	if err != nil {
		t.Skip(err)
	}
	var names []string
	for _, e := range list {
		if strings.Contains(e.Name(), "tutti") {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}
