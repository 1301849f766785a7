package mpi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/launch"
	"github.com/tutti-hpc/tutti/mpi"
	"golang.org/x/sys/unix"
)

func init() {
	bodies["waits for the dead"] = waitsForTheDead
	bodies["ping"] = ping
	bodies["crowd"] = crowd
	bodies["idle"] = func(c *mpi.Comm) error { return c.Barrier() }
	bodies["deadlock"] = deadlock
	bodies["exits"] = exits
	bodies["stays"] = stays
}

// here tells the test that a rank has come so far.
func here() { fmt.Println("here") }

// has waits until a rank has written a text.
func (j *job) has(r int, text string) {
	j.t.Helper()
	for end := time.Now().Add(time.Minute); !strings.Contains(j.outs[r].String(), text); {
		if time.Now().After(end) {
			j.t.Fatalf("rank %d never wrote %q:\n%s", r, text, j.outs[r])
		}
		runtime.Gosched()
	}
}

// Rank 1 is killed while the others wait for it, in every kind of call.
func waitsForTheDead(c *mpi.Comm) error {
	if err := c.Barrier(); err != nil {
		return err
	}
	here()
	var err error
	big := make([]byte, 1<<20)
	switch c.Rank() {
	case 0:
		_, err = mpi.Recv(c, big, 1, 0)
	case 1:
		select {}
	case 2:
		err = mpi.Send(c, big, 1, 0)
	case 3:
		err = c.Barrier()
	}
	d, err2 := c.Dup()
	if err := first(kind(err, tutti.Revoked), kind(err2, tutti.Revoked)); err != nil {
		return fmt.Errorf("%w (%v)", err, d)
	}
	var e *mpi.Error
	if !errors.As(err, &e) || !strings.Contains(err.Error(), "rank 1 has died") {
		return fmt.Errorf("the error does not name the dead: %v", err)
	}
	return nil
}

func TestKilledRank(t *testing.T) {
	j := start(t, 4, "waits for the dead", "")
	for r := range 4 {
		j.has(r, "here")
	}
	j.cmds[1].Process.Kill()
	for _, r := range []int{0, 2, 3} {
		if out, err := j.wait(r); err != nil {
			t.Errorf("rank %d: %v\n%s", r, err, out)
		}
	}
	j.wait(1)
}

func ping(c *mpi.Comm) error {
	b := make([]int, 20000)
	for i := range 2000 {
		l := 1 + i%2*19999
		if _, err := mpi.Sendrecv(c, b[:l], (c.Rank()+1)%c.Size(), 0, make([]int, l), (c.Rank()-1+c.Size())%c.Size(), 0); err != nil {
			return err
		}
		if i == 100 {
			here()
		}
	}
	return nil
}

// A rank that is stopped and goes on again loses nothing.
func TestStoppedRank(t *testing.T) {
	j := start(t, 3, "ping", "")
	j.has(1, "here")
	for range 5 {
		j.cmds[1].Process.Signal(syscall.SIGSTOP)
		j.cmds[1].Process.Signal(syscall.SIGCONT)
	}
	j.ok()
}

// Two jobs at once do not meet, and a job without direct copies between processes does as well.
func TestTwoJobs(t *testing.T) {
	a, b := start(t, 2, "ping", ""), start(t, 2, "ping", "", mpi.EnvDirect+"=0")
	a.ok()
	b.ok()
}

func TestPairsThroughTheRing(t *testing.T) {
	start(t, 3, "pairs", "", mpi.EnvDirect+"=0").ok()
	start(t, 3, "long", "", mpi.EnvDirect+"=0").ok()
	start(t, 2, "arguments", "", mpi.EnvDirect+"=0").ok()
}

