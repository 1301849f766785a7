package journal

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti"
)

// leaseName is the file that says who writes the journal. guardName is there for the moment in which
// a dead holder's lease is taken over where flock cannot be had.
const (
	leaseName = "lease"
	guardName = "lease.takeover"
)

// holder names a process so that it can be told whether it still lives.
type holder struct {
	PID     int       `json:"pid"`
	Host    string    `json:"host"`
	Machine string    `json:"machine,omitempty"` // its lasting name, for hosts that share a name; "" if unknown
	Boot    string    `json:"boot,omitempty"`    // of the kernel; "" if unknown
	Space   string    `json:"space,omitempty"`   // the namespace that the PID is of; "" if there is only one
	Start   string    `json:"start,omitempty"`   // of the process, in the system's own unit; "" if unknown
	Since   time.Time `json:"since"`
}

// me names this process.
func me() holder {
	host, _ := os.Hostname()
	h := holder{PID: os.Getpid(), Host: host, Machine: machineID(), Boot: bootID(), Space: pidSpace(), Since: time.Now().UTC().Truncate(time.Second)}
	h.Start = processStart(h.PID)
	return h
}

// verdict is what can be said about the holder of a lease.
type verdict int

const (
	unknown verdict = iota // it is on another host, or in another container
	alive
	dead
)

// judge says of another holder whether it lives, as seen from the process self. flocked means
// that self has the flock, which on one kernel no two processes have.
func judge(h, self holder, flocked bool) verdict {
	switch {
	case h.PID <= 0 || h.Host != self.Host || h.Machine != self.Machine:
		return unknown
	case h.Boot != self.Boot && h.Machine == "" && !flocked:
		return unknown // two hosts may well be called localhost
	case h.Boot != self.Boot:
		return dead // the host was started again since
	case h.Space != self.Space && flocked && h.Boot != "":
		return dead // its number says nothing here, but it would have the flock
	case h.Space != self.Space:
		return unknown
	case !processExists(h.PID):
		return dead
	}
	if start := processStart(h.PID); start != h.Start {
		return dead // the number has been given to another process
	}
	return alive
}

// processExists asks for any process of that number, also of another user.
func processExists(pid int) bool {
	err := syscall.Kill(pid, 0)
	return err == nil || errors.Is(err, syscall.EPERM)
}

// takeLease makes this process the journal's writer until release is called or it dies. It uses
// what every file system has, the exclusive making of a file, and flock on it where that
// works. Kinds: Exists, Denied, Full, Other.
func takeLease(dir string) (release func() error, err error) {
	const op = "open journal"
	path := filepath.Join(dir, leaseName)
	for range leaseTries {
		f, fresh, err := openLease(path)
		if err != nil {
			return nil, diskError(op, dir, err)
		}
		release, again, err := claim(f, path, fresh)
		if err == nil && !again {
			return release, nil
		}
		f.Close()
		if err != nil {
			return nil, err
		}
	}
	return nil, tutti.Errorf(op, tutti.Exists, "others open and close the journal in %s all the time", dir)
}

const (
	leaseTries = 20
	leasePause = 50 * time.Millisecond
)

// openLease makes the lease file, or opens the one that is there.
func openLease(path string) (f *os.File, fresh bool, err error) {
	for range leaseTries {
		f, err = os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
		if err == nil || !errors.Is(err, fs.ErrExist) {
			return f, true, err
		}
		f, err = os.OpenFile(path, os.O_RDWR, 0)
		if !errors.Is(err, fs.ErrNotExist) { // else it was given back in between
			return f, false, err
		}
	}
	return nil, false, err
}

