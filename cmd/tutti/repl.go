package main

import (
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/python"
)

type replVerb struct {
	N      int      `short:"n" placeholder:"N" help:"How many engines (default: one for each core, or all of the cluster)."`
	Script string   `short:"i" placeholder:"FILE" help:"Run this script on all of them first, then prompt."`
	Python string   `default:"python3" placeholder:"EXE" help:"The interpreter of the prompt and of its own engines."`
	Args   []string `arg:"" optional:"" passthrough:"partial" help:"Arguments of the script."`
}

func (replVerb) Teach() string {
	return `
One prompt for many interpreters: what is typed runs on all engines at once, each a rank with variables
of its own. Output that is the same is shown once, behind its ranks: [0-3] 42. Ctrl-C interrupts all.
%first STATEMENT, %only 0,2 STATEMENT and %all choose ranks. Without --cluster it has a cluster of its own.

Examples:
  tutti repl -n 4
  tutti repl -n 4 -i heat.py 100
  tutti --cluster default repl
`
}

// Run becomes the interpreter.
func (r *replVerb) Run(v *invocation) error {
	exe, err := exec.LookPath(r.Python)
	if err != nil {
		return tutti.Errorf("start prompt", tutti.NotFound, "there is no interpreter %q: %w", r.Python, err).
			WithHint("name one: tutti repl --python /usr/bin/python3")
	}
	env, err := r.environ()
	if err != nil {
		return err
	}
	argv := []string{exe, "-m", "tutti.repl"}
	if r.N > 0 {
		argv = append(argv, "-n", strconv.Itoa(r.N))
	}
	if v.name != "" {
		argv = append(argv, "--cluster", v.name)
	}
	if r.Script != "" {
		argv = append(argv, "-i", r.Script)
	}
	if len(r.Args) > 0 {
		argv = append(append(argv, "--"), r.Args...)
	}
	return tutti.E("start prompt", tutti.Failed, syscall.Exec(exe, argv, env))
}

// environ is ours, with the package where the interpreter finds it, and this program where the
// package finds it.
func (r *replVerb) environ() ([]string, error) {
	more, err := python.Environ()
	if err != nil {
		return nil, tutti.E("start prompt", tutti.KindOf(err), err)
	}
	self, err := os.Executable()
	if err != nil {
		return nil, tutti.E("start prompt", tutti.Internal, err)
	}
	more = append(more, "TUTTI_BINARY="+self)
	set := map[string]bool{}
	for _, kv := range more {
		name, _, _ := strings.Cut(kv, "=")
		set[name] = true
	}
	env := more
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); !set[name] {
			env = append(env, kv)
		}
	}
	return env, nil
}
