package python_test

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

// example is a script that asserts its answer by itself.
type example struct {
	path  string // below examples
	args  []string
	says  string // what its output holds
	needs string // a module that it imports, "" if none
}

// The examples in Python, small, under each Python; each checks its own answer.
func TestExamples(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters")
	}
	all := []example{
		{path: "mapreduce/mapreduce.py", says: "varies most"},
		{path: "hashing/hashing.py", says: "100 words"},
		{path: "hashing/hashing.py", args: []string{"--engines", "3", "--words", "700"}, says: " -> "},
		{path: "bootstrap/bootstrap.py", args: []string{"--reps", "40", "--seeds", "4", "--fail", "7"}, says: "39 replicates", needs: "numpy"},
		{path: "worlds/worlds.py", says: "the same as in one process"},
		{path: "ipyparallel/monte_carlo.py", says: "price"},
		{path: "ipyparallel/parameter_study.py", says: "chaotic"},
		{path: "ipyparallel/pipeline.py", says: "six powers joined: 63"},
	}
	env := clusterEnv(t)
	for _, exe := range pythons(t) {
		for _, e := range all {
			t.Run(exe+" "+e.path, func(t *testing.T) {
				if e.needs != "" && !has(t, exe, e.needs) {
					t.Skipf("%s has no %s", exe, e.needs)
				}
				script := filepath.Join("..", "examples", e.path)
				if strings.HasPrefix(e.path, "ipyparallel/") {
					script = changed(t, script)
				}
				e.run(t, exe, script, env)
			})
		}
	}
}

// The scripts written for IPython Parallel run on it as they are.
func TestExamplesOnIPythonParallel(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters")
	}
	const exe = "/usr/bin/python3"
	if !has(t, exe, "ipyparallel") {
		t.Skipf("%s has no ipyparallel", exe)
	}
	env := append(os.Environ(), "IPYTHONDIR="+t.TempDir(), "HOME="+t.TempDir(), "PYTHONDONTWRITEBYTECODE=1")
	for _, e := range []example{
		{path: "monte_carlo.py", says: "price"},
		{path: "parameter_study.py", says: "chaotic"},
		{path: "pipeline.py", says: "six powers joined: 63"},
	} {
		t.Run(e.path, func(t *testing.T) {
			e.run(t, exe, filepath.Join("../examples/ipyparallel", e.path), env)
		})
	}
}

func (e *example) run(t *testing.T, exe, script string, env []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, exe, append([]string{script}, e.args...)...)
	cmd.Env = env
	out, err := cmd.CombinedOutput()
	if err != nil || !bytes.Contains(out, []byte(e.says)) {
		t.Fatalf("%v; want %q in\n%s", err, e.says, out)
	}
}

// changed writes a copy of a script for IPython Parallel that imports this package instead: the
// one line that a user changes.
func changed(t *testing.T, script string) string {
	t.Helper()
	text, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	const before = "import ipyparallel as ipp\n"
	if n := strings.Count(string(text), before); n != 1 {
		t.Fatalf("%s imports IPython Parallel %d times", script, n)
	}
	copied := filepath.Join(t.TempDir(), filepath.Base(script))
	if err := os.WriteFile(copied, []byte(strings.Replace(string(text), before, "import tutti as ipp\n", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	return copied
}

// has reports whether a Python could import a module.
func has(t *testing.T, exe, module string) bool {
	t.Helper()
	return exec.CommandContext(t.Context(), exe, "-c", "import importlib.util as u, sys; sys.exit(u.find_spec('"+module+"') is None)").Run() == nil
}
