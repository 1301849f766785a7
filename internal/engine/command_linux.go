package engine

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Commands executes commands on this machine: each leads a process group of its own, and what is
// left of the group when it ends is killed.
type Commands struct{}

// Start begins a command; see [Commander].
func (Commands) Start(c Command, sink func(Event)) (Job, error) {
	j := &job{Command: c, sink: sink, left: OutputWindow, oom: oomKillsLately()}
	j.earned.L = &j.mu
	if err := j.start(); err != nil {
		err.Task, err.Host = c.Run.Task, c.Host
		return nil, err
	}
	return j, nil
}

// job is a command in progress. Three goroutines serve it: one waits for its end, two read what
// it prints, but only once it has lasted for a moment: most short ones print nothing, and are spared
// the cost.
type job struct {
	Command
	pid   int
	oom   int // the count of kills for want of memory at the start
	began time.Time
	fds   [2]int      // what it prints: stdout, stderr
	pipes [2]*os.File // the same, once they are read
	pumps sync.WaitGroup
	last  tail // of stderr: its pump's, then wait's

	telling sync.Mutex // held while sink is called
	sink    func(Event)

	mu             sync.Mutex // guards what follows
	earned         sync.Cond  // signalled when credit comes
	left           int64      // bytes that may still be reported
	killed         bool       // nobody waits for the rest of its output
	reaped         bool       // pid is not ours any more
	listening      bool       // the pumps have begun
	asked, timeout bool
	timers         []*time.Timer
}

var devNull = sync.OnceValues(func() (*os.File, error) { return os.Open(os.DevNull) })

func (j *job) start() *tutti.Error {
	op := "run " + j.name()
	argv := j.Argv
	if j.Script != "" {
		argv = []string{"/bin/sh", "-c", j.Script}
	}
	env := j.environment()
	path, err := lookPath(argv[0], j.Dir, env)
	if err != nil {
		return startError(op, argv[0], j.Dir, err)
	}
	stdin, err := j.stdin()
	if err != nil {
		return tutti.E(op, kindOfErrno(err), err)
	}
	j.pid, err = j.spawn(path, argv, env, stdin)
	if len(j.Stdin) > 0 {
		stdin.Close()
	}
	if err != nil {
		return startError(op, path, j.Dir, err)
	}
	j.live()
	return nil
}

// spawn makes the pipes and the process.
func (j *job) spawn(path string, argv, env []string, stdin *os.File) (pid int, err error) {
	fds, err := rawFDs(stdin)
	if err != nil {
		return 0, err
	}
	for i := range j.fds {
		var ends [2]int
		if err = unix.Pipe2(ends[:], unix.O_CLOEXEC); err != nil {
			err = os.NewSyscallError("pipe2", err)
			break
		}
		_ = unix.SetNonblock(ends[0], true)
		j.fds[i] = ends[0]
		fds = append(fds, uintptr(ends[1]))
	}
	if err == nil {
		pid, err = spawnFresh(path, argv, env, j.Dir, fds)
	}
	for i, fd := range fds[1:] {
		unix.Close(int(fd))
		if err != nil {
			unix.Close(j.fds[i])
		}
	}
	return pid, err
}

func closeFiles(files ...*os.File) {
	for _, f := range files {
		if f != nil {
			f.Close()
		}
	}
}

// live begins to serve a command that was started.
func (j *job) live() {
	j.began = time.Now()
	guard.add(j.pid)
	j.timers = append(j.timers, time.AfterFunc(startedTicks*tick, func() {
		j.mu.Lock()
		if !j.reaped {
			j.listen()
		}
		j.mu.Unlock()
		j.tellStarted()
	}))
	go j.wait()
}

// listen begins to read what the command prints; j.mu is held.
func (j *job) listen() {
	j.listening = true
	for i := range j.pipes {
		j.pipes[i] = os.NewFile(uintptr(j.fds[i]), "pipe")
		j.pumps.Go(func() { j.pump(i) })
	}
}

// spawnFresh starts a program. A file that was written a moment ago may be open for writing in a
// child that is just being made elsewhere in this process: that passes.
func spawnFresh(path string, argv, env []string, dir string, fds []uintptr) (int, error) {
	for pause := time.Millisecond; ; pause *= 2 {
		pid, err := spawn(path, argv, env, dir, fds)
		if !errors.Is(err, syscall.ETXTBSY) || pause > 100*time.Millisecond {
			return pid, err
		}
		time.Sleep(pause)
	}
}

