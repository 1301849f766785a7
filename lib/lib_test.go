//go:build linux && cgo

package main_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"
)

// built is the folder with the libraries, and the command tutti, for all tests of a run.
var built struct {
	once    sync.Once
	dir     string
	tutti   string
	fortran bool
	skip    string
	err     error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if built.dir != "" {
		os.RemoveAll(built.dir)
	}
	os.Exit(code)
}

// build makes the libraries once, or skips the test.
func build(t *testing.T) (dir, tutti string) {
	t.Helper()
	built.once.Do(func() {
		if _, err := exec.LookPath("gcc"); err != nil {
			built.skip = "no gcc"
			return
		}
		_, err := exec.LookPath("gfortran")
		built.fortran = err == nil
		if built.err = readSources(); built.err != nil {
			return
		}
		if built.dir, built.err = os.MkdirTemp("", "tutti-lib-"); built.err != nil {
			return
		}
		built.tutti = filepath.Join(built.dir, "tutti")
		for _, args := range [][]string{{"./build", built.dir}, {"go", "build", "-o", built.tutti, "../cmd/tutti"}} {
			if out, err := exec.Command(args[0], args[1:]...).CombinedOutput(); err != nil {
				built.err = fmt.Errorf("%v: %w\n%s", args, err, out)
				return
			}
		}
	})
	if built.skip != "" {
		t.Skip(built.skip)
	}
	if built.err != nil {
		t.Fatal(built.err)
	}
	return built.dir, built.tutti
}

