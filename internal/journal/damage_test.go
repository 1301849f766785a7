package journal

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// aged is a disk with a journal that has lived: several segments, two snapshots, closed.
func aged(t testing.TB, seed uint64) (*simDisk, *model) {
	t.Helper()
	m := &model{t: t, name: fmt.Sprintf("seed %d", seed)}
	d := newSimDisk(seed)
	rng := rand.New(rand.NewPCG(seed, 4))
	j, err := m.open(d, testConfig)
	if err == nil {
		err = errors.Join(m.live(j, rng), m.batch(j, rng, 20), m.wait(j), m.batch(j, rng, 20), m.wait(j), j.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return d.kill(), m
}

// files lists the disk's files with that suffix, oldest first.
func (d *simDisk) files(suffix string) []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(d.names)) {
		if strings.HasSuffix(name, suffix) {
			names = append(names, name)
		}
	}
	return names
}

func mustScan(t testing.TB, d *simDisk) *Recovery {
	t.Helper()
	r, err := scan(d, "sim", 0)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// A damaged newest snapshot costs nothing: the one before it and the segments behind it are there.
func TestFallBackToOlderSnapshot(t *testing.T) {
	for seed := range uint64(30) {
		d, m := aged(t, seed)
		snaps := d.files(".snap")
		if len(snaps) != 2 {
			t.Fatalf("kept snapshots %v, want two", snaps)
		}
		newest := snaps[1]
		d.names[newest].data[headerSize+20] ^= 1
		r := mustScan(t, d)
		if r.Snapshot != snaps[0] || int(r.Last) != len(m.recs) {
			t.Fatalf("recovered %q to %d of %d; torn %+v", r.Snapshot, r.Last, len(m.recs), r.Torn)
		}
		if len(r.Torn) != 1 || r.Torn[0].File != newest || r.Torn[0].Kept != newest+damaged {
			t.Errorf("reported %+v", r.Torn)
		}
		m.prefix(r)
		j, err := m.open(d, testConfig)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(m.batch(j, d.rng, 2), m.wait(j), m.snapshot(j, j.Last()), j.Close()); err != nil {
			t.Error(err)
		}
		if d.names[newest+damaged] == nil || len(d.files(".snap")) != 2 {
			t.Errorf("files afterwards: %v", d.files(""))
		}
	}
}

// The same with the newest snapshot gone, and its state lost with the segments before it kept.
func TestMissingSnapshot(t *testing.T) {
	d, m := aged(t, 1)
	delete(d.names, d.files(".snap")[1])
	r := mustScan(t, d)
	if m.prefix(r); int(r.Last) != len(m.recs) || len(r.Torn) != 0 {
		t.Errorf("recovered to %d of %d, torn %+v", r.Last, len(m.recs), r.Torn)
	}
}

// A snapshot makes durable what it includes, so that the fallback has no gap.
func TestSnapshotSyncs(t *testing.T) {
	m := &model{t: t}
	d := newSimDisk(1)
	j, err := m.open(d, Config{SyncEvery: time.Hour, RetryEvery: -1})
	if err = errors.Join(err, m.batch(j, d.rng, 5), m.snapshot(j, 5)); err != nil {
		t.Fatal(err)
	}
	d = d.crash(0)
	j.Close()
	delete(d.names, d.files(".snap")[0])
	r := mustScan(t, d)
	if m.prefix(r); r.Last != 5 {
		t.Errorf("recovered to %d without the snapshot", r.Last)
	}
}

// Damage in an older segment: what is before it counts, what is behind it is kept aside, and
// the journal goes on from there.
func TestDamageInTheMiddle(t *testing.T) {
	d, m := aged(t, 2)
	r := mustScan(t, d)
	if len(r.pieces) < 4 {
		t.Fatalf("%d pieces, want a longer life", len(r.pieces))
	}
	hit := r.pieces[1]
	before := len(d.files(".seg"))
	at := hit.end - 10 // in its last record
	d.names[hit.name].data[at] ^= 0x40
	j, got, err := openOn(d, "sim", func() error { return nil }, testConfig)
	if err != nil {
		t.Fatal(err)
	}
	m.prefix(got)
	if got.Last < r.pieces[0].last || got.Last >= hit.last {
		t.Errorf("recovered to %d, damage lies in %d to %d", got.Last, hit.after+1, hit.last)
	}
	lost := false
	for _, torn := range got.Torn {
		lost = lost || torn.Committed
		if torn.Kept != "" && d.names[torn.Kept] == nil {
			t.Errorf("%s was not kept", torn.Kept)
		}
	}
	if !lost || len(d.files(damaged)) < 2 || len(d.files(".seg")) >= before {
		t.Errorf("torn %+v, files %v", got.Torn, d.files(""))
	}
	m.recs = m.recs[:got.Last]
	if err := errors.Join(m.batch(j, d.rng, 5), m.wait(j), j.Close()); err != nil {
		t.Fatal(err)
	}
	r = mustScan(t, d)
	if m.prefix(r); int(r.Last) != len(m.recs) || len(r.Torn) != 0 {
		t.Errorf("afterwards %d of %d records, torn %+v", r.Last, len(m.recs), r.Torn)
	}
}

// A record lost within the newest segment, with later ones behind it, is told apart from the
// ragged end of a crash, and the end is kept.
func TestDamageBeforeTheEnd(t *testing.T) {
	m := &model{t: t}
	d := newSimDisk(1)
	j, err := m.open(d, Config{RetryEvery: -1, SegmentSize: 1 << 20})
	for range 10 {
		err = errors.Join(err, m.batch(j, d.rng, 3), m.wait(j))
	}
	if err = errors.Join(err, j.Close()); err != nil {
		t.Fatal(err)
	}
	r := mustScan(t, d)
	p := r.pieces[len(r.pieces)-1]
	d.names[p.name].data[p.end/2] ^= 1
	j, r, err = openOn(d.kill(), "sim", func() error { return nil }, testConfig)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	m.prefix(r)
	if r.Last == 0 || len(r.Torn) != 1 || !r.Torn[0].Committed || d.names[r.Torn[0].Kept] == nil {
		t.Fatalf("recovered to %d, torn %+v", r.Last, r.Torn)
	}
	if kept := d.names[r.Torn[0].Kept]; int64(len(kept.data)) != r.Torn[0].Bytes {
		t.Errorf("kept %d bytes of %d", len(kept.data), r.Torn[0].Bytes)
	}
}

// Damage in records that the snapshot includes is no loss.
func TestDamageBeforeTheSnapshot(t *testing.T) {
	m := &model{t: t}
	d := newSimDisk(1)
	j, err := m.open(d, Config{RetryEvery: -1, SegmentSize: 1 << 20})
	err = errors.Join(err, m.batch(j, d.rng, 10), m.wait(j), m.snapshot(j, 10), m.batch(j, d.rng, 10), m.wait(j), j.Close())
	if err != nil {
		t.Fatal(err)
	}
	d = d.kill()
	d.names[d.files(".seg")[0]].data[headerSize+frameHeader/2] ^= 1
	r := mustScan(t, d)
	if m.prefix(r); r.From != 10 || r.Last != 20 || len(r.Torn) != 0 {
		t.Errorf("from %d to %d, torn %+v", r.From, r.Last, r.Torn)
	}
}

// Any byte of any file may rot, any file be cut or lost: opening never fails, what comes back
// is a true beginning of what was written, and the journal can be used and opened again.
func TestRot(t *testing.T) {
	for seed := range uint64(200) {
		d, m := aged(t, seed%10)
		rng := rand.New(rand.NewPCG(seed, 5))
		for range 1 + rng.IntN(3) {
			names := d.files("")
			name := names[rng.IntN(len(names))]
			m.name = fmt.Sprintf("seed %d, %s", seed, name)
			f := d.names[name]
			switch at := rng.IntN(len(f.data)); rng.IntN(4) {
			case 0:
				f.data = f.data[:at]
			case 1:
				delete(d.names, name)
			default:
				f.data[at] ^= 1 << rng.IntN(8)
			}
			if len(d.names) == 0 || len(f.data) == 0 {
				break
			}
		}
		j, r, err := openOn(d, "sim", func() error { return nil }, testConfig)
		if err != nil {
			m.fatalf("%v", err)
		}
		m.prefix(r)
		m.recs = m.recs[:r.Last]
		if err := errors.Join(m.batch(j, rng, 5), m.wait(j), j.Close()); err != nil {
			m.fatalf("%v", err)
		}
		r = mustScan(t, d)
		if m.prefix(r); int(r.Last) != len(m.recs) {
			m.fatalf("afterwards %d of %d records, torn %+v", r.Last, len(m.recs), r.Torn)
		}
	}
}

// resum gives a header its right checksum.
func resum(b [headerSize]byte) []byte {
	binary.LittleEndian.PutUint32(b[60:], crc32.Checksum(b[:60], castagnoli))
	return b[:]
}

// A later version's file must not be taken for damage.
func TestLaterVersion(t *testing.T) {
	d, _ := aged(t, 1)
	f := d.names[d.files(".seg")[0]]
	b, _ := header{magic: segmentMagic, ordinal: 1}.encode()
	b[8] = version + 1
	copy(f.data, resum(b))
	if _, err := scan(d, "sim", 0); !errors.Is(err, tutti.Version) || tutti.HintOf(err) == "" {
		t.Errorf("scan of a later version: %v", err)
	}
}

// A reader that asks for what a snapshot has swallowed hears so; a follower gets what is new.
func TestReadAfter(t *testing.T) {
	d, m := aged(t, 3)
	ctx := context.Background()
	if _, err := readOn(ctx, d, "sim", 1); !errors.Is(err, tutti.Expired) {
		t.Errorf("reading after 1: %v, want expired", err)
	}
	after := Pos(len(m.recs) - 25)
	r, err := readOn(ctx, d, "sim", after)
	if err != nil {
		t.Fatal(err)
	}
	n := after
	for rec, err := range r.Records() {
		if n++; err != nil || rec.Pos != n {
			t.Fatalf("record %d, want %d: %v", rec.Pos, n, err)
		}
	}
	if int(n) != len(m.recs) || r.Snapshot != "" {
		t.Errorf("read to %d of %d, snapshot %q", n, len(m.recs), r.Snapshot)
	}
	if _, err := r.ReadSnapshot(); !errors.Is(err, tutti.NotFound) {
		t.Errorf("its snapshot: %v", err)
	}
	for range r.Records() {
		break // leaving early is allowed
	}
	d.set(func(d *simDisk) { clear(d.names) })
	for _, err := range r.Records() {
		if !errors.Is(err, tutti.Expired) {
			t.Errorf("records of deleted files: %v", err)
		}
	}
}

// Reading while the writer works and deletes sees a true beginning each time.
func TestReadWhileWriting(t *testing.T) {
	d := newSimDisk(1)
	m := &model{t: t}
	j, err := m.open(d, testConfig)
	if err != nil {
		t.Fatal(err)
	}
	stop := make(chan struct{})
	read := make(chan error, 1)
	go func() {
		read <- func() error {
			for last := Pos(0); ; {
				select {
				case <-stop:
					return nil
				default:
				}
				r, err := readOn(context.Background(), d, "sim", 0)
				if err != nil {
					return err
				}
				if r.Last < last {
					return fmt.Errorf("read to %d, then to %d: %+v", last, r.Last, r.Torn)
				}
				last = r.Last
			}
		}()
	}()
	for range 30 {
		if err := errors.Join(m.batch(j, d.rng, 5), m.wait(j), m.snapshot(j, j.Last())); err != nil {
			t.Error(err)
		}
	}
	close(stop)
	if err := <-read; err != nil {
		t.Error(err)
	}
	j.Close()
}

// Bytes made to look like long frames within each other are not searched without end.
func TestPatience(t *testing.T) {
	b := make([]byte, 1<<20)
	for at := 0; at+frameHeader < len(b); at += frameHeader {
		binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-frameHeader))
		binary.LittleEndian.PutUint64(b[at+8:], 7)
	}
	patience := patienceFor(len(b))
	if _, _, ok := find(b, 0, 1, 5, endless, &patience); ok || patience > 0 {
		t.Errorf("found %v with patience %d left", ok, patience)
	}
	if -patience > len(b) {
		t.Errorf("patience overdrawn by %d", -patience)
	}
}

