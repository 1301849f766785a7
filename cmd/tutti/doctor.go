package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/shm"
)

type doctorVerb struct{}

func (doctorVerb) Teach() string {
	return `
Looks at what tutti needs of this machine (folders, space, shared memory, limits, network, Python)
and at the cluster, if it runs: keys, versions, clocks, whether it answers. Says what is wrong and
what to do. Ends with status 1 if something is; "careful" is not yet wrong.

Examples:
  tutti doctor
  tutti doctor --cluster night
  srun tutti doctor           on a node of the batch system
`
}

// The verdicts of a finding.
const (
	well    = "ok"
	careful = "careful"
	wrong   = "wrong"
)

// finding is what one look has found.
type finding struct {
	What    string `json:"what"`
	Verdict string `json:"verdict"`
	Text    string `json:"text"`
	Hint    string `json:"hint,omitempty"`
}

// patient is what is examined.
type patient struct {
	ctx     context.Context
	profile *cluster.Profile
	running *cluster.Running // nil if the cluster does not run
	client  *cluster.Client  // nil if it does not answer
	found   []finding
}

func (p *patient) find(what, verdict, hint, format string, args ...any) {
	p.found = append(p.found, finding{what, verdict, fmt.Sprintf(format, args...), hint})
}

// looks are all that is examined, in order. A new one is a row.
var looks = []func(*patient){
	lookFolders, lookKeys, lookSharedMemory, lookLimits, lookQuota, lookInterfaces, lookLoopback, lookPython, lookCluster, lookAgents, lookClocks,
}

// Run examines this machine and the cluster.
func (doctorVerb) Run(v *invocation) error {
	p := &patient{ctx: v.ctx}
	var err error
	if p.profile, err = v.profile(); err != nil {
		return err
	}
	for _, look := range looks {
		look(p)
	}
	if p.client != nil {
		p.client.Close()
	}
	bad := 0
	for _, f := range p.found {
		if f.Verdict == wrong {
			bad++
		}
	}
	if err := p.report(v, bad); err != nil || bad == 0 {
		return err
	}
	return status(statusFailed)
}

func (p *patient) report(v *invocation, bad int) error {
	switch v.out.form {
	case asJSON:
		return v.out.json(p.found)
	case quiet:
		return nil
	}
	for _, f := range p.found {
		fmt.Fprintf(v.out.w, "%s%s %-13s %s\n", v.out.tint(f.Verdict), strings.Repeat(" ", len(careful)-len(f.Verdict)), f.What, f.Text)
		if f.Hint != "" {
			fmt.Fprintf(v.out.w, "%*s%s\n", len(careful)+15, "", "-> "+f.Hint)
		}
	}
	if bad == 0 {
		_, err := fmt.Fprintln(v.out.w, "Nothing is wrong.")
		return err
	}
	_, err := fmt.Fprintf(v.out.w, "%d things are wrong.\n", bad)
	return err
}

// lookFolders looks at the folders of the cluster: ours, writable, with space left.
func lookFolders(p *patient) {
	for _, d := range []struct{ what, path, variable string }{
		{"keys folder", p.profile.Config, "XDG_CONFIG_HOME"}, {"state folder", p.profile.State, "XDG_STATE_HOME"}, {"socket folder", p.profile.Run, "XDG_RUNTIME_DIR"},
	} {
		there := nearest(d.path)
		f, err := os.CreateTemp(there, ".tutti-doctor-")
		if err != nil {
			p.find(d.what, wrong, "make it yours and writable, or choose another by "+d.variable, "%s: %v", there, err)
			continue
		}
		f.Close()
		os.Remove(f.Name())
		free, inodes := space(there)
		switch {
		case free >= 0 && free < 64<<20 || inodes == 0:
			p.find(d.what, wrong, "make room there, or choose another place by "+d.variable, "%s: %s left", there, tutti.FormatBytes(max(free, 0)))
		case free >= 0 && free < 1<<30:
			p.find(d.what, careful, "", "%s: only %s left", there, tutti.FormatBytes(free))
		default:
			p.find(d.what, well, "", "%s, %s left", d.path, tutti.FormatBytes(free))
		}
	}
	lookOpen(p)
}

