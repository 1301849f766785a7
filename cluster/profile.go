package cluster

import (
	"cmp"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// DefaultName is the cluster that commands mean when none is named.
const DefaultName = "default"

// Profile says where a named cluster of this user keeps its things.
type Profile struct {
	Name   string
	Config string // keys: secret, small, worth a backup
	State  string // journal, outputs, logs, blobs
	Run    string // sockets
}

var clusterName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// OpenProfile finds the places of the cluster of that name; "" is [DefaultName]. It makes nothing.
// A name that cannot be a file's is an error of kind Invalid.
func OpenProfile(name string) (*Profile, error) {
	name = cmp.Or(name, DefaultName)
	if !clusterName.MatchString(name) {
		return nil, tutti.Errorf("open profile", tutti.Invalid, "%q is not the name of a cluster", name).
			WithHint("letters, digits, dots, dashes and underscores, at most 64, the first a letter or digit")
	}
	config, err := baseDir("XDG_CONFIG_HOME", ".config")
	if err != nil {
		return nil, err
	}
	state, err := baseDir("XDG_STATE_HOME", ".local/state")
	if err != nil {
		return nil, err
	}
	p := &Profile{Name: name, Config: filepath.Join(config, name), State: filepath.Join(state, name)}
	p.Run = filepath.Join(p.State, "run")
	if len(p.Run) > 80 { // a socket's path has at most 107 bytes
		sum := sha256.Sum256([]byte(p.Run))
		p.Run = filepath.Join(cmp.Or(os.Getenv("XDG_RUNTIME_DIR"), os.TempDir()),
			"tutti-"+strconv.Itoa(os.Getuid())+"-"+hex.EncodeToString(sum[:6]))
	}
	return p, nil
}

// baseDir is a folder of the XDG base directory specification, for tutti.
func baseDir(variable, fallback string) (string, error) {
	if dir := os.Getenv(variable); filepath.IsAbs(dir) {
		return filepath.Join(dir, "tutti"), nil
	}
	home, err := os.UserHomeDir()
	if err != nil {
		return "", tutti.Errorf("open profile", tutti.NotFound, "no home folder: %w", err).WithHint("set HOME or %s", variable)
	}
	return filepath.Join(home, fallback, "tutti"), nil
}

// Keys is the folder of the cluster's keys.
func (p *Profile) Keys() string { return filepath.Join(p.Config, "keys") }

// Socket is where the controller accepts this user's clients and agents on its own host.
func (p *Profile) Socket() string { return filepath.Join(p.Run, "controller.sock") }

// AgentSocket is where the agent of the controller's host gives local clients its blobs.
func (p *Profile) AgentSocket() string { return filepath.Join(p.Run, "agent.sock") }

// Log is the log file of a part: "controller", "agent".
func (p *Profile) Log(part string) string { return filepath.Join(p.State, part+".log") }

// Running describes the controller of a detached cluster, or an agent of it, as it wrote itself
// down when it started.
type Running struct {
	Pid     int       `json:"pid"`
	Birth   string    `json:"birth"` // tells the process apart from a later one with the same pid
	Host    string    `json:"host"`
	Since   time.Time `json:"since"`
	Version string    `json:"version"`
	Addr    string    `json:"addr,omitempty"` // where it listens on the network, "" if it does not
}

// runningFile is where a part writes itself down.
func (p *Profile) runningFile(part string) string { return filepath.Join(p.State, part+".json") }

// WriteRunning writes this process down as a part of the cluster.
func (p *Profile) WriteRunning(part, addr string) error {
	host, _ := os.Hostname()
	r := Running{Pid: os.Getpid(), Birth: birth(os.Getpid()), Host: host, Since: time.Now(), Version: tutti.Release, Addr: addr}
	data, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return tutti.E("start", tutti.Internal, err)
	}
	if err := os.MkdirAll(p.State, 0o700); err != nil {
		return tutti.E("start", tutti.KindOf(err), err)
	}
	temp := p.runningFile(part) + ".new"
	if err := os.WriteFile(temp, data, 0o600); err != nil {
		return tutti.E("start", tutti.KindOf(err), err)
	}
	if err := os.Rename(temp, p.runningFile(part)); err != nil {
		return tutti.E("start", tutti.KindOf(err), err)
	}
	return nil
}