// FuzzSegment: whatever a segment file holds, reading it gives the records that were written,
// from the first on, or fewer.
func FuzzSegment(f *testing.F) {
	d, m := aged(f, 1)
	name := d.files(".seg")[0]
	first := mustScan(f, d).segments[0].pos
	whole := d.names[name].data
	f.Add(whole, uint32(0), byte(0))
	f.Add(whole[:len(whole)/2], uint32(100), byte(1))
	f.Add([]byte(segmentMagic), uint32(0), byte(0))
	f.Fuzz(func(t *testing.T, b []byte, at uint32, flip byte) {
		mine := bytes.HasPrefix(whole, b)
		b = slices.Clone(b)
		if len(b) > 0 {
			b[int(at)%len(b)] ^= flip
		}
		d := newSimDisk(1)
		d.names[name] = &simFile{data: b}
		r, err := scan(d, "sim", first-1)
		if errors.Is(err, tutti.Version) || errors.Is(err, tutti.Expired) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		for rec, err := range r.Records() {
			if err != nil || int(rec.Pos) > len(m.recs) {
				t.Fatalf("record %d: %v", rec.Pos, err)
			}
			if mine && !bytes.Equal(rec.Data, m.recs[rec.Pos-1].Data) {
				t.Fatalf("record %d has changed", rec.Pos)
			}
		}
		if err := r.repair(); err != nil {
			t.Fatal(err)
		}
	})
}

// FuzzSnapshot: reading any bytes as a snapshot ends, with at most as many bytes as the file has.
func FuzzSnapshot(f *testing.F) {
	d, _ := aged(f, 1)
	whole := d.names[d.files(".snap")[0]].data
	f.Add(whole)
	f.Add(whole[:len(whole)-3])
	f.Fuzz(func(t *testing.T, b []byte) {
		d := newSimDisk(1)
		d.names["s"] = &simFile{data: b}
		_, seed, err := decodeHeader(b, snapshotMagic)
		if err != nil {
			return
		}
		h, _ := d.Open("s", false)
		r, _ := newSnapshotReader(h, seed)
		n, err := io.Copy(io.Discard, r)
		if n > int64(len(b)) {
			t.Errorf("%d bytes from %d: %v", n, len(b), err)
		}
		if size, err2 := verifySnapshot(d, found{name: "s", seed: seed}); (err == nil) != (err2 == nil) || size != int64(len(b)) {
			t.Errorf("verify: %d, %v; read: %v", size, err2, err)
		}
	})
}
