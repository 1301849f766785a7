package blob

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

var ctx = context.Background()

// open makes a store in checking mode whose spill folder must be empty after its end.
func open(t testing.TB, cfg Config) *Store {
	t.Helper()
	if cfg.Spill == "" {
		cfg.Spill = t.TempDir()
	}
	if cfg.Memory == 0 {
		cfg.Memory = 16 << 20
	}
	cfg.Poison = true
	s, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		check(t, s)
		s.Close()
		check(t, s)
		if st := s.Stats(); st != (Stats{}) && !t.Failed() {
			t.Errorf("after Close there is %+v", st)
		}
		if left, _ := os.ReadDir(cfg.Spill); len(left) > 0 {
			t.Errorf("after Close there is %v", left)
		}
	})
	return s
}

func check(t testing.TB, s *Store) {
	t.Helper()
	if err := s.Check(); err != nil {
		t.Fatal(err)
	}
}

// content is what a blob of that size made with that number must hold, wherever it is read. It
// repeats after a prime number of bytes, so that no page is like another.
func content(seed uint64, size int) []byte {
	b := make([]byte, size)
	x := seed*0x9e3779b97f4a7c15 + 1
	n := min(size, 1021)
	for i := range n {
		x ^= x << 13
		x ^= x >> 7
		x ^= x << 17
		b[i] = byte(x)
	}
	for n < size {
		n += copy(b[n:], b[:n])
	}
	return b
}

func mustPut(t testing.TB, s Space, b []byte) tutti.Ref {
	t.Helper()
	r, err := Put(ctx, s, b)
	if err != nil {
		t.Fatal(err, tutti.HintOf(err))
	}
	return r
}

func mustRead(t testing.TB, s Space, r tutti.Ref, want []byte) {
	t.Helper()
	l, err := s.Open(ctx, r, View)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if !bytes.Equal(l.Bytes(), want) {
		t.Fatalf("blob %v has other bytes than were put", r)
	}
}

func wantKind(t testing.TB, err error, k tutti.Kind) {
	t.Helper()
	if !errors.Is(err, k) {
		t.Fatalf("error is %v, want kind %v", err, k)
	}
}

func TestPutOpenDrop(t *testing.T) {
	s := open(t, Config{Node: 3, Life: 2})
	a := s.As("a")
	for _, size := range []int{0, 1, 4095, 4096, 4097, 1 << 20, 1<<20 + 1, 3 << 20} {
		want := content(uint64(size), size)
		r := mustPut(t, a, want)
		if r.Blob.Node != 3 || r.Blob.Life != 2 || r.Size != int64(size) {
			t.Fatal(r)
		}
		mustRead(t, a, r, want)
		check(t, s)
		a.Drop(r)
		_, err := a.Open(ctx, r, View)
		wantKind(t, err, tutti.NotFound)
		check(t, s)
	}
}

func TestLeaseOutlivesReferences(t *testing.T) {
	s := open(t, Config{})
	a := s.As("a")
	want := content(1, 100000)
	r := mustPut(t, a, want)
	l, err := a.Open(ctx, r, View)
	if err != nil {
		t.Fatal(err)
	}
	view := l.Bytes()
	s.DropHolder("a")
	check(t, s)
	for i := range 50 { // whoever comes now must not get its slot
		mustPut(t, a, content(uint64(i), 100000))
	}
	if !bytes.Equal(view, want) {
		t.Fatal("a leased slot was given away")
	}
	l.Release()
	l.Release()
	if !poisoned(view) {
		t.Fatal("the slot is not free after the last lease")
	}
	check(t, s)
}

func TestPrivateIsPrivate(t *testing.T) {
	s := open(t, Config{})
	a := s.As("a")
	want := content(1, 50000)
	r := mustPut(t, a, want)
	l, err := a.Open(ctx, r, Private)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(l.Bytes(), want) {
		t.Fatal("other bytes")
	}
	clear(l.Bytes())
	mustRead(t, a, r, want)
	l.Release()
	_, err = a.Open(ctx, r, 9)
	wantKind(t, err, tutti.Invalid)
	check(t, s)
}

