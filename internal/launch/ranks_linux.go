package launch

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"os/signal"
	"runtime"
	"sync"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
	"golang.org/x/sys/unix"
)

// job is a running Spec. Its own goroutine (see supervise) alone changes exit and ended.
type job struct {
	spec    *Spec
	size    int
	segment *os.File
	carrier *carrier
	ranks   []*rank
	ended   chan int // ranks that have ended
	streams sync.WaitGroup
	exit    Exit
}

type rank struct {
	cmd   *exec.Cmd
	done  bool
	reads []*os.File // our ends of its output
}

// Ranks starts a job and waits until all its ranks have ended. When ctx ends the ranks are told
// to end, and the error is of kind Canceled. Other errors mean that the job could not be started:
// NotFound and Denied (a program), Full (memory, processes), Invalid. A rank that fails is not an error but an Exit.
func Ranks(ctx context.Context, s Spec) (Exit, error) {
	j := &job{spec: &s, exit: Exit{Rank: -1}}
	var err error
	if j.size, err = s.size(); err != nil {
		return j.exit, err
	}
	if j.segment, err = newSegment(s.Folder); err != nil {
		return j.exit, tutti.E("run", tutti.Full, err)
	}
	defer j.segment.Close()
	j.carrier = newCarrier(&s, j.size)
	j.ended = make(chan int, j.size)
	signals := make(chan os.Signal, 8)
	if s.Forward { // from before the first rank on: one that comes meanwhile must not kill us
		signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGQUIT, syscall.SIGUSR1, syscall.SIGUSR2)
		defer signal.Stop(signals)
	}
	stop := make(chan struct{})
	started := make(chan error)
	go j.startAll(started, stop)
	err = <-started
	if err != nil {
		j.signal(syscall.SIGKILL)
	}
	canceled := j.supervise(ctx, signals)
	close(stop)
	if err == nil && canceled {
		err = tutti.E("run", tutti.Canceled, context.Cause(ctx))
	}
	if j.exit.Rank >= 0 && err == nil {
		j.carrier.lastWords(j.exit)
	}
	return j.exit, err
}

// newSegment makes the world's shared memory, empty: the first rank lays it out.
func newSegment(folder string) (*os.File, error) {
	if folder == "" {
		fd, err := unix.MemfdCreate("tutti-run", unix.MFD_CLOEXEC)
		if err == nil {
			return os.NewFile(uintptr(fd), "memfd:tutti-run"), nil
		}
		folder = shm.DefaultDir
	}
	return os.OpenFile(folder, os.O_RDWR|unix.O_TMPFILE|syscall.O_CLOEXEC, 0o600)
}

// startAll starts the ranks from one thread, which stays until the job is over: a child is told
// of the death of the thread that made it.
func (j *job) startAll(started chan<- error, stop <-chan struct{}) {
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	cpus, err := shm.CPUs()
	if err != nil {
		cpus = float64(runtime.NumCPU())
	}
	var all unix.CPUSet
	bound := j.spec.Bind != Free && unix.SchedGetaffinity(0, &all) == nil && (j.spec.Bind == Cores || j.size <= all.Count())
	for r := range j.size {
		if bound {
			bind(&all, r, j.size, j.spec.Bind)
		}
		if err = j.start(r, cpus); err != nil {
			break
		}
	}
	if bound {
		_ = unix.SchedSetaffinity(0, &all)
	}
	started <- err
	<-stop
}

// bind puts this thread, and so the next child, on the processors of rank r of n.
func bind(all *unix.CPUSet, r, n int, b Binding) {
	var cpus []int
	for cpu := 0; len(cpus) < all.Count(); cpu++ {
		if all.IsSet(cpu) {
			cpus = append(cpus, cpu)
		}
	}
	part := cpus[r%len(cpus):][:1]
	if b == Parts {
		part = cpus[r*len(cpus)/n : (r+1)*len(cpus)/n]
	}
	var set unix.CPUSet
	for _, cpu := range part {
		set.Set(cpu)
	}
	_ = unix.SchedSetaffinity(0, &set)
}

func (j *job) start(r int, cpus float64) error {
	p := j.spec.ofRank(r)
	cmd := exec.Command(p.Args[0], p.Args[1:]...)
	cmd.Dir = p.Dir
	cmd.Env = append(os.Environ(), environment(p, fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), j.segment.Fd()), r, j.size, cpus)...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	k := &rank{cmd: cmd}
	var theirs []*os.File
	defer func() {
		for _, f := range theirs {
			f.Close()
		}
	}()
	for _, to := range []*io.Writer{&cmd.Stdout, &cmd.Stderr} {
		read, write, err := os.Pipe()
		if err != nil {
			return tutti.E("run", tutti.Full, err)
		}
		*to = write
		k.reads, theirs = append(k.reads, read), append(theirs, write)
	}
	var feed io.WriteCloser
	if r == 0 {
		f, err := j.stdin(cmd)
		if err != nil {
			return err
		}
		feed = f
	}
	if err := cmd.Start(); err != nil {
		for _, f := range k.reads {
			f.Close()
		}
		return startError(p, err)
	}
	j.ranks = append(j.ranks, k)
	for i, f := range k.reads {
		j.streams.Go(func() { j.carrier.carry(r, i, f) })
	}
	if feed != nil {
		go func() { // not waited for: a terminal may never answer
			_, _ = io.Copy(feed, j.spec.Stdin)
			feed.Close()
		}()
	}
	go func() {
		waitExit(cmd.Process.Pid)
		j.ended <- r
	}()
	return nil
}

