// Package libmpi is the device that stands on an MPI library: whichever one the launcher that
// started this process belongs to, found when the program runs. No MPI is needed to build it, and
// one binary runs under Open MPI, under MPICH and its descendants, and under a library with the
// binary interface of the MPI 5 standard.
//
// The nouns: a [Launcher] is what the environment says about who started us; the glue is C that
// holds a table of the library's functions and constants; a world is the library's world. Whole
// operations are handed to the library, so that ranks in other languages take part.
//
// A unit of work travels like this: a message is begun by the non-blocking call of the library,
// and asked for in the same step from Go to C until it is done or some microseconds have passed.
// What takes longer is waited for together with everything else that this rank waits for: one
// goroutine, the leader, asks for all, and looks between the questions whether the world's
// context has ended. Collective operations are the library's blocking ones, since only these match
// those of other languages.
package libmpi

import (
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// EnvLibrary names the file of the MPI library to use.
const EnvLibrary = "TUTTI_MPI_LIBRARY"

// EnvThreads set to "serialized" asks the library for less than calls from several threads at once;
// calls then take turns.
const EnvThreads = "TUTTI_MPI_THREADS"

// Launcher is what a process knows about who started it.
type Launcher struct {
	Name  string // "Open MPI"; "" if nobody did
	Size  int    // how many ranks it started
	Local int    // how many of them on this machine, 0 if it does not say
	files []string
}

// launchers is the table of those we know: the variables by which they tell a rank the number of
// ranks, and of those on its machine, and the files their library may have.
var launchers = []struct {
	name, size, local string
	requires          string // a variable that must be set as well
	files             []string
}{
	{"Open MPI", "OMPI_COMM_WORLD_SIZE", "OMPI_COMM_WORLD_LOCAL_SIZE", "", []string{"libmpi.so.40", "libmpi.so"}},
	{"MVAPICH", "MV2_COMM_WORLD_SIZE", "MV2_COMM_WORLD_LOCAL_SIZE", "", []string{"libmpi.so.12", "libmpi.so"}},
	{"MPICH or Intel MPI", "PMI_SIZE", "MPI_LOCALNRANKS", "", []string{"libmpi.so.12", "libmpich.so.12", "libmpi_abi.so.0", "libmpi.so"}},
	{"Slurm", "SLURM_STEP_NUM_TASKS", "", "PMIX_RANK", []string{"libmpi.so.40", "libmpi.so.12", "libmpich.so.12", "libmpi.so"}},
}

// Launched says who started this process as one of its ranks.
func Launched() (Launcher, bool) {
	for _, l := range launchers {
		n, err := strconv.Atoi(os.Getenv(l.size))
		if err != nil || n < 1 || l.requires != "" && os.Getenv(l.requires) == "" {
			continue
		}
		local, _ := strconv.Atoi(os.Getenv(l.local))
		return Launcher{Name: l.name, Size: n, Local: local, files: l.files}, true
	}
	return Launcher{}, false
}

// candidates are the files in which the launcher's library may be, the likeliest first: where the
// launcher itself is installed, and then wherever the system looks.
func (l Launcher) candidates() []string {
	if f := os.Getenv(EnvLibrary); f != "" {
		return []string{f}
	}
	var out []string
	for _, dir := range prefixes() {
		for _, f := range l.files {
			for _, lib := range []string{"lib", "lib64"} {
				if p := filepath.Join(dir, lib, f); isFile(p) {
					out = append(out, p)
				}
			}
		}
	}
	return append(out, l.files...)
}

func isFile(path string) bool {
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

// prefixes are the folders above those of the programs that stand over this process: mpiexec, or
// the daemon of it that started us.
func prefixes() (dirs []string) {
	pid := os.Getppid()
	for range 6 {
		if pid <= 1 {
			break
		}
		proc := filepath.Join("/proc", strconv.Itoa(pid))
		if exe, err := os.Readlink(filepath.Join(proc, "exe")); err == nil && filepath.Base(filepath.Dir(exe)) == "bin" {
			dirs = append(dirs, filepath.Dir(filepath.Dir(exe)))
		}
		pid = parent(proc)
	}
	return dirs
}

func parent(proc string) int {
	b, err := os.ReadFile(filepath.Join(proc, "stat"))
	if err != nil {
		return 0
	}
	// The name of the program, in brackets, may have anything in it.
	fields := strings.Fields(string(b[strings.LastIndexByte(string(b), ')')+1:]))
	if len(fields) < 2 {
		return 0
	}
	pid, _ := strconv.Atoi(fields[1])
	return pid
}

// Options are what can be chosen.
type Options struct {
	Check bool // compare collective calls before they begin
}

// misfit is the error of a library that does not belong to the launcher: several worlds of one,
// or of the wrong size, would go unnoticed.
func misfit(l Launcher, library, file string, size int) error {
	return device.Errorf(tutti.Invalid, "%s started %d ranks, but %s from %s made a world of %d: the two do not belong together",
		l.Name, l.Size, library, file, size).
		WithHint("start the program by the mpiexec of that library, or set %s to the file of the launcher's", EnvLibrary)
}
