package main

import (
	"context"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/gateway"
	"github.com/tutti-hpc/tutti/internal/wire"
)

type startVerb struct {
	Foreground bool    `short:"f" help:"Stay in this terminal, and stop the cluster when interrupted."`
	NoAgent    bool    `help:"Start the controller only: this machine runs no tasks."`
	Listen     string  `placeholder:"HOST:PORT" help:"Let agents and clients of other machines in (keys are needed). Port 0: any."`
	Cores      float64 `placeholder:"N" help:"Processor cores that tasks may use here (default: all)."`
	Memory     size    `placeholder:"SIZE" help:"Memory that tasks may use here (default: what is free)."`
	Python     string  `placeholder:"EXE" help:"Have engines of this Python interpreter from the beginning, not only when a Python program comes."`
	Engines    int     `placeholder:"N" help:"How many of them on each node (default: one for each core)."`

	Controller bool `hidden:"" help:"Be the controller: what start executes in the background."`
	ReadyFD    int  `name:"ready-fd" hidden:""`

	interpreter *interpreter // Python, when it has been looked at
}

func (startVerb) Teach() string {
	return `
A cluster is two processes in the background: the controller, which knows all tasks, and an agent,
which runs them on this machine. Both outlive this terminal. Further machines join by "tutti
agent". Nothing listens on the network unless --listen says so.

If the controller was killed, start brings it back: it reads its journal, finds its agents with
what they have been running meanwhile, and durable jobs go on.

Examples:
  tutti start
  tutti start --cores 4 --memory 8GB       leave something for others
  tutti start --cluster night              a second cluster, apart from the first
  tutti start --listen 0.0.0.0:7700        so that other machines can join
  tutti start --foreground                 in a container, or under systemd
  tutti start --python python3.11          with Python engines; also for a cluster that runs already
`
}

// startTime bounds how long a part may take to become ready: a long journal is read in that time.
const startTime = 5 * time.Minute

// Run starts a cluster.
func (s *startVerb) Run(v *invocation) error {
	p, err := v.profile()
	if err != nil {
		return err
	}
	if s.Controller {
		return s.controller(v, p)
	}
	if s.Engines != 0 && s.Python == "" {
		return badUsage("engines of other programs come with their programs", "--engines needs --python")
	}
	if s.Python != "" {
		if s.interpreter, err = lookAt(v.ctx, s.Python); err != nil {
			return err
		}
	}
	was, err := s.earlier(p)
	if err != nil {
		return err
	}
	if was != nil && was.Alive() {
		return s.running(v, p, was)
	}
	if was != nil && s.Listen == "" {
		s.Listen = was.Addr // agents of other machines look for it there
	}
	if s.Foreground {
		return s.foreground(v, p)
	}
	ctx, cancel := context.WithTimeout(v.ctx, startTime)
	defer cancel()
	rep, _, err := cluster.Launch(ctx, s.controllerPart(p))
	if err != nil {
		return err
	}
	if err := s.firstAgent(ctx, p); err != nil {
		return err
	}
	if err := s.pythonEngines(v, p); err != nil {
		return err
	}
	return s.tell(v, p, rep, was != nil)
}

// pythonEngines has engines of an interpreter started, which stay until the cluster stops.
func (s *startVerb) pythonEngines(v *invocation, p *cluster.Profile) error {
	if s.interpreter == nil {
		return nil
	}
	d, err := p.Door()
	if err != nil {
		return err
	}
	cwd, err := os.Getwd()
	if err != nil {
		return tutti.E("start engines", tutti.KindOf(err), err)
	}
	h := gateway.Hello{Python: s.interpreter.minor(), Executable: s.interpreter.Executable, Cwd: cwd}
	d.Keep, d.Again, d.Name = true, false, "tutti start --python"
	d.Want = wire.Want{Spec: h.Spec(""), PerNode: s.Engines}
	ctx, cancel := context.WithTimeout(v.ctx, joinTime)
	defer cancel()
	c, err := cluster.Join(ctx, d)
	if err != nil {
		return err
	}
	return c.Close()
}

// earlier is what a controller of this name has written down, nil if nothing.
func (s *startVerb) earlier(p *cluster.Profile) (*cluster.Running, error) {
	was, err := p.ReadRunning("controller")
	switch {
	case tutti.KindOf(err) == tutti.NotFound:
		return nil, nil
	case err != nil:
		return nil, err
	case !was.Here():
		return nil, tutti.Errorf("start", tutti.Exists, "cluster %q runs on %s, or did when it was last heard of", p.Name, was.Host).
			WithHint("stop it there; if that machine is gone for good, remove %s", filepath.Join(p.State, "controller.json"))
	}
	return was, nil
}

