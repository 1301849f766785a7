package main

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
	"github.com/tutti-hpc/tutti/internal/wire"
	"github.com/tutti-hpc/tutti/python"
)

// space is what is left on a file system for us: bytes, and files (-1 where that is not counted).
// Bytes are -1 where it does not say.
func space(dir string) (free int64, files int64) {
	var st unix.Statfs_t
	if err := unix.Statfs(dir, &st); err != nil {
		return -1, -1
	}
	free, files = int64(st.Bavail)*int64(st.Bsize), -1
	if st.Files > 0 {
		files = int64(st.Ffree)
	}
	return free, files
}

// lookKeys reads all keys of the cluster that are there.
func lookKeys(p *patient) {
	dir := p.profile.Keys()
	if !exists(dir) {
		p.find("keys", well, "", "none yet; the first start makes them")
		return
	}
	read := 0
	for _, role := range []wire.Role{wire.RoleServer, wire.RoleAgent, wire.RoleClient} {
		if !exists(filepath.Join(dir, string(role)+".pem")) {
			continue // a folder to which only some were copied
		}
		if _, err := wire.LoadKeys(dir, role); err != nil {
			p.find("keys", wrong, tutti.HintOf(err), "%v", err)
			continue
		}
		read++
	}
	if read > 0 {
		p.find("keys", well, "", "%s, for %d roles", dir, read)
	}
}

// limit is one that the system sets to processes, and what is too little.
type limit struct {
	name     string
	resource int
	wrong    uint64 // below this nothing much works
	careful  uint64 // below this large work does not
	hint     string
}

var limits = []limit{
	{"open files", unix.RLIMIT_NOFILE, 256, 1024, "ulimit -n 65536, before tutti start"},
	{"processes", unix.RLIMIT_NPROC, 64, 512, "ulimit -u unlimited, before tutti start, or ask the administrator"},
	{"locked memory", unix.RLIMIT_MEMLOCK, 0, 64 << 10, "only fast networks need it: ulimit -l unlimited"},
}

// lookLimits looks at the limits that processes started from here inherit.
func lookLimits(p *patient) {
	for _, l := range limits {
		var r unix.Rlimit
		if err := unix.Getrlimit(l.resource, &r); err != nil {
			p.find("limits", careful, "", "%s: %v", l.name, err)
			continue
		}
		text := fmt.Sprint(uint64(r.Cur))
		if uint64(r.Cur) >= 1<<62 {
			text = "unlimited"
		}
		verdict, hint := well, ""
		switch {
		case uint64(r.Cur) < l.wrong:
			verdict, hint = wrong, l.hint
		case uint64(r.Cur) < l.careful:
			verdict, hint = careful, l.hint
		}
		p.find("limits", verdict, hint, "%s: %s", l.name, text)
	}
}

// lookQuota compares what the machine has with what we may use of it.
func lookQuota(p *patient) {
	cpus, err := shm.CPUs()
	if err != nil {
		cpus = float64(runtime.NumCPU())
	}
	text := fmt.Sprintf("%g processors", cpus)
	if n := onlineCPUs(); float64(n) > cpus {
		text += fmt.Sprintf(" of the machine's %d (affinity or control group)", n)
	}
	if room, err := shm.Room(); err == nil && room < 1<<62 {
		text += ", " + tutti.FormatBytes(room) + " of memory to be had"
		if room < 256<<20 {
			p.find("quota", careful, "tasks that need more will be killed", "%s", text)
			return
		}
	}
	p.find("quota", well, "", "%s", text)
}

// onlineCPUs counts the machine's processors, 0 if it does not say.
func onlineCPUs() (n int) {
	data, err := os.ReadFile("/sys/devices/system/cpu/online")
	if err != nil {
		return 0
	}
	for part := range strings.SplitSeq(strings.TrimSpace(string(data)), ",") {
		var lo, hi int
		if k, _ := fmt.Sscanf(part, "%d-%d", &lo, &hi); k == 1 {
			hi = lo
		}
		n += hi - lo + 1
	}
	return n
}

// lookInterfaces lists the addresses by which other machines can reach this one.
func lookInterfaces(p *patient) {
	addrs, err := net.InterfaceAddrs()
	if err != nil {
		p.find("interfaces", wrong, "", "%v", err)
		return
	}
	var outside []string
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok && !n.IP.IsLoopback() && !n.IP.IsLinkLocalUnicast() {
			outside = append(outside, n.IP.String())
		}
	}
	if len(outside) == 0 {
		p.find("interfaces", careful, "a cluster on this machine alone needs none", "no address but the loopback: other machines cannot join")
		return
	}
	p.find("interfaces", well, "", "%s", strings.Join(outside, ", "))
}

