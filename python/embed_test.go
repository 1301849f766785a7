package python

import (
	"bytes"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
)

// Many processes may unpack at once; what all get is whole, and the same.
func TestUnpack(t *testing.T) {
	t.Setenv("XDG_CACHE_HOME", t.TempDir())
	t.Setenv(EnvTree, "")
	dirs := make([]string, 8)
	var wg sync.WaitGroup
	for i := range dirs {
		wg.Go(func() {
			var err error
			if dirs[i], err = unpack(); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for _, d := range dirs {
		if d != dirs[0] {
			t.Fatalf("%q and %q", d, dirs[0])
		}
	}
	n := 0
	err := fs.WalkDir(FS, ".", func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		n++
		want, _ := fs.ReadFile(FS, path)
		got, err := os.ReadFile(filepath.Join(dirs[0], path))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %v", path, err)
		}
		return nil
	})
	if err != nil || n == 0 {
		t.Fatal(n, err)
	}
	rest, err := os.ReadDir(filepath.Dir(dirs[0]))
	if err != nil || len(rest) != 1 {
		t.Errorf("left behind: %v %v", rest, err)
	}
}

func TestEnviron(t *testing.T) {
	dir := t.TempDir()
	t.Setenv(EnvTree, dir)
	t.Setenv("PYTHONPATH", "/a:/b")
	env, err := Environ()
	if err != nil || !strings.HasPrefix(env[0], "PYTHONPATH="+dir+":/a:/b") {
		t.Fatal(env, err)
	}
}

// A user without a home gets a folder that nobody else can write.
func TestUnpackWithoutHome(t *testing.T) {
	tmp := t.TempDir()
	t.Setenv("XDG_CACHE_HOME", "")
	t.Setenv("HOME", "")
	t.Setenv("TMPDIR", tmp)
	dir, err := unpack()
	if err != nil || !strings.HasPrefix(dir, tmp) {
		t.Fatal(dir, err)
	}
	if err := os.Chmod(filepath.Dir(dir), 0o777); err != nil {
		t.Fatal(err)
	}
	if dir, err := unpack(); err == nil {
		t.Error("files were taken from a folder that all can write:", dir)
	}
}
