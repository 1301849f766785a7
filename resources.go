package tutti

//msgp:limit arrays:65536 maps:4096

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Resources is what a task needs while it runs, or what a node has. Resources belong to nodes:
// a running task holds its share there, an idle engine holds nothing.
type Resources struct {
	Cores  float64            `msg:"c,omitempty" json:"cores,omitempty"`  // processor cores; 0.5 lets two tasks share one
	GPUs   float64            `msg:"g,omitempty" json:"gpus,omitempty"`   // accelerators; a fraction shares one
	Memory int64              `msg:"m,omitempty" json:"memory,omitempty"` // bytes
	Nodes  int                `msg:"n,omitempty" json:"nodes,omitempty"`  // whole nodes, for tasks that span several
	Ranks  int                `msg:"r,omitempty" json:"ranks,omitempty"`  // engines that start together as ranks of one world
	Time   time.Duration      `msg:"t,omitempty" json:"time,omitempty"`   // wall time that must be left on the node
	Custom map[string]float64 `msg:"x,omitempty" json:"custom,omitempty"` // anything the site names: "licence": 1
}

// Check reports negative, fractional-beyond-sense or misnamed amounts as an error of kind [Invalid].
func (r Resources) Check() error {
	bad := func(what string, v any) error {
		return Errorf("check resources", Invalid, "%s: %v", what, v)
	}
	switch {
	case !(r.Cores >= 0) || r.Cores > 1<<20:
		return bad("cores", r.Cores)
	case !(r.GPUs >= 0) || r.GPUs > 1<<20:
		return bad("gpus", r.GPUs)
	case r.Memory < 0:
		return bad("memory", r.Memory)
	case r.Nodes < 0 || r.Ranks < 0:
		return bad("nodes or ranks", min(r.Nodes, r.Ranks))
	case r.Time < 0:
		return bad("time", r.Time)
	}
	for name, v := range r.Custom {
		if name == "" || !(v >= 0) {
			return bad("custom "+strconv.Quote(name), v)
		}
	}
	return nil
}

// String lists what is not zero: "2 cores, 4 GiB".
func (r Resources) String() string {
	var parts []string
	add := func(v float64, one, many string) {
		switch {
		case v == 1:
			parts = append(parts, "1 "+one)
		case v != 0:
			parts = append(parts, strconv.FormatFloat(v, 'g', -1, 64)+" "+many)
		}
	}
	add(r.Cores, "core", "cores")
	add(r.GPUs, "GPU", "GPUs")
	if r.Memory != 0 {
		parts = append(parts, FormatBytes(r.Memory))
	}
	add(float64(r.Nodes), "node", "nodes")
	add(float64(r.Ranks), "rank", "ranks")
	if r.Time != 0 {
		parts = append(parts, r.Time.String())
	}
	for _, name := range slices.Sorted(maps.Keys(r.Custom)) {
		add(r.Custom[name], name, name)
	}
	if len(parts) == 0 {
		return "nothing"
	}
	return strings.Join(parts, ", ")
}

// byteUnits are the binary multiples, smallest first.
var byteUnits = []string{"B", "KiB", "MiB", "GiB", "TiB", "PiB"}

// FormatBytes writes a size for people: "1.5 GiB".
func FormatBytes(n int64) string {
	v, u := float64(n), 0
	for v >= 1024 && u < len(byteUnits)-1 {
		v, u = v/1024, u+1
	}
	return strconv.FormatFloat(v, 'f', max(0, min(1, u)), 64) + " " + byteUnits[u]
}

// ParseBytes reads a size such as "64KiB", "4 GB", "1.5g" or "1000". One letter and the forms
// with i are powers of 1024, "kB", "MB", ... powers of 1000. Errors are of kind [Invalid].
func ParseBytes(s string) (int64, error) {
	t := strings.ToLower(strings.ReplaceAll(s, " ", ""))
	end := strings.LastIndexAny(t, "0123456789.") + 1
	num, err := strconv.ParseFloat(t[:end], 64)
	unit := t[end:]
	mult := 1.0
	if unit != "" && unit != "b" {
		power := strings.Index("kmgtp", unit[:1]) + 1
		base, ok := map[string]float64{"": 1024, "ib": 1024, "b": 1000}[unit[1:]]
		if power == 0 || !ok {
			err = fmt.Errorf("unknown unit")
		}
		for range power {
			mult *= base
		}
	}
	if err != nil || !(num >= 0) || num*mult >= 1<<63 {
		return 0, Errorf("read size", Invalid, "%q is not a size", s).WithHint("sizes look like 512MiB or 4GB")
	}
	return int64(num * mult), nil
}