func TestReferencesByHolder(t *testing.T) {
	s := open(t, Config{})
	a, b := s.As("a"), s.As("b")
	r := mustPut(t, a, content(1, 5000))
	for range 2 {
		if err := b.Hold(ctx, r); err != nil {
			t.Fatal(err)
		}
	}
	a.Drop(r)
	a.Drop(r) // not held: nothing
	b.Drop(r)
	mustRead(t, a, r, content(1, 5000))
	check(t, s)
	s.DropHolder("b")
	s.DropHolder("b")
	wantKind(t, b.Hold(ctx, r), tutti.NotFound)
	if st := s.Stats(); st.Blobs != 0 {
		t.Fatal(st)
	}
	r2 := mustPut(t, a, nil)
	r2.Size = 7
	wantKind(t, b.Hold(ctx, r2), tutti.Invalid)
}

func TestWarmReuse(t *testing.T) {
	s := open(t, Config{})
	a := s.As("a")
	for i := range 20 {
		r := mustPut(t, a, content(uint64(i), 2<<20))
		a.Drop(r)
	}
	if st := s.Stats(); st.Segments != 1 {
		t.Fatalf("twenty blobs one after the other used %d segments", st.Segments)
	}
}

func TestBuilderEnds(t *testing.T) {
	s := open(t, Config{})
	a := s.As("a")
	w, err := a.New(ctx, 10000)
	if err != nil {
		t.Fatal(err)
	}
	check(t, s)
	w.Abort()
	w.Abort()
	_, err = w.Seal(ctx)
	wantKind(t, err, tutti.Invalid)
	_, err = a.New(ctx, -1)
	wantKind(t, err, tutti.Invalid)
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	_, err = a.New(stopped, 10)
	wantKind(t, err, tutti.Canceled)
	check(t, s)
}

func TestSpillAndReadBack(t *testing.T) {
	s := open(t, Config{Memory: 8 << 20})
	a := s.As("a")
	var refs []tutti.Ref
	const n, size = 40, 1 << 20
	for i := range n {
		refs = append(refs, mustPut(t, a, content(uint64(i), size+i)))
		check(t, s)
	}
	st := s.Stats()
	if st.Memory > 8<<20 || st.Spilled < n-8 || st.Spilled == n {
		t.Fatalf("%+v", st)
	}
	for _, e := range must(os.ReadDir(s.cfg.Spill)) {
		if info := must(e.Info()); info.Mode().Perm() != 0o600 {
			t.Fatal(info.Mode())
		}
	}
	mustRead(t, a, refs[n-1], content(n-1, size+n-1)) // the last is in memory still
	for i, r := range refs {
		mustRead(t, a, r, content(uint64(i), size+i))
		check(t, s)
	}
	for _, r := range refs[n/2:] { // room again
		a.Drop(r)
	}
	before := s.Stats().Spilled
	mustRead(t, a, refs[0], content(0, size))
	if after := s.Stats().Spilled; after != before-1 {
		t.Fatalf("not taken back into memory: %d, then %d spilled", before, after)
	}
	if sum := must(s.Sum(ctx, refs[0])); sum.Sum == 0 {
		t.Fatal("no checksum")
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A leased blob is never spilled, and what finds no room is written to disk from the beginning.
func TestLeasesStayInMemory(t *testing.T) {
	s := open(t, Config{Memory: 4 << 20})
	a := s.As("a")
	var leases []*Lease
	for i := range 10 {
		r := mustPut(t, a, content(uint64(i), 1<<20+1))
		leases = append(leases, must(a.Open(ctx, r, View)))
		check(t, s)
	}
	for i, l := range leases {
		if !bytes.Equal(l.Bytes(), content(uint64(i), 1<<20+1)) {
			t.Fatal("lost", i)
		}
		l.Release()
		check(t, s)
	}
	if r := mustPut(t, a, content(1, 20<<20)); s.Stats().Spilled == 0 { // larger than the whole pool
		t.Fatal(r)
	}
}

func TestOpenWhileSpilling(t *testing.T) {
	s := open(t, Config{Memory: 4 << 20})
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			h := s.As(Holder(fmt.Sprint(g)))
			refs := map[int]tutti.Ref{}
			for i := range 30 {
				refs[i] = mustPut(t, h, content(uint64(g*1000+i), 200_000))
				j := (i * 7) % (i + 1)
				l, err := h.Open(ctx, refs[j], Mode(i%2))
				if err != nil {
					t.Error(err)
					return
				}
				if !bytes.Equal(l.Bytes(), content(uint64(g*1000+j), 200_000)) {
					t.Error("other bytes")
				}
				l.Release()
				if err := s.Check(); err != nil {
					t.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
}

// What happens to a blob while it is written to disk.
func TestSpillIsCalledOff(t *testing.T) {
	for name, meanwhile := range map[string]func(s *Store, r tutti.Ref) *Lease{
		"opened":             func(s *Store, r tutti.Ref) *Lease { return must(s.As("b").Open(ctx, r, View)) },
		"dropped":            func(s *Store, r tutti.Ref) *Lease { s.DropHolder("a"); return nil },
		"opened and dropped": func(s *Store, r tutti.Ref) *Lease { defer s.DropHolder("a"); return must(s.As("b").Open(ctx, r, View)) },
		"nothing":            func(s *Store, r tutti.Ref) *Lease { return nil },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{})
			want := content(1, 100_000)
			r := mustPut(t, s.As("a"), want)
			it := s.blobs[r.Blob]
			s.mu.Lock()
			it.spill = true
			s.chill(it)
			s.mu.Unlock()
			f := must(s.write(it.at.slot, r.Size))
			lease := meanwhile(s, r)
			s.mu.Lock()
			s.frozen(it, f, nil)
			s.unlock()
			check(t, s)
			if lease != nil {
				if !bytes.Equal(lease.Bytes(), want) {
					t.Fatal("its bytes went away under a reader")
				}
				lease.Release()
				check(t, s)
			}
			st := s.Stats()
			if spilled := name == "nothing"; (st.Spilled == 1) != spilled || (st.Disk > 0) != spilled {
				t.Fatalf("%+v", st)
			}
			if there := name == "opened" || name == "nothing"; there {
				mustRead(t, s.As("a"), r, want)
			} else if st.Blobs != 0 {
				t.Fatalf("%+v", st)
			}
		})
	}
}

func TestDiskLimit(t *testing.T) {
	s := open(t, Config{Memory: 2 << 20, Disk: 3 << 20})
	a := s.As("a")
	var err error
	var refs []tutti.Ref
	for i := 0; err == nil && i < 20; i++ {
		var r tutti.Ref
		if r, err = Put(ctx, a, content(uint64(i), 1<<20)); err == nil {
			refs = append(refs, r)
		}
		check(t, s)
	}
	wantKind(t, err, tutti.Full)
	if hint := tutti.HintOf(err); !strings.Contains(hint, s.cfg.Spill) || !strings.Contains(hint, "limit 2.0 MiB") || !strings.Contains(hint, "limit 3.0 MiB") {
		t.Fatal("hint:", hint)
	}
	for i, r := range refs {
		mustRead(t, a, r, content(uint64(i), 1<<20))
	}
	a.Drop(refs[0])
	mustPut(t, a, content(99, 1<<20)) // there is room again
}

// smallDisk mounts a file system of so many bytes.
func smallDisk(t *testing.T, bytes int) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "small")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("small", dir, "tmpfs", 0, fmt.Sprint("size=", bytes)); err != nil {
		t.Skip("cannot mount a small file system here:", err)
	}
	t.Cleanup(func() { unix.Unmount(dir, unix.MNT_DETACH) })
	return dir
}

