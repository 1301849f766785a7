package cluster

import (
	"context"
	"errors"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Leftover is something that a crash has left behind, or that nobody needs any more.
type Leftover struct {
	Cluster string `json:"cluster,omitempty"`
	What    string `json:"what"` // one line for people
	Path    string `json:"path,omitempty"`
	Pid     int    `json:"pid,omitempty"`
	Bytes   int64  `json:"bytes,omitempty"`
	Ask     bool   `json:"ask,omitempty"` // something of value may go with it: not without a question

	Remove func(context.Context) error `json:"-"`
}

// Agents reads what the agents of the cluster on all hosts have written down. Files that are
// unreadable are left out.
func (p *Profile) Agents() []*Running {
	files, _ := filepath.Glob(filepath.Join(p.State, "agent*.json"))
	var list []*Running
	for _, f := range files {
		if r, err := p.ReadRunning(strings.TrimSuffix(filepath.Base(f), ".json")); err == nil {
			list = append(list, r)
		}
	}
	return list
}

// Leftovers finds what the crash of a controller or agent of this cluster has left on this host.
// Files of other hosts are not judged.
func (p *Profile) Leftovers() []Leftover {
	var list []Leftover
	controller, err := p.ReadRunning("controller")
	living := err == nil && (!controller.Here() || controller.Alive())
	files, _ := filepath.Glob(filepath.Join(p.State, "*.json"))
	for _, f := range files {
		part := strings.TrimSuffix(filepath.Base(f), ".json")
		r, err := p.ReadRunning(part)
		switch {
		case tutti.KindOf(err) == tutti.Corrupt:
			list = append(list, p.file(f, "unreadable description of the "+part))
		case err != nil || !r.Here():
		case !r.Alive():
			list = append(list, p.file(f, "description of the "+part+", process "+strconv.Itoa(r.Pid)+", which has died"))
		case strings.HasPrefix(part, "agent") && !living:
			list = append(list, p.orphan(r))
		}
	}
	for _, s := range []string{p.Socket(), p.AgentSocket()} {
		if stale(s) {
			list = append(list, p.file(s, "socket at which nobody listens"))
		}
	}
	return list
}

func (p *Profile) file(path, what string) Leftover {
	l := Leftover{Cluster: p.Name, What: what, Path: path}
	if st, err := os.Lstat(path); err == nil {
		l.Bytes = st.Size()
	}
	l.Remove = func(context.Context) error {
		if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return tutti.E("clean", tutti.KindOf(err), err)
		}
		return nil
	}
	return l
}

// orphan is an agent whose controller has died. It may hold engines and results for which a
// controller that is started again would ask.
func (p *Profile) orphan(r *Running) Leftover {
	return Leftover{
		Cluster: p.Name, Pid: r.Pid, Ask: true,
		What:   "agent, process " + strconv.Itoa(r.Pid) + ", without a controller; `tutti start` would use it, with its engines and results",
		Remove: func(ctx context.Context) error { return r.End(ctx, orphanGrace) },
	}
}

// orphanGrace is what an agent gets to end its engines and commands before it is killed.
const orphanGrace = 15 * time.Second

// End asks a process of this host to end, and kills it if it has not after so long.
func (r *Running) End(ctx context.Context, grace time.Duration) error {
	for _, s := range []struct {
		sig  os.Signal
		time time.Duration
	}{{syscall.SIGTERM, grace}, {syscall.SIGKILL, 5 * time.Second}} {
		if err := r.Signal(s.sig); err != nil {
			if tutti.KindOf(err) == tutti.NotFound {
				return nil
			}
			return err
		}
		patience, cancel := context.WithTimeout(ctx, s.time)
		err := r.Gone(patience)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return tutti.Errorf("end process", tutti.Timeout, "process %d does not end, not even when killed", r.Pid)
}

// OldState is everything that a cluster which does not run keeps: its journal with durable jobs
// and their results, outputs, logs. ok is false while it runs, or may run on another host.
func (p *Profile) OldState() (l Leftover, ok bool) {
	r, err := p.ReadRunning("controller")
	if err == nil && (!r.Here() || r.Alive()) || err != nil && tutti.KindOf(err) == tutti.Denied {
		return l, false
	}
	for _, a := range p.Agents() {
		if !a.Here() || a.Alive() {
			return l, false
		}
	}
	if _, err := os.Stat(p.State); err != nil {
		return l, false
	}
	l = Leftover{Cluster: p.Name, Path: p.State, Bytes: sizeOf(p.State), Ask: true}
	l.What = "state of a cluster that does not run: its jobs, their results and output, logs"
	l.Remove = func(context.Context) error {
		if err := errors.Join(os.RemoveAll(p.State), os.RemoveAll(p.Run)); err != nil {
			return tutti.E("clean", tutti.KindOf(err), err)
		}
		return nil
	}
	return l, true
}

// sizeOf adds up the files of a folder; what cannot be read counts nothing.
func sizeOf(dir string) (n int64) {
	_ = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return nil
		}
		if st, err := d.Info(); err == nil {
			n += st.Size()
		}
		return nil
	})
	return n
}

// stale reports whether a socket is there at which nobody accepts.
func stale(path string) bool {
	st, err := os.Lstat(path)
	if err != nil || st.Mode().Type() != fs.ModeSocket {
		return false
	}
	c, err := net.DialTimeout("unix", path, time.Second)
	if err == nil {
		c.Close()
	}
	return errors.Is(err, syscall.ECONNREFUSED)
}

// StaleRunFolders finds folders of sockets outside of any profile's state (they are there where a
// socket's path would be too long) at which nobody listens any more.
func StaleRunFolders() []Leftover {
	var list []Leftover
	for _, base := range runBases() {
		dirs, _ := filepath.Glob(filepath.Join(base, runPrefix()+"*"))
		for _, dir := range dirs {
			sockets, err := filepath.Glob(filepath.Join(dir, "*.sock"))
			old := err == nil && len(sockets) > 0
			for _, s := range sockets {
				old = old && stale(s)
			}
			if old {
				list = append(list, Leftover{What: "sockets at which nobody listens", Path: dir, Remove: func(context.Context) error {
					if err := os.RemoveAll(dir); err != nil {
						return tutti.E("clean", tutti.KindOf(err), err)
					}
					return nil
				}})
			}
		}
	}
	return list
}

func runPrefix() string { return "tutti-" + strconv.Itoa(os.Getuid()) + "-" }

// runBases are the folders in which OpenProfile puts sockets when a profile's own path is too long.
func runBases() []string {
	bases := []string{os.TempDir()}
	if dir := os.Getenv("XDG_RUNTIME_DIR"); dir != "" {
		bases = append(bases, dir)
	}
	return bases
}
