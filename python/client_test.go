package python_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// The Python tests of the client, and of what stands beside it (pickling, errors, clusters, executor,
// magics, prompt), start clusters of the binary built here. They run under the first python3 of PATH
// and under the system's, which has other packages.
func TestClient(t *testing.T) { suite(t, "client") }
func TestExtras(t *testing.T) { suite(t, "extras") }

// Engines as ranks of worlds, also of those that are killed in the middle of a call: WORLD_KILLS says how
// often, where the few of each run are not enough.
func TestWorlds(t *testing.T) { suite(t, "worlds") }

func suite(t *testing.T, name string) {
	if testing.Short() {
		t.Skip("starts clusters of Python engines")
	}
	env := clusterEnv(t)
	kills, _ := strconv.Atoi(os.Getenv("WORLD_KILLS"))
	for _, exe := range pythons(t) {
		t.Run(exe, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute+time.Duration(kills)*3*time.Second)
			defer cancel()
			folder := filepath.Join("tests", name)
			cmd := exec.CommandContext(ctx, exe, "-m", "unittest", "discover", "-s", folder, "-t", folder)
			cmd.Env = env
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// pythons gives the Pythons to test with; the test is skipped where there is none.
func pythons(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exe, err := exec.LookPath(name); err == nil && (len(found) == 0 || exe != found[0]) {
			found = append(found, exe)
		}
	}
	if len(found) == 0 {
		t.Skip("no python3 is installed")
	}
	return found
}

// clusterEnv builds what scripts need, and gives the environment in which they find it: the command,
// the libraries, and the packages as they stand here.
func clusterEnv(t *testing.T) []string {
	t.Helper()
	tree, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	tutti := build(t)
	env := make([]string, 0, len(os.Environ())+8)
	for _, kv := range os.Environ() {
		if !strings.HasPrefix(kv, "TUTTI_") && !strings.HasPrefix(kv, "IPP_") {
			env = append(env, kv)
		}
	}
	return append(env, "PYTHONPATH="+tree, "PYTHONDONTWRITEBYTECODE=1", "TUTTI_BINARY="+tutti, "TUTTI_PYTHON="+tree,
		"TUTTI_DIST="+filepath.Join(built.dir, "dist"), "XDG_STATE_HOME="+t.TempDir())
}
