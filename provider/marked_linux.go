package provider

import (
	"bytes"
	"os"
	"strconv"
)

// isMarked reports whether a process lives and carries a job's id in its environment.
func isMarked(pid int, id string) bool {
	dir := "/proc/" + strconv.Itoa(pid)
	stat, err := os.ReadFile(dir + "/stat")
	if err != nil {
		return false
	}
	f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:]) // the name before may hold anything
	if len(f) == 0 || f[0][0] == 'Z' || f[0][0] == 'X' {       // dead, and not yet collected
		return false
	}
	env, err := os.ReadFile(dir + "/environ")
	return err == nil && bytes.Contains(append([]byte{0}, env...), []byte("\x00"+marker+"="+id+"\x00"))
}

// findMarked looks through all processes for a session's leader with that id.
func findMarked(id string) (pid int, ok bool) {
	entries, _ := os.ReadDir("/proc")
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || !isMarked(pid, id) {
			continue
		}
		stat, err := os.ReadFile("/proc/" + e.Name() + "/stat")
		if err != nil {
			continue
		}
		f := bytes.Fields(stat[bytes.LastIndexByte(stat, ')')+1:])
		if len(f) > 3 && string(f[3]) == e.Name() { // of its children's environments the same could be said
			return pid, true
		}
	}
	return 0, false
}