// RemoveRunning removes what WriteRunning wrote, if this process wrote it.
func (p *Profile) RemoveRunning(part string) {
	if r, err := p.ReadRunning(part); err == nil && r.Pid == os.Getpid() {
		os.Remove(p.runningFile(part))
	}
}

// ReadRunning reads what a part wrote down. None is an error of kind NotFound, an unreadable one
// of kind Denied or Corrupt.
func (p *Profile) ReadRunning(part string) (*Running, error) {
	data, err := os.ReadFile(p.runningFile(part))
	if err != nil {
		e := tutti.E("read profile "+p.Name, tutti.KindOf(err), err)
		if e.Kind == tutti.NotFound {
			e = tutti.Errorf("find cluster", tutti.NotFound, "there is no running cluster %q", p.Name).WithHint("start one: tutti start")
		} else {
			e.Hint = "the folder " + p.State + " should belong to you"
		}
		return nil, e
	}
	r := new(Running)
	if err := json.Unmarshal(data, r); err != nil {
		return nil, tutti.Errorf("read profile "+p.Name, tutti.Corrupt, "%s: %w", p.runningFile(part), err).
			WithHint("remove the file if no cluster of that name runs")
	}
	return r, nil
}

// Here reports whether the process is of this host.
func (r *Running) Here() bool {
	host, err := os.Hostname()
	return err == nil && host == r.Host
}

// Alive reports whether the process is of this host and still there.
func (r *Running) Alive() bool { return r.Here() && r.Birth != "" && birth(r.Pid) == r.Birth }

// birth identifies the process with a pid among all that ever had it: the time since boot at which
// it started. "" if there is none, or where the system does not say.
func birth(pid int) string {
	data, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return ""
	}
	stat := string(data) // pid (name) state ...: the name may hold anything
	fields := strings.Fields(stat[strings.LastIndexByte(stat, ')')+1:])
	if len(fields) < 20 || fields[0] == "Z" {
		return ""
	}
	return fields[19]
}

// Profiles lists the clusters of this user that have left anything behind, by name.
func Profiles() ([]*Profile, error) {
	p, err := OpenProfile("")
	if err != nil {
		return nil, err
	}
	names := map[string]bool{}
	for _, dir := range []string{filepath.Dir(p.State), filepath.Dir(p.Config)} {
		entries, err := os.ReadDir(dir)
		if err != nil && !os.IsNotExist(err) {
			return nil, tutti.E("list clusters", tutti.KindOf(err), err)
		}
		for _, e := range entries {
			names[e.Name()] = names[e.Name()] || e.IsDir()
		}
	}
	var list []*Profile
	for name, dir := range names {
		if q, err := OpenProfile(name); err == nil && dir {
			list = append(list, q)
		}
	}
	slices.SortFunc(list, func(a, b *Profile) int { return strings.Compare(a.Name, b.Name) })
	return list, nil
}

// door finds out how a client or agent of the cluster comes to its controller: through the socket
// on the controller's host, else over the network with the key for its role.
func (p *Profile) door(role wire.Role) (wire.Network, string, error) {
	r, err := p.ReadRunning("controller")
	if err != nil {
		return nil, "", err
	}
	if r.Here() {
		return wire.Unix{}, p.Socket(), nil
	}
	if r.Addr == "" {
		return nil, "", tutti.Errorf("join cluster", tutti.Unsupported, "the cluster %s runs on %s and does not listen on the network", p.Name, r.Host).
			WithHint("start it with `tutti start --listen %s`", r.Host)
	}
	keys, err := wire.LoadKeys(p.Keys(), role)
	if err != nil {
		return nil, "", err
	}
	return wire.TCP{Keys: keys}, r.reachable(), nil
}

// reachable is the address at which other hosts find a controller: one that listens on all
// interfaces is found by its host's name.
func (r *Running) reachable() string {
	host, port, err := net.SplitHostPort(r.Addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return net.JoinHostPort(r.Host, port)
	}
	return r.Addr
}
