package launch

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tutti-hpc/tutti"
)

// Site is a launcher of somebody else, to which a job of several nodes is handed over: mpiexec
// of an MPI library, or srun. Ranks then join the world of that library.
type Site struct {
	Name     string   // "openmpi"
	commands []string // what it is called, the surest first
	says     []string // what `mpiexec --version` has in it, where the name tells nothing
	count    string
	styles   map[Style][]string
	bindings map[Binding][]string
}

// sites is the table of those launchers, and of how our options are said to them. What is not
// there cannot be said.
var sites = []Site{
	{
		Name: "openmpi", commands: []string{"mpiexec.openmpi", "mpiexec", "mpirun"}, says: []string{"Open MPI", "OpenRTE", "PRRTE", "prte"},
		count:    "-n",
		styles:   map[Style][]string{Plain: nil, Label: {"--tag-output"}},
		bindings: map[Binding][]string{Parts: nil, Cores: {"--bind-to", "core"}, Free: {"--bind-to", "none"}},
	},
	{
		Name: "mpich", commands: []string{"mpiexec.mpich", "mpiexec.hydra", "mpiexec", "mpirun"}, says: []string{"HYDRA", "Intel(R) MPI", "MVAPICH"},
		count:    "-n",
		styles:   map[Style][]string{Plain: nil, Label: {"-prepend-rank"}},
		bindings: map[Binding][]string{Parts: nil, Cores: {"-bind-to", "core"}, Free: {"-bind-to", "none"}},
	},
	{
		Name: "srun", commands: []string{"srun"},
		count:    "-n",
		styles:   map[Style][]string{Plain: nil, Label: {"--label"}},
		bindings: map[Binding][]string{Parts: nil, Cores: {"--cpu-bind=cores"}, Free: {"--cpu-bind=none"}},
	},
}

var styleNames = map[Style]string{Label: "--label", Fold: "--fold", Zero: "--zero"}

// Elsewhere says whether a batch system has given this process several machines, and which
// launcher it wants: the name of a [Site], or "mpiexec" for whichever is installed. It is false for
// a process that a launcher has started itself, which is to stay on its machine.
func Elsewhere(getenv func(string) string) (system, launcher string, ok bool) {
	for _, v := range []string{"OMPI_COMM_WORLD_RANK", "PMI_RANK", "PMIX_RANK", envSegment} {
		if getenv(v) != "" {
			return "", "", false
		}
	}
	for _, v := range []string{"SLURM_JOB_NUM_NODES", "SLURM_NNODES"} {
		if n, _ := strconv.Atoi(getenv(v)); n > 1 {
			// A step is what srun has started; those with the highest numbers are scripts and shells.
			step, err := strconv.ParseUint(getenv("SLURM_STEP_ID"), 10, 64)
			return "Slurm", "srun", err != nil || step >= 1<<32-16
		}
	}
	for _, s := range []struct{ system, file, list string }{
		{"PBS", getenv("PBS_NODEFILE"), ""}, {"Grid Engine", getenv("PE_HOSTFILE"), ""}, {"LSF", "", getenv("LSB_HOSTS")},
	} {
		if len(hosts(s.file, s.list)) > 1 {
			return s.system, "mpiexec", true
		}
	}
	return "", "", false
}

// hosts are the machines in a list, or at the beginning of the lines of a file, each once.
func hosts(file, list string) map[string]bool {
	out := map[string]bool{}
	for _, h := range strings.Fields(list) {
		out[h] = true
	}
	f, err := os.Open(file)
	if err != nil {
		return out
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if words := strings.Fields(lines.Text()); len(words) > 0 {
			out[words[0]] = true
		}
	}
	return out
}

// FindSite finds a launcher by name, and its command on this machine. The name "mpiexec" stands for
// the first that there is. Errors: Invalid for a name that we do not know, NotFound where it is not installed.
func FindSite(name string) (Site, string, error) {
	known := false
	for _, s := range sites {
		if s.Name != name && (name != "mpiexec" || s.Name == "srun") {
			continue
		}
		known = true
		for _, c := range s.commands {
			if path, err := exec.LookPath(c); err == nil && s.is(path, c) {
				return s, path, nil
			}
		}
	}
	if !known {
		return Site{}, "", tutti.Errorf("run", tutti.Invalid, "there is no launcher %q: openmpi, mpich, srun and mpiexec can be", name)
	}
	return Site{}, "", tutti.Errorf("run", tutti.NotFound, "no launcher %s is installed here", name).
		WithHint("load the module of your MPI library, or add --launcher=tutti to stay on this machine")
}

// is says whether a command belongs to the site: by its name if that is the site's own, else by what
// it says about itself.
func (s Site) is(path, command string) bool {
	if s.says == nil || strings.Contains(filepath.Base(command), ".") {
		return true
	}
	text, err := exec.Command(path, "--version").CombinedOutput()
	if err != nil {
		return false
	}
	for _, w := range s.says {
		if strings.Contains(string(text), w) {
			return true
		}
	}
	return false
}

// Command is the command line that starts a job there, without the command itself. A program with N
// of 0 gets as many ranks as the launcher gives by itself. An error of kind Unsupported says what
// the launcher cannot be told.
func (s Site) Command(spec Spec) ([]string, error) {
	style, ok := s.styles[spec.Style]
	if !ok {
		return nil, tutti.Errorf("run", tutti.Unsupported, "%s is not possible with the launcher %s: its output does not come through tutti",
			styleNames[spec.Style], s.Name)
	}
	args := append(append([]string{}, style...), s.bindings[spec.Bind]...)
	for i, p := range spec.Programs {
		if i > 0 {
			args = append(args, ":")
		}
		if len(p.Args) == 0 || p.N < 0 {
			return nil, tutti.Errorf("run", tutti.Invalid, "a program needs a command and a number of ranks, got %d of %q", p.N, p.Args)
		}
		if p.N > 0 {
			args = append(args, s.count, fmt.Sprint(p.N))
		}
		args = append(args, p.Args...)
	}
	return args, nil
}