func TestSegmentFolderFullAndMissing(t *testing.T) {
	for name, dir := range map[string]string{"full": smallDisk(t, 2<<20), "missing": "/nowhere/at/all"} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{Dir: dir, Memory: 64 << 20})
			a := s.As("a")
			var refs []tutti.Ref
			for i := range 8 {
				refs = append(refs, mustPut(t, a, content(uint64(i), 1_100_000)))
				check(t, s)
			}
			for i, r := range refs {
				mustRead(t, a, r, content(uint64(i), 1_100_000))
				check(t, s)
			}
			if s.Stats().Spilled < 6 {
				t.Fatalf("%+v", s.Stats())
			}
		})
	}
}

func TestSpillDiskFull(t *testing.T) {
	dir := smallDisk(t, 3<<20)
	s := open(t, Config{Memory: 2 << 20, Spill: dir})
	a := s.As("a")
	var err error
	var refs []tutti.Ref
	for i := 0; err == nil && i < 20; i++ {
		var r tutti.Ref
		if r, err = Put(ctx, a, content(uint64(i), 1<<20)); err == nil {
			refs = append(refs, r)
		}
		check(t, s)
	}
	wantKind(t, err, tutti.Full)
	for i, r := range refs {
		mustRead(t, a, r, content(uint64(i), 1<<20))
	}
	if len(refs) < 4 {
		t.Fatal("only", len(refs), "found room")
	}
}

