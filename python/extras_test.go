package python_test

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// The Python tests of what stands beside the client (pickling, errors, executor, magics, prompt) run
// under the first python3 of PATH, and under the system's, which has other packages.
func TestExtras(t *testing.T) {
	tree, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	for _, exe := range interpreters(t) {
		t.Run(exe, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, exe, "-m", "unittest", "discover", "-s", "tests/extras", "-t", "tests/extras")
			cmd.Env = append(os.Environ(), "PYTHONPATH="+tree, "PYTHONDONTWRITEBYTECODE=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// interpreters gives the Pythons to test with; the test is skipped where there is none.
func interpreters(t *testing.T) []string {
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
