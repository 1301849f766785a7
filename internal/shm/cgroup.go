package shm

import (
	"bufio"
	"io/fs"
	"math"
	"path"
	"strconv"
	"strings"
)

// cgroups finds the control groups that bound this process and asks each, from the innermost
// outwards, since any of them may hold the lowest limit. root is the file system "/", or a
// picture of one in tests. Both versions are read, as machines mix them.
type cgroups struct{ root fs.FS }

// folders lists the folders of the process's group and its parents for a version 1 controller
// ("cpu", "memory"), or for version 2 where controller is "".
func (g cgroups) folders(controller string) []string {
	group := g.group(controller)
	mount, root := g.mount(controller)
	if group == "" || mount == "" {
		return nil
	}
	// In a container the mount shows a part of the tree: its root is cut off the group's path. A
	// group outside that part is seen as the mount itself.
	rel, ok := strings.CutPrefix(group, strings.TrimSuffix(root, "/"))
	if !ok || strings.Contains(group, "/..") {
		rel = "/"
	}
	var out []string
	for p := path.Clean("/" + rel); ; p = path.Dir(p) {
		out = append(out, strings.TrimPrefix(path.Join(mount, p), "/"))
		if p == "/" {
			return out
		}
	}
}

// group reads lines such as "4:cpu,cpuacct:/job7" and "0::/job7" of /proc/self/cgroup.
func (g cgroups) group(controller string) string {
	for _, line := range g.lines("proc/self/cgroup") {
		f := strings.SplitN(line, ":", 3)
		if len(f) == 3 && has(f[1], controller) {
			return f[2]
		}
	}
	return ""
}

// mount finds where the hierarchy is mounted, and which part of it: /proc/self/mountinfo has
// "36 25 0:32 ROOT MOUNT options [more ...] - TYPE SOURCE SUPEROPTIONS".
func (g cgroups) mount(controller string) (at, root string) {
	for _, line := range g.lines("proc/self/mountinfo") {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 3 {
			continue
		}
		if controller == "" && r[0] == "cgroup2" || controller != "" && r[0] == "cgroup" && has(r[2], controller) {
			return l[4], l[3]
		}
	}
	return "", ""
}

func has(list, item string) bool {
	for s := range strings.SplitSeq(list, ",") {
		if s == item {
			return true
		}
	}
	return false
}

func (g cgroups) lines(name string) (out []string) {
	f, err := g.root.Open(name)
	if err != nil {
		return nil
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		out = append(out, sc.Text())
	}
	return out
}

// number is the n-th word of a one-line file, infinite where it says "max", is negative, or is not
// there.
func (g cgroups) number(dir, file string, n int) float64 {
	b, err := fs.ReadFile(g.root, path.Join(dir, file))
	f := strings.Fields(string(b))
	if err != nil || len(f) <= n {
		return math.Inf(1)
	}
	v, err := strconv.ParseFloat(f[n], 64)
	if err != nil || v < 0 {
		return math.Inf(1)
	}
	return v
}

// cpus is the lowest quota, in processors, infinite if none is set.
func (g cgroups) cpus() float64 {
	low := math.Inf(1)
	for _, d := range g.folders("") {
		if period := g.number(d, "cpu.max", 1); period > 0 {
			low = lower(low, g.number(d, "cpu.max", 0)/period)
		}
	}
	for _, d := range g.folders("cpu") {
		if period := g.number(d, "cpu.cfs_period_us", 0); period > 0 {
			low = lower(low, g.number(d, "cpu.cfs_quota_us", 0)/period)
		}
	}
	return low
}

// lower is the smaller of two; a quota that came out as no number (none set) does not count.
func lower(a, b float64) float64 {
	if math.IsNaN(b) {
		return a
	}
	return math.Min(a, b)
}

// memory is how many more bytes the groups allow, infinite if no limit is set. What the kernel
// holds as clean file pages counts as used here: it is only a floor.
func (g cgroups) memory() float64 {
	left := math.Inf(1)
	for _, d := range g.folders("") {
		left = lower(left, g.number(d, "memory.max", 0)-g.number(d, "memory.current", 0)+g.reclaimable(d))
	}
	for _, d := range g.folders("memory") {
		left = lower(left, g.number(d, "memory.limit_in_bytes", 0)-g.number(d, "memory.usage_in_bytes", 0)+g.reclaimable(d))
	}
	return math.Max(left, 0)
}

// reclaimable is the part of a group's memory that the kernel gives back when asked: file pages
// long unused.
func (g cgroups) reclaimable(dir string) float64 {
	for _, line := range g.lines(path.Join(dir, "memory.stat")) {
		if s, ok := strings.CutPrefix(line, "inactive_file "); ok {
			v, _ := strconv.ParseFloat(s, 64)
			return v
		}
	}
	return 0
}

// available is the kernel's own estimate of what can be had without swapping, infinite if unknown.
func (g cgroups) available() float64 {
	for _, line := range g.lines("proc/meminfo") {
		if s, ok := strings.CutPrefix(line, "MemAvailable:"); ok {
			v, err := strconv.ParseFloat(strings.TrimSpace(strings.TrimSuffix(s, "kB")), 64)
			if err == nil {
				return v * 1024
			}
		}
	}
	return math.Inf(1)
}
