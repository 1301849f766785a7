package main

import (
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// A job that is handed over to mpiexec runs there, with as many ranks and programs as were asked for.
func TestRunByAnotherLauncher(t *testing.T) {
	w := newWorld(t)
	ring := filepath.Join(w.dir, "ring")
	build := exec.Command("go", "build", "-o", ring, "../../examples/ring")
	build.Env = append(build.Environ(), "CGO_ENABLED=1")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	w.env = append(w.env, "OMPI_ALLOW_RUN_AS_ROOT=1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM=1", "OMPI_MCA_rmaps_base_oversubscribe=1",
		"OMPI_MCA_btl_vader_backing_directory="+w.dir)
	for _, name := range []string{"openmpi", "mpich"} {
		t.Run(name, func(t *testing.T) {
			if _, err := exec.LookPath("mpiexec." + name); err != nil {
				t.Skip(err)
			}
			for want, args := range map[string][]string{
				"2 ranks with 1": {"-n", "2", ring}, "3 ranks with 3": {"--label", "-n", "1", ring, ":", "-n", "2", ring},
			} {
				r := w.tutti(append([]string{"run", "--launcher=" + name}, args...)...)
				if r.status != 0 || !strings.Contains(r.out, "the token came back from "+want) {
					t.Errorf("%q: status %d\n%s%s", args, r.status, r.out, r.err)
				}
			}
			if r := w.tutti("run", "--launcher="+name, "-n", "2", "/bin/sh", "-c", "exit 3"); r.status == 0 {
				t.Errorf("ranks failed, and the job did not\n%s%s", r.out, r.err)
			}
			w.fails(1, "--zero is not possible with the launcher "+name, "run", "--launcher="+name, "--zero", ring)
		})
	}
	w.fails(1, "no launcher srun is installed|srun: ", "run", "--launcher=srun", ring)
	w.fails(2, "must be one of", "run", "--launcher=lamboot", ring)
	w.env = append(w.env, "SLURM_JOB_NUM_NODES=2")
	if r := w.tutti("run", "--launcher=tutti", "-n", "2", ring); r.status != 0 || !strings.Contains(r.out, "2 ranks") {
		t.Errorf("at home: %d\n%s%s", r.status, r.out, r.err)
	}
}
