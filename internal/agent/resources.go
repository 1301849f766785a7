package agent

import (
	"math"
	"os"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// Resources completes what a node is said to have by what is found: processors that this process
// may use (affinity, control group), memory that can still be had, and accelerators: those of
// CUDA_VISIBLE_DEVICES if it is set, else one for each /dev/nvidiaN. Amounts that are given are
// believed. Errors are of kind Invalid.
func Resources(has tutti.Resources, gpus []string) (tutti.Resources, []string, error) {
	if err := has.Check(); err != nil {
		return has, nil, err
	}
	if has.Cores == 0 {
		n, err := shm.CPUs()
		if err != nil {
			n = float64(runtime.NumCPU())
		}
		has.Cores = math.Max(n, 1)
	}
	if has.Memory == 0 {
		if room, err := shm.Room(); err == nil && room < math.MaxInt64 {
			has.Memory = room
		}
	}
	if gpus == nil {
		visible, set := os.LookupEnv("CUDA_VISIBLE_DEVICES")
		gpus = findGPUs(visible, set, "/dev")
	}
	switch {
	case has.GPUs == 0:
		has.GPUs = float64(len(gpus))
	case has.GPUs > float64(len(gpus)): // said to be there: called by their numbers
		for i := len(gpus); float64(i) < has.GPUs; i++ {
			gpus = append(gpus, strconv.Itoa(i))
		}
	default:
		gpus = gpus[:int(math.Ceil(has.GPUs))]
	}
	return has, gpus, nil
}

var nvidia = regexp.MustCompile(`^nvidia([0-9]+)$`)

// findGPUs lists the accelerators by the names that programs give them.
func findGPUs(visible string, set bool, dev string) []string {
	if set {
		var list []string
		for name := range strings.SplitSeq(visible, ",") {
			if name = strings.TrimSpace(name); name == "" || name == "-1" || name == "NoDevFiles" {
				break // as CUDA does: what follows does not count
			}
			list = append(list, name)
		}
		return list
	}
	var found []int
	names, _ := filepath.Glob(filepath.Join(dev, "nvidia*"))
	for _, n := range names {
		if m := nvidia.FindStringSubmatch(filepath.Base(n)); m != nil {
			i, _ := strconv.Atoi(m[1])
			found = append(found, i)
		}
	}
	slices.Sort(found)
	list := make([]string, len(found))
	for i, n := range found {
		list[i] = strconv.Itoa(n)
	}
	return list
}

// gpuRack allots accelerators: whole ones alone, fractions of one together. It is the loop's.
type gpuRack struct {
	names []string
	free  []float64 // of each, from 1 down to 0
}

func newGPURack(names []string) *gpuRack {
	r := &gpuRack{names: names, free: make([]float64, len(names))}
	for i := range r.free {
		r.free[i] = 1
	}
	return r
}

// slack forgives what is lost in adding fractions.
const slack = 1e-9

// grant is what a run holds of the rack.
type grant struct {
	gpus  []int
	share float64 // of each
}

// take finds accelerators for a run; ok is false while there are none free. One that needs more
// than there are gets all, when all are free: the scheduler knows better than to send it.
func (r *gpuRack) take(need float64) (g grant, ok bool) {
	if need <= 0 {
		return grant{}, true
	}
	if need < 1 {
		best := -1 // the fullest on which it fits
		for i, f := range r.free {
			if f+slack >= need && (best < 0 || f < r.free[best]) {
				best = i
			}
		}
		if best < 0 {
			return grant{}, false
		}
		r.free[best] -= need
		return grant{[]int{best}, need}, true
	}
	want := min(int(math.Ceil(need-slack)), len(r.free))
	for i, f := range r.free {
		if f > 1-slack && len(g.gpus) < want {
			g.gpus = append(g.gpus, i)
		}
	}
	if len(g.gpus) < want {
		return grant{}, false
	}
	g.share = 1
	for _, i := range g.gpus {
		r.free[i] = 0
	}
	return g, true
}

// give takes back what a run held.
func (r *gpuRack) give(g grant) {
	for _, i := range g.gpus {
		r.free[i] = math.Min(1, r.free[i]+g.share)
	}
}

// of names what a run holds.
func (r *gpuRack) of(g grant) []string {
	var list []string
	for _, i := range g.gpus {
		list = append(list, r.names[i])
	}
	return list
}
