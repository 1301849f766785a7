// Package launch starts the ranks of one machine and looks after them: `tutti run`, and agents.
//
// A job ([Spec]) is one or more programs, each started a number of times; the ranks are numbered
// through. Every rank gets a process group of its own, and an environment that names the shared
// memory of the job's world, which the launcher makes and holds: it has no name, so nothing is
// left of it, whoever is killed. Lines that ranks write are carried on whole, plainly, labelled
// with the rank, or folded where several ranks write the same ([Style]).
//
// The first rank to fail (a status that is not 0, a signal, or an end in the middle of the world,
// without Finalize) ends the job: the others are told to end, and made to after a grace. Ranks die with
// the launcher, also when that is killed.
//
//	exit, err := launch.Ranks(ctx, launch.Spec{
//		Programs: []launch.Program{{N: 4, Args: []string{"./heat", "-steps", "100"}}},
//		Stdout:   os.Stdout, Stderr: os.Stderr,
//	})
//	os.Exit(exit.Code)
package launch

import (
	"fmt"
	"io"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Program is what some of the ranks run.
type Program struct {
	N    int      // how many ranks
	Args []string // the command and its arguments; the command is looked up in PATH
	Env  []string // KEY=VALUE, added to the launcher's environment
	Dir  string   // where it runs; "": where the launcher does
}

// Style says how the ranks' output is carried on.
type Style uint8

// The styles of output.
const (
	Plain Style = iota // lines as they come
	Label              // each line behind its rank: "[2] text"
	Fold               // equal lines of several ranks once: "[0-3] text"
	Zero               // of rank 0 only; of the others, what they write to standard error
)

// Binding says on which processors ranks may run.
type Binding uint8

// The bindings.
const (
	// Parts gives each rank an equal part of the processors as its own, where there is at least
	// one for each; otherwise, nothing is bound. Two ranks on one processor beside an idle one, which
	// systems arrange at times, cost messages a thousandfold.
	Parts Binding = iota
	Cores         // each rank one processor, in turn
	Free          // all run where the system puts them
)

// Spec is a job.
type Spec struct {
	Programs []Program
	Stdin    io.Reader // for rank 0; nil: nothing
	Stdout   io.Writer // written by one goroutine at a time, with whole lines
	Stderr   io.Writer
	Style    Style
	Bind     Binding
	Forward  bool          // pass on the signals that the launcher gets; SIGUSR1 only to rank 0, which then says who waits for what
	Grace    time.Duration // from asking ranks to end to killing them; 0: half a second
	Folder   string        // the memory file system to take shared memory from; "": none is needed
}

// Exit says how a job ended.
type Exit struct {
	Rank   int    // the rank that failed first, -1 if none did
	Code   int    // its status, 128 and the number for a signal; 0 if all went well
	Reason string // for a person: "exit status 3", "killed", "ended without Finalize"
}

// The environment of ranks. Package mpi reads the first three under the same names.
const (
	envSegment = "TUTTI_MPI_SEGMENT"
	envRank    = "TUTTI_MPI_RANK"
	envSize    = "TUTTI_MPI_SIZE"
	envCPUs    = "TUTTI_MPI_CPUS"
)

// In the shared memory of a world there is one byte for each rank, from rosterOff on: 0 before it
// came, inWorld while it takes part.
const (
	rosterOff = 4096
	inWorld   = 1
	maxRanks  = 4096
)

// size is the number of ranks; an error of kind Invalid says what is wrong with a job.
func (s *Spec) size() (int, error) {
	n := 0
	for _, p := range s.Programs {
		if p.N < 1 || len(p.Args) == 0 {
			return 0, tutti.Errorf("run", tutti.Invalid, "a program needs a command and at least one rank, got %d of %q", p.N, p.Args)
		}
		n += p.N
	}
	if n < 1 || n > maxRanks {
		return 0, tutti.Errorf("run", tutti.Invalid, "%d ranks: from 1 to %d can be", n, maxRanks)
	}
	return n, nil
}

// ofRank gives the program of a rank.
func (s *Spec) ofRank(r int) *Program {
	for i := range s.Programs {
		if r < s.Programs[i].N {
			return &s.Programs[i]
		}
		r -= s.Programs[i].N
	}
	return nil
}

func environment(p *Program, segment string, rank, size int, cpus float64) []string {
	return append([]string{
		envSegment + "=" + segment, fmt.Sprint(envRank, "=", rank), fmt.Sprint(envSize, "=", size), fmt.Sprint(envCPUs, "=", cpus),
	}, p.Env...)
}
