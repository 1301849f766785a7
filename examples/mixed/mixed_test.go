//go:build linux && cgo

package main_test

import (
	"bytes"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// answer is what every mixture of languages finds.
const answer = "the wave reaches the last of 60 cells in step 187, off by 0.0e+00\n"

// run runs a command with a limit of time.
func run(t *testing.T, args ...string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, args[0], args[1:]...)
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v: %v\n%s%s", args, err, out.String(), errs.String())
	}
	return out.String()
}

func needs(t *testing.T, commands ...string) {
	t.Helper()
	for _, c := range commands {
		if _, err := exec.LookPath(c); err != nil {
			t.Skip("no " + c)
		}
	}
}

// programs compiles driver and workers by the given compilers, which get flags.
func programs(t *testing.T, dir, cc, fc string, cflags, fflags []string) {
	t.Helper()
	for name, source := range map[string]string{"driver_c": "driver.c", "worker_c": "worker.c"} {
		run(t, append([]string{cc, "-O2", "programs/" + source, "-o", filepath.Join(dir, name), "-lm"}, cflags...)...)
	}
	run(t, append([]string{fc, "-O2", "programs/worker.f90", "-o", filepath.Join(dir, "worker_fortran"), "-J", t.TempDir()}, fflags...)...)
}

// job is the command line of a mixed job: a driver and a worker of each kind.
func job(dir string, driver []string, workers ...string) []string {
	line := append([]string{"-n", "1"}, driver...)
	for _, w := range workers {
		line = append(line, ":", "-n", "1", filepath.Join(dir, w))
	}
	return line
}

// ours builds the libraries, tutti and all programs.
func ours(t *testing.T) (dir string) {
	t.Helper()
	needs(t, "gcc", "gfortran")
	dir = t.TempDir()
	run(t, "../../lib/build", dir)
	run(t, "go", "build", "-o", dir+"/tutti", "../../cmd/tutti")
	run(t, "go", "build", "-o", dir+"/worker_go", ".")
	t.Setenv("TUTTI_DIST", dir)
	flags := func(what string) []string { return strings.Fields(run(t, dir+"/tutti", "config", what, "--libs")) }
	programs(t, dir, "gcc", "gfortran", flags("--cflags"), flags("--fflags"))
	return dir
}

func TestMixed(t *testing.T) {
	dir := ours(t)
	tree, err := filepath.Abs("../../python")
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv("PYTHONPATH", tree)
	t.Run("tutti run", func(t *testing.T) { checkTuttiRun(t, dir) })
	for name, launch := range map[string][]string{"openmpi": {"mpirun.openmpi", "--oversubscribe"}, "mpich": {"mpirun.mpich"}} {
		t.Run(name, func(t *testing.T) { checkMpiexec(t, dir, name, launch) })
	}
}

func checkTuttiRun(t *testing.T, dir string) {
	all := []string{"worker_c", "worker_fortran", "worker_go"}
	for _, workers := range [][]string{all, {"worker_go"}, {"worker_fortran", "worker_c"}, append(all, all...)} {
		line := append([]string{dir + "/tutti", "run"}, job(dir, []string{dir + "/driver_c"}, workers...)...)
		if out := run(t, line...); !strings.HasPrefix(out, "languages: C ") || !strings.HasSuffix(out, answer) {
			t.Errorf("%v:\n%s", workers, out)
		}
	}
	t.Run("python", func(t *testing.T) { checkPython(t, dir, dir+"/tutti", "run") })
}

// withNumpy finds a Python that has numpy, or skips.
func withNumpy(t *testing.T) string {
	t.Helper()
	for _, p := range []string{"python3", "/usr/bin/python3"} {
		if exec.Command(p, "-c", "import sys, numpy; sys.exit(sys.version_info < (3, 11))").Run() == nil {
			return p
		}
	}
	t.Skip("no Python 3.11 or later with numpy")
	return ""
}

// checkPython runs the job with the driver in Python.
func checkPython(t *testing.T, dir string, launch ...string) {
	driver := []string{withNumpy(t), "programs/driver.py"}
	out := run(t, append(launch, job(dir, driver, "worker_c", "worker_fortran", "worker_go")...)...)
	if out != "languages: Python C Fortran Go\n"+answer {
		t.Errorf("%s", out)
	}
}

// checkMpiexec runs the same sources under the launcher of another MPI, C and Fortran compiled by it; Go
// and Python join its world.
func checkMpiexec(t *testing.T, dir, name string, launch []string) {
	t.Setenv("OMPI_ALLOW_RUN_AS_ROOT", "1")
	t.Setenv("OMPI_ALLOW_RUN_AS_ROOT_CONFIRM", "1")
	needs(t, launch[0], "mpicc."+name, "mpif90."+name)
	theirs := t.TempDir()
	programs(t, theirs, "mpicc."+name, "mpif90."+name, nil, []string{"-fallow-argument-mismatch", "-w"})
	if err := os.Symlink(dir+"/worker_go", theirs+"/worker_go"); err != nil {
		t.Fatal(err)
	}
	out := run(t, append(launch, job(theirs, []string{theirs + "/driver_c"}, "worker_c", "worker_fortran", "worker_go")...)...)
	if out != "languages: C C Fortran Go\n"+answer {
		t.Errorf("%s", out)
	}
	t.Run("python", func(t *testing.T) { checkPython(t, theirs, launch...) })
}
