package provider

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti"
)

// local runs jobs as processes of this machine, each in a session of its own, so that they outlive
// whoever submitted them. What is known of a job lies in a folder of its own below State:
//
//	job.json  what was submitted, written before it starts
//	pid       of the session's leader, written by itself
//	end       its exit status, written by itself
//	over      it was ended because its time was over
//	cancel    Cancel was called
//
// The leader is a shell that executes the command and then writes the status. It carries the job's
// id in its environment, so that a process which has got the same number later is not taken for
// it, and one whose number nobody had time to write down is found.
type local struct {
	dir   string
	grace time.Duration
	wrap  Launcher
}

// marker is the variable that carries the job's id.
const marker = "TUTTI_JOB"

// leader is the shell's program: its arguments are the job's folder, the time limit in seconds (0
// for none), and the command. The watcher is a child of the shell, not the command's parent, so that
// signals reach the command as if it had been started by hand.
const leader = `
d=$1 t=$2; shift 2
echo $$ >"$d/pid.new" && mv "$d/pid.new" "$d/pid"
trap : TERM INT HUP
w=
if [ "$t" != 0 ]; then
	(
		trap 'kill $s 2>/dev/null; exit' TERM
		sleep "$t" & s=$!
		wait $s
		trap '' TERM
		: >"$d/over"
		kill -TERM -$$
		sleep 5
		kill -KILL -$$
	) </dev/null >/dev/null 2>&1 &
	w=$!
fi
"$@"
e=$?
[ -z "$w" ] || kill "$w" 2>/dev/null
echo $e >"$d/end.new" && mv "$d/end.new" "$d/end"
[ ! -e "$d/over" ] || kill -KILL 0
`

// record is job.json.
type record struct {
	Name string    `json:"name"`
	Argv []string  `json:"argv"`
	Host string    `json:"host"`
	At   time.Time `json:"at"`
}

// forgetAfter is how long ended jobs are remembered.
const forgetAfter = 7 * 24 * time.Hour

func openLocal(cfg Config) (Provider, error) {
	if cfg.State == "" {
		return nil, tutti.Errorf("open provider", tutti.Invalid, "a local provider needs a folder for its state")
	}
	dir, err := filepath.Abs(cfg.State)
	if err == nil {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return nil, tutti.E("open provider", tutti.KindOf(err), err)
	}
	wrap, err := LauncherNamed(cfg.Launcher)
	if err != nil {
		return nil, err
	}
	l := &local{dir: dir, grace: cfg.Grace, wrap: wrap}
	if l.grace <= 0 {
		l.grace = 5 * time.Second
	}
	l.forgetOld()
	return l, nil
}

func (l *local) path(id ID, file string) string { return filepath.Join(l.dir, string(id), file) }

// Submit starts the job at once.
func (l *local) Submit(ctx context.Context, j Job) (ID, error) {
	if err := ctx.Err(); err != nil {
		return "", tutti.E("submit job", tutti.KindOf(err), err)
	}
	if err := j.Check(); err != nil {
		return "", err
	}
	if j.Nodes > 1 {
		return "", tutti.Errorf("submit job", tutti.Unsatisfiable, "%d nodes wanted, and this machine is one", j.Nodes)
	}
	path, err := findCommand(j.Argv[0], j.Dir)
	if err != nil {
		return "", err
	}
	id, err := l.remember(j)
	if err != nil {
		return "", tutti.E("submit job", tutti.KindOf(err), err)
	}
	if err := l.start(id, j, path); err != nil {
		_ = os.RemoveAll(filepath.Join(l.dir, string(id)))
		return "", err
	}
	return id, nil
}

// findCommand finds out before the job starts what would keep it from starting.
func findCommand(name, dir string) (string, error) {
	if dir != "" {
		st, err := os.Stat(dir)
		if err != nil {
			return "", tutti.Errorf("submit job", tutti.KindOf(err), "its working directory: %w", err)
		}
		if !st.IsDir() {
			return "", tutti.Errorf("submit job", tutti.Invalid, "its working directory %s is a file", dir)
		}
	}
	look := name
	if strings.Contains(name, "/") && !filepath.IsAbs(name) && dir != "" {
		look = filepath.Join(dir, name)
	}
	path, err := exec.LookPath(look)
	if err != nil && !errors.Is(err, exec.ErrDot) {
		kind := tutti.KindOf(err)
		if errors.Is(err, exec.ErrNotFound) {
			kind = tutti.NotFound
		}
		return "", tutti.Errorf("submit job", kind, "%w", err)
	}
	if path, err = filepath.Abs(path); err != nil {
		return "", tutti.E("submit job", tutti.KindOf(err), err)
	}
	return path, nil
}

