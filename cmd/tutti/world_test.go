package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// binary is the program under test, made once; with the race detector if the tests have it.
var binary string

func TestMain(m *testing.M) {
	_ = flag.Set("test.parallel", "4") // they wait for other processes more than they compute
	dir, err := os.MkdirTemp("", "tutti-cmd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	binary = filepath.Join(dir, "tutti")
	args := []string{"build", "-trimpath", "-o", binary}
	if raceDetector {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, ".")...).CombinedOutput()
	code := 1
	if err != nil {
		fmt.Fprintf(os.Stderr, "build: %v\n%s", err, out)
	} else {
		code = m.Run()
	}
	os.RemoveAll(dir)
	os.Exit(code)
}

// patience is how long anything may take on a loaded machine before a test gives up.
const patience = 30 * time.Second

// world is a user of his own: folders in which no other test's clusters are.
type world struct {
	t   *testing.T
	dir string
	env []string
	bin string // the tutti that its shell finds
}

func newWorld(t *testing.T) *world {
	dir := t.TempDir()
	w := &world{t: t, dir: dir, bin: binary}
	for _, d := range []string{"config", "state", "run", "work"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	w.env = []string{
		"PATH=" + filepath.Dir(binary) + ":" + os.Getenv("PATH"), "HOME=" + dir, "TMPDIR=" + dir, "GORACE=halt_on_error=1 atexit_sleep_ms=0",
		"XDG_CONFIG_HOME=" + dir + "/config", "XDG_STATE_HOME=" + dir + "/state", "XDG_RUNTIME_DIR=" + dir + "/run",
	}
	t.Cleanup(w.end)
	return w
}

// result is what a command has left.
type result struct {
	out, err string
	status   int
}

// sh has a shell execute a line, in the folder of the world's work.
func (w *world) sh(line string) result {
	w.t.Helper()
	return w.exec("/bin/sh", "-c", line)
}

// tutti executes the program.
func (w *world) tutti(args ...string) result {
	w.t.Helper()
	return w.exec(w.bin, args...)
}

func (w *world) exec(name string, args ...string) result {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Dir, cmd.Env = filepath.Join(w.dir, "work"), w.env
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	err := cmd.Run()
	r := result{out.String(), errs.String(), cmd.ProcessState.ExitCode()}
	if ctx.Err() != nil {
		w.t.Fatalf("%s %q did not end\n%s%s", filepath.Base(name), args, r.out, r.err)
	}
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		w.t.Fatal(err)
	}
	return r
}

// waiting starts a tutti, waits until it has printed a line, and returns what waits for its end.
func (w *world) waiting(args ...string) (status func() int, kill func()) {
	w.t.Helper()
	cmd := exec.Command(w.bin, args...)
	cmd.Env = w.env
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		w.t.Fatal(err)
	}
	lines := bufio.NewReader(out)
	if l, err := lines.ReadString('\n'); err != nil {
		w.t.Errorf("tutti %q: %q, %v", args, l, err)
	}
	return func() int {
		_, _ = io.Copy(io.Discard, lines)
		_ = cmd.Wait()
		return cmd.ProcessState.ExitCode()
	}, func() { _ = cmd.Process.Kill() }
}

// must is tutti that has to end well, and gives what it printed.
func (w *world) must(args ...string) string {
	w.t.Helper()
	r := w.tutti(args...)
	if r.status != 0 {
		w.t.Fatalf("tutti %q: status %d\n%s%s", args, r.status, r.out, r.err)
	}
	return strings.TrimSpace(r.out)
}

// fails is tutti that has to end with a status and an error that matches a pattern.
func (w *world) fails(status int, pattern string, args ...string) {
	w.t.Helper()
	r := w.tutti(args...)
	if r.status != status || !regexp.MustCompile(pattern).MatchString(r.err) {
		w.t.Errorf("tutti %q: status %d, want %d; stderr, want %q:\n%s", args, r.status, status, pattern, r.err)
	}
}

// shows is tutti that has to end well and print what matches a pattern.
func (w *world) shows(pattern string, args ...string) {
	w.t.Helper()
	if out := w.must(args...); !regexp.MustCompile(pattern).MatchString(out) {
		w.t.Errorf("tutti %q printed, want %q:\n%s", args, pattern, out)
	}
}

// state is a file of a cluster's state.
func (w *world) state(cluster, name string) string {
	return filepath.Join(w.dir, "state", "tutti", cluster, name)
}

// pid is the process that a part of a cluster has written down.
func (w *world) pid(cluster, part string) int {
	w.t.Helper()
	data, err := os.ReadFile(w.state(cluster, part+".json"))
	m := regexp.MustCompile(`"pid": (\d+)`).FindSubmatch(data)
	if err != nil || m == nil {
		w.t.Fatalf("no process of the %s: %v\n%s", part, err, data)
	}
	n, _ := strconv.Atoi(string(m[1]))
	return n
}

