package journal

import (
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/tutti-hpc/tutti"
)

// disk is all that a journal asks of the folder it lives in. Names are plain file names. The
// journal leans on no more than this: what was synced stays; a name is durable after SyncDir;
// a rename to a name that nobody uses happens wholly or not at all. Of what was not synced any
// part may be on the disk after a crash, in any order.
type disk interface {
	List() ([]string, error)
	Create(name string) (file, error) // for writing; fails if the name exists
	Open(name string, write bool) (file, error)
	Rename(from, to string) error
	Remove(name string) error
	SyncDir() error // returns when names made, changed and removed before are durable
}

// file is an open file of a disk.
type file interface {
	io.ReaderAt
	io.WriterAt
	io.Closer
	Size() (int64, error)
	Allocate(size int64) error // reserves room if the disk can; does nothing if it cannot
	Truncate(size int64) error
	Sync() error // returns when the contents are durable
}

// osDisk is a folder of the operating system.
type osDisk string

func (d osDisk) path(name string) string { return filepath.Join(string(d), name) }

func (d osDisk) List() ([]string, error) {
	f, err := os.Open(string(d))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

func (d osDisk) Create(name string) (file, error) {
	f, err := os.OpenFile(d.path(name), os.O_CREATE|os.O_EXCL|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osDisk) Open(name string, write bool) (file, error) {
	mode := os.O_RDONLY
	if write {
		mode = os.O_RDWR
	}
	f, err := os.OpenFile(d.path(name), mode, 0)
	if err != nil {
		return nil, err
	}
	return osFile{f}, nil
}

func (d osDisk) Rename(from, to string) error { return os.Rename(d.path(from), d.path(to)) }
func (d osDisk) Remove(name string) error     { return os.Remove(d.path(name)) }

func (d osDisk) SyncDir() error {
	f, err := os.Open(string(d))
	if err != nil {
		return err
	}
	defer f.Close()
	// Some network file systems do not sync folders: there the server makes names durable
	// before it answers.
	if err := f.Sync(); err != nil && !errors.Is(err, syscall.EINVAL) && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}

// osFile is a file of the operating system; Allocate and Sync are the system's own.
type osFile struct{ *os.File }

func (f osFile) Size() (int64, error) {
	st, err := f.Stat()
	if err != nil {
		return 0, err
	}
	return st.Size(), nil
}

// diskError gives an error of the disk its kind, and the person who reads it something to do.
func diskError(op, dir string, err error) *tutti.Error {
	switch {
	case errors.Is(err, syscall.ENOSPC), errors.Is(err, syscall.EDQUOT), errors.Is(err, syscall.EFBIG):
		return tutti.E(op, tutti.Full, err).
			WithHint("make room where %s lies, or raise the quota: nothing written so far is harmed, and writing goes on by itself", dir)
	case errors.Is(err, fs.ErrPermission), errors.Is(err, syscall.EROFS):
		return tutti.E(op, tutti.Denied, err).
			WithHint("the folder %s and the files in it must belong to you and be writable by you", dir)
	case errors.Is(err, fs.ErrNotExist):
		return tutti.E(op, tutti.NotFound, err)
	case errors.Is(err, syscall.EIO), errors.Is(err, syscall.ESTALE):
		return tutti.E(op, tutti.Other, err).
			WithHint("the disk or file server under %s reports a fault: see the system's log; writing goes on by itself when it answers again", dir)
	}
	return tutti.E(op, tutti.KindOf(err), err)
}
