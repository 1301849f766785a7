//go:build unix

package agent

import "syscall"

// setUmask makes what is created next this user's alone.
func setUmask() int { return syscall.Umask(0o077) }

func restoreUmask(old int) { syscall.Umask(old) }
