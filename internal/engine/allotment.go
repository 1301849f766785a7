package engine

import (
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
)

// allotment keeps an engine's environment in step with its runs, so that libraries and child
// processes see the share of the node that is theirs.
type allotment struct {
	threads int
	usual   int // threads of a run that does not say
	gpus    []string
	hidden  string // what CUDA_VISIBLE_DEVICES says to runs that were given none
	fixed   bool   // the user has set GOMAXPROCS
}

// newAllotment begins with what the process was started with.
func newAllotment(threads int) allotment {
	_, fixed := os.LookupEnv("GOMAXPROCS")
	a := allotment{hidden: os.Getenv("CUDA_VISIBLE_DEVICES"), fixed: fixed, usual: max(1, threads)}
	a.setThreads(a.usual)
	return a
}

// follow makes the environment match a run. Almost always nothing changes.
func (a *allotment) follow(r *queued) {
	t := r.threads
	if t <= 0 {
		t = a.usual
	}
	if t != a.threads {
		a.setThreads(t)
		os.Setenv("OMP_NUM_THREADS", strconv.Itoa(t))
	}
	if !slices.Equal(r.gpus, a.gpus) {
		a.gpus = r.gpus
		os.Setenv("CUDA_VISIBLE_DEVICES", visible(a.gpus, a.hidden))
	}
}

func (a *allotment) setThreads(n int) {
	a.threads = n
	if !a.fixed {
		runtime.GOMAXPROCS(n + 1) // one for the reader, which must not wait for user code
	}
}

// visible is the value of CUDA_VISIBLE_DEVICES for some accelerators.
func visible(gpus []string, none string) string {
	if len(gpus) == 0 {
		return none
	}
	return strings.Join(gpus, ",")
}
