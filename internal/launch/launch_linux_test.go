package launch

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"golang.org/x/sys/unix"
)

// The test binary is also the launcher that tests kill.
func TestMain(m *testing.M) {
	if script := os.Getenv("LAUNCH_TEST_JOB"); script != "" {
		exit, err := Ranks(context.Background(), Spec{
			Programs: []Program{{N: 2, Args: []string{"sh", "-c", script}}}, Stdout: os.Stdout, Stderr: os.Stderr, Forward: true,
		})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
		os.Exit(exit.Code)
	}
	os.Exit(m.Run())
}

type result struct {
	Exit
	out, err string
}

func run(t *testing.T, ctx context.Context, s Spec) (result, error) {
	t.Helper()
	var out, errs bytes.Buffer
	s.Stdout, s.Stderr = &out, &errs
	e, err := Ranks(ctx, s)
	return result{e, out.String(), errs.String()}, err
}

func shell(n int, script string) []Program {
	return []Program{{N: n, Args: []string{"sh", "-c", script}}}
}

func sorted(s string) string {
	l := strings.Split(strings.TrimSuffix(s, "\n"), "\n")
	slices.Sort(l)
	return strings.Join(l, "|")
}

func TestProgramsAndPlaces(t *testing.T) {
	dir := t.TempDir()
	r, err := run(t, context.Background(), Spec{Style: Label, Programs: []Program{
		{N: 2, Args: []string{"sh", "-c", `echo "$TUTTI_MPI_RANK/$TUTTI_MPI_SIZE $X"; test -e "$TUTTI_MPI_SEGMENT"`}, Env: []string{"X=a b"}},
		{N: 1, Args: []string{"sh", "-c", `pwd; echo "$TUTTI_MPI_RANK" >&2`}, Dir: dir},
	}})
	if err != nil || r.Code != 0 || r.Rank != -1 {
		t.Fatalf("%+v %v", r, err)
	}
	if got := sorted(r.out); got != "[0] 0/3 a b|[1] 1/3 a b|[2] "+dir {
		t.Error(got)
	}
	if r.err != "[2] 2\n" {
		t.Errorf("%q", r.err)
	}
}

func TestStyles(t *testing.T) {
	const script = `echo same; if [ $TUTTI_MPI_RANK = 1 ]; then echo odd; fi; echo last; printf cut`
	for _, c := range []struct {
		style Style
		want  string
	}{
		{Plain, "cut|cut|cut"},
		{Zero, "cut|last|same"},
		{Fold, "[0-2] cut|[0-2] last|[0-2] same|[1] odd"},
	} {
		r, err := run(t, context.Background(), Spec{Style: c.style, Programs: shell(3, script)})
		if err != nil {
			t.Fatal(err)
		}
		got := sorted(strings.ReplaceAll(r.out, "cut", "cut\n"))
		if c.style == Plain {
			for want, n := range map[string]int{"same": 3, "odd": 1, "last": 3, "cut": 3} {
				if strings.Count(r.out, want) != n {
					t.Errorf("plain: %d of %q in %q", n, want, r.out)
				}
			}
			continue
		}
		got = strings.TrimPrefix(got, "|")
		if got != c.want {
			t.Errorf("style %d: %q, want %q", c.style, got, c.want)
		}
	}
}

// What a rank wrote to standard error is shown last when it fails, and its status is the job's.
func TestFirstFailureEndsTheOthers(t *testing.T) {
	began := time.Now()
	r, err := run(t, context.Background(), Spec{Programs: shell(3, `
		trap 'echo told >&2; exit 7' TERM
		if [ $TUTTI_MPI_RANK = 1 ]; then echo "it broke" >&2; exit 3; fi
		while :; do sleep 600 & wait; done`)})
	if err != nil || r.Rank != 1 || r.Code != 3 || r.Reason != "exit status 3" {
		t.Fatalf("%+v %v", r, err)
	}
	if i, j := strings.LastIndex(r.err, "told"), strings.LastIndex(r.err, "it broke"); i < 0 || j < i || !strings.HasSuffix(r.err, "rank 1 of 3: exit status 3\n") {
		t.Errorf("%q", r.err)
	}
	if d := time.Since(began); d > 30*time.Second {
		t.Error("the others were waited for:", d)
	}
}

// A rank that does not listen is killed, with what it started; a signal is a status too.
func TestKillsWhatDoesNotEnd(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	r, err := run(t, context.Background(), Spec{Grace: 10 * time.Millisecond, Programs: shell(2, `
		trap '' TERM
		if [ $TUTTI_MPI_RANK = 1 ]; then while [ ! -s `+pids+` ]; do :; done; kill -9 $$; fi
		sh -c 'trap "" TERM; echo $$ > `+pids+`; while :; do sleep 600; done' & wait`)})
	if err != nil || r.Rank != 1 || r.Code != 137 {
		t.Fatalf("%+v %v", r, err)
	}
	gone(t, pids)
}

// gone wants the process whose number is in a file to be no more.
func gone(t *testing.T, file string) {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(b)))
	if err != nil {
		t.Fatal(err)
	}
	for range 1_000_000 {
		// A zombie of somebody else's counts as gone.
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
		if err != nil || strings.Contains(string(stat), ") Z ") {
			return
		}
		runtime.Gosched()
	}
	t.Errorf("process %d lives on", pid)
}

