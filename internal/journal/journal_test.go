package journal

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-hpc/tutti"
)

func openSim(t *testing.T, d *simDisk, cfg Config) *Journal {
	t.Helper()
	j, _, err := openOn(d, "sim", func() error { return nil }, cfg)
	if err != nil {
		t.Fatal(err)
	}
	return j
}

func mustAppend(t *testing.T, j *Journal, n int) Pos {
	t.Helper()
	pos := Pos(0)
	for range n {
		var err error
		if pos, err = j.Append(1, make([]byte, 100)); err != nil {
			t.Fatal(err)
		}
	}
	return pos
}

// A full disk: records are refused with a reason, what waits is kept, and when there is room
// again all goes on by itself.
func TestFullDisk(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSimDisk(1)
		d.noAlloc = true
		j := openSim(t, d, Config{SegmentSize: 4 << 10})
		ctx := context.Background()
		first := mustAppend(t, j, 3)
		if err := j.WaitCommitted(ctx, first); err != nil {
			t.Fatal(err)
		}
		d.set(func(d *simDisk) { d.room = d.used() + 150 })
		second := mustAppend(t, j, 3)
		err := j.WaitCommitted(ctx, second)
		if !errors.Is(err, tutti.Full) || tutti.HintOf(err) == "" {
			t.Fatalf("waiting on a full disk: %v", err)
		}
		if ok, err := j.Committed(first); !ok || err != nil {
			t.Errorf("what was committed before: %v, %v", ok, err)
		}
		if ok, err := j.Committed(second); ok || !errors.Is(err, tutti.Full) {
			t.Errorf("what was not: %v, %v", ok, err)
		}
		if _, err := j.Append(1, nil); !errors.Is(err, tutti.Full) {
			t.Errorf("append to a full disk: %v", err)
		}
		if err := j.Snapshot(ctx, second, func(io.Writer) error { return nil }); !errors.Is(err, tutti.Full) {
			t.Errorf("snapshot on a full disk: %v", err)
		}
		if n := len(d.files(".seg")); n != 1 { // every attempt makes one, and takes it away again
			t.Errorf("%d segments on a full disk", n)
		}
		if p := <-j.Progress(); p.Committed != first || !errors.Is(p.Err, tutti.Full) {
			t.Errorf("progress %+v", p)
		}
		d.set(func(d *simDisk) { d.room = -1 })
		if p := <-j.Progress(); p.Committed != second || p.Err != nil { // virtual time: after RetryEvery
			t.Errorf("progress with room again: %+v", p)
		}
		last := mustAppend(t, j, 1)
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
		if r := mustScan(t, d.crash(0)); r.Last != last || last != 7 {
			t.Errorf("recovered to %d of %d, torn %+v", r.Last, last, r.Torn)
		}
	})
}

// A disk that is full when the journal is opened.
func TestOpenOnFullDisk(t *testing.T) {
	d := newSimDisk(1)
	j := openSim(t, d, testConfig)
	last := mustAppend(t, j, 5)
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	d = d.kill()
	d.room = d.used()
	j, r, err := openOn(d, "sim", func() error { return nil }, testConfig)
	if err != nil {
		t.Fatal(err)
	}
	if r.Last != last {
		t.Errorf("recovered to %d of %d", r.Last, last)
	}
	if _, err := j.Append(1, nil); !errors.Is(err, tutti.Full) {
		t.Errorf("append: %v", err)
	}
	d.set(func(d *simDisk) { d.room = -1 })
	if err := j.Sync(context.Background()); err != nil {
		t.Error(err)
	}
	mustAppend(t, j, 1)
	if err := j.Close(); err != nil {
		t.Error(err)
	}
}

// Errors of the disk have kinds that tell a person what to do.
func TestKinds(t *testing.T) {
	for _, c := range []struct {
		err  error
		kind tutti.Kind
		hint bool
	}{
		{syscall.ENOSPC, tutti.Full, true},
		{syscall.EDQUOT, tutti.Full, true},
		{syscall.EIO, tutti.Other, true},
		{syscall.ESTALE, tutti.Other, true},
		{syscall.EACCES, tutti.Denied, true},
		{syscall.EROFS, tutti.Denied, true},
		{syscall.ENOENT, tutti.NotFound, false},
		{context.Canceled, tutti.Canceled, false},
	} {
		d := newSimDisk(1)
		j := openSim(t, d, testConfig)
		d.set(func(d *simDisk) { d.fault = c.err })
		err := j.WaitCommitted(context.Background(), mustAppend(t, j, 1))
		if tutti.KindOf(err) != c.kind || (tutti.HintOf(err) != "") != c.hint {
			t.Errorf("%v gives kind %v, hint %q", c.err, tutti.KindOf(err), tutti.HintOf(err))
		}
		if err := j.Close(); tutti.KindOf(err) != c.kind {
			t.Errorf("closing with records lost: %v", err)
		}
		if c.kind == tutti.Full || c.kind == tutti.Denied {
			if _, _, err := openOn(faultyList{d, c.err}, "sim", func() error { return nil }, testConfig); tutti.KindOf(err) != c.kind {
				t.Errorf("opening: %v", err)
			}
		}
	}
}