// environment is the agent's, what belongs to the resources, and the command's own, which wins.
func (j *job) environment() []string {
	env := os.Environ()
	if j.Threads > 0 {
		env = append(env, "OMP_NUM_THREADS="+strconv.Itoa(j.Threads))
	}
	if len(j.GPUs) > 0 || j.NoGPUs {
		env = append(env, "CUDA_VISIBLE_DEVICES="+visible(j.GPUs, ""))
	}
	return dedupe(append(env, j.Env...))
}

// stdin holds the input in memory, so that nobody need feed it.
func (j *job) stdin() (*os.File, error) {
	if len(j.Stdin) == 0 {
		return devNull()
	}
	fd, err := unix.MemfdCreate("tutti-stdin", unix.MFD_CLOEXEC)
	if err != nil {
		return nil, os.NewSyscallError("memfd_create", err)
	}
	f := os.NewFile(uintptr(fd), "stdin")
	_, err = f.Write(j.Stdin)
	if err == nil {
		_, err = f.Seek(0, 0)
	}
	if err != nil {
		f.Close()
		return nil, err
	}
	return f, nil
}

// found remembers for a moment where executables lie: a thousand commands in a row are often the same.
var found struct {
	sync.Mutex
	at    time.Time // since when; all of it is forgotten together
	paths map[[3]string]string
}

// foundFor is that moment. Somebody who installs a program may have to wait for so long until it hides
// another one of its name.
const foundFor = time.Second

// lookPath finds an executable as a shell would that stands in dir with that environment.
func lookPath(name, dir string, env []string) (string, error) {
	if strings.Contains(name, "/") {
		return name, nil // execve finds out what is wrong with it, and dir counts
	}
	key := [3]string{name, dir, envOf(env, "PATH")}
	found.Lock()
	if time.Since(found.at) > foundFor {
		found.at, found.paths = time.Now(), map[[3]string]string{}
	}
	path := found.paths[key]
	found.Unlock()
	if path != "" {
		return path, nil
	}
	path, err := searchPath(name, dir, key[2])
	if err == nil {
		found.Lock()
		found.paths[key] = path
		found.Unlock()
	}
	return path, err
}

// searchPath looks through the folders of PATH.
func searchPath(name, dir, list string) (string, error) {
	var denied error
	for _, folder := range filepath.SplitList(list) {
		if folder == "" {
			folder = "."
		}
		path := filepath.Join(folder, name)
		if !filepath.IsAbs(folder) {
			path = "./" + path // still a path: relative to dir, as for a shell
		}
		at := path
		if !filepath.IsAbs(at) && dir != "" {
			at = filepath.Join(dir, at)
		}
		st, err := os.Stat(at)
		switch {
		case err != nil || st.IsDir():
		case unix.Access(at, unix.X_OK) != nil:
			denied = &fs.PathError{Op: "execute", Path: path, Err: fs.ErrPermission}
		default:
			return path, nil
		}
	}
	if denied != nil {
		return "", denied
	}
	return "", tutti.Errorf("run "+name, tutti.NotFound, "there is no program %q in PATH", name).
		WithHint("a path works too; pipes, wildcards and built-in words of a shell need a script")
}

func envOf(env []string, name string) string {
	for _, kv := range slices.Backward(env) {
		if v, ok := strings.CutPrefix(kv, name+"="); ok {
			return v
		}
	}
	return ""
}

// tell calls the sink.
func (j *job) tell(e Event) {
	j.telling.Lock()
	defer j.telling.Unlock()
	j.sink(e)
}

func (j *job) tellStarted() {
	j.telling.Lock()
	defer j.telling.Unlock()
	j.mu.Lock()
	over := j.reaped
	j.mu.Unlock()
	if !over {
		j.sink(Started{wire.RunStart{Run: j.Run, At: j.began.UnixNano()}})
	}
}

func (j *job) Pid() int { return j.pid }

// Credit returns window.
func (j *job) Credit(n int) {
	j.mu.Lock()
	j.left += int64(n)
	j.mu.Unlock()
	j.earned.Broadcast()
}

// signal reaches the group, until it was collected.
func (j *job) signal(sig syscall.Signal) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.reaped {
		return
	}
	signalGroup(j.pid, sig)
	if sig != syscall.SIGKILL {
		signalGroup(j.pid, syscall.SIGCONT) // a stopped process could not obey
	}
}

