package journal

import (
	"context"
	"io"
	"sync"
	"testing"
)

// nullDisk takes everything and keeps nothing: what remains is the journal's own cost.
type nullDisk struct{ *simDisk }

type nullFile struct{ file }

func (d nullDisk) Create(name string) (file, error) {
	f, err := d.simDisk.Create(name)
	return nullFile{f}, err
}

func (nullFile) WriteAt(p []byte, _ int64) (int, error) { return len(p), nil }
func (nullFile) Allocate(int64) error                   { return nil }
func (nullFile) Truncate(int64) error                   { return nil }
func (nullFile) Sync() error                            { return nil }

// Append of 200 bytes, with checksums and all, on a disk that costs nothing.
func BenchmarkAppend(b *testing.B) {
	j, _, err := openOn(nullDisk{newSimDisk(1)}, "null", func() error { return nil }, Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	benchAppend(b, j)
}

// The same on the disk of the temporary folder, with one wait for all.
func BenchmarkAppendDisk(b *testing.B) {
	j, _, err := Open(b.TempDir(), Config{MaxPending: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	benchAppend(b, j)
}

func benchAppend(b *testing.B, j *Journal) {
	data := make([]byte, 200)
	b.SetBytes(200)
	b.ReportAllocs()
	pos := Pos(0)
	for b.Loop() {
		for {
			p, err := j.Append(1, data)
			if err == nil {
				pos = p
				break
			}
			if err := j.Sync(context.Background()); err != nil { // too far ahead of the disk
				b.Fatal(err)
			}
		}
	}
	if err := j.WaitCommitted(context.Background(), pos); err != nil {
		b.Fatal(err)
	}
}

// One writer that waits for each record: the latency of a commit.
func BenchmarkCommit(b *testing.B) { benchCommit(b, 1) }

// Many writers that wait for each of their records share the syncs.
func BenchmarkCommit64(b *testing.B)  { benchCommit(b, 64) }
func BenchmarkCommit512(b *testing.B) { benchCommit(b, 512) }

func benchCommit(b *testing.B, writers int) {
	j, _, err := Open(b.TempDir(), Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	data := make([]byte, 200)
	var wg sync.WaitGroup
	b.ResetTimer()
	for w := range writers {
		wg.Go(func() {
			for i := w; i < b.N; i += writers {
				pos, err := j.Append(1, data)
				if err == nil {
					err = j.WaitCommitted(context.Background(), pos)
				}
				if err != nil {
					b.Error(err)
				}
			}
		})
	}
	wg.Wait()
}

// Opening and replaying a million records.
func BenchmarkReplay(b *testing.B) {
	const n = 1_000_000
	dir := b.TempDir()
	j, _, err := Open(dir, Config{MaxPending: 1 << 30})
	if err != nil {
		b.Fatal(err)
	}
	for range n {
		if _, err := j.Append(1, make([]byte, 200)); err != nil {
			b.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		r, err := Read(context.Background(), dir, 0)
		if err != nil {
			b.Fatal(err)
		}
		k := 0
		for _, err := range r.Records() {
			if k++; err != nil {
				b.Fatal(err)
			}
		}
		if k != n {
			b.Fatalf("%d records", k)
		}
	}
	b.ReportMetric(n*float64(b.N)/b.Elapsed().Seconds(), "records/s")
}

// A snapshot of 64 MiB.
func BenchmarkSnapshot(b *testing.B) {
	j, _, err := Open(b.TempDir(), Config{})
	if err != nil {
		b.Fatal(err)
	}
	defer j.Close()
	state := make([]byte, 64<<20)
	b.SetBytes(64 << 20)
	for b.Loop() {
		if err := j.Snapshot(context.Background(), 0, func(w io.Writer) error { _, err := w.Write(state); return err }); err != nil {
			b.Fatal(err)
		}
	}
}