// kill kills a part of a cluster, and waits until it is gone.
func (w *world) kill(cluster, part string) {
	w.t.Helper()
	pid := w.pid(cluster, part)
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		w.t.Fatal(err)
	}
	w.until("the "+part+" is gone", func() bool { return !lives(pid) })
}

// lives reports whether a process is there. One that is dead and not collected is not, unless
// threads of it are still ending: they have its files open.
func lives(pid int) bool {
	stat, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
	if err != nil {
		return false
	}
	_, rest, _ := strings.Cut(string(stat[bytes.LastIndexByte(stat, ')'):]), " ")
	threads, _ := os.ReadDir("/proc/" + strconv.Itoa(pid) + "/task")
	return !strings.HasPrefix(rest, "Z") || len(threads) > 1
}

// until waits for a state of the system that nothing else tells of.
func (w *world) until(what string, holds func() bool) {
	w.t.Helper()
	end := time.Now().Add(patience)
	for !holds() {
		if time.Now().After(end) {
			w.t.Fatalf("it does not come true that %s\n%s", what, w.logs())
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// processes are those that live and were started, by whomever, in this world.
func (w *world) processes() (pids []int) {
	mark := []byte("XDG_STATE_HOME=" + w.dir + "/state\x00")
	files, _ := filepath.Glob("/proc/[0-9]*/environ")
	for _, f := range files {
		env, err := os.ReadFile(f)
		pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
		if err == nil && bytes.Contains(append(env, 0), mark) && lives(pid) {
			pids = append(pids, pid)
		}
	}
	return pids
}

// end stops all clusters of the world and holds that no process is left.
func (w *world) end() {
	dirs, _ := filepath.Glob(filepath.Join(w.dir, "state", "tutti", "*"))
	for _, d := range dirs {
		if w.t.Failed() {
			for _, verb := range []string{"jobs", "explain"} {
				r := w.tutti(verb, "-c", filepath.Base(d), "all")
				w.t.Logf("tutti %s:\n%s%s", verb, r.out, r.err)
			}
			r := w.tutti("nodes", "-c", filepath.Base(d))
			w.t.Logf("tutti nodes:\n%s%s", r.out, r.err)
		}
		w.tutti("stop", "--now", filepath.Base(d))
	}
	end := time.Now().Add(20 * time.Second)
	for left := w.processes(); len(left) > 0; left = w.processes() {
		if time.Now().After(end) {
			for _, pid := range left {
				cmd, _ := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/cmdline")
				w.t.Errorf("process %d is left: %q", pid, cmd)
				_ = syscall.Kill(pid, syscall.SIGKILL)
			}
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	logs := w.logs()
	if strings.Contains(logs, "DATA RACE") || strings.Contains(logs, "panic:") || w.t.Failed() {
		w.t.Errorf("logs:\n%s", logs)
	}
	if names, _ := filepath.Glob("/dev/shm/tutti-*"); w.t.Failed() && len(names) > 0 {
		w.t.Logf("in /dev/shm: %q", names)
	}
}

func (w *world) logs() string {
	var all strings.Builder
	files, _ := filepath.Glob(filepath.Join(w.dir, "state", "tutti", "*", "*.log"))
	for _, f := range files {
		data, _ := os.ReadFile(f)
		fmt.Fprintf(&all, "%s:\n%s", f, data)
	}
	return all.String()
}

// gate lets a test and a job meet: the job reads a line of it, and waits for that.
type gate struct {
	w    *world
	path string
}

func (w *world) gate(name string) *gate {
	g := &gate{w, filepath.Join(w.dir, "work", name)}
	if err := syscall.Mkfifo(g.path, 0o600); err != nil {
		w.t.Fatal(err)
	}
	return g
}

// reached waits until a job stands at the gate, and returns what lets it pass.
func (g *gate) reached() (pass func()) {
	g.w.t.Helper()
	opened := make(chan *os.File, 1)
	go func() {
		f, _ := os.OpenFile(g.path, os.O_WRONLY, 0) // blocks until somebody reads
		opened <- f
	}()
	select {
	case f := <-opened:
		return func() {
			fmt.Fprintln(f, "go")
			f.Close()
		}
	case <-time.After(patience):
		if f, err := os.OpenFile(g.path, os.O_RDWR, 0); err == nil { // frees the goroutine
			defer f.Close()
		}
		g.w.t.Fatalf("no job has come to the gate %s\n%s", g.path, g.w.logs())
		return nil
	}
}

// lines counts the lines of a file in the folder of the world's work.
func (w *world) lines(name string) int {
	data, _ := os.ReadFile(filepath.Join(w.dir, "work", name))
	return bytes.Count(data, []byte("\n"))
}