// lookOpen finds folders that others could read or change.
func lookOpen(p *patient) {
	for _, dir := range []string{p.profile.Config, p.profile.Keys(), p.profile.State, p.profile.Run} {
		if st, err := os.Stat(dir); err == nil && st.Mode().Perm()&0o077 != 0 {
			p.find("permissions", wrong, "chmod 700 "+dir, "%s is open to other users (mode %#o)", dir, st.Mode().Perm())
		}
	}
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// nearest is the folder itself, or the first above it that is there.
func nearest(path string) string {
	for !exists(path) && path != filepath.Dir(path) {
		path = filepath.Dir(path)
	}
	return path
}

// lookSharedMemory tries to use /dev/shm, through which large values travel on a node.
func lookSharedMemory(p *patient) {
	const hint = "large values will take the slower way over the disk; a container gets more by --shm-size"
	free, _ := space(shm.DefaultDir)
	seg, err := shm.Create("", "doctor", 1<<20)
	if err != nil {
		p.find("shared memory", wrong, hint, "%s: %v", shm.DefaultDir, err)
		return
	}
	defer seg.Close()
	if err := seg.Unlink(); err != nil {
		p.find("shared memory", wrong, hint, "%s: %v", shm.DefaultDir, err)
		return
	}
	verdict, note := well, ""
	if free < 256<<20 {
		verdict, note = careful, hint
	}
	p.find("shared memory", verdict, note, "%s, %s left", shm.DefaultDir, tutti.FormatBytes(free))
	if left, err := shm.Stale("", ""); err == nil && len(left) > 0 {
		p.find("shared memory", careful, "tutti clean", "%d segments of processes that are gone", len(left))
	}
}

// lookCluster looks whether the cluster runs, answers, and is of our version.
func lookCluster(p *patient) {
	r, err := p.profile.ReadRunning("controller")
	switch {
	case tutti.KindOf(err) == tutti.NotFound:
		p.find("cluster", well, "", "%s does not run", p.profile.Name)
		return
	case err != nil:
		p.find("cluster", wrong, tutti.HintOf(err), "%v", err)
		return
	}
	p.running = r
	if r.Version != tutti.Release {
		p.find("version", wrong, "use the same tutti, or restart the cluster: tutti stop; tutti start", "this is %s, the cluster runs %s", tutti.Release, r.Version)
	}
	if r.Here() && !r.Alive() {
		p.find("cluster", wrong, "tutti start brings it back", "the controller of %s has died (process %d)", p.profile.Name, r.Pid)
		return
	}
	began := time.Now()
	c, err := cluster.Attach(p.ctx, p.profile, cluster.Attachment{})
	if err != nil {
		p.find("cluster", wrong, tutti.HintOf(err), "%v", err)
		return
	}
	p.client = c
	st, err := c.Status(p.ctx)
	switch {
	case err != nil:
		p.find("cluster", wrong, tutti.HintOf(err), "%v", err)
	case st.Journal != "well" && st.Journal != "none":
		p.find("journal", wrong, "durable work is refused until this is mended", "%s", st.Journal)
	case st.Nodes == 0:
		p.find("cluster", careful, "add this machine: tutti agent --detach", "%s answers, but has no nodes: nothing can run", st.Cluster)
	default:
		p.find("cluster", well, "", "%s answers in %s: %d nodes, %d engines", st.Cluster, period(time.Since(began)), st.Nodes, st.Engines)
	}
}

// lookAgents looks at the agents that have written themselves down.
func lookAgents(p *patient) {
	for _, a := range p.profile.Agents() {
		switch {
		case !a.Here():
		case !a.Alive():
			p.find("agent", careful, "tutti start starts it again; tutti clean forgets it", "the agent that was process %d has died", a.Pid)
		case p.running == nil:
			p.find("agent", careful, "tutti clean ends it", "process %d has no controller", a.Pid)
		case a.Version != p.running.Version:
			p.find("agent", wrong, "end it, and start it with the tutti of the controller", "process %d is of version %s, the controller of %s", a.Pid, a.Version, p.running.Version)
		default:
			p.find("agent", well, "", "process %d, since %s", a.Pid, a.Since.Format(time.DateTime))
		}
	}
}
