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

	"github.com/tutti-hpc/tutti"
)

// Cache is a folder that only this user writes, for what is unpacked: in the user's cache, or, where he has none that can be written, in
// the folder for temporary files.
func Cache() (string, error) {
	var first error
	if user, err := os.UserCacheDir(); err != nil {
		first = err
	} else if dir := filepath.Join(user, "tutti"); os.MkdirAll(dir, 0o700) == nil && writable(dir) {
		return dir, nil
	}
	dir := filepath.Join(os.TempDir(), fmt.Sprint("tutti-", os.Getuid()))
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return "", tutti.E("unpack files", tutti.KindOf(err), errors.Join(first, err))
	}
	info, err := os.Lstat(dir)
	if err != nil {
		return "", tutti.E("unpack files", tutti.KindOf(err), err)
	}
	// A folder that somebody else has laid there would let him choose what our users run.
	if !info.IsDir() || info.Mode().Perm() != 0o700 || !ours(info) {
		return "", tutti.Errorf("unpack files", tutti.Denied, "%s is not a folder of this user's alone", dir)
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

// Unpack writes a tree of files into a folder of its own below parent, whose name begins with name,
// unless it is there already, and gives that folder. Several processes may do so at once: a folder appears whole or not at
// all. parent is made with mode 0700 where it is missing.
func Unpack(name string, tree fs.FS, parent string) (string, error) {
	sum, err := fingerprint(tree)
	if err != nil {
		return "", err
	}
	dir := filepath.Join(parent, name+"-"+sum)
	if _, err := os.Stat(dir); err == nil {
		return dir, nil
	}
	if err := os.MkdirAll(parent, 0o700); err != nil {
		return "", tutti.E("unpack files", tutti.KindOf(err), err)
	}
	tmp, err := os.MkdirTemp(parent, "unpack-")
	if err != nil {
		return "", tutti.E("unpack files", tutti.KindOf(err), err)
	}
	defer os.RemoveAll(tmp) // what was renamed is not there any more
	if err := write(tree, tmp); err != nil {
		return "", tutti.E("unpack files", tutti.KindOf(err), err)
	}
	if err := os.Rename(tmp, dir); err != nil && !errors.Is(err, fs.ErrExist) {
		if _, missing := os.Stat(dir); missing != nil {
			return "", tutti.E("unpack files", tutti.KindOf(err), err)
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
