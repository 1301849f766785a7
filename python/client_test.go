package python_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"testing"
	"time"
)

// The tests of the Python client start clusters of the binary built here, under the first python3 of
// PATH and under the system's.
func TestClient(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters")
	}
	tree, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "tutti")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", binary, "github.com/tutti-hpc/tutti/cmd/tutti")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, exe := range pythons(t) {
		t.Run(exe, func(t *testing.T) {
			state := t.TempDir()
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, exe, "-m", "unittest", "discover", "-s", "tests/client", "-t", "tests/client")
			cmd.Env = append(os.Environ(), "PYTHONPATH="+tree, "PYTHONDONTWRITEBYTECODE=1", "TUTTI_BINARY="+binary, "TUTTI_PYTHON="+tree,
				"XDG_STATE_HOME="+state, "TUTTI_GATEWAY=", "TUTTI_CLUSTER=", "IPP_CONNECTION_INFO=", "IPP_CLUSTER_ID=")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// pythons are the first python3 of PATH and the system's, where they are two.
func pythons(t *testing.T) []string {
	t.Helper()
	var found []string
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		if exe, err := exec.LookPath(name); err == nil && !slices.Contains(found, exe) {
			found = append(found, exe)
		}
	}
	if len(found) == 0 {
		t.Skip("no python3 is installed")
	}
	return found
}
