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
	"embed"
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
	parent, err := dist.Cache()
	if err != nil {
		return "", err
	}
	return dist.Unpack("python", FS, parent)
}