type faultyList struct {
	disk
	err error
}

func (d faultyList) List() ([]string, error) { return nil, d.err }

// After a failed fsync the page cache may lie: the records go into a fresh segment.
func TestFailedSync(t *testing.T) {
	d := newSimDisk(1)
	j := openSim(t, d, testConfig)
	ctx := context.Background()
	if err := j.WaitCommitted(ctx, mustAppend(t, j, 2)); err != nil {
		t.Fatal(err)
	}
	segments := len(d.files(".seg"))
	d.set(func(d *simDisk) { d.badSync = 1 })
	last := mustAppend(t, j, 2)
	if err := j.WaitCommitted(ctx, last); err == nil {
		t.Fatal("a failed fsync was taken for a commit")
	}
	if err := j.Sync(ctx); err != nil {
		t.Fatal(err)
	}
	if n := len(d.files(".seg")); n != segments+1 {
		t.Errorf("%d segments, before the failure %d", n, segments)
	}
	j.Close()
	if r := mustScan(t, d.crash(0)); r.Last != last {
		t.Errorf("recovered to %d of %d", r.Last, last)
	}
}

// slowDisk holds every sync of a file back until it is let go.
type slowDisk struct {
	*simDisk
	syncing, release chan struct{}
}

type slowFile struct {
	file
	d slowDisk
}

func (d slowDisk) Create(name string) (file, error) {
	f, err := d.simDisk.Create(name)
	return slowFile{f, d}, err
}

func (f slowFile) Sync() error {
	f.d.syncing <- struct{}{}
	<-f.d.release
	return f.file.Sync()
}

// slow opens a journal whose disk is slow once the journal is open.
func slow(t *testing.T, cfg Config) (*Journal, slowDisk) {
	d := slowDisk{newSimDisk(1), make(chan struct{}), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for range 2 { // records and header of the first segment
			<-d.syncing
			d.release <- struct{}{}
		}
	}()
	j, _, err := openOn(d, "sim", func() error { return nil }, cfg)
	if err != nil {
		t.Fatal(err)
	}
	<-done
	return j, d
}

// While the disk syncs, Append goes on, and all that comes shares the next sync.
func TestGroupCommit(t *testing.T) {
	j, d := slow(t, Config{RetryEvery: -1, MaxPending: 64 << 10})
	first := mustAppend(t, j, 1)
	<-d.syncing
	last := mustAppend(t, j, 500)
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	err := j.WaitCommitted(ctx, last)
	if !errors.Is(err, tutti.Canceled) {
		t.Errorf("waiting with a canceled context: %v", err)
	}
	if err := j.Sync(ctx); !errors.Is(err, tutti.Canceled) {
		t.Errorf("syncing with a canceled context: %v", err)
	}
	if _, err := j.Append(1, make([]byte, 64<<10)); !errors.Is(err, tutti.Full) || tutti.HintOf(err) == "" {
		t.Errorf("beyond MaxPending: %v", err)
	}
	d.release <- struct{}{}
	if p := <-j.Progress(); p.Committed != first {
		t.Errorf("progress %+v, want %d", p, first)
	}
	<-d.syncing
	d.release <- struct{}{}
	if p := <-j.Progress(); p.Committed != last {
		t.Errorf("progress %+v, want %d after one more sync", p, last)
	}
	if err := j.Close(); err != nil {
		t.Error(err)
	}
	if p, ok := <-j.Progress(); ok {
		t.Errorf("progress after close: %+v", p)
	}
}

// With SyncEvery records count when they are written, and the disk is synced that often.
func TestSyncEvery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newSimDisk(1)
		j := openSim(t, d, Config{SyncEvery: time.Second})
		last := mustAppend(t, j, 3)
		if err := j.WaitCommitted(context.Background(), last); err != nil {
			t.Fatal(err)
		}
		durable := func() Pos {
			d.mu.Lock()
			defer d.mu.Unlock()
			return mustScan(t, d.image(0)).Last
		}
		if got := durable(); got != 0 {
			t.Errorf("%d records durable at once", got)
		}
		time.Sleep(1100 * time.Millisecond) // virtual
		synctest.Wait()
		if got := durable(); got != last {
			t.Errorf("%d of %d records durable after the interval", got, last)
		}
		j.Close()
	})
}