// remember writes a job down before it exists.
func (l *local) remember(j Job) (ID, error) {
	var b [8]byte
	_, _ = rand.Read(b[:]) // cannot fail
	id := ID("job-" + hex.EncodeToString(b[:]))
	host, _ := os.Hostname()
	data, err := json.Marshal(record{Name: j.Name, Argv: j.Argv, Host: host, At: time.Now()})
	if err != nil {
		return "", err
	}
	if err := os.Mkdir(filepath.Join(l.dir, string(id)), 0o700); err != nil {
		return "", err
	}
	if err := os.WriteFile(l.path(id, "job.new"), data, 0o600); err != nil {
		return "", err
	}
	return id, os.Rename(l.path(id, "job.new"), l.path(id, "job.json"))
}

func (l *local) start(id ID, j Job, path string) error {
	output := j.Output
	if output == "" {
		output = os.DevNull
	} else if !filepath.IsAbs(output) && j.Dir != "" {
		output = filepath.Join(j.Dir, output)
	}
	out, err := os.OpenFile(output, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return tutti.Errorf("submit job", tutti.KindOf(err), "its output: %w", err)
	}
	defer out.Close()
	seconds := strconv.FormatFloat(j.Time.Seconds(), 'f', -1, 64)
	argv := l.wrap.Wrap(append([]string{path}, j.Argv[1:]...), 1)
	c := exec.Command("/bin/sh", append([]string{"-c", leader, "tutti-job", filepath.Join(l.dir, string(id)), seconds}, argv...)...)
	c.Dir, c.Stdout, c.Stderr = j.Dir, out, out
	c.Env = append(append(os.Environ(), j.Env...), marker+"="+string(id))
	c.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := c.Start(); err != nil {
		return tutti.Errorf("submit job", kindOfStart(err), "%w", err)
	}
	go func() { _ = c.Wait() }() // as long as we are here, so that it does not stay a zombie
	return nil
}

func kindOfStart(err error) tutti.Kind {
	for _, e := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE} {
		if errors.Is(err, e) {
			return tutti.Full
		}
	}
	return tutti.KindOf(err)
}

// Status looks at the jobs' folders and processes.
func (l *local) Status(ctx context.Context, ids ...ID) (map[ID]Status, error) {
	m := make(map[ID]Status, len(ids))
	for _, id := range ids {
		if err := ctx.Err(); err != nil {
			return nil, tutti.E("ask about jobs", tutti.KindOf(err), err)
		}
		m[id] = l.status(id)
	}
	return m, nil
}

func (l *local) has(id ID, file string) bool {
	_, err := os.Lstat(l.path(id, file))
	return err == nil
}

func (l *local) status(id ID) Status {
	if !validID(id) || !l.has(id, "job.json") {
		return Status{Code: -1}
	}
	_, alive := l.leaderOf(id)
	text, err := os.ReadFile(l.path(id, "end")) // after looking for the process: it may just have ended
	code, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	ended := err == nil && bad == nil
	switch {
	case alive && !ended:
		return Status{State: Running}
	case l.has(id, "cancel"):
		return Status{State: Cancelled, Code: -1}
	case l.has(id, "over"):
		return Status{State: Failed, Code: -1, Why: "its time was over"}
	case !ended && !l.has(id, "pid") && l.age(id) < startingTime:
		return Status{State: Pending, Why: "it is being started"}
	case !ended:
		return Status{State: Failed, Code: -1, Why: "it was killed, or the machine was restarted"}
	case code > 128:
		return Status{State: Failed, Code: code, Why: "killed by signal " + strconv.Itoa(code-128)}
	case code != 0:
		return Status{State: Failed, Code: code, Why: "exit status " + strconv.Itoa(code)}
	}
	return Status{State: Succeeded}
}

// startingTime is how long a job may take from being written down to writing its number down.
const startingTime = 10 * time.Second

