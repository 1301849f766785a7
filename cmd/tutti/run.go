package main

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/launch"
	"github.com/tutti-hpc/tutti/internal/shm"
	"github.com/tutti-hpc/tutti/python"
)

type runVerb struct {
	N        int      `short:"n" default:"0" placeholder:"N" help:"How many ranks (default: one for each processor)."`
	Label    bool     `xor:"style" help:"Print each line behind its rank: [2] text."`
	Fold     bool     `xor:"style" help:"Print equal lines of several ranks once: [0-3] text."`
	Zero     bool     `xor:"style" help:"Print what rank 0 prints, and the others' errors."`
	Bind     string   `enum:"parts,cores,free" default:"parts" help:"Processors of a rank: an equal part, one each, or any."`
	Launcher string   `enum:"auto,tutti,openmpi,mpich,srun,mpiexec" default:"auto" help:"Who starts the ranks: tutti here, or mpiexec or srun (auto: tutti, except in a batch job of several nodes)."`
	Argv     []string `arg:"" optional:"" passthrough:"partial" name:"command" help:"The program and its arguments; after a lone colon, -n and the next program."`
}

func (runVerb) Teach() string {
	return `
Starts the ranks of one parallel program on this machine, or of several programs in one world. They
pass messages through shared memory; no MPI needs to be installed. Standard input goes to rank 0.
In a batch job of several nodes the job is handed over to srun or mpiexec, and the ranks join the
world of the MPI library; --launcher asks for that anywhere, or with tutti forbids it. A rank that
fails, dies, or ends without Finalize ends the others within a second, and its output is shown last;
its status is the status of the job. SIGUSR1 shows who waits for whom.

Examples:
  tutti run -n 4 ./heat
  tutti run -n 4 --fold -- ./heat -steps 100
  tutti run -n 4 python3 heat.py          Python finds the packages tutti and mpi
  tutti run -n 1 ./driver : -n 3 ./worker
  tutti run --launcher=openmpi -n 64 ./heat
`
}

// bindings are the words for what package launch knows.
var bindings = map[string]launch.Binding{"parts": launch.Parts, "cores": launch.Cores, "free": launch.Free}

func (r *runVerb) style() launch.Style {
	switch {
	case r.Label:
		return launch.Label
	case r.Fold:
		return launch.Fold
	case r.Zero:
		return launch.Zero
	}
	return launch.Plain
}

// Run runs a job to its end, and ends with its status.
func (r *runVerb) Run(v *invocation) error {
	programs, err := splitPrograms(r.N, r.Argv)
	if err != nil {
		return err
	}
	// So that `import mpi` and `import tutti` work in whatever the ranks run.
	env, err := python.Environ()
	if err != nil {
		return tutti.E("run", tutti.KindOf(err), err).WithHint("set TUTTI_PYTHON to a folder that holds the Python packages")
	}
	if os.Getenv("TUTTI_BINARY") == "" {
		env = append(env, "TUTTI_BINARY="+program()) // for ranks that start a cluster
	}
	for i := range programs {
		programs[i].Env = append(programs[i].Env, env...)
	}
	spec := launch.Spec{
		Programs: programs, Stdin: v.in, Stdout: os.Stdout, Stderr: v.err,
		Style: r.style(), Bind: bindings[r.Bind], Forward: true,
	}
	if site := r.site(); site != "" {
		return handOver(site, spec)
	}
	if programs[0].N == 0 {
		programs[0].N = processors()
	}
	end, err := launch.Ranks(v.ctx, spec)
	if err != nil {
		return err
	}
	if end.Code != 0 { // launch has said which rank, and why
		return status(end.Code)
	}
	return nil
}

// site is who else is to start the ranks; "" if nobody.
func (r *runVerb) site() string {
	switch r.Launcher {
	case "tutti":
		return ""
	case "auto":
		if _, site, ok := launch.Elsewhere(os.Getenv); ok {
			return site
		}
		return ""
	}
	return r.Launcher
}

// handOver becomes the launcher of the site.
func handOver(name string, spec launch.Spec) error {
	site, path, err := launch.FindSite(name)
	if err != nil {
		return err
	}
	args, err := site.Command(spec)
	if err != nil {
		return err
	}
	for _, setting := range spec.Programs[0].Env { // the same for all programs
		name, value, _ := strings.Cut(setting, "=")
		if err := os.Setenv(name, value); err != nil {
			return tutti.E("run", tutti.Invalid, err)
		}
	}
	return launch.HandOver(path, args)
}

// splitPrograms takes a command line apart at its lone colons. Each program after the first may
// begin with -n and a number. The first has none if n is 0.
func splitPrograms(n int, argv []string) ([]launch.Program, error) {
	var programs []launch.Program
	for first := true; ; first = false {
		part, rest, more := argv, []string(nil), false
		if i := slices.Index(argv, ":"); i >= 0 {
			part, rest, more = argv[:i], argv[i+1:], true
		}
		ranks := n
		if !first {
			ranks = 1
			if len(part) > 1 && (part[0] == "-n" || part[0] == "-np") {
				var err error
				if ranks, err = strconv.Atoi(part[1]); err != nil {
					return nil, tutti.Errorf("run", tutti.Invalid, "-n %q is no number", part[1])
				}
				part = part[2:]
			}
		}
		if len(part) > 0 && part[0] == "--" {
			part = part[1:]
		}
		if len(part) == 0 {
			return nil, tutti.Errorf("run", tutti.Invalid, "no program is named").WithHint("tutti run -n 4 ./program")
		}
		if ranks < 1 && !(first && ranks == 0) {
			return nil, tutti.Errorf("run", tutti.Invalid, "%d ranks", ranks)
		}
		programs = append(programs, launch.Program{N: ranks, Args: part})
		if !more {
			return programs, nil
		}
		argv = rest
	}
}

// processors is how many ranks there are when nobody says.
func processors() int {
	n, err := shm.CPUs()
	if err != nil {
		n = float64(runtime.NumCPU()) // where the system does not say how many are ours
	}
	return max(1, int(n))
}
