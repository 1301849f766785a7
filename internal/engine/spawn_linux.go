package engine

import (
	"os"
	"runtime"
	"strconv"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"
)

// spawner starts child processes from one thread that never ends: the kernel's word to a child
// that its parent has died is about the thread that made it.
var spawner struct {
	once sync.Once
	jobs chan spawnJob
}

type spawnJob struct {
	path  string
	argv  []string
	attr  *syscall.ProcAttr
	reply chan spawned
}

type spawned struct {
	pid int
	err error
}

// spawn starts a program as the leader of a process group of its own, to be killed by the kernel
// when this process dies. Files are its descriptors from 0 on. The child must be collected by reap.
func spawn(path string, argv, env []string, dir string, files []uintptr) (pid int, err error) {
	spawner.once.Do(func() {
		spawner.jobs = make(chan spawnJob)
		go func() {
			runtime.LockOSThread()
			for j := range spawner.jobs {
				pid, err := syscall.ForkExec(j.path, j.argv, j.attr)
				j.reply <- spawned{pid, err}
			}
		}()
	})
	j := spawnJob{path: path, argv: argv, reply: make(chan spawned, 1), attr: &syscall.ProcAttr{
		Dir: dir, Env: env, Files: files,
		Sys: &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL},
	}}
	spawner.jobs <- j
	s := <-j.reply
	return s.pid, s.err
}

// ended waits until a child has ended but leaves it uncollected, so that its number, which is its
// group's too, belongs to nobody else yet.
func ended(pid int) {
	for {
		err := unix.Waitid(unix.P_PID, pid, nil, unix.WEXITED|unix.WNOWAIT, nil)
		if err != unix.EINTR {
			return
		}
	}
}

// reap collects a child that has ended.
func reap(pid int) (ws syscall.WaitStatus, usage syscall.Rusage) {
	for {
		_, err := syscall.Wait4(pid, &ws, 0, &usage)
		if err != syscall.EINTR {
			return ws, usage
		}
	}
}

// signalGroup sends to a child's group. It must not be reaped yet.
func signalGroup(pid int, sig syscall.Signal) { _ = syscall.Kill(-pid, sig) }

// exitOf takes a wait status apart.
func exitOf(ws syscall.WaitStatus) (status int, signal string) {
	if ws.Signaled() {
		return 0, signalName(ws.Signal())
	}
	return ws.ExitStatus(), ""
}

// signalName is "KILL", "SEGV".
func signalName(s syscall.Signal) string {
	if n := unix.SignalName(s); len(n) > 3 {
		return n[3:]
	}
	return strconv.Itoa(int(s))
}

// rawFDs are the descriptors of files, for spawn. It does not make them blocking, as File.Fd does.
func rawFDs(files ...*os.File) ([]uintptr, error) {
	fds := make([]uintptr, len(files))
	for i, f := range files {
		raw, err := f.SyscallConn()
		if err != nil {
			return nil, err
		}
		if err := raw.Control(func(fd uintptr) { fds[i] = fd }); err != nil {
			return nil, err
		}
	}
	return fds, nil
}
