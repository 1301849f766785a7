package engine

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"
)

// oomKills counts the processes that the kernel has killed for want of memory: on this machine,
// and in this process's control group, where it may have its own count.
func oomKills() int {
	n := counter("/proc/vmstat", "oom_kill")
	for line := range strings.Lines(readText("/proc/self/cgroup")) {
		if dir, ok := strings.CutPrefix(strings.TrimSpace(line), "0::"); ok {
			n += counter("/sys/fs/cgroup"+dir+"/memory.events", "oom_kill")
		}
	}
	return n
}

// lately is a count that is not older than a second: commands may start by the thousand.
var lately struct {
	sync.Mutex
	count int
	at    time.Time
}

// oomKillsLately is oomKills, for before something starts.
func oomKillsLately() int {
	lately.Lock()
	defer lately.Unlock()
	if time.Since(lately.at) > time.Second {
		lately.count, lately.at = oomKills(), time.Now()
	}
	return lately.count
}

func readText(path string) string {
	b, _ := os.ReadFile(path)
	return string(b)
}

// counter finds the number after a name in a file of "name number" lines, 0 if there is none.
func counter(path, name string) int {
	f, err := os.Open(path)
	if err != nil {
		return 0
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		if key, value, ok := strings.Cut(sc.Text(), " "); ok && key == name {
			n, _ := strconv.Atoi(value)
			return n
		}
	}
	return 0
}