// crowd: many more ranks than processors.
func crowd(c *mpi.Comm) error {
	for range 3 {
		if err := first(sumRanks(c), c.Barrier()); err != nil {
			return err
		}
	}
	n := c.Size()
	for d := 1; d <= 15 && d < n; d++ { // with 16 ranks: every ring
		x := make([]int64, 600)
		if _, err := mpi.SendrecvReplace(c, x, (c.Rank()+d)%n, d, (c.Rank()-d+n)%n, d); err != nil {
			return err
		}
	}
	out, in := make([]int32, n), make([]int32, n)
	for i := range out {
		out[i] = int32(c.Rank()*n + i)
	}
	if err := mpi.Alltoall(c, out, in); err != nil {
		return err
	}
	for i := range in {
		if in[i] != int32(i*n+c.Rank()) {
			return fmt.Errorf("from %d: %d", i, in[i])
		}
	}
	return nil
}

func TestCrowd(t *testing.T) {
	if !raceDetector { // which makes each process a hundred times heavier
		start(t, 64, "crowd", "", "GOMAXPROCS=1").ok()
	}
	j := start(t, 16, "crowd", "", "GOMAXPROCS=1")
	j.ok()
	var st unix.Stat_t
	if err := unix.Fstat(int(j.seg.Fd()), &st); err != nil || st.Blocks*512 > 64<<20 || st.Blocks == 0 {
		t.Errorf("16 ranks that all have talked use %d KiB: %v", st.Blocks/2, err)
	}
	idle := start(t, 16, "idle", "", "GOMAXPROCS=1")
	idle.ok()
	if err := unix.Fstat(int(idle.seg.Fd()), &st); err != nil || st.Blocks*512 > 4<<20 {
		t.Errorf("16 ranks that have not talked use %d KiB: %v", st.Blocks/2, err)
	}
	t.Logf("16 ranks at first: %d KiB", st.Blocks/2)
}

// sharedMemory lists what lies in /dev/shm.
func sharedMemory(t *testing.T) string {
	t.Helper()
	es, err := os.ReadDir("/dev/shm")
	if err != nil {
		t.Skip(err)
	}
	var names []string
	for _, e := range es {
		if strings.Contains(e.Name(), "mpi") {
			names = append(names, e.Name())
		}
	}
	return strings.Join(names, " ")
}

// Everybody is killed: nothing is left.
func TestNothingIsLeft(t *testing.T) {
	before := sharedMemory(t)
	j := start(t, 3, "waits for the dead", "/dev/shm")
	for r := range 3 {
		j.has(r, "here")
	}
	for _, c := range j.cmds {
		c.Process.Kill()
	}
	j.close()
	if after := sharedMemory(t); after != before {
		t.Errorf("%q before, %q after", before, after)
	}
}