func TestDamagedSpillFile(t *testing.T) {
	for name, damage := range map[string]func(path string) error{
		"changed":  func(p string) error { return os.WriteFile(p, make([]byte, 1<<20), 0o600) },
		"cut":      func(p string) error { return os.Truncate(p, 1000) },
		"empty":    func(p string) error { return os.Truncate(p, 0) },
		"removed":  os.Remove,
		"replaced": func(p string) error { return errors.Join(os.Remove(p), unix.Mkfifo(p, 0o600)) },
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{Memory: 1 << 20})
			a := s.As("a")
			first := mustPut(t, a, content(1, 1<<20))
			mustPut(t, a, content(2, 1<<20))
			files := must(os.ReadDir(s.cfg.Spill))
			if len(files) != 1 {
				t.Fatal(files)
			}
			if err := damage(filepath.Join(s.cfg.Spill, files[0].Name())); err != nil {
				t.Fatal(err)
			}
			_, err := a.Open(ctx, first, View)
			if !errors.Is(err, tutti.Corrupt) && !errors.Is(err, tutti.NotFound) {
				t.Fatal(err)
			}
			check(t, s)
			a.Drop(first)
		})
	}
}

func TestAfterClose(t *testing.T) {
	s := open(t, Config{Memory: 1 << 20})
	a := s.As("a")
	want := content(1, 1<<20)
	first := mustPut(t, a, want)
	second := mustPut(t, a, content(2, 1<<20)) // spills the first
	inFile, inMemory := must(a.Open(ctx, first, View)), must(a.Open(ctx, second, View))
	w := must(a.New(ctx, 1<<20))
	s.Close()
	_, err := a.Open(ctx, first, View)
	wantKind(t, err, tutti.Closed)
	_, err = a.New(ctx, 1)
	wantKind(t, err, tutti.Closed)
	wantKind(t, a.Hold(ctx, first), tutti.Closed)
	w.Bytes()[0] = 1
	_, err = w.Seal(ctx)
	wantKind(t, err, tutti.Closed)
	if !bytes.Equal(inFile.Bytes(), want) || !bytes.Equal(inMemory.Bytes(), content(2, 1<<20)) {
		t.Fatal("leases did not outlive Close")
	}
	inFile.Release()
	inMemory.Release()
	check(t, s)
}

func TestCleanStaleAtStart(t *testing.T) {
	dir := t.TempDir()
	name := must(shm.NewName(label))
	other := must(shm.NewName("other"))
	// The same names as a process would have given that lived before the machine was started again.
	for _, n := range []string{name, other} {
		f := strings.Split(n, "-")
		f[3] = "00000000"
		if err := os.WriteFile(filepath.Join(dir, strings.Join(f, "-")), []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	if n, err := CleanStale(dir); n != 1 || err != nil {
		t.Fatal(n, err)
	}
	if left := must(os.ReadDir(dir)); len(left) != 1 || !strings.Contains(left[0].Name(), "-other-") {
		t.Fatal(left)
	}
	_, err := Open(Config{Memory: -1})
	wantKind(t, err, tutti.Invalid)
	if _, err := CleanStale(filepath.Join(dir, "none")); err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
}

// Check must see what is wrong.
func TestCheckSees(t *testing.T) {
	for name, spoil := range map[string]func(*Store, *item){
		"a slot given twice":     func(s *Store, it *item) { s.pool.put(it.at.slot) },
		"a lost slot":            func(s *Store, it *item) { delete(s.blobs, it.ref.Blob); s.cold.remove(it); s.holders = nil },
		"a wrong sum":            func(s *Store, it *item) { s.pool.bytes++ },
		"wrong disk":             func(s *Store, it *item) { s.disk-- },
		"a lost holder":          func(s *Store, it *item) { delete(s.holders, "a") },
		"a holder too many":      func(s *Store, it *item) { s.holders["b"] = map[tutti.BlobID]struct{}{it.ref.Blob: {}} },
		"a leased blob is cold":  func(s *Store, it *item) { it.pins++ },
		"a cold blob is unknown": func(s *Store, it *item) { s.cold.remove(it) },
		"a late write": func(s *Store, it *item) {
			g := it.at.slot.seg
			must(g.mem.view(slot{g, g.free[0]}.off(), 1, true))[0] = 1
		},
	} {
		s := must(Open(Config{Memory: 1 << 20, Spill: t.TempDir(), Poison: true}))
		r := mustPut(t, s.As("a"), content(1, 5000))
		check(t, s)
		spoil(s, s.blobs[r.Blob])
		if err := s.Check(); !errors.Is(err, tutti.Internal) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