// running is what start does about a cluster that runs: its agent may have died.
func (s *startVerb) running(v *invocation, p *cluster.Profile, was *cluster.Running) error {
	if a, err := p.ReadRunning("agent"); err == nil && a.Here() && !a.Alive() && !s.NoAgent {
		if err := s.firstAgent(v.ctx, p); err != nil {
			return err
		}
		if err := s.pythonEngines(v, p); err != nil {
			return err
		}
		return v.out.answer(fmt.Sprintf("Cluster %s was running, but its agent on this machine had died: started it again.", p.Name),
			map[string]any{"cluster": p.Name, "restarted": "agent"}, p.Name)
	}
	if s.Python != "" {
		if err := s.pythonEngines(v, p); err != nil {
			return err
		}
		return v.out.answer(fmt.Sprintf("Cluster %s was running; it has engines of Python %s now.", p.Name, s.interpreter.minor()),
			map[string]any{"cluster": p.Name, "python": s.interpreter.Version}, p.Name)
	}
	return tutti.Errorf("start", tutti.Exists, "cluster %q is running already (process %d, since %s)", p.Name, was.Pid, was.Since.Format(time.DateTime)).
		WithHint("see: tutti status %s; another one: tutti start --cluster NAME", p.Name)
}

// program is the file of this very program.
func program() string {
	if exe, err := os.Executable(); err == nil {
		return exe
	}
	return os.Args[0]
}

func (s *startVerb) controllerPart(p *cluster.Profile) cluster.Daemon {
	d := cluster.Daemon{Name: "controller", Program: program(), Log: p.Log("controller")}
	d.Args = []string{"start", "--controller", "--cluster=" + p.Name}
	if s.Listen != "" {
		d.Args = append(d.Args, "--listen="+s.Listen)
	}
	return d
}

// firstAgent starts the agent of the controller's machine, unless it lives or is not wanted.
func (s *startVerb) firstAgent(ctx context.Context, p *cluster.Profile) error {
	if a, err := p.ReadRunning("agent"); s.NoAgent || err == nil && a.Alive() {
		return nil
	}
	d := cluster.Daemon{Name: "agent", Program: program(), Log: p.Log("agent")}
	d.Args = []string{"agent", "--first", "--cluster=" + p.Name}
	if s.Cores > 0 {
		d.Args = append(d.Args, fmt.Sprintf("--cores=%g", s.Cores))
	}
	if s.Memory > 0 {
		d.Args = append(d.Args, "--memory="+strconv.FormatInt(int64(s.Memory), 10))
	}
	_, _, err := cluster.Launch(ctx, d)
	return err
}

func (s *startVerb) tell(v *invocation, p *cluster.Profile, rep cluster.Report, again bool) error {
	text := "Cluster " + p.Name + " is running."
	if again {
		text = "Cluster " + p.Name + " is running again: its controller had died, and has read its journal."
	}
	if rep.Addr != "" {
		text += "\nOther machines join by: tutti agent --connect " + rep.Addr + " --key FILE, a copy of " + filepath.Join(p.Keys(), "agent.pem")
	}
	return v.out.answer(text, map[string]any{"cluster": p.Name, "restored": again, "address": rep.Addr}, p.Name)
}

// controller is the controller's process.
func (s *startVerb) controller(v *invocation, p *cluster.Profile) error {
	cluster.HoldReady(s.ReadyFD)
	err := cluster.Serve(v.ctx, cluster.ServeConfig{
		Profile: p, Listen: s.Listen, Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		Ready: func(addr string) { cluster.ReportReady(s.ReadyFD, addr, nil) },
	})
	if err != nil {
		cluster.ReportReady(s.ReadyFD, "", err)
	}
	return err
}

// foreground is controller and, as a child, agent, until this process is told to stop.
func (s *startVerb) foreground(v *invocation, p *cluster.Profile) error {
	ctx, stop := context.WithCancel(v.ctx)
	defer stop()
	agent := make(chan error, 1)
	agent <- nil // replaced when there is one
	err := cluster.Serve(ctx, cluster.ServeConfig{
		Profile: p, Listen: s.Listen, Log: slog.New(slog.NewTextHandler(v.err, nil)),
		Ready: func(addr string) {
			<-agent
			go func() {
				err := s.firstAgent(ctx, p)
				if err == nil {
					err = s.pythonEngines(v, p)
				}
				if err != nil {
					stop()
				} else {
					_ = s.tell(v, p, cluster.Report{Addr: addr}, false)
				}
				agent <- err
			}()
		},
	})
	failed := <-agent
	endAgents(context.WithoutCancel(ctx), p, orderly)
	if failed != nil && v.ctx.Err() == nil {
		return failed
	}
	return err
}