// Cancel ends the command; see [Job].
func (j *job) Cancel(timeout bool) {
	grace := j.Grace
	if grace == 0 {
		grace = DefaultGrace
	}
	j.mu.Lock()
	if j.asked || j.reaped {
		j.mu.Unlock()
		return
	}
	j.asked, j.timeout = true, timeout
	j.timers = append(j.timers,
		time.AfterFunc(grace, func() { j.signal(syscall.SIGTERM) }),
		time.AfterFunc(2*grace, j.Kill))
	j.mu.Unlock()
	j.signal(syscall.SIGINT)
}

// Kill ends the group at once.
func (j *job) Kill() {
	j.signal(syscall.SIGKILL)
	j.mu.Lock()
	j.killed = true
	j.mu.Unlock()
	j.earned.Broadcast()
}

// wait collects the command and reports its end.
func (j *job) wait() {
	ended(j.pid)
	e := commandEnd{began: j.began, ended: time.Now()}
	j.mu.Lock()
	signalGroup(j.pid, syscall.SIGKILL) // what it left behind
	j.reaped = true
	guard.remove(j.pid)
	ws, _ := reap(j.pid)
	for _, t := range j.timers {
		t.Stop()
	}
	e.asked, e.timeout = j.asked, j.timeout
	if !j.listening && unread(j.fds[0])+unread(j.fds[1]) > 0 {
		j.listen()
	}
	listening := j.listening
	j.mu.Unlock()
	e.exit.Code, e.exit.Signal = exitOf(ws)
	e.oom = e.exit.Signal == "KILL" && oomKills() > j.oom
	if listening {
		for _, f := range j.pipes {
			_ = f.SetReadDeadline(time.Unix(1, 0)) // whoever holds the other end has lost his terminal
		}
		j.pumps.Wait()
		closeFiles(j.pipes[:]...)
	} else {
		unix.Close(j.fds[0])
		unix.Close(j.fds[1])
	}
	e.stderr = j.last
	j.tell(Results{[]wire.Result{j.result(&e)}})
}

// readBuffers are what pumps read into; what has been read moves to memory of its own size.
var readBuffers = sync.Pool{New: func() any { return new([readPiece]byte) }}

// afterEnd bounds what is read of a stream once its command has ended: somebody who left the
// group may hold the other end and print for ever.
const afterEnd = 1 << 20

// pump reports one stream, in pieces, while there is credit.
func (j *job) pump(i int) {
	b := readBuffers.Get().(*[readPiece]byte)
	defer readBuffers.Put(b)
	o := wire.Output{Run: j.Run, Stream: uint8(i + 1)}
	for over, rest := false, afterEnd; rest > 0; {
		room := j.wantCredit()
		if room == 0 {
			return
		}
		n, ended := j.read(j.pipes[i], b[:min(room, readPiece)], over)
		over = over || ended
		if n == 0 && over {
			break
		}
		if over {
			rest -= n
		}
		if i == 1 {
			j.last.add(b[:n])
		}
		j.useCredit(n)
		o.Data = append([]byte(nil), b[:n]...)
		j.tell(Output{o})
		o.Offset += int64(n)
	}
	if o.Offset > 0 {
		o.Data, o.End = nil, true
		j.tell(Output{o})
	}
}

// read waits for output. When the command has ended it takes only what lies in the pipe.
func (j *job) read(f *os.File, b []byte, over bool) (n int, ended bool) {
	if !over {
		n, err := f.Read(b)
		if n > 0 || !errors.Is(err, os.ErrDeadlineExceeded) {
			return n, err != nil
		}
	}
	return max(0, readNow(f, b)), true
}

// wantCredit waits until something may be reported and says how much; 0 when nobody wants it.
func (j *job) wantCredit() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	for j.left <= 0 && !j.killed {
		j.earned.Wait()
	}
	return int(max(0, j.left))
}

func (j *job) useCredit(n int) {
	j.mu.Lock()
	j.left -= int64(n)
	j.mu.Unlock()
}

// readNow reads what lies in a pipe without waiting.
func readNow(f *os.File, b []byte) (n int) {
	raw, err := f.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		for {
			if n, err = unix.Read(int(fd), b); err != unix.EINTR {
				return
			}
		}
	})
	return n
}
