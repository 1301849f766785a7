package launch

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
)

func site(name string) Site {
	return sites[slices.IndexFunc(sites, func(s Site) bool { return s.Name == name })]
}

func TestHandOverCommand(t *testing.T) {
	two := []Program{{N: 1, Args: []string{"./driver"}}, {N: 3, Args: []string{"./worker", "-n", "5"}}}
	for _, c := range []struct {
		site string
		spec Spec
		want string
	}{
		{"openmpi", Spec{Programs: two}, "-n 1 ./driver : -n 3 ./worker -n 5"},
		{"openmpi", Spec{Programs: two[:1], Style: Label, Bind: Cores}, "--tag-output --bind-to core -n 1 ./driver"},
		{"mpich", Spec{Programs: two, Style: Label, Bind: Free}, "-prepend-rank -bind-to none -n 1 ./driver : -n 3 ./worker -n 5"},
		{"srun", Spec{Programs: two}, "-n 1 ./driver : -n 3 ./worker -n 5"},
		{"srun", Spec{Programs: two[1:], Style: Label, Bind: Cores}, "--label --cpu-bind=cores -n 3 ./worker -n 5"},
		{"srun", Spec{Programs: []Program{{Args: []string{"./heat"}}}, Bind: Free}, "--cpu-bind=none ./heat"},
	} {
		got, err := site(c.site).Command(c.spec)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s: %q %v, want %q", c.site, got, err, c.want)
		}
	}
	for _, s := range sites {
		for _, style := range []Style{Fold, Zero} {
			if _, err := s.Command(Spec{Programs: two, Style: style}); !errors.Is(err, tutti.Unsupported) || !strings.Contains(err.Error(), styleNames[style]) {
				t.Errorf("%s: %v", s.Name, err)
			}
		}
		for _, b := range []Binding{Parts, Cores, Free} {
			if _, ok := s.bindings[b]; !ok {
				t.Errorf("%s does not know binding %d", s.Name, b)
			}
		}
		if _, err := s.Command(Spec{Programs: []Program{{N: 1}}}); !errors.Is(err, tutti.Invalid) {
			t.Error(s.Name, err)
		}
	}
}

func TestElsewhere(t *testing.T) {
	dir := t.TempDir()
	file := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	one, two := file("one", "a\na\n"), file("two", "a\nb\na\n")
	grid := file("grid", "a 2 all.q UNDEFINED\nb 2 all.q UNDEFINED\n")
	for _, c := range []struct {
		env              map[string]string
		system, launcher string
	}{
		{nil, "", ""},
		{map[string]string{"SLURM_JOB_NUM_NODES": "1"}, "", ""},
		{map[string]string{"SLURM_JOB_NUM_NODES": "2"}, "Slurm", "srun"},
		{map[string]string{"SLURM_NNODES": "2", "SLURM_STEP_ID": "4294967291"}, "Slurm", "srun"},
		{map[string]string{"SLURM_JOB_NUM_NODES": "2", "SLURM_STEP_ID": "0"}, "", ""},
		{map[string]string{"SLURM_JOB_NUM_NODES": "2", "PMI_RANK": "1"}, "", ""},
		{map[string]string{"PBS_NODEFILE": one}, "", ""},
		{map[string]string{"PBS_NODEFILE": two}, "PBS", "mpiexec"},
		{map[string]string{"PBS_NODEFILE": two, "OMPI_COMM_WORLD_RANK": "0"}, "", ""},
		{map[string]string{"PE_HOSTFILE": grid}, "Grid Engine", "mpiexec"},
		{map[string]string{"PE_HOSTFILE": dir + "/none"}, "", ""},
		{map[string]string{"LSB_HOSTS": "a a"}, "", ""},
		{map[string]string{"LSB_HOSTS": "a b"}, "LSF", "mpiexec"},
	} {
		system, launcher, ok := Elsewhere(func(k string) string { return c.env[k] })
		if !ok {
			system, launcher = "", ""
		}
		if system != c.system || launcher != c.launcher {
			t.Errorf("%v: %q %q, want %q %q", c.env, system, launcher, c.system, c.launcher)
		}
	}
}

// An mpiexec without a name of its own is known by what it says.
func TestFindSite(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("PATH", dir)
	if _, _, err := FindSite("mpiexec"); !errors.Is(err, tutti.NotFound) || tutti.HintOf(err) == "" {
		t.Error(err)
	}
	if _, _, err := FindSite("lamboot"); !errors.Is(err, tutti.Invalid) {
		t.Error(err)
	}
	for _, c := range []struct{ says, asked, want string }{
		{"mpiexec (OpenRTE) 4.1.4", "mpiexec", "openmpi"}, {"HYDRA build details:", "mpiexec", "mpich"}, {"HYDRA build details:", "mpich", "mpich"},
	} {
		script := "#!/bin/sh\necho '" + c.says + "'\n"
		if err := os.WriteFile(filepath.Join(dir, "mpiexec"), []byte(script), 0o700); err != nil {
			t.Fatal(err)
		}
		if s, path, err := FindSite(c.asked); err != nil || s.Name != c.want || path != filepath.Join(dir, "mpiexec") {
			t.Errorf("%s as %s: %s %s %v", c.says, c.asked, s.Name, path, err)
		}
	}
	if _, _, err := FindSite("openmpi"); !errors.Is(err, tutti.NotFound) {
		t.Error("MPICH's mpiexec was taken for Open MPI's:", err)
	}
}
