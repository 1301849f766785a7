package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

func init() {
	bodies["faults"] = faults
	bodies["blocked"] = blocked
	bodies["lacks"] = lacks
	bodies["mixed"] = mixed
	bodies["pending"] = pending
}

// launcher is an mpiexec that the tests of libmpi start ranks with.
type launcher struct {
	name, command string
	args          []string
}

// launchers are the two families of MPI libraries, by the names that Debian gives their mpiexec.
var launchers = []launcher{
	{"openmpi", "mpiexec.openmpi", []string{"--allow-run-as-root", "--oversubscribe"}},
	{"mpich", "mpiexec.mpich", nil},
}

// job is mpiexec starting n ranks of this test binary with a body.
func (l launcher) job(t *testing.T, n int, body string, env ...string) *exec.Cmd {
	t.Helper()
	return l.start(t, n, []string{os.Args[0]}, append(env, "MPI_TEST_BODY="+body, "MPI_TEST_LAUNCHER="+l.name, "GOMAXPROCS=2", "GOGC=400")...)
}

// start makes the command of mpiexec starting n ranks of a program. Should it never end, it is
// ended with all its ranks.
func (l launcher) start(t *testing.T, n int, program []string, env ...string) *exec.Cmd {
	t.Helper()
	path, err := exec.LookPath(l.command)
	if err != nil {
		t.Skipf("%s is not installed: scripts/needs installs it", l.command)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	t.Cleanup(cancel)
	args := append(append(append([]string{}, l.args...), "-n", fmt.Sprint(n)), program...)
	cmd := exec.CommandContext(ctx, path, args...)
	// What Open MPI leaves of a rank that was killed goes away with the test.
	cmd.Env = append(append(os.Environ(), "OMPI_MCA_btl_vader_backing_directory="+t.TempDir()), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second
	return cmd
}

// under runs a test for each launcher.
func under(t *testing.T, test func(t *testing.T, l launcher)) {
	for _, l := range launchers {
		t.Run(l.name, func(t *testing.T) { test(t, l) })
	}
}

func succeed(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %v\n%s", cmd.Args, err, out)
	}
	return string(out)
}

// fail wants a job to fail, and its output to have some words.
func fail(t *testing.T, cmd *exec.Cmd, words ...string) {
	t.Helper()
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.ExitCode() <= 0 {
		t.Errorf("%v ended with %v\n%s", cmd.Args, err, out)
	}
	for _, w := range words {
		if !strings.Contains(string(out), w) {
			t.Errorf("%v does not say %q:\n%s", cmd.Args, w, out)
		}
	}
}

// The conformance suite on MPI libraries.
func TestLibraries(t *testing.T) {
	under(t, func(t *testing.T, l launcher) {
		for _, n := range []int{1, 2, 3, 4} {
			t.Run(fmt.Sprint(n), func(t *testing.T) { succeed(t, l.job(t, n, "suite")) })
		}
		// As if the library let in one thread at a time, and as if it could count to 1000 only.
		t.Run("serialized", func(t *testing.T) { succeed(t, l.job(t, 2, "suite", "TUTTI_MPI_THREADS=serialized")) })
		t.Run("counts", func(t *testing.T) { succeed(t, l.job(t, 2, "suite", "TUTTI_MPI_COUNT_LIMIT=1000")) })
		t.Run("checked", func(t *testing.T) {
			succeed(t, l.job(t, 2, "checked", mpi.EnvCheck+"=1"))
			succeed(t, l.job(t, 2, "arguments", mpi.EnvCheck+"=1"))
		})
		t.Run("lacks", func(t *testing.T) { succeed(t, l.job(t, 2, "lacks")) })
		t.Run("faults", func(t *testing.T) { succeed(t, l.job(t, 2, "faults")) })
		t.Run("pending", func(t *testing.T) { succeed(t, l.job(t, 2, "pending")) })
	})
}

// faults: memory faults of the program stay Go's, whatever handlers the library has put in place.
func faults(c *mpi.Comm) error {
	var nothing *int
	seen := func() (err error) {
		defer func() { err, _ = recover().(error) }()
		return fmt.Errorf("read %d from nowhere", *nothing)
	}()
	if re := runtime.Error(nil); !errors.As(seen, &re) {
		return fmt.Errorf("a fault came as %v", seen)
	}
	return c.Barrier()
}

// lacks: what an MPI library cannot do is an error that says so.
func lacks(c *mpi.Comm) error {
	b := []int{1}
	err := first(kind(c.Revoke(), tutti.Unsupported), kind(c.Free(), tutti.Invalid))
	if c.TagUB() < 1<<31-1 {
		_, recv := mpi.Recv(c, b, 0, 1<<31-1)
		err = first(err, kind(mpi.Send(c, b, 0, 1<<31-1), tutti.Unsupported), kind(recv, tutti.Unsupported))
	}
	if c.Waiting() != fmt.Sprintf("rank %d does not wait\n", c.Rank()) {
		err = first(err, errors.New(c.Waiting()))
	}
	return err
}

// pending: Finalize ends what nobody waits for, and a receive that nobody will serve.
func pending(c *mpi.Comm) error {
	if _, err := mpi.Irecv(c, make([]int, 1), mpi.AnySource, 77); err != nil {
		return err
	}
	if _, err := mpi.Isend(c, []int{1}, 1-c.Rank(), 78); err != nil {
		return err
	}
	_, err := mpi.Recv(c, make([]int, 1), 1-c.Rank(), 78)
	return err
}

// blocked: rank 0 waits in every way there is while its context ends. Rank 1 never answers.
func blocked(*mpi.Comm) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	c, err := mpi.Init(ctx)
	if err != nil {
		return err
	}
	if c.Rank() == 1 {
		return stays(c)
	}
	const ways = 7
	began, errs := make(chan int, ways), make(chan error, ways)
	for i, wait := range [ways]func() error{
		func() error { _, err := mpi.Recv(c, make([]int, 1), 1, 0); return err },
		func() error { return mpi.Ssend(c, make([]int, 100000), 1, 1) },
		func() error { _, err := c.Probe(1, 2); return err },
		func() error { _, err := c.Mprobe(1, 3); return err },
		func() error {
			q, err := mpi.Irecv(c, make([]int, 1), 1, 4)
			if err != nil {
				return err
			}
			_, err = q.Wait()
			return err
		},
		func() error {
			q, err := mpi.Irecv(c, make([]int, 1), 1, 5)
			if err != nil {
				return err
			}
			_, _, err = mpi.WaitAny(q)
			return err
		},
		func() error { return c.Barrier() },
	} {
		go func() { began <- i; errs <- wait() }()
	}
	for range ways {
		<-began
	}
	for strings.Count(c.Waiting(), "rank 0 waits in") < 5 { // the two probes wait by themselves
		runtime.Gosched()
	}
	cancel()
	for range ways {
		if err := kind(<-errs, tutti.Canceled); err != nil {
			return err
		}
	}
	if err := first(kind(mpi.Send(c, []int{1}, 1, 0), tutti.Canceled), kind(mpi.Finalize(), tutti.Canceled)); err != nil {
		return err
	}
	fmt.Println("everybody was told")
	return errors.New("the context has ended")
}

