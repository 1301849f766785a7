package python_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The Python tests of what stands beside the client (pickling, errors, clusters, executor, magics, prompt)
// run under the first python3 of PATH, and under the system's, which has other packages.
func TestExtras(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters of Python engines")
	}
	tree, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	binary := filepath.Join(t.TempDir(), "tutti")
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Minute)
	defer cancel()
	if out, err := exec.CommandContext(ctx, "go", "build", "-o", binary, "../cmd/tutti").CombinedOutput(); err != nil {
		t.Fatalf("build tutti: %v\n%s", err, out)
	}
	for _, exe := range pythons(t) {
		t.Run(exe, func(t *testing.T) {
			cmd := exec.CommandContext(ctx, exe, "-m", "unittest", "discover", "-s", "tests/extras", "-t", "tests/extras")
			cmd.Env = append(os.Environ(), "PYTHONPATH="+tree, "PYTHONDONTWRITEBYTECODE=1", "TUTTI_PYTHON="+tree, "TUTTI_BINARY="+binary,
				"TUTTI_DIST="+filepath.Join(tree, "..", "dist")) // without it the world of the prompt is left out
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}
