package python_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// built is where this test has put the command and what `make lib` makes.
var built struct {
	sync.Once
	dir, skip string
	err       error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// build makes the command, libtutti.so and the extension, once; it skips the test where that needs
// something that is not here.
func build(t *testing.T) (tutti string) {
	t.Helper()
	built.Do(func() {
		for _, tool := range []string{"gcc", "bash", "python3"} {
			if _, err := exec.LookPath(tool); err != nil {
				built.skip = tool + " is missing"
				return
			}
		}
		if built.dir, built.err = os.MkdirTemp("", "tutti-python-"); built.err != nil {
			return
		}
		command := func(env []string, args ...string) {
			if built.err != nil {
				return
			}
			cmd := exec.Command(args[0], args[1:]...)
			cmd.Dir, cmd.Env = "..", append(os.Environ(), env...)
			if out, err := cmd.CombinedOutput(); err != nil {
				built.err = fmt.Errorf("%q: %w\n%s", args, err, out)
			}
		}
		command([]string{"CGO_ENABLED=0"}, "go", "build", "-o", filepath.Join(built.dir, "bin", "tutti"), "./cmd/tutti")
		command([]string{"CGO_ENABLED=1"}, "go", "build", "-buildmode=c-shared", "-o", filepath.Join(built.dir, "dist", "libtutti.so"), "./lib")
		command(nil, "lib/python/build", filepath.Join(built.dir, "dist"))
		if _, err := os.Stat(filepath.Join(built.dir, "dist", "python", "tutti", "_mpi.abi3.so")); err != nil && built.err == nil {
			built.skip = "there are no headers of CPython (Debian: python3-dev)"
		}
	})
	if built.err != nil {
		t.Fatal(built.err)
	}
	if built.skip != "" {
		t.Skip(built.skip)
	}
	return filepath.Join(built.dir, "bin", "tutti")
}

// interpreters are the CPythons that can load the extension: that of the system, and that of PATH if it is another.
func interpreters(t *testing.T) []string {
	t.Helper()
	var out []string
	seen := map[string]bool{}
	for _, p := range []string{"/usr/bin/python3", "python3"} {
		v, err := exec.Command(p, "-c", "import sys; print(sys.version_info >= (3, 11), sys.executable)").Output()
		if is, exe, _ := strings.Cut(strings.TrimSpace(string(v)), " "); err == nil && is == "True" && !seen[exe] {
			seen[exe] = true
			out = append(out, p)
		}
	}
	if len(out) == 0 {
		t.Skip("there is no CPython 3.11 or later")
	}
	return out
}

type result struct {
	out, err string
	code     int
}

// job runs a script as ranks, in a folder of its own, with the tree as it was unpacked from this package.
func job(t *testing.T, tutti string, n int, python string, script string, args ...string) result {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	path, err := filepath.Abs(filepath.Join("tests", "mpi", script))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(ctx, tutti, append([]string{"run", "-n", fmt.Sprint(n), python, "-B", path}, args...)...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	cmd.Env = append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(built.dir, "cache"), "TUTTI_PYTHON=", "TUTTI_DIST=", "TUTTI_MPI_STALL=20s")
	err = cmd.Run()
	if ctx.Err() != nil {
		t.Fatalf("%s %v with %d ranks hangs:\n%s%s", script, args, n, &out, &errs)
	}
	if cmd.ProcessState == nil {
		t.Fatal(err)
	}
	return result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
}

// The scripts check all routines and methods, on 1 to 4 ranks, with and without numpy.
func TestMessagePassing(t *testing.T) {
	tutti := build(t)
	for _, python := range interpreters(t) {
		for _, script := range []string{"point", "collective", "object", "comms", "mympi"} {
			for n := 1; n <= 4; n++ {
				t.Run(fmt.Sprint(filepath.Base(filepath.Dir(python)), "/", script, "/", n), func(t *testing.T) {
					r := job(t, tutti, n, python, script+".py")
					if r.code != 0 || strings.Count(r.out, "passed\n") != n {
						t.Fatalf("status %d\n%s%s", r.code, r.out, r.err)
					}
				})
			}
		}
	}
}

// A rank that fails ends the job, with its status, and what it wrote is shown last.
func TestFaults(t *testing.T) {
	tutti := build(t)
	python := interpreters(t)[0]
	for _, c := range []struct {
		fault string
		code  int    // of the job; -1: any but 0
		last  string // stands in the last lines of standard error
		out   string // every rank writes it
	}{
		{"raises", 1, "ValueError: this rank fails\n", ""},
		{"raises in thread of another", 1, "KeyError: 'this rank fails too'\n", ""},
		{"exit", 7, "exit status 7", ""},
		{"_exit", 1, "Finalize", ""},
		{"killed", 137, "kill", ""},
		{"abort", 5, "exit status 5", ""},
		{"fatal", 1, "there is no rank 3", ""},
		{"uncaught interrupt", -1, "KeyboardInterrupt", ""},
		{"finalized", 0, "", "closed\n"},
		{"interrupt", 0, "", "interrupted\n"},
		{"not initialized", 0, "", "closed, then fine\n"},
	} {
		t.Run(c.fault, func(t *testing.T) {
			r := job(t, tutti, 3, python, "fault.py", c.fault)
			if r.code != c.code && (c.code >= 0 || r.code == 0) {
				t.Errorf("status %d, expected %d", r.code, c.code)
			}
			lines := strings.SplitAfter(r.err, "\n")
			if tail := strings.Join(lines[max(0, len(lines)-4):], ""); !strings.Contains(tail, c.last) {
				t.Errorf("the end of standard error has no %q", c.last)
			}
			if c.out != "" && strings.Count(r.out, c.out) != 3 || strings.Contains(r.out, "not interrupted") {
				t.Errorf("standard output is not three times %q", c.out)
			}
			if t.Failed() {
				t.Logf("%s---\n%s", r.out, r.err)
			}
		})
	}
}

// Under the launchers of MPI libraries the same scripts run on the library, also beside mpi4py in the same process.
func TestUnderMPILibraries(t *testing.T) {
	tutti := build(t)
	python := interpreters(t)[0]
	for name, args := range map[string][]string{
		"mpiexec.openmpi": {"--allow-run-as-root", "--oversubscribe", "-n", "2"}, "mpiexec.mpich": {"-n", "2"},
	} {
		if _, err := exec.LookPath(name); err != nil {
			t.Logf("%s is missing: nothing is shown of it", name)
			continue
		}
		for _, script := range []string{"point", "collective", "object", "comms", "mympi", "beside", "beside: tutti first"} {
			t.Run(name+"/"+script, func(t *testing.T) {
				script, order, _ := strings.Cut(script, ": ")
				if script == "beside" && (name != "mpiexec.openmpi" || exec.Command(python, "-c", "import mpi4py").Run() != nil) {
					t.Skip("there is no mpi4py for this library")
				}
				ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
				defer cancel()
				path, err := filepath.Abs(filepath.Join("tests", "mpi", script+".py"))
				if err != nil {
					t.Fatal(err)
				}
				tree, err := filepath.Abs(".")
				if err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(ctx, name, append(args, python, "-B", path)...)
				cmd.Env = append(os.Environ(), "PYTHONPATH="+tree, "BESIDE="+order, "TUTTI_DIST="+filepath.Join(filepath.Dir(tutti), "..", "dist"))
				cmd.WaitDelay = 10 * time.Second
				out, err := cmd.CombinedOutput()
				if err != nil || strings.Count(string(out), "passed") != 2 {
					t.Errorf("%v\n%s", err, out)
				}
			})
		}
	}
}

// Without the compiled extension the import says in one sentence how to get it.
func TestWithoutExtension(t *testing.T) {
	python := interpreters(t)[0]
	cmd := exec.Command(python, "-B", "-c", "import mpi")
	dir := t.TempDir()
	if err := os.CopyFS(filepath.Join(dir, "python"), os.DirFS(".")); err != nil {
		t.Fatal(err)
	}
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "PYTHONPATH="+filepath.Join(dir, "python"), "TUTTI_DIST=")
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "ImportError") || !strings.Contains(string(out), "make lib") {
		t.Errorf("%v %s", err, out)
	}
}
