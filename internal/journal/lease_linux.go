package journal

import (
	"fmt"
	"os"
	"strings"
)

// bootID changes with every start of the kernel.
func bootID() string { return word("/proc/sys/kernel/random/boot_id") }

// machineID stays the same for the life of an installation; containers often have none.
func machineID() string { return word("/etc/machine-id") }

// word is what a small file says, "" if it cannot be read.
func word(path string) string {
	b, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(b))
}

// pidSpace names the namespace in which this process has its number.
func pidSpace() string {
	s, err := os.Readlink("/proc/self/ns/pid")
	if err != nil {
		return ""
	}
	return s
}

// processStart is when a process began, in ticks since the kernel did; "" if there is none, or only
// its remains, which nobody has collected: containers often have no process that would.
func processStart(pid int) string {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return ""
	}
	// The second field, the command, may itself contain blanks and brackets.
	_, rest, _ := strings.Cut(string(b[strings.LastIndexByte(string(b), ')')+1:]), " ")
	if fields := strings.Fields(rest); len(fields) > 19 && fields[0] != "Z" && fields[0] != "X" {
		return fields[19]
	}
	return ""
}
