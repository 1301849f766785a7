package python_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The examples of docs/python.md and README.md run as one program for each page, and print what stands behind them.
func TestDocuments(t *testing.T) {
	if testing.Short() {
		t.Skip("starts clusters")
	}
	env := clusterEnv(t)
	for _, exe := range pythons(t) {
		for _, page := range []string{"docs/python.md", "README.md"} {
			t.Run(exe+" "+page, func(t *testing.T) {
				text, err := os.ReadFile(filepath.Join("..", page))
				if err != nil {
					t.Fatal(err)
				}
				program, want := blocks(string(text), func(module string) bool { return has(t, exe, module) })
				if len(want) == 0 {
					t.Fatal("no example in Python")
				}
				path := filepath.Join(t.TempDir(), "page.py")
				if err := os.WriteFile(path, []byte(program), 0o600); err != nil {
					t.Fatal(err)
				}
				cmd := exec.CommandContext(t.Context(), exe, path)
				cmd.Env = env
				out, err := cmd.CombinedOutput()
				if got := strings.TrimSpace(string(out)); err != nil || got != strings.Join(want, "\n") {
					t.Errorf("%v; it printed\n%s\nand should have\n%s", err, got, strings.Join(want, "\n"))
				}
			})
		}
	}
}

// blocks joins the blocks of Python in a page, without those that need a module that is not here, and
// gives the comments behind calls of print.
func blocks(page string, has func(module string) bool) (program string, want []string) {
	var code strings.Builder
	inside := false
	for line := range strings.Lines(page) {
		if info, ok := strings.CutPrefix(line, "```"); ok {
			words := strings.Fields(info)
			inside = !inside && len(words) > 0 && words[0] == "python"
			if inside && len(words) > 1 {
				inside = has(strings.TrimPrefix(words[1], "needs="))
			}
			continue
		}
		if !inside {
			continue
		}
		code.WriteString(line)
		if strings.HasPrefix(strings.TrimSpace(line), "print(") {
			_, said, _ := strings.Cut(line, "  # ")
			want = append(want, strings.TrimSpace(said))
		}
	}
	return code.String(), want
}