func TestLibraryContextEnds(t *testing.T) {
	under(t, func(t *testing.T, l launcher) {
		fail(t, l.job(t, 2, "blocked"), "everybody was told", "the context has ended")
	})
}

// A rank that ends in any but the good way ends the job, and says why.
func TestLibraryJobEndsWithARank(t *testing.T) {
	under(t, func(t *testing.T, l launcher) {
		for how, words := range map[string][]string{
			"panic": {"it cannot go on", "goroutine 1"}, "exit": nil, "abort": {"rank 1 ends the job: no convergence"},
			"unfinished": nil, "kill": nil, "error": {"it cannot go on"},
		} {
			t.Run(how, func(t *testing.T) {
				cmd := l.job(t, 2, "exits", "MPI_TEST_EXIT="+how)
				if how == "unfinished" && l.name == "mpich" { // its mpiexec ends the job, with any status
					_, _ = cmd.CombinedOutput()
					return
				}
				fail(t, cmd, words...)
			})
		}
	})
}

// soname is the file of a library that is installed, for naming it to the other's launcher.
var soname = map[string]string{"openmpi": "libmpi.so.40", "mpich": "libmpich.so.12"}

// A library that is not the launcher's would make worlds of one: that is an error.
func TestLibraryOfAnother(t *testing.T) {
	under(t, func(t *testing.T, l launcher) {
		for name, file := range soname {
			if name != l.name {
				fail(t, l.job(t, 2, "idle", mpi.EnvLibrary+"="+file), "started 2 ranks", "a world of 1", "do not belong together")
			}
		}
		fail(t, l.job(t, 2, "idle", mpi.EnvLibrary+"=/no/such/library.so"), "/no/such/library.so", "no MPI library")
	})
}

