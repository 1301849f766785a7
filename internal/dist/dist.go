// Package dist finds what programs in other languages are built with: the folder that `make lib`
// leaves, of libraries, headers and the Fortran module. It is looked for where TUTTI_DIST says, beside
// the running binary, and, in a release, in the binary itself, from which it is unpacked into the
// user's cache under a name made of its content. [Cache] and [Unpack] do that for any tree of files.
package dist

import (
	"os"
	"path/filepath"
	"sync"

	"github.com/tutti-hpc/tutti"
)

// Env names the folder to use, in place of what is found.
const Env = "TUTTI_DIST"

// mark is the file by which the folder is known.
const mark = "libtutti.so"

// Folder gives the folder. Errors: NotFound where there is none, with a hint how to get it, and
// those of the file system.
func Folder() (string, error) {
	if dir := os.Getenv(Env); dir != "" {
		if _, err := os.Stat(filepath.Join(dir, mark)); err != nil {
			return "", tutti.Errorf("libraries", tutti.KindOf(err), "%s: %w", Env, err).WithHint("unset %s, or let it be the folder that make lib has filled", Env)
		}
		return filepath.Abs(dir)
	}
	if dir := beside(); dir != "" {
		return dir, nil
	}
	if embedded != nil {
		return unpacked()
	}
	return "", tutti.Errorf("libraries", tutti.NotFound, "this tutti was built without the libraries for other languages").
		WithHint("run make lib in its sources, which leaves them in dist/; a release has them inside")
}

// unpacked is the folder made of what the binary carries, which is read once.
var unpacked = sync.OnceValues(func() (string, error) {
	parent, err := Cache()
	if err != nil {
		return "", err
	}
	return Unpack("dist", embedded, parent)
})

// beside looks where make leaves the folder: bin/tutti and dist/ have the same parent.
func beside() string {
	exe, err := os.Executable()
	if err != nil {
		return ""
	}
	if real, err := filepath.EvalSymlinks(exe); err == nil {
		exe = real
	}
	here := filepath.Dir(exe)
	for _, dir := range []string{filepath.Join(here, "dist"), filepath.Join(here, "..", "dist")} {
		if _, err := os.Stat(filepath.Join(dir, mark)); err == nil {
			return dir
		}
	}
	return ""
}
