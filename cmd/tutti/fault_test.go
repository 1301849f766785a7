package main

import (
	"debug/elf"
	"encoding/json"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// atGate is a job that writes a line into runs, stands at a gate, and ends with status 5.
const atGate = "echo run >> runs; read x < gate; echo passed; exit 5"

// The controller is killed while a job runs: the job goes on, the next start finds it, and it has
// run once. Who waits for it need not know.
func TestControllerKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("start", "--cores=2")
	g := w.gate("gate")
	before := w.must("submit", "-q", "--", "echo", "before")
	w.must("wait", before)
	job := w.must("submit", "-q", "--shell", atGate)
	pass := g.reached()
	waiter, _ := w.waiting("wait", before, job)
	w.kill("default", "controller")
	w.shows(`default +dead`, "status")
	w.fails(1, `has died \(process \d+\)\nhint: .tutti start`, "jobs")
	w.shows("had died", "start")
	pass()
	w.fails(5, "", "wait", job)
	if status := waiter(); status != 5 {
		t.Errorf("who waited all the time ended with status %d", status)
	}
	w.shows("^passed$", "cat", job)
	w.shows("^before$", "cat", before)
	if n := w.lines("runs"); n != 1 {
		t.Errorf("the job ran %d times", n)
	}
	w.shows(`(?m)^starts +2$`, "status", "default")
	w.shows("has stopped", "stop")
}

// A client dies with the controller. The next controller waits a while for it; the end of a job that
// it hears of meanwhile is not lost.
func TestControllerAndClientKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("start", "--cores=2")
	g := w.gate("gate")
	wait, kill := w.waiting("submit", "--wait", "--shell", "echo up; exec sleep 1000")
	job := w.must("submit", "-q", "--shell", atGate)
	pass := g.reached()
	w.kill("default", "controller")
	kill()
	wait()
	w.must("start")
	pass()
	w.fails(5, "", "wait", job)
	if n := w.lines("runs"); n != 1 {
		t.Errorf("the job ran %d times", n)
	}
}

// Both are killed: the job begins anew.
func TestAllKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("start", "--cores=2")
	g := w.gate("gate")
	job := w.must("submit", "-q", "--shell", atGate)
	pass := g.reached()
	w.kill("default", "controller")
	w.kill("default", "agent")
	w.until("nothing is left", func() bool { return len(w.processes()) == 0 })
	pass() // nobody reads it
	w.must("start", "--cores=2")
	pass = g.reached()
	pass()
	w.fails(5, "", "wait", job)
	if n := w.lines("runs"); n != 2 {
		t.Errorf("the job ran %d times", n)
	}
}

// The agent is killed: what it ran dies with it, start brings an agent back, and other work goes on
// at once; the job runs again when the node has been given up.
func TestAgentKilled(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("start", "--cores=2")
	g := w.gate("gate")
	job := w.must("submit", "-q", "--shell", "echo $$ > pid; "+atGate)
	pass := g.reached()
	data, _ := os.ReadFile(filepath.Join(w.dir, "work", "pid"))
	pid, err := strconv.Atoi(strings.TrimSpace(string(data)))
	if err != nil {
		t.Fatal(err)
	}
	w.kill("default", "agent")
	w.until("the job is gone", func() bool { return !lives(pid) })
	pass()
	w.shows(`(?m)agent +the agent that was process \d+ has died`, "doctor")
	w.shows("its agent on this machine had died", "start", "--cores=2")
	w.shows("^new$", "submit", "-w", "-q", "--", "echo", "new")
	if testing.Short() {
		return
	}
	g.reached()() // half a minute later
	w.fails(5, "", "wait", job)
	if n := w.lines("runs"); n != 2 {
		t.Errorf("the job ran %d times", n)
	}
}

