package python_test

import (
	"context"
	"encoding/json"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// release builds the command with the libraries inside, as `make release` does, and puts it into an
// empty folder.
func release(t *testing.T) (tutti string) {
	t.Helper()
	build(t)
	from := filepath.Join(built.dir, "dist")
	files, err := filepath.Abs("../internal/dist/files")
	if err != nil {
		t.Fatal(err)
	}
	var overlay struct{ Replace map[string]string }
	overlay.Replace = map[string]string{}
	err = filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.Type().IsRegular() {
			overlay.Replace[filepath.Join(files, strings.TrimPrefix(path, from))] = path
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	list, err := json.Marshal(overlay)
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "overlay.json"), list, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	tutti = filepath.Join(dir, "alone", "tutti")
	cmd := exec.Command("go", "build", "-trimpath", "-tags", "release", "-overlay", filepath.Join(dir, "overlay.json"), "-o", tutti, "./cmd/tutti")
	cmd.Dir, cmd.Env = "..", append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return tutti
}

// A release is one file: with nothing beside it, message passing works in ranks, in an interpreter
// that has only the folder on its path, and in engines of a cluster.
func TestRelease(t *testing.T) {
	tutti := release(t)
	home := t.TempDir()
	env := append(os.Environ(), "XDG_CACHE_HOME="+filepath.Join(home, "cache"), "XDG_STATE_HOME="+home, "XDG_CONFIG_HOME="+home,
		"XDG_RUNTIME_DIR=", "PYTHONPATH=", "TUTTI_PYTHON=", "TUTTI_DIST=", "TUTTI_BINARY=", "TUTTI_LIB=", "PYTHONDONTWRITEBYTECODE=1")
	run := func(env []string, args ...string) string {
		t.Helper()
		ctx, cancel := context.WithTimeout(context.Background(), 2*time.Minute)
		defer cancel()
		cmd := exec.CommandContext(ctx, args[0], args[1:]...)
		cmd.Dir, cmd.Env, cmd.WaitDelay = home, env, 10*time.Second
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
		return strings.TrimSpace(string(out))
	}
	python := interpreters(t)[0]
	const sum = "from tutti import mpi; c = mpi.COMM_WORLD; print(c.allreduce(c.rank + 1))"
	const older = "import mpi; mpi.mpi_init(0, []); print(mpi.mpi_comm_size(mpi.MPI_COMM_WORLD)); mpi.mpi_finalize()"
	const engines = "import tutti\nwith tutti.Cluster(n=2) as rc: print(rc[:].apply_world(lambda comm: comm.allreduce(comm.rank + 1)).get())"
	if got := run(env, tutti, "run", "-n", "2", python, "-c", sum); got != "3\n3" {
		t.Error("ranks of tutti.mpi:", got)
	}
	if got := run(env, tutti, "run", "-n", "2", python, "-c", older); got != "2\n2" {
		t.Error("ranks of mpi:", got)
	}
	path := append(env, "PYTHONPATH="+run(env, tutti, "python", "--path"))
	if got := run(path, python, "-c", sum); got != "1" {
		t.Error("one process:", got)
	}
	if got := run(path, python, "-c", engines); got != "[3, 3]" {
		t.Error("engines:", got)
	}
	prefix := run(env, tutti, "config", "--prefix")
	if !strings.HasPrefix(prefix, home) {
		t.Error("the libraries are in", prefix)
	}
	if flags := run(env, tutti, "config", "--cflags", "--libs"); !strings.Contains(flags, "-I"+prefix) || !strings.Contains(flags, "-L"+prefix) {
		t.Error("flags:", flags)
	}
}
