package shm

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"sync/atomic"
	"testing"

	"golang.org/x/sys/unix"
)

const page = 4096

func mustMap(t testing.TB, s *Segment, m Mode) []byte {
	t.Helper()
	b, err := s.Map(0, s.Size(), m)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { Unmap(b) })
	return b
}

func TestNamedSegmentIsSharedByName(t *testing.T) {
	s, err := Create("", "shmtest", 3*page)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	defer s.Unlink()
	st, err := os.Stat(s.Path())
	if err != nil || st.Mode().Perm() != 0o600 || st.Size() != 3*page {
		t.Fatal(st, err)
	}
	o, err := Open(s.Path())
	if err != nil {
		t.Fatal(err)
	}
	defer o.Close()
	a, b := mustMap(t, s, ReadWrite), mustMap(t, o, ReadOnly)
	a[2*page] = 7
	if b[2*page] != 7 || o.Size() != 3*page {
		t.Fatal("the two mappings are not of one memory")
	}
	if err := s.Unlink(); err != nil || s.Path() != "" || s.Unlink() != nil {
		t.Fatal("unlink", err)
	}
	if _, err := Open(o.Path()); !errors.Is(err, ErrMissing) || !errors.Is(err, fs.ErrNotExist) {
		t.Fatal("open after unlink:", err)
	}
	a[0] = 8
	if b[0] != 8 {
		t.Fatal("mappings did not outlive the name")
	}
}

func TestModes(t *testing.T) {
	s, err := Anonymous("shmtest", 2*page)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	rw, ro, priv := mustMap(t, s, ReadWrite), mustMap(t, s, ReadOnly), mustMap(t, s, Private)
	for _, m := range []struct {
		b     []byte
		write bool
	}{{rw, true}, {ro, false}, {priv, false}} {
		if err := Prefault(m.b, m.write); err != nil {
			t.Fatal(err)
		}
	}
	rw[1] = 1
	if priv[1] != 1 {
		t.Fatal("a private page not yet written must follow the segment")
	}
	priv[2] = 9
	if rw[2] != 0 || ro[2] != 0 {
		t.Fatal("a private write was seen by others")
	}
	rw[3], rw[page] = 4, 5
	if priv[3] != 0 || priv[page] != 5 {
		t.Fatal("copy on write is not by page")
	}
	touch(ro) // the way of older kernels
	if err := s.Punch(page, page); err != nil || ro[page] != 0 || ro[1] != 1 {
		t.Fatal("punch", err, ro[page], ro[1])
	}
	if v := Word(rw, 4); atomic.AddUint32(v, 3) != 3 || rw[4] != 3 {
		t.Fatal("word")
	}
}

func TestAnonymousCannotShrink(t *testing.T) {
	s, err := Anonymous("shmtest", 2*page)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.File().Truncate(page); !errors.Is(err, unix.EPERM) {
		t.Fatal("a peer could shrink it:", err)
	}
	if err := Prefault(mustMap(t, s, ReadOnly), true); !errors.Is(err, ErrInvalid) && !errors.Is(err, ErrDenied) {
		t.Fatal("prefault for writing where only reading is allowed:", err)
	}
}