// What cannot be right is refused, and a closed journal says so.
func TestRefusals(t *testing.T) {
	d := newSimDisk(1)
	j := openSim(t, d, testConfig)
	ctx := context.Background()
	none := func(io.Writer) error { return nil }
	if err := j.WaitCommitted(ctx, 1); !errors.Is(err, tutti.Invalid) {
		t.Errorf("waiting for what was never appended: %v", err)
	}
	if err := j.Snapshot(ctx, 1, none); !errors.Is(err, tutti.Invalid) {
		t.Errorf("snapshot of the future: %v", err)
	}
	pos := mustAppend(t, j, 3)
	mine := errors.New("mine")
	if err := j.Snapshot(ctx, pos, func(w io.Writer) error { w.Write(make([]byte, 100)); return mine }); err != mine {
		t.Errorf("snapshot that fails by itself: %v", err)
	}
	canceled, cancel := context.WithCancel(ctx)
	err := j.Snapshot(canceled, pos, func(w io.Writer) error { cancel(); _, err := w.Write(make([]byte, 2*chunkSize)); return err })
	if !errors.Is(err, tutti.Canceled) {
		t.Errorf("canceled snapshot: %v", err)
	}
	if err := j.Snapshot(ctx, pos, none); err != nil {
		t.Error(err)
	}
	if err := j.Snapshot(ctx, pos-1, none); !errors.Is(err, tutti.Invalid) {
		t.Errorf("snapshot of the past: %v", err)
	}
	if n := len(d.files(unfinished)); n != 0 {
		t.Errorf("%d unfinished snapshots left", n)
	}
	if err := errors.Join(j.Close(), j.Close()); err != nil {
		t.Error(err)
	}
	if _, err := j.Append(1, nil); !errors.Is(err, tutti.Closed) {
		t.Errorf("append after close: %v", err)
	}
	if err := j.Sync(ctx); !errors.Is(err, tutti.Closed) {
		t.Errorf("sync after close: %v", err)
	}
	if err := j.Snapshot(ctx, pos, none); !errors.Is(err, tutti.Closed) {
		t.Errorf("snapshot after close: %v", err)
	}
}

// A snapshot of several chunks, of exactly one, and of nothing come back as they were given.
func TestSnapshotSizes(t *testing.T) {
	j, _, err := Open(t.TempDir(), Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	for _, size := range []int{0, 1, chunkSize, chunkSize + 1, 3*chunkSize + 17} {
		want := bytes.Repeat([]byte("tutti"), size/5+1)[:size]
		err := j.Snapshot(context.Background(), mustAppend(t, j, 1), func(w io.Writer) error {
			_, err := io.Copy(w, bytes.NewReader(want))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		r, err := Read(context.Background(), j.dir, 0)
		if err != nil {
			t.Fatal(err)
		}
		s, err := r.ReadSnapshot()
		if err != nil {
			t.Fatal(err)
		}
		got, err := io.ReadAll(s)
		if s.Close(); err != nil || !bytes.Equal(got, want) || r.From != j.Last() {
			t.Errorf("%d bytes came back as %d at %d: %v", size, len(got), r.From, err)
		}
	}
}

// On a real disk: modes, the room given back, and everything back after a second opening.
func TestRealDisk(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "journal")
	j, _, err := Open(dir, Config{SegmentSize: 8 << 10})
	if err != nil {
		t.Fatal(err)
	}
	if err := j.WaitCommitted(context.Background(), mustAppend(t, j, 200)); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		mode os.FileMode
	}{{"", os.ModeDir | 0o700}, {leaseName, 0o600}, {"000000000001.seg", 0o600}} {
		st, err := os.Stat(filepath.Join(dir, c.name))
		if err != nil || st.Mode() != c.mode {
			t.Errorf("%q has mode %v, want %v (%v)", c.name, st.Mode(), c.mode, err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(dir, leaseName)); err == nil {
		t.Error("the lease was not given back")
	}
	j, r, err := Open(dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	n := 0
	for rec, err := range r.Records() {
		if n++; err != nil || rec.Pos != Pos(n) || len(rec.Data) != 100 {
			t.Fatalf("record %d: %+v, %v", n, rec, err)
		}
	}
	if n != 200 || len(r.Torn) != 0 {
		t.Errorf("%d records, torn %+v", n, r.Torn)
	}
	if _, err := Read(context.Background(), filepath.Join(dir, "none"), 0); !errors.Is(err, tutti.NotFound) {
		t.Errorf("reading nothing: %v", err)
	}
}

// A folder that may not be read is Denied, with a hint; as root every folder may.
func TestDenied(t *testing.T) {
	if os.Geteuid() == 0 {
		t.Skip("root may read everything")
	}
	dir := t.TempDir()
	if err := os.Chmod(dir, 0); err != nil {
		t.Fatal(err)
	}
	defer os.Chmod(dir, 0o700)
	if _, _, err := Open(dir, Config{}); !errors.Is(err, tutti.Denied) || tutti.HintOf(err) == "" {
		t.Errorf("open: %v", err)
	}
	if _, err := Read(context.Background(), dir, 0); !errors.Is(err, tutti.Denied) {
		t.Errorf("read: %v", err)
	}
}