func TestEndWithoutFinalize(t *testing.T) {
	// A rank that has come and does not leave in order: its byte in the roster says so.
	const script = `printf '\001' | dd of=$TUTTI_MPI_SEGMENT bs=1 seek=$((4096+TUTTI_MPI_RANK)) conv=notrunc 2>/dev/null; [ $TUTTI_MPI_RANK = 0 ] || exec sleep 600`
	r, err := run(t, context.Background(), Spec{Programs: shell(2, script)})
	if err != nil || r.Rank != 0 || r.Code != 1 || !strings.Contains(r.Reason, "Finalize") {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestStdin(t *testing.T) {
	r, err := run(t, context.Background(), Spec{Stdin: strings.NewReader("a\nb\n"), Style: Label, Programs: shell(2, "cat")})
	if err != nil || r.out != "[0] a\n[0] b\n" {
		t.Fatalf("%+v %v", r, err)
	}
	f, err := os.Open("launch_linux_test.go")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	r, err = run(t, context.Background(), Spec{Stdin: f, Programs: shell(2, "head -n 1")})
	if err != nil || r.out != "package launch\n" {
		t.Fatalf("%+v %v", r, err)
	}
}

func TestCancel(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	w := writer(func(p []byte) { cancel() })
	_, err := Ranks(ctx, Spec{Programs: shell(2, "echo here; exec sleep 600"), Stdout: w})
	if !errors.Is(err, tutti.Canceled) {
		t.Fatal(err)
	}
}

type writer func(p []byte)

func (w writer) Write(p []byte) (int, error) { w(p); return len(p), nil }

func TestRefusals(t *testing.T) {
	for _, c := range []struct {
		s    Spec
		kind tutti.Kind
	}{
		{Spec{}, tutti.Invalid},
		{Spec{Programs: []Program{{N: 0, Args: []string{"true"}}}}, tutti.Invalid},
		{Spec{Programs: []Program{{N: 5000, Args: []string{"true"}}}}, tutti.Invalid},
		{Spec{Programs: []Program{{N: 1, Args: []string{"no-such-program-anywhere"}}}}, tutti.NotFound},
		{Spec{Programs: []Program{{N: 1, Args: []string{"sleep", "600"}}, {N: 1, Args: []string{"/etc/passwd"}}}}, tutti.Denied},
		{Spec{Programs: shell(1, "true"), Folder: "/no/such/folder"}, tutti.Full},
	} {
		if _, err := run(t, context.Background(), c.s); !errors.Is(err, c.kind) {
			t.Errorf("%v, want %v", err, c.kind)
		}
	}
}

func TestBind(t *testing.T) {
	r, err := run(t, context.Background(), Spec{Bind: Cores, Style: Label, Programs: shell(2, "grep Cpus_allowed_list: /proc/self/status")})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range strings.Split(strings.TrimSpace(r.out), "\n") {
		if _, one, _ := strings.Cut(l, "list:"); strings.ContainsAny(strings.TrimSpace(one), ",-") {
			t.Errorf("%q: more than one processor", l)
		}
	}
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err == nil && set.Count() == 1 && runtime.NumCPU() > 1 {
		t.Error("the launcher stays bound")
	}
}

// launcher starts this test binary as a launcher of two ranks, and waits until both have come.
func launcher(t *testing.T, script string) (cmd *exec.Cmd, out *lines) {
	t.Helper()
	cmd = exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LAUNCH_TEST_JOB="+script)
	out = &lines{more: make(chan struct{}, 1000)}
	cmd.Stdout, cmd.Stderr = out, out
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if cmd.ProcessState == nil {
			cmd.Process.Kill()
			cmd.Wait()
		}
	})
	for out.count("here") < 2 {
		<-out.more
	}
	return cmd, out
}

type lines struct {
	mu   sync.Mutex
	b    bytes.Buffer
	more chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.more <- struct{}{}
	return l.b.Write(p)
}

func (l *lines) count(s string) int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return strings.Count(l.b.String(), s)
}

// No rank outlives a launcher that was killed.
func TestNoOrphans(t *testing.T) {
	dir := t.TempDir()
	cmd, _ := launcher(t, `echo $$ > `+dir+`/$TUTTI_MPI_RANK; echo here; while :; do read x; done < /dev/zero`)
	cmd.Process.Kill()
	cmd.Wait()
	gone(t, dir+"/0")
	gone(t, dir+"/1")
}

func TestSignalsArePassedOn(t *testing.T) {
	cmd, out := launcher(t, `
		trap 'echo got usr1' USR1; trap 'echo got usr2' USR2; trap 'exit 9' INT; echo here
		while :; do sleep 600 & wait; done`)
	cmd.Process.Signal(syscall.SIGUSR2)
	for out.count("got usr2") < 2 {
		<-out.more
	}
	cmd.Process.Signal(syscall.SIGUSR1)
	for out.count("got usr1") < 1 {
		<-out.more
	}
	cmd.Process.Signal(syscall.SIGINT)
	var e *exec.ExitError
	if err := cmd.Wait(); !errors.As(err, &e) || e.ExitCode() != 9 || out.count("got usr1") != 1 {
		t.Error(err, out.count("got usr1"))
	}
}

func TestRanges(t *testing.T) {
	for want, set := range map[string][]bool{
		"": {false}, "0": {true}, "0-1": {true, true}, "1,3-5": {false, true, false, true, true, true},
	} {
		if got := ranges(set); got != want {
			t.Errorf("%v: %q, want %q", set, got, want)
		}
	}
}
