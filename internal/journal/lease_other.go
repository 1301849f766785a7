//go:build !linux

package journal

import "syscall"

// bootID changes with every start of the kernel.
func bootID() string {
	s, err := syscall.Sysctl("kern.bootsessionuuid")
	if err != nil {
		return ""
	}
	return s
}

// machineID is not known here.
func machineID() string { return "" }

// pidSpace is empty: there is one.
func pidSpace() string { return "" }

// processStart is not known here: a dead holder's number given to a new process looks alive,
// and flock decides.
func processStart(int) string { return "" }
