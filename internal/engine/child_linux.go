package engine

import (
	"os"
	"os/exec"
	"strconv"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// child is an engine's process as its parent holds it: how it is started, reached by signals, and
// collected.
type child struct {
	*ends
	pid    int
	oom    int           // the count of kills for want of memory at the start
	end    collected     // how it ended: read after exited
	exited chan struct{} // closed when it was collected

	reaping sync.Mutex
	reaped  bool // pid is not ours any more
}

// collected says how the process ended. It is filled in once, before exited is closed.
type collected struct {
	ws  syscall.WaitStatus
	oom bool
}

func newChild(e *ends) *child { return &child{ends: e, exited: make(chan struct{})} }

// start begins the process. env comes on top of the program's environment and the agent's.
func (c *child) start(s Spec, path string, argv []string, env ...string) (err error) {
	fds, err := rawFDs(c.theirs...)
	if err != nil {
		return err
	}
	all := append(os.Environ(), "OMP_NUM_THREADS="+strconv.Itoa(max(1, s.Threads)))
	all = append(all, s.Program.Env...)
	all = append(all, s.Env...)
	all = append(all, env...)
	c.oom = oomKillsLately()
	if c.pid, err = spawn(path, argv, dedupe(all), s.Program.Dir, fds); err != nil {
		return err
	}
	guard.add(c.pid)
	return nil
}

// dedupe keeps the last of several settings of one variable.
func dedupe(env []string) []string {
	return (&exec.Cmd{Env: env}).Environ()
}

func (c *child) Pid() int   { return c.pid }
func (c *child) Kill()      { c.signal(unix.SIGKILL) }
func (c *child) Terminate() { c.signal(unix.SIGTERM) }

// signal reaches the process and its children, unless it was collected.
func (c *child) signal(sig unix.Signal) {
	c.reaping.Lock()
	defer c.reaping.Unlock()
	if c.reaped {
		return
	}
	signalGroup(c.pid, sig)
	if sig == unix.SIGTERM {
		signalGroup(c.pid, unix.SIGCONT) // a stopped process could not obey
	}
}

// wait collects the process. What is left of its group goes with it, and what it has said is read
// to the end, which must come soon now.
func (c *child) wait() {
	ended(c.pid)
	c.reaping.Lock()
	signalGroup(c.pid, unix.SIGKILL)
	c.reaped = true
	guard.remove(c.pid)
	c.end.ws, _ = reap(c.pid)
	c.reaping.Unlock()
	c.end.oom = oomKills() > c.oom
	soon := time.Now().Add(time.Second) // somebody may hold the other ends still
	_ = c.conn.SetReadDeadline(soon)
	_ = c.crash.SetReadDeadline(soon)
	close(c.exited)
}

// endPatience is how long a process may take to end once it has closed its socket.
const endPatience = 5 * time.Second

// collect waits for the end of a process whose socket was read to its end, and says how it came.
func (c *child) collect(readErr error) (x Exited) {
	c.conn.Close() // an engine without an agent ends by itself
	patience := time.AfterFunc(endPatience, c.Kill)
	if !gone(readErr) {
		c.Kill()
	}
	<-c.exited
	patience.Stop()
	x.Status, x.Signal = exitOf(c.end.ws)
	x.OOM = x.Signal == "KILL" && c.end.oom
	return x
}
