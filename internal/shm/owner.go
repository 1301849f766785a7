package shm

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
)

// prefix begins the name of everything that tutti leaves in a common folder.
const prefix = "tutti"

// owner says which process made a named segment: enough to know later, perhaps after a restart
// of the machine or beside other hosts on a shared disk, whether it still lives.
type owner struct {
	host  string // 8 hex digits of a hash of the host's name and machine id
	boot  string // 8 hex digits of the boot id
	ns    uint64 // the process id namespace
	pid   int
	start uint64 // clock ticks from boot to the process's start: process ids come back, this pair does not
}

// self is this process. A field that cannot be read is zero, and then nothing is judged by it.
var self = sync.OnceValue(func() owner {
	host, _ := os.Hostname()
	machine, _ := os.ReadFile("/etc/machine-id")
	boot, _ := os.ReadFile("/proc/sys/kernel/random/boot_id")
	start, _ := startOf(os.Getpid())
	return owner{
		host: short(host + "\x00" + string(machine)), boot: short(string(boot)),
		ns: pidNamespace(), pid: os.Getpid(), start: start,
	}
})

func short(s string) string {
	sum := sha256.Sum256([]byte(s))
	return fmt.Sprintf("%x", sum[:4])
}

// pidNamespace is the number in "pid:[4026531836]", 0 if unknown.
func pidNamespace() uint64 {
	link, _ := os.Readlink("/proc/self/ns/pid")
	n, _ := strconv.ParseUint(strings.TrimSuffix(strings.TrimPrefix(link, "pid:["), "]"), 10, 64)
	return n
}

// startOf is field 22 of /proc/PID/stat. The command name before it may hold anything, blanks
// and brackets too, so the count begins behind its last bracket.
func startOf(pid int) (uint64, error) {
	b, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	f := strings.Fields(rest)
	if !ok || len(f) < 20 {
		return 0, fmt.Errorf("stat of process %d: %w", pid, ErrInvalid)
	}
	if f[0] == "Z" || f[0] == "X" { // dead, not yet collected by its parent: holds nothing
		return 0, os.ErrNotExist
	}
	return strconv.ParseUint(f[19], 10, 64)
}

var serial atomic.Uint64

// NewName makes a name for a file in a common folder that [Stale] can judge: label and owner
// are in it, and it does not occur twice. The label is of small letters and digits.
func NewName(label string) (string, error) {
	if !validLabel(label) {
		return "", badLabel(label)
	}
	o := self()
	return fmt.Sprintf("%s-%s-%s-%s-%d-%d-%d-%d", prefix, label, o.host, o.boot, o.ns, o.pid, o.start, serial.Add(1)), nil
}

func validLabel(s string) bool {
	return s != "" && len(s) <= 32 && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789") == ""
}

func badLabel(s string) error {
	return fmt.Errorf("name shared segment: %w: label %q is not of small letters and digits", ErrInvalid, s)
}

// parseName reads what NewName wrote.
func parseName(name string) (label string, o owner, ok bool) {
	f := strings.Split(name, "-")
	if len(f) != 8 || f[0] != prefix || !validLabel(f[1]) || len(f[2]) != 8 || len(f[3]) != 8 {
		return "", owner{}, false
	}
	var n [4]uint64
	for i, s := range f[4:] {
		v, err := strconv.ParseUint(s, 10, 63)
		if err != nil {
			return "", owner{}, false
		}
		n[i] = v
	}
	return f[1], owner{host: f[2], boot: f[3], ns: n[0], pid: int(n[1]), start: n[2]}, true
}

// dead reports whether o, seen from me, is known to be gone. What cannot be known (another host
// on a shared disk, another container on this one) counts as alive.
func (o owner) dead(me owner) bool {
	switch {
	case o.host != me.host:
		return false
	case o.boot != me.boot:
		return true
	case o.ns != me.ns || o.ns == 0 || o.start == 0:
		return false
	}
	start, err := startOf(o.pid)
	if err != nil {
		return os.IsNotExist(err)
	}
	return start != o.start
}

// Leftover is a file whose owner is gone.
type Leftover struct {
	Path  string
	Label string
	Size  int64
	PID   int // of the owner that was
}

// Stale lists the files in dir, [DefaultDir] if "", that were named by [NewName] with that label
// ("" for any) and whose owner is gone. Files of other users, hosts and containers are left out.
// A folder that does not exist has none.
func Stale(dir, label string) ([]Leftover, error) {
	if dir == "" {
		dir = DefaultDir
	}
	entries, err := os.ReadDir(dir)
	if os.IsNotExist(err) {
		return nil, nil
	}
	if err != nil {
		return nil, wrap("list", dir, err)
	}
	var out []Leftover
	for _, e := range entries {
		l, o, ok := parseName(e.Name())
		if !ok || label != "" && l != label || !o.dead(self()) {
			continue
		}
		st, err := e.Info() // gone meanwhile: somebody else cleans too
		if err != nil || !st.Mode().IsRegular() || !ours(st) {
			continue
		}
		out = append(out, Leftover{Path: filepath.Join(dir, e.Name()), Label: l, Size: st.Size(), PID: o.pid})
	}
	return out, nil
}

// Remove removes a named segment; descriptors and mappings live on. It refuses a path that
// [NewName] has not named, and finds nothing wrong with one that is gone already.
func Remove(path string) error {
	if _, _, ok := parseName(filepath.Base(path)); !ok {
		return fmt.Errorf("remove shared segment %s: %w: not a name of ours", path, ErrInvalid)
	}
	if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
		return wrap("remove shared segment", path, err)
	}
	return nil
}
