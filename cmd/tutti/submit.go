package main

import (
	"context"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type submitVerb struct {
	Cores    float64    `placeholder:"N" help:"Cores that it holds while it runs (default: 1)."`
	Memory   size       `placeholder:"SIZE" help:"Memory that it holds while it runs."`
	GPUs     float64    `name:"gpus" placeholder:"N" help:"GPUs that it holds while it runs."`
	Time     span       `placeholder:"TIME" help:"Stop it when it has run for so long."`
	Retries  int        `placeholder:"N" help:"Run it again, so often, when it fails. (When a machine fails it is run again anyway.)"`
	Priority int        `placeholder:"N" help:"Greater goes first (default: 0)."`
	Label    string     `placeholder:"TEXT" help:"A name for people."`
	Dir      string     `placeholder:"DIR" help:"Where it runs (default: the current folder)."`
	Env      []string   `sep:"none" placeholder:"KEY=VALUE" help:"Set a variable; KEY alone passes this shell's value on. May be repeated."`
	After    []selector `placeholder:"JOB" help:"Start when these have ended, well or not. May be repeated."`
	Wait     bool       `short:"w" help:"Wait for its end, show what it prints, end with its exit status."`
	Shell    string     `short:"s" placeholder:"SCRIPT" help:"A script for /bin/sh, instead of a command."`
	NoStdin  bool       `help:"Do not read standard input for the job."`
	Argv     []string   `arg:"" optional:"" passthrough:"partial" name:"command" help:"The command and its arguments, after --."`
}

func (submitVerb) Teach() string {
	return `
The command is executed as it stands, by no shell, on whichever node has what it needs. The job is
on the controller's disk when its number is printed: it survives this terminal, and the death of
the controller. If standard input is a file or a pipe, the job gets it.

Examples:
  tutti submit -- ./simulate --seed 1
  tutti submit --cores 4 --memory 8GB --time 2h -- ./simulate
  tutti submit --shell 'sort data.txt | uniq -c > counts.txt'
  tutti submit --after last -- ./plot counts.txt
  gzip -dc data.gz | tutti submit --wait -- ./reduce
  id=$(tutti submit -q -- ./simulate); tutti wait $id
`
}

// stdinLimit bounds what travels with a job.
const stdinLimit = 32 << 20

// Run submits a job.
func (s *submitVerb) Run(v *invocation) error {
	work, err := s.work(v)
	if err != nil {
		return err
	}
	c, err := v.attach(cluster.Attachment{Submit: true, Patient: s.Wait})
	if err != nil {
		return err
	}
	defer c.Close()
	t := &tutti.Task{Work: work}
	after, err := resolve(v, c, s.After)
	if err != nil {
		return err
	}
	for _, a := range after {
		for _, r := range a.rows {
			t.After = append(t.After, r.Task)
		}
	}
	p := c.Balanced().SubmitTask(v.ctx, t)
	defer runtime.KeepAlive(p) // a promise that nobody holds is a result that nobody wants
	if err := s.accepted(v.ctx, c, p); err != nil {
		return err
	}
	if err := s.tell(v, p.ID()); err != nil || !s.Wait {
		return err
	}
	return follow(v, c, p.ID())
}

// accepted waits until the job is on the controller's disk, or was refused.
func (s *submitVerb) accepted(ctx context.Context, c *cluster.Client, p *tutti.Promise) error {
	err := c.Sync(ctx)
	if err != nil {
		select {
		case <-p.Done(): // the reason why it was refused says more
		default:
			return err
		}
	}
	if _, known := c.Task(ctx, p.ID()); known == nil {
		return nil
	}
	// The controller does not have it, so it was refused, and its end is on its way.
	_, err = tutti.FutureOf[tutti.Value](p).Get(ctx)
	return err
}

func (s *submitVerb) tell(v *invocation, id tutti.TaskID) error {
	job := fmt.Sprint(id.Client())
	if s.Wait && v.out.form == human {
		fmt.Fprintln(v.err, "tutti: job", job) // stdout is the job's
		return nil
	}
	if s.Wait && v.out.form == quiet {
		return nil
	}
	return v.out.answer(job, map[string]any{"job": id.Client(), "task": id.String()}, job)
}

// work is the command and its needs, as the flags describe them.
func (s *submitVerb) work(v *invocation) (*tutti.Work, error) {
	if len(s.Argv) > 0 && s.Argv[0] == "--" {
		s.Argv = s.Argv[1:]
	}
	const hint = "tutti submit -- CMD ARGS..., or tutti submit --shell 'SCRIPT'"
	switch {
	case len(s.Argv) == 0 && s.Shell == "":
		return nil, badUsage(hint, "there is no command to submit")
	case len(s.Argv) > 0 && s.Shell != "":
		return nil, badUsage(hint, "a job is a command or a script, not both")
	case s.Retries < 0:
		return nil, badUsage(hint, "--retries is negative")
	}
	w := &tutti.Work{
		Argv: s.Argv, Script: s.Shell, Dir: s.Dir, Label: s.Label, Priority: s.Priority, Durable: true,
		Need:  tutti.Resources{Cores: s.Cores, GPUs: s.GPUs, Memory: int64(s.Memory)},
		Retry: tutti.Retry{Failed: s.Retries}, Limit: time.Duration(s.Time),
	}
	if err := w.Need.Check(); err != nil {
		return nil, badUsage(hint, "%v", err)
	}
	for _, kv := range s.Env {
		if !strings.Contains(kv, "=") {
			kv += "=" + os.Getenv(kv)
		}
		w.Env = append(w.Env, kv)
	}
	var err error
	if w.Dir, err = folder(s.Dir); err == nil && !s.NoStdin {
		w.Stdin, err = s.stdin(v)
	}
	return w, err
}

// folder makes a folder's name one that means the same to the agent.
func folder(dir string) (string, error) {
	here, err := os.Getwd()
	if err != nil {
		return "", tutti.E("submit", tutti.KindOf(err), err)
	}
	if dir == "" {
		return here, nil
	}
	if !strings.HasPrefix(dir, "/") {
		dir = here + "/" + dir
	}
	return dir, nil
}

// stdin reads what is piped into us. One who waits for more than a moment is told for what.
func (s *submitVerb) stdin(v *invocation) ([]byte, error) {
	st, err := v.in.Stat()
	if err != nil || !slices.Contains([]fs.FileMode{0, fs.ModeNamedPipe}, st.Mode().Type()) {
		return nil, nil // a terminal, /dev/null, or closed
	}
	slow := time.AfterFunc(2*time.Second, func() {
		fmt.Fprintln(v.err, "tutti: reading standard input for the job (--no-stdin leaves it alone)")
	})
	defer slow.Stop()
	data, err := io.ReadAll(io.LimitReader(v.in, stdinLimit+1))
	switch {
	case err != nil:
		return nil, tutti.Errorf("submit", tutti.Other, "read standard input: %w", err)
	case len(data) > stdinLimit:
		return nil, tutti.Errorf("submit", tutti.Full, "standard input has more than %s", tutti.FormatBytes(stdinLimit)).
			WithHint("put it into a file, and let the job read that: tutti submit --shell 'CMD < FILE'")
	}
	return data, nil
}
