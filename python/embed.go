// Package python holds the Python side of tutti, the packages `tutti` and `mpi`, as embedded files,
// and puts them where a Python interpreter finds them.
//
// The nouns: the tree is the files of this folder that Python needs ([FS]); a copy of it lies in the
// user's cache, under a name made of its content, so that several versions of tutti do not disturb
// each other and nothing is ever half written ([Unpack]); [Environ] is what a process needs in its
// environment so that `import mpi` and `import tutti` work in it, without any installation.
//
//	env, err := python.Environ()
//	cmd.Env = append(os.Environ(), env...)
//
// The Python files stand alone: a directory of this folder on PYTHONPATH serves as well. The compiled
// extension of message passing is not among them: it belongs to what package dist finds, beside the
// binary or, in a release, in it.
package python

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sync"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/dist"
)

// FS is the tree: `tutti/` and `mpi/` lie at its root. Folders are named one by one, so that what
// Python leaves behind (__pycache__) is never embedded; a new folder needs a pattern of its own.
//
//go:embed mpi/*.py tutti/*.py tutti/mpi/*.py tutti/_engine/*.py
var FS embed.FS

// EnvTree names a folder to use in place of the unpacked tree, for development.
const EnvTree = "TUTTI_PYTHON"

var unpacked = sync.OnceValues(unpack)

// Unpack gives a folder that holds the tree, fit to stand on PYTHONPATH: that of TUTTI_PYTHON if it is set,
// else a copy in the user's cache, which is made if it is not there. Several processes may do so
// at once. The folder must not be changed. Errors are those of the file system.
func Unpack() (dir string, err error) {
	if dir := os.Getenv(EnvTree); dir != "" {
		return filepath.Abs(dir)
	}
	return unpacked()
}

// Environ gives the variables, as KEY=VALUE, that let a child process find the tree and what was
// built for it: PYTHONPATH with the tree in front of what it was, and TUTTI_DIST where there are built
// libraries, beside the running binary or in it.
func Environ() ([]string, error) {
	dir, err := Unpack()
	if err != nil {
		return nil, err
	}
	path := dir
	if old := os.Getenv("PYTHONPATH"); old != "" {
		path += string(os.PathListSeparator) + old
	}
	env := []string{"PYTHONPATH=" + path}
	if os.Getenv(dist.Env) == "" {
		built, err := dist.Folder()
		if err == nil {
			env = append(env, dist.Env+"="+built)
		} else if tutti.KindOf(err) != tutti.NotFound { // without libraries, only what needs them is missing
			return nil, err
		}
	}
	return env, nil
}

func unpack() (string, error) {
	name, err := fingerprint(FS)
	if err != nil {
		return "", err
	}
	base, err := cache()
	if err != nil {
		return "", err
	}
	dir := filepath.Join(base, "python-"+name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	tmp, err := os.MkdirTemp(base, "unpack-")
	if err != nil {
		return "", err
	}
	defer os.RemoveAll(tmp) // what was renamed is not there any more
	if err := os.CopyFS(tmp, FS); err != nil {
		return "", err
	}
	if err := os.Chmod(tmp, 0o755); err != nil {
		return "", err
	}
	if err := os.Rename(tmp, dir); err != nil {
		if _, missing := os.Stat(dir); missing != nil {
			return "", err
		} // somebody else was faster, with the same files
	}
	return dir, nil
}

// cache is a folder that only this user writes: in the user's cache, or, where he has none that can be written, in
// the folder for temporary files.
func cache() (string, error) {
	var first error
	if user, err := os.UserCacheDir(); err != nil {
		first = err
	} else if dir := filepath.Join(user, "tutti"); os.MkdirAll(dir, 0o700) == nil && writable(dir) {
		return dir, nil
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprint("tutti-", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", errors.Join(first, err)
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", err
	}
	// A folder that somebody else has laid there would let him choose what our users run.
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ours(info) {
		return "", fmt.Errorf("unpack Python files: %s is not a folder of this user's alone", dir)
	}
	return dir, nil
}

// writable says whether files can be made in dir.
func writable(dir string) bool {
	f, err := os.CreateTemp(dir, "probe-")
	if err != nil {
		return false
	}
	f.Close()
	return os.Remove(f.Name()) == nil
}

// fingerprint names the content of a tree: every path, length and byte counts.
func fingerprint(tree fs.FS) (string, error) {
	h := sha256.New()
	err := fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		b, err := fs.ReadFile(tree, path)
		if err != nil {
			return err
		}
		fmt.Fprintf(h, "%q %d\n", path, len(b))
		h.Write(b)
		return nil
	})
	return hex.EncodeToString(h.Sum(nil)[:8]), err
}
