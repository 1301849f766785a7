package engine

import (
	"io"
	"os"
	"os/signal"
	"sync/atomic"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// start begins the guard; g.mu is held. Without one, children of children may be left behind when
// this process is killed, and nothing else changes.
func (g *guards) start() {
	if !initialised.Load() {
		return // this program's main would not know what it was started for
	}
	r, w, err := os.Pipe()
	if err != nil {
		return
	}
	defer r.Close()
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		w.Close()
		return
	}
	defer null.Close()
	fd, err := unix.MemfdCreate("tutti-guard", unix.MFD_CLOEXEC)
	if err != nil {
		w.Close()
		return
	}
	defer unix.Close(fd)
	var table []int32
	if err = unix.Ftruncate(fd, guarded*4); err == nil {
		table, err = mapGuarded(fd, unix.PROT_READ|unix.PROT_WRITE)
	}
	if err == nil {
		env := []string{guardEnv + "=1", "GOMAXPROCS=1", "GOMEMLIMIT=16MiB"}
		_, err = syscall.ForkExec("/proc/self/exe", []string{"tutti-guard"}, &syscall.ProcAttr{
			Dir: "/", Env: env, Files: []uintptr{r.Fd(), null.Fd(), null.Fd(), uintptr(fd)},
			Sys: &syscall.SysProcAttr{Setsid: true}, // out of reach of what hits our group
		})
	}
	if err != nil {
		w.Close()
		return
	}
	g.pipe, g.table = w, table
}

func mapGuarded(fd, prot int) ([]int32, error) {
	m, err := unix.Mmap(fd, 0, guarded*4, prot, unix.MAP_SHARED)
	if err != nil {
		return nil, err
	}
	return unsafe.Slice((*int32)(unsafe.Pointer(unsafe.SliceData(m))), guarded), nil
}

// put writes a place of the table, which the guard may read at any moment.
func (g *guards) put(at, pid int) { atomic.StoreInt32(&g.table[at], int32(pid)) }

// guardMain is the guard.
func guardMain() int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	table, err := mapGuarded(3, unix.PROT_READ)
	if err != nil {
		return 1
	}
	_, _ = io.Copy(io.Discard, os.Stdin)
	for i := range table {
		if pid := atomic.LoadInt32(&table[i]); pid > 1 {
			_ = syscall.Kill(-int(pid), syscall.SIGKILL)
		}
	}
	return 0
}