// lookLoopback sends bytes through a port of this machine, and knocks at the controller's.
func lookLoopback(p *patient) {
	if err := tryPort(p.ctx, "127.0.0.1:0"); err != nil {
		p.find("loopback", wrong, "a firewall or a container keeps this machine from talking to itself", "%v", err)
	} else {
		p.find("loopback", well, "", "a port of 127.0.0.1 answers")
	}
	r, err := p.profile.ReadRunning("controller")
	if err != nil || r.Addr == "" {
		return
	}
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(p.ctx, "tcp", r.Addr)
	if err != nil {
		p.find("port", wrong, "is the cluster running, and does a firewall stand between?", "%s, where the controller listens: %v", r.Addr, err)
		return
	}
	c.Close()
	p.find("port", well, "", "%s, where the controller listens, is open", r.Addr)
}

// tryPort listens, connects to itself, and sends a byte.
func tryPort(ctx context.Context, addr string) error {
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return err
	}
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			_, _ = c.Write([]byte{1})
			c.Close()
		}
	}()
	d := net.Dialer{Timeout: 5 * time.Second}
	c, err := d.DialContext(ctx, "tcp", ln.Addr().String())
	if err != nil {
		return err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(5 * time.Second)) // a fresh connection takes one
	_, err = c.Read(make([]byte, 1))
	return err
}

// lookPython looks for an interpreter; one is needed by Python programs only.
func lookPython(p *patient) {
	path, err := exec.LookPath("python3")
	if err != nil {
		p.find("python", careful, "only Python programs need it", "there is no python3 in the PATH")
		return
	}
	in, err := lookAt(p.ctx, path)
	if err != nil {
		p.find("python", careful, tutti.HintOf(err), "%v", err)
		return
	}
	p.find("python", well, "", "%s, %s", in.Executable, in.Version)
	dir, err := python.Unpack()
	if err != nil {
		p.find("packages", wrong, "make the cache folder yours and writable (XDG_CACHE_HOME)", "the Python packages cannot be unpacked: %v", err)
		return
	}
	p.findPackage(in, dir)
}

// findPackage looks which tutti the interpreter finds, and whether that is the one of this binary.
func (p *patient) findPackage(in *interpreter, dir string) {
	ctx, cancel := context.WithTimeout(p.ctx, 20*time.Second)
	defer cancel()
	cmd := exec.CommandContext(ctx, in.Executable, "-c", "import tutti; print(tutti.__file__)")
	cmd.Dir = "/"
	out, err := cmd.Output()
	found := strings.TrimSpace(string(out))
	switch {
	case err != nil:
		p.find("packages", well, "tutti python --install, or PYTHONPATH="+dir, "in %s; this Python does not find them by itself", dir)
	case filepath.Dir(filepath.Dir(found)) == dir:
		p.find("packages", well, "", "%s", found)
	case sameFiles(filepath.Join(dir, "tutti"), filepath.Dir(found)):
		p.find("packages", well, "", "%s, installed", found)
	default:
		p.find("packages", careful, "tutti python --install brings them up to date", "%s is not of this tutti, %s", found, tutti.Release)
	}
}

// sameFiles reports whether every Python file of a folder is in another too, as it is.
func sameFiles(from, in string) bool {
	err := fs.WalkDir(os.DirFS(from), ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || filepath.Ext(path) != ".py" {
			return err
		}
		a, err := os.ReadFile(filepath.Join(from, path))
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(in, path))
		if err == nil && !bytes.Equal(a, b) {
			err = fs.ErrInvalid
		}
		return err
	})
	return err == nil
}

// maxSkew is how far clocks may be apart before times in lists confuse.
const maxSkew = 2 * time.Second

// lookClocks compares our clock with that of the file server, and with the controller's.
func lookClocks(p *patient) {
	dir := nearest(p.profile.State)
	f, err := os.CreateTemp(dir, ".tutti-doctor-")
	if err != nil {
		return // lookFolders has told
	}
	defer os.Remove(f.Name())
	defer f.Close()
	before := time.Now()
	_, _ = f.Write([]byte{1})
	if st, err := f.Stat(); err == nil {
		p.compare("of the file system of "+dir, st.ModTime().Sub(before))
	}
	if p.client == nil {
		return
	}
	asked := time.Now()
	if st, err := p.client.Status(p.ctx); err == nil && !st.Now.IsZero() {
		took := time.Since(asked)
		p.compare("of the controller", st.Now.Sub(asked.Add(took/2)))
	}
}

func (p *patient) compare(whose string, skew time.Duration) {
	if skew.Abs() > maxSkew {
		p.find("clock", careful, "synchronise the machines' clocks (NTP)", "the clock %s and ours are %v apart", whose, skew.Abs().Round(time.Millisecond))
		return
	}
	p.find("clock", well, "", "the clock %s agrees with ours", whose)
}