// Stop ends what runs; the durable job begins anew at the next start, cancelled ones do not.
func TestStopWithRunningJobs(t *testing.T) {
	t.Parallel()
	for _, how := range []string{"", "--now"} {
		t.Run("stop"+how, func(t *testing.T) {
			w := newWorld(t)
			w.must("start", "--cores=2")
			g := w.gate("gate")
			job := w.must("submit", "-q", "--shell", atGate)
			pass := g.reached()
			other := w.must("submit", "-q", "--", "sleep", "1000")
			w.must("cancel", other)
			args := strings.Fields("stop " + how)
			w.shows("has stopped", args...)
			if left := w.processes(); len(left) > 0 {
				t.Fatalf("processes %v live on", left)
			}
			pass()
			w.must("start", "--cores=2")
			g.reached()()
			w.fails(5, "", "wait", job)
			w.fails(130, "", "wait", other)
		})
	}
}

// Stop --drain lets end what runs, and starts nothing.
func TestStopDrain(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("start", "--cores=1")
	g := w.gate("gate")
	job := w.must("submit", "-q", "--shell", atGate)
	pass := g.reached()
	next := w.must("submit", "-q", "--", "touch", "next")
	stopped := make(chan result, 1)
	go func() { stopped <- w.tutti("stop", "--drain") }()
	w.until("the node is drained", func() bool { return strings.Contains(w.must("nodes"), "drained") })
	pass()
	if r := <-stopped; r.status != 0 || !strings.Contains(r.out, "1 tasks are not done") {
		t.Errorf("stop --drain: %+v", r)
	}
	w.must("start", "--cores=1")
	w.fails(5, "", "wait", job)
	w.must("wait", next)
	if n := w.lines("runs"); n != 1 {
		t.Errorf("the job ran %d times", n)
	}
}

// Of several starts at once one wins, and the others say so.
func TestStartAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var all sync.WaitGroup
	results := make([]result, 4)
	for i := range results {
		all.Go(func() { results[i] = w.tutti("start", "--cores=1") })
	}
	all.Wait()
	won := 0
	for _, r := range results {
		if r.status == 0 {
			won++
		} else if !strings.Contains(r.err, "exists already") {
			t.Errorf("%+v", r)
		}
	}
	if won != 1 {
		t.Errorf("%d starts won", won)
	}
	w.shows("^here$", "submit", "-w", "-q", "--", "echo", "here")
	if n := strings.Count(w.must("nodes", "-q"), "0"); n != 1 {
		t.Errorf("%d nodes", n)
	}
}