func (l *local) age(id ID) time.Duration {
	st, err := os.Stat(l.path(id, "job.json"))
	if err != nil {
		return startingTime
	}
	return time.Since(st.ModTime())
}

// validID keeps an id from naming something outside of the folder.
func validID(id ID) bool {
	return strings.HasPrefix(string(id), "job-") && strings.Trim(string(id[4:]), "0123456789abcdef") == "" && len(id) == 20
}

// leaderOf finds the process of a job, if it lives.
func (l *local) leaderOf(id ID) (pid int, alive bool) {
	text, err := os.ReadFile(l.path(id, "pid"))
	if errors.Is(err, fs.ErrNotExist) {
		return findMarked(string(id))
	}
	pid, bad := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil || bad != nil || pid <= 1 {
		return 0, false
	}
	return pid, isMarked(pid, string(id))
}

// Cancel asks the jobs' sessions to end, waits for that, and then makes them.
func (l *local) Cancel(ctx context.Context, ids ...ID) error {
	left := map[ID]int{}
	for _, id := range ids {
		if !validID(id) || !l.has(id, "job.json") || l.status(id).State.Final() {
			continue
		}
		if err := os.WriteFile(l.path(id, "cancel"), nil, 0o600); err != nil {
			return tutti.E("cancel job", tutti.KindOf(err), err)
		}
		if pid, ok := l.leaderOf(id); ok {
			left[id] = pid
			_ = syscall.Kill(-pid, syscall.SIGTERM)
			_ = syscall.Kill(-pid, syscall.SIGCONT)
		}
	}
	return l.await(ctx, left)
}

// await waits until the jobs have ended; after the grace it kills what is left, and when ctx ends
// it does not wait for that.
func (l *local) await(ctx context.Context, left map[ID]int) error {
	grace := time.NewTimer(l.grace)
	defer grace.Stop()
	look := time.NewTicker(10 * time.Millisecond)
	defer look.Stop()
	for {
		for id, pid := range left {
			if !isMarked(pid, string(id)) {
				_ = syscall.Kill(-pid, syscall.SIGKILL) // children that did not go with it
				delete(left, id)
			}
		}
		if len(left) == 0 {
			return nil
		}
		select {
		case <-look.C:
		case <-grace.C:
			for _, pid := range left {
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
		case <-ctx.Done():
			for _, pid := range left {
				_ = syscall.Kill(-pid, syscall.SIGKILL)
			}
			return tutti.Errorf("cancel job", tutti.KindOf(ctx.Err()), "%d jobs had not ended when there was no more time, and were killed", len(left))
		}
	}
}

// Find reads all folders.
func (l *local) Find(ctx context.Context, name string) ([]ID, error) {
	type found struct {
		id ID
		at time.Time
	}
	var list []found
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, tutti.E("find jobs", tutti.KindOf(err), err)
	}
	for _, e := range entries {
		if err := ctx.Err(); err != nil {
			return nil, tutti.E("find jobs", tutti.KindOf(err), err)
		}
		if r, ok := l.read(ID(e.Name())); ok && r.Name == name {
			list = append(list, found{ID(e.Name()), r.At})
		}
	}
	slices.SortFunc(list, func(a, b found) int {
		if c := a.at.Compare(b.at); c != 0 {
			return c
		}
		return strings.Compare(string(a.id), string(b.id))
	})
	ids := make([]ID, len(list))
	for i, f := range list {
		ids[i] = f.id
	}
	return ids, nil
}

// read reads a job's record. One of another host, on a disk that both see, is not ours to judge.
func (l *local) read(id ID) (r record, ok bool) {
	if !validID(id) {
		return r, false
	}
	data, err := os.ReadFile(l.path(id, "job.json"))
	if err != nil || json.Unmarshal(data, &r) != nil {
		return r, false
	}
	host, _ := os.Hostname()
	return r, r.Host == host
}

// forgetOld removes what is left of jobs that ended long ago.
func (l *local) forgetOld() {
	entries, _ := os.ReadDir(l.dir)
	for _, e := range entries {
		id := ID(e.Name())
		if r, ok := l.read(id); ok && time.Since(r.At) > forgetAfter && l.status(id).State.Final() {
			_ = os.RemoveAll(filepath.Join(l.dir, e.Name()))
		}
	}
}