// stdin connects rank 0. A terminal is not handed on as it is: the rank's process group is not in
// its foreground and would be stopped by the first read.
func (j *job) stdin(cmd *exec.Cmd) (io.WriteCloser, error) {
	if j.spec.Stdin == nil {
		return nil, nil
	}
	if f, ok := j.spec.Stdin.(*os.File); ok {
		if st, err := f.Stat(); err == nil && st.Mode()&os.ModeCharDevice == 0 {
			cmd.Stdin = f
			return nil, nil
		}
	}
	return cmd.StdinPipe()
}

func startError(p *Program, err error) error {
	kind := tutti.KindOf(err)
	if errors.Is(err, exec.ErrNotFound) {
		kind = tutti.NotFound
	} else if kind == tutti.Other {
		kind = tutti.Invalid
	}
	return tutti.Errorf("run", kind, "start %s: %w", p.Args[0], err)
}

// waitExit returns when a child has ended and leaves it a zombie, so that its process group's
// number stays its own until we have ended the rest of the group.
func waitExit(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

// supervise waits for all ranks, passes signals on, and ends all when one fails or ctx ends.
func (j *job) supervise(ctx context.Context, signals <-chan os.Signal) (canceled bool) {
	grace := j.spec.Grace
	if grace == 0 {
		grace = 500 * time.Millisecond
	}
	var kill <-chan time.Time
	end := func() {
		if kill == nil {
			j.signal(syscall.SIGTERM)
			j.signal(syscall.SIGCONT) // a stopped rank cannot end
			kill = time.After(grace)
		}
	}
	over := ctx.Done()
	for left := len(j.ranks); left > 0; {
		select {
		case r := <-j.ended:
			left--
			j.ranks[r].done = true
			if j.judge(r); j.exit.Rank >= 0 {
				end()
			}
		case s := <-signals:
			j.forward(s.(syscall.Signal))
		case <-over:
			canceled, over = true, nil
			end()
		case <-kill:
			j.signal(syscall.SIGKILL)
		}
	}
	j.signal(syscall.SIGKILL) // what ranks have left behind
	j.reap()
	return canceled
}

func (j *job) forward(s syscall.Signal) {
	if s == syscall.SIGUSR1 {
		if !j.ranks[0].done {
			_ = syscall.Kill(j.ranks[0].cmd.Process.Pid, s)
		}
		return
	}
	j.signal(s)
}

// signal reaches the process groups of all ranks, of those too that have ended: something of
// theirs may live on.
func (j *job) signal(s syscall.Signal) {
	for _, k := range j.ranks {
		_ = syscall.Kill(-k.cmd.Process.Pid, s)
	}
}

// judge looks how a rank has ended, and keeps the first failure.
func (j *job) judge(r int) {
	if j.exit.Rank >= 0 {
		return
	}
	var info unix.Siginfo
	if err := unix.Waitid(unix.P_PID, j.ranks[r].cmd.Process.Pid, &info, unix.WEXITED|unix.WNOWAIT, nil); err != nil {
		return
	}
	code, status := info.Code, statusOf(&info)
	switch {
	case code != cldExited:
		sig := syscall.Signal(status)
		j.exit = Exit{r, 128 + status, "ended by signal: " + sig.String()}
	case status != 0:
		j.exit = Exit{r, status, fmt.Sprintf("exit status %d", status)}
	case j.state(r) == inWorld:
		j.exit = Exit{r, 1, "ended without Finalize while others may wait for it"}
	}
}

// state is the rank's byte in the roster of the world, 0 where there is no world.
func (j *job) state(r int) byte {
	var b [1]byte
	if _, err := j.segment.ReadAt(b[:], rosterOff+int64(r)); err != nil {
		return 0
	}
	return b[0]
}

// reap collects the ranks and the rest of their output. A process that left its group may hold a
// pipe open for ever: after a while we stop listening.
func (j *job) reap() {
	for _, k := range j.ranks {
		_ = k.cmd.Wait()
	}
	done := make(chan struct{})
	go func() { j.streams.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(time.Second):
	}
	for _, k := range j.ranks {
		for _, f := range k.reads {
			f.Close()
		}
	}
	<-done
	j.carrier.finish()
}

// What waitid reports of a child that ended by itself.
const cldExited = 1
