package dist

import (
	"errors"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/tutti-hpc/tutti"
)

var tree = fstest.MapFS{
	"libtutti.so":               {Data: []byte("code")},
	"tutti.h":                   {Data: []byte("words")},
	"python/tutti/_mpi.abi3.so": {Data: []byte("more code")},
}

func TestUnpackOnceForMany(t *testing.T) {
	parent := filepath.Join(t.TempDir(), "cache", "tutti")
	dirs := make([]string, 8)
	var wg sync.WaitGroup
	for i := range dirs {
		wg.Go(func() {
			dir, err := Unpack("dist", tree, parent)
			if err != nil {
				t.Error(err)
			}
			dirs[i] = dir
		})
	}
	wg.Wait()
	left, err := os.ReadDir(parent)
	if err != nil || len(left) != 1 || filepath.Join(parent, left[0].Name()) != dirs[0] || dirs[7] != dirs[0] {
		t.Fatalf("%v %v %v", left, dirs, err)
	}
	for name, f := range tree {
		b, err := os.ReadFile(filepath.Join(dirs[0], name))
		if err != nil || string(b) != string(f.Data) {
			t.Errorf("%s: %q %v", name, b, err)
		}
	}
	for path, want := range map[string]os.FileMode{parent: 0o700, dirs[0]: 0o700, filepath.Join(dirs[0], "libtutti.so"): 0o755} {
		info, err := os.Stat(path)
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("%s has mode %v (%v), not %v", path, info.Mode().Perm(), err, want)
		}
	}
	other, err := Unpack("dist", fstest.MapFS{"libtutti.so": {Data: []byte("newer code")}}, parent)
	if err != nil || other == dirs[0] {
		t.Errorf("other content went to %s (%v)", other, err)
	}
}

func TestFolderByEnvironment(t *testing.T) {
	dir, err := Unpack("dist", tree, t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	t.Setenv(Env, dir)
	if got, err := Folder(); got != dir || err != nil {
		t.Errorf("%s %v", got, err)
	}
	t.Setenv(Env, t.TempDir())
	var te *tutti.Error
	if _, err := Folder(); !errors.Is(err, tutti.NotFound) || !errors.As(err, &te) || te.Hint == "" {
		t.Errorf("an empty folder: %v", err)
	}
}

func TestFolderMissing(t *testing.T) {
	if embedded != nil {
		t.Skip("a release has it inside")
	}
	t.Setenv(Env, "")
	if _, err := Folder(); !errors.Is(err, tutti.NotFound) { // nothing lies beside a test's binary
		t.Error(err)
	}
}
