package libmpi

import (
	"errors"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
)

func TestLaunched(t *testing.T) {
	for _, l := range launchers {
		for _, v := range []string{l.size, l.local, l.requires} {
			if v != "" {
				t.Setenv(v, "")
			}
		}
	}
	for _, c := range []struct {
		env         string
		name        string
		size, local int
	}{
		{"", "", 0, 0},
		{"OMPI_COMM_WORLD_SIZE=4 OMPI_COMM_WORLD_LOCAL_SIZE=2", "Open MPI", 4, 2},
		{"PMI_SIZE=3 MPI_LOCALNRANKS=3", "MPICH or Intel MPI", 3, 3},
		{"PMI_SIZE=1", "MPICH or Intel MPI", 1, 0},
		{"MV2_COMM_WORLD_SIZE=8 PMI_SIZE=8", "MVAPICH", 8, 0},
		{"SLURM_STEP_NUM_TASKS=5 PMIX_RANK=0", "Slurm", 5, 0},
		{"SLURM_STEP_NUM_TASKS=5", "", 0, 0},
		{"PMI_SIZE=many", "", 0, 0},
	} {
		t.Run(c.env, func(t *testing.T) {
			for _, v := range strings.Fields(c.env) {
				k, x, _ := strings.Cut(v, "=")
				t.Setenv(k, x)
			}
			l, ok := Launched()
			if ok != (c.name != "") || l.Name != c.name || l.Size != c.size || l.Local != c.local {
				t.Errorf("%+v %v", l, ok)
			}
		})
	}
}

func TestCandidates(t *testing.T) {
	l := Launcher{Name: "Open MPI", files: []string{"libmpi.so.40", "libmpi.so"}}
	if got := l.candidates(); !slices.Equal(got[max(0, len(got)-2):], l.files) {
		t.Error(got)
	}
	t.Setenv(EnvLibrary, "/opt/mpi/lib/libmpi.so.40")
	if got := l.candidates(); !slices.Equal(got, []string{"/opt/mpi/lib/libmpi.so.40"}) {
		t.Error("the file that was named is not the only one:", got)
	}
}

// The folders above this process have the go command's among them, if that is our ancestor.
func TestPrefixes(t *testing.T) {
	if p := parent("/proc/self"); p != os.Getppid() {
		t.Errorf("the parent is %d, not %d", p, os.Getppid())
	}
	if p := parent("/proc/0"); p != 0 {
		t.Error(p)
	}
	for _, dir := range prefixes() {
		if st, err := os.Stat(dir + "/bin"); err != nil || !st.IsDir() {
			t.Error(dir, err)
		}
	}
}

func TestMisfit(t *testing.T) {
	err := misfit(Launcher{Name: "MPICH", Size: 4}, "Open MPI v4", "/usr/lib/libmpi.so.40", 1)
	if !errors.Is(err, tutti.Invalid) || !strings.Contains(tutti.HintOf(err), EnvLibrary) ||
		!strings.Contains(err.Error(), "MPICH started 4 ranks, but Open MPI v4 from /usr/lib/libmpi.so.40 made a world of 1") {
		t.Error(err)
	}
}