// What keeps a cluster from starting is told at once, to whoever starts it.
func TestStartFails(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	w.fails(1, `^tutti: listen: .*address already in use`, "start", "--listen", ln.Addr().String())
	w.fails(1, `^tutti: listen: .*\nhint: an address is host:port`, "start", "--listen", "nowhere")
	keys := filepath.Join(w.dir, "config", "tutti", "default", "keys")
	if err := os.Chmod(keys, 0o755); err != nil {
		t.Fatal(err)
	}
	w.fails(1, `^tutti: read keys: .*open to other users.*\nhint: chmod 700 `, "start")
	if r := w.tutti("doctor"); r.status != 1 || !strings.Contains(r.out, "chmod 700") {
		t.Errorf("doctor: %+v", r)
	}
	if err := os.Chmod(keys, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.RemoveAll(w.state("default", "journal")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(w.state("default", "journal"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	w.fails(1, `^tutti: open journal: .*`, "start")
	if left := w.processes(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
	os.Remove(w.state("default", "journal"))
	w.must("start", "--cores=1")
}

// Profiles that cannot be right give an error each, and keep no other verb from working.
func TestUnreadableProfile(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, content := range map[string]string{"torn": `{"pid": 12`, "binary": "\x00\xff\x00", "dir": "", "alien": `{"pid":1,"host":"elsewhere.invalid","birth":"1"}`} {
		file := w.state(name, "controller.json")
		if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
			t.Fatal(err)
		}
		err := os.WriteFile(file, []byte(content), 0o600)
		if name == "dir" {
			err = os.Remove(file)
			if err == nil {
				err = os.Mkdir(file, 0o700)
			}
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	w.fails(1, `^tutti: read profile torn: corrupt: .*\nhint: remove the file`, "jobs", "-c", "torn")
	w.fails(1, `^tutti: read profile binary: corrupt: .*\nhint: `, "start", "-c", "binary")
	w.fails(1, `^tutti: read profile dir: .*\nhint: `, "stop", "dir")
	w.fails(1, `runs on elsewhere.invalid and does not listen`, "submit", "-c", "alien", "--", "true")
	w.fails(1, `^tutti: start: exists already: .*elsewhere.invalid`, "start", "-c", "alien")
	w.shows(`(?s)alien +on another host.*torn +unreadable`, "status")
	w.shows(`removed: torn: unreadable`, "clean", "--cluster=torn")
	w.must("start", "-c", "torn", "--cores=1")
	w.shows("^fine$", "submit", "-c", "torn", "-w", "-q", "--", "echo", "fine")
}

// After a crash clean removes what is dead, and asks about what may still be of use.
func TestClean(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("start", "--cores=1")
	agent := w.pid("default", "agent")
	w.kill("default", "controller")
	r := w.tutti("clean", "--cluster=default", "--dry-run")
	if !strings.Contains(r.out, "left: default: agent, process "+strconv.Itoa(agent)+", without a controller") || strings.Contains(r.out, "removed") {
		t.Errorf("%+v", r)
	}
	w.shows(`(?s)removed: default: description of the controller.*left: default: agent`, "clean", "--cluster=default")
	if !lives(agent) {
		t.Error("the agent was ended without a question")
	}
	w.shows("removed: default: agent", "clean", "--cluster=default", "--yes")
	if lives(agent) {
		t.Error("the agent lives on")
	}
	w.shows("Nothing to clean", "clean", "--cluster=default")
	w.must("start", "--cores=1") // the journal was not touched
	w.shows(`(?m)^starts +2$`, "status", "default")
	w.kill("default", "controller")
	w.shows("1 agents of this machine were ended", "stop")
	if left := w.processes(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// Of the machine clean finds shared memory whose owner is gone, and sockets outside of any profile.
// It is only looked for here: what others have left is not ours to remove in a test.
func TestCleanMachine(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	name, err := shm.NewName("clitest")
	if err != nil {
		t.Fatal(err)
	}
	parts := strings.Split(name, "-")
	parts[5], parts[6] = "4194304", "1" // a process number that Linux does not give
	segment := filepath.Join(shm.DefaultDir, strings.Join(parts, "-"))
	if err := os.WriteFile(segment, []byte("left"), 0o600); err != nil {
		t.Skipf("no shared memory: %v", err)
	}
	defer os.Remove(segment)
	dir := filepath.Join(w.dir, "run", "tutti-"+strconv.Itoa(os.Getuid())+"-0123456789ab")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	ln, err := net.ListenUnix("unix", &net.UnixAddr{Name: filepath.Join(dir, "controller.sock")})
	if err != nil {
		t.Fatal(err)
	}
	ln.SetUnlinkOnClose(false)
	if out := w.must("clean", "--dry-run"); !strings.Contains(out, segment) || strings.Contains(out, dir) {
		t.Errorf("while somebody listens:\n%s", out)
	}
	ln.Close()
	w.shows("sockets at which nobody listens: "+dir, "clean", "--dry-run")
}

// Agents join over the network with a key, and with no other; a controller that was killed listens
// where it did, so that they find it again.
func TestNetwork(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.must("start", "--no-agent", "--listen=127.0.0.1:0")
	var st struct{ Address string }
	if err := json.Unmarshal([]byte(w.must("status", "default", "-o", "json")), &st); err != nil || st.Address == "" {
		t.Fatalf("%+v, %v", st, err)
	}
	keys := filepath.Join(w.dir, "config", "tutti", "default", "keys")
	w.fails(1, `(?m)^tutti: read keys: denied: .*role client`, "agent", "--connect", st.Address, "--key", keys+"/client.pem")
	w.must("start", "-c", "other", "--no-agent")
	w.fails(1, `(?m)^tutti: connect: .*key`, "agent", "--connect", st.Address, "--key", strings.Replace(keys, "default", "other", 1)+"/agent.pem")
	w.must("agent", "--detach", "--cores=1", "--connect", st.Address, "--key", keys+"/agent.pem")
	w.shows("^far$", "submit", "-w", "-q", "--", "echo", "far")
	g := w.gate("gate")
	job := w.must("submit", "-q", "--shell", atGate)
	pass := g.reached()
	w.kill("default", "controller")
	w.must("start", "--no-agent")
	pass()
	w.fails(5, "", "wait", job)
	if n := w.lines("runs"); n != 1 {
		t.Errorf("the job ran %d times", n)
	}
	w.shows("has stopped", "stop")
	w.until("the agent has ended by itself", func() bool { return len(w.processes()) == 1 }) // the other controller
}

// In the foreground it is the same, and a signal ends all of it.
func TestForeground(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	cmd := exec.Command(binary, "start", "--foreground", "--cores=1")
	cmd.Env, cmd.Dir = w.env, w.dir
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.until("it has a node", func() bool { r := w.tutti("nodes", "-q"); return r.out != "" })
	w.shows("^fore$", "submit", "-w", "-q", "--", "echo", "fore")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
	if left := w.processes(); len(left) > 0 {
		t.Errorf("processes %v are left", left)
	}
}

// A tutti of another version is told so, whatever it wants.
func TestOtherVersion(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	old := otherVersion(t, w.dir)
	w.must("start", "--cores=1")
	for _, args := range [][]string{{"jobs"}, {"submit", "--", "true"}, {"agent"}} {
		r := w.exec(old, args...)
		if r.status != 1 || !strings.Contains(r.err, "version mismatch") || !strings.Contains(r.err, "0.0.1") || !strings.Contains(r.err, "hint: use the same tutti") {
			t.Errorf("%q: %+v", args, r)
		}
	}
	if r := w.exec(old, "doctor"); r.status != 1 || !strings.Contains(r.out, "this is 0.0.1, the cluster runs "+tutti.Release) {
		t.Errorf("doctor: %+v", r)
	}
	if r := w.exec(old, "stop", "--now"); r.status != 0 {
		t.Errorf("stop --now: %+v", r)
	}
}

// otherVersion builds this program as of another version.
func otherVersion(t *testing.T, dir string) string {
	file, err := filepath.Abs("../../version.go")
	if err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	changed := strings.Replace(string(text), strconv.Quote(tutti.Release), `"0.0.1"`, 1)
	overlay, _ := json.Marshal(map[string]map[string]string{"Replace": {file: filepath.Join(dir, "version.go")}})
	for name, data := range map[string][]byte{"version.go": []byte(changed), "overlay.json": overlay} {
		if err := os.WriteFile(filepath.Join(dir, name), data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	bin := filepath.Join(dir, "old-tutti")
	build(t, bin, "-overlay", filepath.Join(dir, "overlay.json"))
	return bin
}

func build(t *testing.T, bin string, args ...string) {
	t.Helper()
	cmd := exec.Command("go", append(append([]string{"build", "-trimpath", "-o", bin}, args...), ".")...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
}

// The program needs no other file of the system: it can be copied anywhere.
func TestStatic(t *testing.T) {
	t.Parallel()
	bin := filepath.Join(t.TempDir(), "tutti")
	build(t, bin)
	f, err := elf.Open(bin)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for _, p := range f.Progs {
		if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
			t.Errorf("it has a segment %v", p.Type)
		}
	}
	if libs, err := f.ImportedLibraries(); err == nil && len(libs) > 0 {
		t.Errorf("it needs %q", libs)
	}
}

// Every verb teaches by an example.
func TestHelp(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	all := w.must("--help")
	for f := range reflect.TypeFor[verbs]().Fields() {
		if _, ok := f.Tag.Lookup("cmd"); !ok {
			continue
		}
		name := strings.ToLower(f.Name)
		_, hidden := f.Tag.Lookup("hidden")
		if !hidden && !strings.Contains(all, "\n  "+name+" ") && !strings.Contains(all, "\n  "+name+"\n") {
			t.Errorf("tutti --help does not list %s", name)
		}
		if help := w.must(name, "--help"); !strings.Contains(help, "Example") || !strings.Contains(help, "  tutti "+name) {
			t.Errorf("tutti %s --help has no example:\n%s", name, help)
		}
	}
}
