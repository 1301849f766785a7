// Package dist finds what programs in other languages are built with: the folder that `make lib`
// leaves, of libraries, headers and the Fortran module. It is looked for where TUTTI_DIST says, beside
// the running binary, and, in a release, in the binary itself, from which it is unpacked into the
// user's cache under a name made of its content.
package dist

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
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
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", tutti.E("libraries", tutti.NotFound, err).WithHint("set HOME, or XDG_CACHE_HOME")
	}
	return Unpack(embedded, filepath.Join(cache, "tutti"))
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

// Unpack writes a tree of files into a folder of its own below parent, unless it is there already,
// and gives that folder. Several processes may do so at once: a folder appears whole or not at
// all. parent is made with mode 0700 where it is missing.
func Unpack(tree fs.FS, parent string) (string, error) {
	name, err := fingerprint(tree)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(parent, "dist-"+name)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", tutti.E("libraries", tutti.KindOf(err), err)
	}
	tmp, err := os.MkdirTemp(parent, "unpack-")
	if err != nil {
		return "", tutti.E("libraries", tutti.KindOf(err), err)
	}
	defer os.RemoveAll(tmp) // what was renamed is not there any more
	if err := write(tree, tmp); err != nil {
		return "", tutti.E("libraries", tutti.KindOf(err), err)
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, missing := os.Stat(dir); missing != nil {
			return "", tutti.E("libraries", tutti.KindOf(err), err)
		}
	}
	return dir, nil
}

func write(tree fs.FS, dir string) error {
	return fs.WalkDir(tree, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		to := filepath.Join(dir, filepath.FromSlash(path))
		if d.IsDir() {
			return os.MkdirAll(to, 0o700)
		}
		b, err := fs.ReadFile(tree, path)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644)
		if strings.Contains(filepath.Base(path), ".so") || !strings.Contains(filepath.Base(path), ".") {
			mode = 0o755 // libraries and programs
		}
		return os.WriteFile(to, b, mode)
	})
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
