package engine

import (
	"bufio"
	"os"
	"os/signal"
	"strconv"
	"syscall"
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
	env := []string{guardEnv + "=1", "GOMAXPROCS=1", "GOMEMLIMIT=16MiB"}
	_, err = syscall.ForkExec("/proc/self/exe", []string{"tutti-guard"}, &syscall.ProcAttr{
		Dir: "/", Env: env, Files: []uintptr{r.Fd(), null.Fd(), null.Fd()},
		Sys: &syscall.SysProcAttr{Setsid: true}, // out of reach of what hits our group
	})
	if err != nil {
		w.Close()
		return
	}
	g.pipe = w
}

// guardMain is the guard.
func guardMain() int {
	signal.Ignore(syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	groups := map[int]bool{}
	for sc := bufio.NewScanner(os.Stdin); sc.Scan(); {
		pid, err := strconv.Atoi(sc.Text())
		switch {
		case err != nil || pid == 0:
			return 1
		case pid > 0:
			groups[pid] = true
		default:
			delete(groups, -pid)
		}
	}
	for pid := range groups {
		_ = syscall.Kill(-pid, syscall.SIGKILL)
	}
	return 0
}