// claim writes our name into the lease if nobody living has it. again says that the file was
// given back and removed under us.
func claim(f *os.File, path string, fresh bool) (release func() error, again bool, err error) {
	const op = "open journal"
	dir := filepath.Dir(path)
	flocked, err := flock(f)
	if err != nil {
		if h, unread := readHolder(f); unread == nil && judge(h, me(), false) == dead {
			time.Sleep(leasePause) // it was killed, and its last threads are just ending
			return nil, true, nil
		}
		return nil, false, taken(f, dir, "")
	}
	if !sameFile(f, path) {
		return nil, true, nil
	}
	if !fresh {
		var unguard func()
		if !flocked {
			if unguard, err = guard(dir); err != nil {
				return nil, false, err
			}
			defer unguard()
		}
		if err := mayTakeOver(f, dir, flocked); err != nil {
			return nil, false, err
		}
	}
	if err := writeHolder(f, me()); err != nil {
		if fresh {
			os.Remove(path)
		}
		return nil, false, diskError(op, dir, err)
	}
	return func() error {
		// Removed while still locked: who waits for the lock sees that the file is gone.
		var err error
		if sameFile(f, path) { // else somebody removed it by hand, and it may be another's
			err = os.Remove(path)
		}
		return errors.Join(err, f.Close())
	}, false, nil
}

// mayTakeOver looks at who is named in a lease that was there before us.
func mayTakeOver(f *os.File, dir string, flocked bool) error {
	h, err := readHolder(f)
	if err != nil {
		// Its maker died, or is about to write its name; with the flock in our hands, the
		// maker will not get it and give up.
		if flocked {
			return nil
		}
		return taken(f, dir, "if nobody has it open, remove the file "+leaseName+" there")
	}
	switch judge(h, me(), flocked) {
	case dead:
		return nil
	case alive:
		return taken(f, dir, "")
	}
	return taken(f, dir, fmt.Sprintf("from here it cannot be seen whether that process still runs; if it does not, remove the file %s there", leaseName))
}

// guard lets one process at a time decide about a lease where there is no flock.
func guard(dir string) (release func(), err error) {
	path := filepath.Join(dir, guardName)
	f, err := os.OpenFile(path, os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, tutti.Errorf("open journal", tutti.Exists, "another process is taking over the journal in %s", dir).
			WithHint("if none is, remove the file %s there", guardName)
	}
	if err != nil {
		return nil, diskError("open journal", dir, err)
	}
	f.Close()
	return func() { os.Remove(path) }, nil
}

// taken is the error that says who has the journal open.
func taken(f *os.File, dir, hint string) *tutti.Error {
	if hint == "" {
		hint = "stop that process first, or use another folder"
	}
	h, err := readHolder(f)
	if err != nil {
		return tutti.Errorf("open journal", tutti.Exists, "the journal in %s is open in another process", dir).WithHint("%s", hint)
	}
	e := tutti.Errorf("open journal", tutti.Exists, "the journal in %s is open in process %d on %s since %v", dir, h.PID, h.Host, h.Since.Local().Format(time.DateTime))
	return e.WithHint("%s", hint)
}

// errLocked says that another process has the flock.
var errLocked = errors.New("locked")

// flock tries for the lock; got is false where the file system has none.
func flock(f *os.File) (got bool, err error) {
	raw, err := f.SyscallConn()
	if err != nil {
		return false, err
	}
	var result error
	if err := raw.Control(func(fd uintptr) { result = syscall.Flock(int(fd), syscall.LOCK_EX|syscall.LOCK_NB) }); err != nil {
		return false, err
	}
	if errors.Is(result, syscall.EWOULDBLOCK) {
		return false, errLocked
	}
	return result == nil, nil
}

// sameFile reports whether the name still leads to the open file.
func sameFile(f *os.File, path string) bool {
	a, err := f.Stat()
	if err != nil {
		return false
	}
	b, err := os.Stat(path)
	return err == nil && os.SameFile(a, b)
}

// readHolder reads who holds a lease. A half-written one is an error.
func readHolder(f *os.File) (h holder, err error) {
	b, err := io.ReadAll(io.NewSectionReader(f, 0, 4<<10))
	if err != nil {
		return h, err
	}
	return h, json.Unmarshal(b, &h)
}

// writeHolder replaces the lease's contents.
func writeHolder(f *os.File, h holder) error {
	b, err := json.Marshal(h)
	if err != nil {
		return err
	}
	if err := f.Truncate(0); err != nil {
		return err
	}
	if _, err := f.WriteAt(append(b, '\n'), 0); err != nil {
		return err
	}
	return f.Sync()
}