// readSources opens what the libraries are made of in this process: the cache of test results
// cannot see what a child reads.
func readSources() error {
	for _, root := range []string{".", "../mpi", "../internal/shm", "../internal/launch", "../cmd/tutti", "../internal/dist"} {
		err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
			if err == nil && d.Type().IsRegular() {
				_, err = os.ReadFile(path)
			}
			return err
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// run runs a command with a limit of time, and gives its output and status.
func run(t *testing.T, env []string, args ...string) (stdout, stderr string, status int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	cmd.Env = append(os.Environ(), env...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && (!errors.As(err, &exit) || ctx.Err() != nil) {
		t.Fatalf("%v: %v\n%s%s", args, errors.Join(err, ctx.Err()), out.String(), errs.String())
	}
	return out.String(), errs.String(), cmd.ProcessState.ExitCode()
}

// must is run of what may not fail.
func must(t *testing.T, args ...string) string {
	t.Helper()
	out, errs, status := run(t, nil, args...)
	if status != 0 {
		t.Fatalf("%v: status %d\n%s%s", args, status, out, errs)
	}
	return out
}

// compile makes a program of a source of testdata with the flags that tutti config prints.
func compile(t *testing.T, source string) string {
	t.Helper()
	dir, tutti := build(t)
	compiler, what := "gcc", "--cflags"
	strict := []string{"-Wall", "-Wextra", "-Werror", "-std=gnu11"}
	if !strings.HasSuffix(source, ".c") {
		if !built.fortran {
			t.Skip("no gfortran")
		}
		compiler, what, strict = "gfortran", "--fflags", []string{"-Wall", "-J", t.TempDir()}
	}
	t.Setenv("TUTTI_DIST", dir)
	flags := strings.Fields(must(t, tutti, "config", what, "--libs"))
	program := filepath.Join(t.TempDir(), "program")
	args := append([]string{compiler, "-O1", filepath.Join("testdata", source), "-o", program}, strict...)
	must(t, append(append(args, flags...), "-lm")...)
	return program
}

func TestConform(t *testing.T) {
	program := compile(t, "conform.c")
	_, tutti := build(t)
	told := regexp.MustCompile(`^conform: (\d) ranks, \d{5,} checks\n$`)
	for n := 1; n <= 4; n++ {
		for _, env := range []string{"TUTTI_MPI_DIRECT=1", "TUTTI_MPI_DIRECT=0"} {
			out, errs, status := run(t, []string{env}, tutti, "run", "-n", fmt.Sprint(n), program)
			if status != 0 || !told.MatchString(out) {
				t.Errorf("%d ranks, %s: status %d\n%s%s", n, env, status, out, errs)
			}
		}
	}
}

// The same sources with other libraries of MPI, where there are any, print the same.
func TestTextbookPrograms(t *testing.T) {
	sources, err := filepath.Glob("testdata/mpi/*")
	if err != nil || len(sources) < 7 {
		t.Fatal(sources, err)
	}
	_, tutti := build(t)
	for _, source := range sources {
		t.Run(filepath.Base(source), func(t *testing.T) {
			program := compile(t, filepath.Join("mpi", filepath.Base(source)))
			peers := peersOf(t, source)
			for n := 1; n <= 4; n++ {
				ours, errs, status := run(t, nil, tutti, "run", "-n", fmt.Sprint(n), program)
				if status != 0 || ours == "" || strings.Contains(ours, "wrong: ") && !strings.HasSuffix(ours, "wrong: 0\n") {
					t.Fatalf("%d ranks: status %d\n%s%s", n, status, ours, errs)
				}
				for _, peer := range peers {
					args := append(slices.Clone(peer.launch), fmt.Sprint(n), peer.program)
					theirs, errs, status := run(t, []string{"OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1"}, args...)
					if status != 0 || theirs != ours {
						t.Errorf("%d ranks: ours\n%s%s (status %d)\n%s%s", n, ours, peer.launch[0], status, theirs, errs)
					}
				}
			}
		})
	}
}

// peer is a program of another MPI, and what starts it, but for the number of ranks.
type peer struct {
	launch  []string
	program string
}

// peersOf compiles a source with the other libraries that are installed.
func peersOf(t *testing.T, source string) (peers []peer) {
	for name, launch := range map[string][]string{"openmpi": {"mpirun.openmpi", "--oversubscribe", "-n"}, "mpich": {"mpirun.mpich", "-n"}} {
		compiler := map[bool]string{true: "mpicc.", false: "mpif90."}[strings.HasSuffix(source, ".c")] + name
		if _, err := exec.LookPath(compiler); err != nil {
			continue
		}
		dir := t.TempDir()
		program := filepath.Join(dir, name)
		args := []string{compiler, "-w", source, "-o", program, "-lm"}
		if !strings.HasSuffix(source, ".c") {
			args = append(args, "-J", dir, "-fallow-argument-mismatch")
		}
		must(t, args...)
		peers = append(peers, peer{launch, program})
	}
	return peers
}

func TestFaults(t *testing.T) {
	program := compile(t, "faults.c")
	_, tutti := build(t)
	for _, c := range []struct {
		how    string
		status int
		stderr string
	}{
		{"exit", 3, "rank 1 of 3: exit status 3"},
		{"return", 1, "without Finalize"},
		{"segfault", 139, "segmentation fault"},
		{"kill", 137, "killed"},
		{"abort", 7, "rank 1 ends the job: MPI_Abort"},
		{"error", 1, "MPI_Send: mpi: Send on rank 1 of world, peer 99, tag 0: invalid: there is no rank 99"},
		{"truncate", 1, "truncated: the message has 4 bytes, the buffer room for 0"},
		{"signals", 0, ""},
		{"fork", 0, ""},
	} {
		t.Run(c.how, func(t *testing.T) {
			out, errs, status := run(t, nil, tutti, "run", "-n", "3", program, c.how)
			if status != c.status || !strings.Contains(errs, c.stderr) || (status == 0) != (out == "all well\n") {
				t.Errorf("status %d, not %d\n%s%s", status, c.status, out, errs)
			}
		})
	}
}

// A program that loads libtutti must not get any symbol of MPI from it: it may have another MPI.
func TestNoSymbolsOfMPI(t *testing.T) {
	dir, _ := build(t)
	if _, err := exec.LookPath("nm"); err != nil {
		t.Skip("no nm")
	}
	mpi := regexp.MustCompile(`(?m) [A-Z] (MPI_|PMPI_|mpi_)\w+$`)
	if found := mpi.FindString(must(t, "nm", "-D", "--defined-only", filepath.Join(dir, "libtutti.so"))); found != "" {
		t.Errorf("libtutti.so has%s", found)
	}
	face := must(t, "nm", "-D", "--defined-only", filepath.Join(dir, "libtuttimpi.so"))
	header, err := os.ReadFile("mpi/mpi.h")
	if err != nil {
		t.Fatal(err)
	}
	declared := regexp.MustCompile(`(?m)^(?:int|double) (MPI_\w+)\(`).FindAllStringSubmatch(string(header), -1)
	if len(declared) < 100 {
		t.Fatalf("%d declarations found in mpi.h", len(declared))
	}
	for _, d := range declared {
		if !strings.Contains(face, " T "+d[1]+"\n") {
			t.Errorf("mpi.h declares %s, libtuttimpi.so does not have it", d[1])
		}
	}
}

// The constants of Fortran are those of C, and every function of tutti.h is there.
func TestFacesAgree(t *testing.T) {
	dir, _ := build(t)
	header, err := os.ReadFile("mpi/mpi.h")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^#define (MPI_\w+) \(?(-?\w+)\)?$`).FindAllStringSubmatch(string(header), -1) {
		values[m[1]] = m[2]
		if v, ok := values[m[2]]; ok {
			values[m[1]] = v
		}
	}
	fortran, err := os.ReadFile("mpi/mpif-constants.h")
	if err != nil {
		t.Fatal(err)
	}
	same := 0
	for _, m := range regexp.MustCompile(`parameter \((MPI_\w+)=(-?\d+)\)`).FindAllStringSubmatch(string(fortran), -1) {
		if strings.HasPrefix(m[1], "MPI_MAX_") { // Fortran's texts have no zero byte
			continue
		}
		if v, ok := values[m[1]]; ok && v != m[2] {
			t.Errorf("%s is %s in C and %s in Fortran", m[1], v, m[2])
		} else if ok {
			same++
		}
	}
	if same < 100 {
		t.Errorf("only %d constants are in both", same)
	}
	symbols := must(t, "nm", "-D", "--defined-only", filepath.Join(dir, "libtutti.so"))
	tutti, err := os.ReadFile("tutti.h")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`(?m)^[a-z][\w \*]*?(tutti_\w+)\(`).FindAllStringSubmatch(string(tutti), -1) {
		if !strings.Contains(symbols, " T "+m[1]+"\n") {
			t.Errorf("tutti.h declares %s, libtutti.so does not have it", m[1])
		}
	}
}