func TestBadRequests(t *testing.T) {
	s, err := Anonymous("shmtest", 2*page)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for _, c := range []struct {
		off, n int64
		m      Mode
	}{{-page, page, 0}, {0, 0, 0}, {0, 3 * page, 0}, {page, 2 * page, 0}, {1, 1, 0}, {1 << 62, 1 << 62, 0}, {0, page, modes}} {
		if _, err := s.Map(c.off, c.n, c.m); !errors.Is(err, ErrInvalid) {
			t.Errorf("map %+v: %v", c, err)
		}
	}
	for _, label := range []string{"", "A", "a-b", "../x", "a/b"} {
		if _, err := Create("", label, page); !errors.Is(err, ErrInvalid) {
			t.Errorf("label %q: %v", label, err)
		}
		if _, err := Anonymous(label, page); !errors.Is(err, ErrInvalid) {
			t.Errorf("label %q: %v", label, err)
		}
	}
	for _, size := range []int64{0, -1, 1 << 50} {
		if _, err := Anonymous("shmtest", size); !errors.Is(err, ErrInvalid) {
			t.Errorf("size %d: %v", size, err)
		}
	}
	if _, err := Create("/nowhere/at/all", "shmtest", page); !errors.Is(err, ErrMissing) {
		t.Error("missing folder:", err)
	}
	if err := Unmap(nil); err != nil || Prefault(nil, true) != nil {
		t.Error("nothing to unmap:", err)
	}
	if _, err := FromFile(os.Stdin); err == nil {
		t.Error("stdin became a segment")
	}
	if err := Remove("/etc/passwd"); !errors.Is(err, ErrInvalid) {
		t.Error("remove of a foreign file:", err)
	}
}

func TestFullIsFoundAtCreation(t *testing.T) {
	if _, err := Anonymous("shmtest", 1<<45); !errors.Is(err, ErrFull) {
		t.Fatal("32 TiB of memory:", err)
	}
	dir := t.TempDir()
	if err := unix.Mount("shmtest", dir, "tmpfs", 0, "size=1m"); err != nil {
		t.Skip("cannot mount a small tmpfs here:", err)
	}
	defer unix.Unmount(dir, 0)
	if _, err := Create(dir, "shmtest", 2<<20); !errors.Is(err, ErrFull) || !errors.Is(err, unix.ENOSPC) {
		t.Fatal("2 MiB in a folder of 1:", err)
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 0 {
		t.Fatal("a failed creation left", left, err)
	}
	s, err := Create(dir, "shmtest", 1<<19)
	if err != nil {
		t.Fatal("the space did not come back:", err)
	}
	s.Unlink()
	s.Close()
}

func TestShrunkenFileIsRefused(t *testing.T) {
	path := filepath.Join(t.TempDir(), "f")
	if err := os.WriteFile(path, make([]byte, 4*page), 0o600); err != nil {
		t.Fatal(err)
	}
	s, err := Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := os.Truncate(path, page); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Map(0, 4*page, ReadOnly); !errors.Is(err, ErrInvalid) {
		t.Fatal("mapped beyond the end:", err)
	}
}

func TestFillZero(t *testing.T) {
	f, err := os.Create(filepath.Join(t.TempDir(), "f"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := fillZero(f, 0, 5<<19); err != nil {
		t.Fatal(err)
	}
	if st, _ := f.Stat(); st.Size() != 5<<19 {
		t.Fatal(st.Size())
	}
}

func TestUnlinkedFile(t *testing.T) {
	f, err := unlinkedFile("shmtest", page)
	if err != nil {
		t.Fatal(err)
	}
	s, err := FromFile(f)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	mustMap(t, s, ReadWrite)[0] = 1
}

// What a fresh segment costs, and what a mapping of a warm one costs.
func BenchmarkSegment(b *testing.B) {
	const size = 100 << 20
	b.Run("create", func(b *testing.B) {
		b.SetBytes(size)
		for b.Loop() {
			s, err := Anonymous("shmtest", size)
			if err != nil {
				b.Fatal(err)
			}
			s.Close()
		}
	})
	for name, m := range map[string]Mode{"mapShared": ReadWrite, "mapReadOnly": ReadOnly, "mapPrivate": Private} {
		b.Run(name, func(b *testing.B) {
			s, err := Anonymous("shmtest", size)
			if err != nil {
				b.Fatal(err)
			}
			defer s.Close()
			b.SetBytes(size)
			for b.Loop() {
				m, err := s.Map(0, size, m)
				if err != nil {
					b.Fatal(err)
				}
				if err := Prefault(m, false); err != nil {
					b.Fatal(err)
				}
				Unmap(m)
			}
		})
	}
}
