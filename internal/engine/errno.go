package engine

import (
	"errors"
	"io/fs"
	"os"
	"syscall"

	"github.com/tutti-hpc/tutti"
)

// kindOfErrno sorts what the system says about starting a process.
func kindOfErrno(err error) tutti.Kind {
	for _, e := range []error{syscall.EAGAIN, syscall.ENOMEM, syscall.EMFILE, syscall.ENFILE, syscall.ENOSPC} {
		if errors.Is(err, e) {
			return tutti.Full
		}
	}
	return tutti.KindOf(err)
}

// startError says why a program could not be started, and which of its file and its folder was
// the matter: the system's word is the same for both.
func startError(op, path, dir string, err error) *tutti.Error {
	if dir != "" {
		if st, e := os.Stat(dir); e != nil {
			return tutti.Errorf(op, tutti.KindOf(e), "its working directory: %w", e)
		} else if !st.IsDir() {
			return tutti.Errorf(op, tutti.Invalid, "its working directory %s is a file", dir)
		}
	}
	e := tutti.E(op, kindOfErrno(err), err)
	switch {
	case errors.Is(err, syscall.ENOEXEC):
		e = tutti.Errorf(op, tutti.Invalid, "%s: %w", path, err).WithHint("a script needs a first line that names its interpreter")
	case errors.Is(err, fs.ErrPermission):
		e = tutti.Errorf(op, tutti.Denied, "%s: %w", path, err).WithHint("is it executable? (chmod +x)")
	case errors.Is(err, syscall.E2BIG):
		e = tutti.Errorf(op, tutti.Invalid, "%s: %w", path, err).WithHint("arguments and environment together are too long: pass a file")
	case e.Kind == tutti.Full:
		e = tutti.Errorf(op, tutti.Full, "%s: %w", path, err).WithHint("the node has no processes, descriptors or memory left")
	case !errors.As(err, new(*tutti.Error)):
		e = tutti.Errorf(op, e.Kind, "%s: %w", path, err)
	}
	return e
}