// A memory file system that is full, or becomes full, is an error that says so, and no SIGBUS.
func TestFullMemory(t *testing.T) {
	dir := t.TempDir()
	if err := unix.Mount("tmpfs", dir, "tmpfs", 0, "size=64k"); err != nil {
		t.Skip("needs the right to mount:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	j := start(t, 2, "ping", dir)
	for r := range 2 {
		if out, err := j.wait(r); err == nil || !strings.Contains(out, "no space") || strings.Contains(out, "SIGBUS") {
			t.Errorf("rank %d: %v\n%s", r, err, out)
		}
	}
	if err := unix.Mount("tmpfs", dir, "tmpfs", unix.MS_REMOUNT, "size=400k"); err != nil {
		t.Fatal(err)
	}
	j = start(t, 2, "ping", dir) // room for the world, not for its rings
	text := ""
	for r := range 2 {
		out, err := j.wait(r)
		if text += out; err == nil || strings.Contains(out, "SIGBUS") {
			t.Errorf("rank %d: %v\n%s", r, err, out)
		}
	}
	if !strings.Contains(text, "no space") {
		t.Error(text)
	}
	if _, err := mpi.NewSegment(dir + "/missing"); !errors.Is(err, tutti.NotFound) {
		t.Error(err)
	}
}

// deadlock: everybody receives first.
func deadlock(c *mpi.Comm) error {
	here()
	_, err := mpi.Recv(c, make([]int, 1), (c.Rank()+1)%c.Size(), 40+c.Rank())
	return kind(err, tutti.Revoked)
}

func TestDeadlockCanBeRead(t *testing.T) {
	j := start(t, 2, "deadlock", "", mpi.EnvStall+"=50ms")
	const want = "rank 0 waits in Recv from 1, tag 40, communicator 0, for"
	j.has(0, want)
	j.has(0, "rank 1 waits in Recv from 0, tag 41")
	j.cmds[1].Process.Signal(syscall.SIGUSR1)
	j.has(1, "who waits for what")
	j.has(1, want)
}

// Ranks notice that the process that held their world is gone, whoever started them.
func TestOrphans(t *testing.T) {
	j := start(t, 2, "deadlock", "")
	j.has(0, "here")
	j.has(1, "here")
	j.seg.Close()
	text := ""
	for r := range 2 { // the second may hear of the first one's end before it notices by itself
		out, _ := j.wait(r)
		text += out
	}
	if !strings.Contains(text, "launcher of this job is gone") {
		t.Error(text)
	}
}

// exits: rank 1 ends as its second argument says; nobody else does by himself.
func exits(c *mpi.Comm) error {
	if err := c.Barrier(); err != nil {
		return err
	}
	if c.Rank() == 1 {
		switch os.Getenv("MPI_TEST_EXIT") {
		case "panic":
			panic("it cannot go on")
		case "exit":
			os.Exit(5)
		case "abort":
			c.Abort(6, "no convergence")
		case "unfinished":
			os.Exit(0)
		case "kill":
			syscall.Kill(os.Getpid(), syscall.SIGKILL)
		case "error":
			return errors.New("it cannot go on")
		}
	}
	return stays(c)
}

// stays ignores whatever the world says.
func stays(*mpi.Comm) error { select {} }

// Under the launcher a rank that ends in any but the good way ends the job, with its status.
func TestJobEndsWithARank(t *testing.T) {
	for _, c := range []struct {
		how, text string
		code      int
	}{
		{"panic", "it cannot go on", 2}, {"exit", "exit status 5", 5}, {"abort", "no convergence", 6},
		{"unfinished", "Finalize", 1}, {"kill", "killed", 137}, {"error", "it cannot go on", 1},
	} {
		var out bytes.Buffer
		exit, err := launch.Ranks(context.Background(), launch.Spec{
			Programs: []launch.Program{{N: 3, Args: []string{os.Args[0]}, Env: []string{"MPI_TEST_BODY=exits", "MPI_TEST_EXIT=" + c.how}}},
			Stderr:   &out,
		})
		if err != nil || exit.Rank != 1 || exit.Code != c.code || !strings.Contains(out.String(), c.text) {
			t.Errorf("%s: %+v %v\n%s", c.how, exit, err, &out)
		}
	}
}

// The launcher and the ranks agree on where the roster lies: a job of ranks that finalize is well.
func TestJobEndsWell(t *testing.T) {
	var out bytes.Buffer
	exit, err := launch.Ranks(context.Background(), launch.Spec{
		Programs: []launch.Program{
			{N: 1, Args: []string{os.Args[0]}, Env: []string{"MPI_TEST_BODY=splits"}},
			{N: 2, Args: []string{os.Args[0]}, Env: []string{"MPI_TEST_BODY=splits"}},
		},
		Stdout: &out, Stderr: &out,
	})
	if err != nil || exit.Code != 0 {
		t.Errorf("%+v %v\n%s", exit, err, &out)
	}
}

// Several worlds in one process, one after the other and at once, as engines have them.
func TestWorldsOfEngines(t *testing.T) {
	join := func(seg *os.File, r, n int) *mpi.World {
		w, err := mpi.Join(context.Background(), mpi.Spec{Path: fmt.Sprintf("/proc/self/fd/%d", seg.Fd()), Rank: r, Size: n})
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	for range 3 { // generations
		seg, err := mpi.NewSegment("")
		if err != nil {
			t.Fatal(err)
		}
		a := join(seg, 0, 2)
		fd, err := syscall.Dup(int(seg.Fd())) // as it comes from an agent
		if err != nil {
			t.Fatal(err)
		}
		b, err := mpi.Join(context.Background(), mpi.Spec{File: os.NewFile(uintptr(fd), "segment"), Rank: 1, Size: 2})
		if err != nil {
			t.Fatal(err)
		}
		errs := make(chan error, 2)
		go func() { errs <- first(sumRanks(a.Comm()), pairs(a.Comm())) }()
		errs <- first(sumRanks(b.Comm()), pairs(b.Comm()))
		if err := first(<-errs, <-errs); err != nil {
			t.Fatal(err)
		}
		if _, err := mpi.Join(context.Background(), mpi.Spec{Path: fmt.Sprintf("/proc/self/fd/%d", seg.Fd()), Rank: 1, Size: 2}); !errors.Is(err, tutti.Exists) {
			t.Error("a rank taken twice:", err)
		}
		go func() { errs <- b.Comm().Barrier() }()
		a.Lost(1)
		if err := kind(<-errs, tutti.Revoked); err != nil {
			t.Error(err)
		}
		if err := first(a.Finalize(), b.Finalize(), kind(a.Comm().Barrier(), tutti.Closed)); err != nil {
			t.Error(err)
		}
		seg.Close()
	}
}

// Whoever has arranged a world and is no rank of it can say that a rank died: to a rank that waits for one that
// never came, and to one that joins later.
func TestLostBeforeItJoined(t *testing.T) {
	seg, err := mpi.NewSegment("")
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	spec := mpi.Spec{Path: fmt.Sprintf("/proc/self/fd/%d", seg.Fd()), Size: 3}
	join := func(rank int) *mpi.World {
		s := spec
		s.Rank = rank
		w, err := mpi.Join(context.Background(), s)
		if err != nil {
			t.Fatal(err)
		}
		return w
	}
	a := join(0)
	errs := make(chan error)
	go func() { errs <- a.Comm().Barrier() }()
	spec.Rank = 1
	if err := mpi.LostRank(spec); err != nil {
		t.Fatal(err)
	}
	b := join(2)
	if err := first(kind(<-errs, tutti.Revoked), kind(b.Comm().Barrier(), tutti.Revoked), a.Finalize(), b.Finalize()); err != nil {
		t.Error(err)
	}
	spec.Rank = 3
	if err := mpi.LostRank(spec); !errors.Is(err, tutti.Invalid) {
		t.Error(err)
	}

	// Of one that has left in order nothing is said.
	left, err := mpi.NewSegment("")
	if err != nil {
		t.Fatal(err)
	}
	defer left.Close()
	spec = mpi.Spec{Path: fmt.Sprintf("/proc/self/fd/%d", left.Fd()), Size: 2}
	c, d := join(0), join(1)
	if err := first(mpi.Send(c.Comm(), []byte("last words"), 1, 5), c.Finalize(), mpi.LostRank(spec)); err != nil {
		t.Error(err)
	}
	words := make([]byte, 10)
	if _, err := mpi.Recv(d.Comm(), words, 0, 5); err != nil || string(words) != "last words" {
		t.Errorf("%q %v", words, err)
	}
	if err := d.Finalize(); err != nil {
		t.Error(err)
	}
}

func TestJoinRefuses(t *testing.T) {
	seg, err := mpi.NewSegment("")
	if err != nil {
		t.Fatal(err)
	}
	defer seg.Close()
	path := fmt.Sprintf("/proc/self/fd/%d", seg.Fd())
	w, err := mpi.Join(context.Background(), mpi.Spec{Path: path, Rank: 0, Size: 2})
	if err != nil {
		t.Fatal(err)
	}
	defer w.Finalize()
	for _, c := range []struct {
		s mpi.Spec
		k tutti.Kind
	}{
		{mpi.Spec{Path: path, Rank: 1, Size: 3}, tutti.Version}, {mpi.Spec{Path: path, Rank: 2, Size: 2}, tutti.Invalid},
		{mpi.Spec{Path: "/no/such/segment", Rank: 1, Size: 2}, tutti.NotFound},
	} {
		if _, err := mpi.Join(context.Background(), c.s); !errors.Is(err, c.k) {
			t.Errorf("%v, want %v", err, c.k)
		}
	}
}
