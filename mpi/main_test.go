package mpi_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

// bodies are the programs that a child process of the test runs as a rank.
var bodies = map[string]func(*mpi.Comm) error{}

// onLibrary says that this process is a rank on an MPI library.
var onLibrary = os.Getenv("MPI_TEST_LAUNCHER") != ""

func TestMain(m *testing.M) {
	if name := os.Getenv("MPI_TEST_BODY"); name != "" {
		os.Exit(child(bodies[name]))
	}
	code := m.Run()
	if n := settle(); code == 0 && n > 2 {
		buf := make([]byte, 1<<16)
		fmt.Fprintf(os.Stderr, "%d goroutines left\n%s", n, buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// settle waits until goroutines that are on their way out have gone.
func settle() int {
	for i := 0; i < 1e6 && runtime.NumGoroutine() > 2; i++ {
		runtime.Gosched()
	}
	return runtime.NumGoroutine()
}

func child(body func(*mpi.Comm) error) int {
	if os.Getenv("MPI_TEST_BODY") == "blocked" { // which wants a context of its own
		err := body(nil)
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	c, err := mpi.Init(context.Background())
	if err == nil {
		err = body(c)
	}
	if err == nil {
		err = mpi.Finalize()
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// job is a world of child processes.
type job struct {
	t    *testing.T
	seg  *os.File
	cmds []*exec.Cmd
	outs []*lockedBuffer
}

type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start runs n ranks of a body as processes.
func start(t *testing.T, n int, body, dir string, env ...string) *job {
	t.Helper()
	seg, err := mpi.NewSegment(dir)
	if err != nil {
		t.Fatal(err)
	}
	j := &job{t: t, seg: seg}
	t.Cleanup(j.close)
	for r := range n {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "MPI_TEST_BODY="+body, "GOMAXPROCS=2", "GOGC=400",
			fmt.Sprintf("%s=/proc/%d/fd/%d", mpi.EnvSegment, os.Getpid(), seg.Fd()),
			fmt.Sprintf("%s=%d", mpi.EnvRank, r), fmt.Sprintf("%s=%d", mpi.EnvSize, n))
		cmd.Env = append(cmd.Env, env...)
		out := new(lockedBuffer)
		cmd.Stdout, cmd.Stderr = out, out
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		j.cmds, j.outs = append(j.cmds, cmd), append(j.outs, out)
	}
	return j
}

// wait waits for one rank and gives its error and output.
func (j *job) wait(r int) (string, error) {
	timer := time.AfterFunc(time.Minute, func() { j.cmds[r].Process.Signal(os.Interrupt); j.cmds[r].Process.Kill() })
	defer timer.Stop()
	err := j.cmds[r].Wait()
	return j.outs[r].String(), err
}

// ok waits for all ranks and wants them to succeed.
func (j *job) ok() {
	j.t.Helper()
	for r := range j.cmds {
		if out, err := j.wait(r); err != nil {
			j.t.Errorf("rank %d of %d: %v\n%s", r, len(j.cmds), err, out)
		}
	}
}

func (j *job) close() {
	for _, c := range j.cmds {
		if c.ProcessState == nil {
			c.Process.Kill()
			c.Wait()
		}
	}
	j.seg.Close()
}

// everywhere runs a body over goroutine ranks, for every number of ranks, and notes it for
// TestProcesses.
func everywhere(t *testing.T, body string, sizes ...int) {
	for _, n := range sizes {
		t.Run(fmt.Sprint(n), func(t *testing.T) {
			if err := mpi.Run(n, bodies[body]); err != nil {
				t.Fatal(err)
			}
		})
	}
}

// suite is which bodies make up the conformance suite and for which numbers of ranks.
var suite = []struct {
	body  string
	sizes []int
}{
	{"pairs", sizes}, {"forms", []int{1, 2, 3}}, {"storm", []int{2, 4}}, {"arguments", []int{1, 2}}, {"threads", []int{2}},
	{"collectives", sizes}, {"vectors", sizes}, {"operations", []int{1, 3, 4}}, {"overlap", []int{2, 3, 4}}, {"long", []int{2, 3}},
	{"splits", sizes}, {"grids", []int{6}}, {"windows", []int{1, 3}}, {"values", []int{1, 3}}, {"many", []int{3}}, {"random", []int{2, 3, 5}},
}

func TestGoroutines(t *testing.T) {
	for _, s := range suite {
		t.Run(s.body, func(t *testing.T) { everywhere(t, s.body, s.sizes...) })
	}
}

// One job of processes goes through all bodies for its number of ranks.
func TestProcesses(t *testing.T) {
	for _, n := range []int{1, 2, 3, 4, 5, 6, 8} {
		t.Run(fmt.Sprint(n), func(t *testing.T) { start(t, n, "suite", "").ok() })
	}
}

func init() {
	bodies["suite"] = func(c *mpi.Comm) error {
		for _, s := range suite {
			if !slices.Contains(s.sizes, c.Size()) {
				continue
			}
			if err := bodies[s.body](c); err != nil {
				return fmt.Errorf("%s: %w", s.body, err)
			}
		}
		return nil
	}
}

// kind wants an error of a kind.
func kind(err error, k tutti.Kind) error {
	if !errors.Is(err, k) {
		return fmt.Errorf("error %v, of kind %v wanted", err, k)
	}
	return nil
}

// first gives the first error that is not nil.
func first(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