// build builds example programs and gives their folder.
func build(t *testing.T, env string, names ...string) string {
	t.Helper()
	dir := t.TempDir()
	args := []string{"build", "-o", dir}
	for _, n := range names {
		args = append(args, "../examples/"+n)
	}
	cmd := exec.Command("go", args...)
	cmd.Env = append(os.Environ(), env)
	succeed(t, cmd)
	return dir
}

// A program that was built without C stops under mpiexec, and says what to do.
func TestWithoutC(t *testing.T) {
	ring := build(t, "CGO_ENABLED=0", "ring") + "/ring"
	under(t, func(t *testing.T, l launcher) {
		fail(t, l.start(t, 2, []string{ring}), "started 2 times by a launcher of", "which this build cannot join")
		if out := succeed(t, l.start(t, 1, []string{ring})); !strings.Contains(out, "from 1 ranks") {
			t.Error("one rank:", out)
		}
	})
}

// The example programs run under mpiexec as they are.
func TestExamplesOnLibraries(t *testing.T) {
	programs := map[string]string{
		"ring": "from 3 ranks", "pi": "by 3 ranks", "heat": "on 3 ranks", "montecarlo": "dimensions",
	}
	dir := build(t, "CGO_ENABLED=1", "ring", "pi", "heat", "montecarlo")
	under(t, func(t *testing.T, l launcher) {
		for name, says := range programs {
			if out := succeed(t, l.start(t, 3, []string{dir + "/" + name})); !strings.Contains(out, says) {
				t.Errorf("%s: %s", name, out)
			}
		}
	})
}

// mixed: the other rank is a plain MPI program in C, testdata/peer.c.
func mixed(c *mpi.Comm) error {
	x, back := []float64{0.5, 1.5, 2.5}, make([]float64, 3)
	if err := mpi.Send(c, x, 1, 7); err != nil {
		return err
	}
	if _, err := mpi.Recv(c, back, 1, 8); err != nil || back[2] != 3.5 {
		return fmt.Errorf("came back: %v %v", back, err)
	}
	sum, all, parts := make([]float64, 1), make([]float64, 2), make([]int32, 3)
	err := first(mpi.Bcast(c, []float64{10, 0, 0}, 0), mpi.Allreduce(c, []float64{5}, sum, mpi.Sum),
		mpi.Reduce(c, []int32{30}, nil, mpi.Max, 1), mpi.Allgather(c, []float64{-1}, all),
		mpi.Gatherv(c, []int32{7}, parts, []int{1, 2}, nil, 0))
	if err != nil || sum[0] != 15 || all[1] != 15 || fmt.Sprint(parts) != "[7 8 9]" {
		return fmt.Errorf("%v %v %v %v", sum, all, parts, err)
	}
	half, err := c.Split(0, 1)
	if err != nil || half.Rank() != 1 {
		return fmt.Errorf("split: %v", err)
	}
	return half.Barrier()
}

// Ranks in Go and in C in one job.
func TestGoBesideC(t *testing.T) {
	under(t, func(t *testing.T, l launcher) {
		cc, err := exec.LookPath("mpicc." + l.name)
		if err != nil {
			t.Skip(err)
		}
		peer := filepath.Join(t.TempDir(), "peer")
		succeed(t, exec.Command(cc, "-std=c11", "-Wall", "-Wextra", "-Werror", "-o", peer, "testdata/peer.c"))
		succeed(t, l.start(t, 1, []string{os.Args[0], ":", "-n", "1", peer}, "MPI_TEST_BODY=mixed", "MPI_TEST_LAUNCHER="+l.name))
	})
}
