package engine

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Go is the runtime of the user's own binary, started again as an engine: programs "go:...".
type Go struct{}

// Start begins an engine process; see [Runtime]. Kinds: NotFound and Denied for the program's
// file, Full where there are no descriptors or processes left.
func (Go) Start(_ context.Context, s Spec, sink func(Event)) (Process, error) {
	e, err := newEnds(s)
	if err != nil {
		return nil, tutti.E("start engine", kindOfErrno(err), err)
	}
	defer e.closeTheirs()
	p := &process{ends: e, exited: make(chan struct{})}
	p.session = newSession(s, e.conn, sink)
	p.session.onReady = p.handOver
	path, err := programPath(s.Program)
	if err == nil {
		p.pid, err = p.start(path)
	}
	if err != nil {
		e.closeOurs()
		return nil, startError("start engine", s.Program.Path, s.Program.Dir, err)
	}
	guard.add(p.pid)
	p.rest[0].begin(e.stdout)
	p.rest[1].begin(e.stderr)
	go p.write()
	go p.ping(p.Kill)
	go p.carry()
	go p.wait()
	if s.ServeBlobs != nil {
		go s.ServeBlobs(e.blobs)
	}
	return p, nil
}

// programPath is the file to execute; no PATH is searched for a program of ours.
func programPath(p wire.ProgramSpec) (string, error) {
	if p.Path == "" {
		return "", tutti.Errorf("", tutti.NotFound, "the program %q has no file", p.Name)
	}
	return filepath.Abs(p.Path)
}

// process is an engine in a process of its own.
type process struct {
	*session
	*ends
	pid    int
	oom    int           // the count of kills for want of memory at the start
	rest   [2]remainder  // of stdout and stderr
	end    collected     // how it ended: read after exited
	exited chan struct{} // closed when it was collected

	mu     sync.Mutex
	reaped bool // pid is not ours any more
}

func (p *process) start(path string) (int, error) {
	prog := p.spec.Program
	threads := max(1, p.spec.Threads)
	id, err := json.Marshal(identity{
		Engine: p.spec.Engine, Life: p.spec.Life, Host: p.spec.Host, Threads: threads, Blobs: p.spec.ServeBlobs != nil,
	})
	if err != nil {
		return 0, err
	}
	env := append(os.Environ(), "OMP_NUM_THREADS="+strconv.Itoa(threads))
	env = append(env, prog.Env...)
	env = append(env, p.spec.Env...)
	env = append(env, engineEnv+"="+string(id))
	fds, err := rawFDs(p.theirs...)
	if err != nil {
		return 0, err
	}
	p.oom = oomKillsLately()
	return spawn(path, append([]string{path}, prog.Args...), dedupe(env), prog.Dir, fds)
}

// handOver leaves the pipes to the engine, which reads them from now on, and passes on what came
// before.
func (p *process) handOver() {
	for i := range p.rest {
		if early := p.rest[i].finish(); len(early) > 0 {
			p.sink(Output{wire.Output{Stream: uint8(i + 1), Data: early}})
		}
	}
}

// dedupe keeps the last of several settings of one variable.
func dedupe(env []string) []string {
	return (&exec.Cmd{Env: env}).Environ()
}

func (p *process) Pid() int   { return p.pid }
func (p *process) Kill()      { p.signal(unix.SIGKILL) }
func (p *process) Terminate() { p.signal(unix.SIGTERM) }

// signal reaches the process and its children, unless it was collected.
func (p *process) signal(sig unix.Signal) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.reaped {
		return
	}
	signalGroup(p.pid, sig)
	if sig != unix.SIGKILL {
		signalGroup(p.pid, unix.SIGCONT) // a stopped process could not obey
	}
}

// collected says how the process ended. It is filled in once, before ended is closed.
type collected struct {
	ws  syscall.WaitStatus
	oom bool
}

// wait collects the process. What is left of its group goes with it, and what it has said is read
// to the end, which must come soon now.
func (p *process) wait() {
	ended(p.pid)
	p.mu.Lock()
	signalGroup(p.pid, unix.SIGKILL)
	p.reaped = true
	guard.remove(p.pid)
	p.end.ws, _ = reap(p.pid)
	p.mu.Unlock()
	p.end.oom = oomKills() > p.oom
	soon := time.Now().Add(time.Second) // somebody may hold the other ends still
	_ = p.conn.SetReadDeadline(soon)
	_ = p.crash.SetReadDeadline(soon)
	close(p.exited)
}

// endPatience is how long a process may take to end once it has closed its socket.
const endPatience = 5 * time.Second

// carry is the process's life as its agent sees it: what it says, then how it ended.
func (p *process) carry() {
	crash := make(chan []byte, 1)
	go func() { crash <- p.readCrash() }()
	readErr := p.session.read(p.conn)
	p.conn.Close() // an engine without an agent ends by itself
	patience := time.AfterFunc(endPatience, p.Kill)
	if !gone(readErr) {
		p.Kill()
	}
	<-p.exited
	patience.Stop()
	x := Exited{Stack: string(<-crash), Begun: p.board.begun.Load(), Ended: p.board.ended.Load()}
	x.Status, x.Signal = exitOf(p.end.ws)
	x.OOM = x.Signal == "KILL" && p.end.oom
	p.describe(&x, readErr)
	x.Stdout, x.Stderr = p.rest[0].finish(), p.rest[1].finish()
	if last := lastLines(x.Stderr); !p.isReady() && last != "" {
		x.Why += ": " + last
	}
	p.closeOurs()
	p.sink(x)
}

// readCrash reads what the Go runtime writes when the process dies of a panic or a fault. The
// same goes to its stderr, which nobody in the process reads any more: that is done here, lest it
// hang in its last words.
func (p *process) readCrash() []byte {
	head := make([]byte, 4<<10)
	n, _ := p.crash.Read(head)
	if n == 0 {
		return nil
	}
	p.rest[1].resume()
	text := append([]byte(nil), head[:n]...)
	for err := error(nil); err == nil; {
		n, err = p.crash.Read(head)
		if len(text) < maxText {
			text = append(text, head[:n]...)
		}
	}
	return text
}

// lastLines shortens what a program said before it died to what fits in an error.
func lastLines(b []byte) string {
	const most = 600
	s := strings.TrimSpace(string(b))
	if len(s) > most {
		s = "..." + s[len(s)-most:]
	}
	return s
}
