package journal

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// model is what a journal ought to hold: every record ever appended, and how many of them it
// has promised to keep.
type model struct {
	t         testing.TB
	name      string // of the case, for failures
	recs      []Record
	committed Pos
	torn      int  // places cut off, over all recoveries
	weak      bool // commits promise nothing, syncs do
}

func (m *model) fatalf(format string, args ...any) {
	m.t.Helper()
	m.t.Fatalf("%s: %s", m.name, fmt.Sprintf(format, args...))
}

// state is what a snapshot at pos must say.
func (m *model) state(pos Pos) []byte {
	sum := uint32(0)
	for _, r := range m.recs[:pos] {
		sum = crc32.Update(sum, castagnoli, r.Data)
	}
	return bytes.Repeat(fmt.Appendf(nil, "%d:%d ", pos, sum), 1+int(pos%7)*20)
}

func (m *model) snapshot(j *Journal, pos Pos) error {
	return j.Snapshot(context.Background(), pos, func(w io.Writer) error {
		_, err := w.Write(m.state(pos))
		return err
	})
}

// batch appends n records that the commit goroutine gets at once, so that the same seed gives
// the same writes. It returns the first error.
func (m *model) batch(j *Journal, rng *rand.Rand, n int) error {
	j.mu.Lock()
	defer j.nudge()
	defer j.mu.Unlock()
	for range n {
		size := rng.IntN(300)
		switch rng.IntN(12) {
		case 0:
			size = rng.IntN(3) * 2500 // longer than a segment
		case 1:
			size = 0
		}
		rec := Record{Type: uint16(rng.Uint32()), Data: make([]byte, size)}
		for i := range rec.Data {
			rec.Data[i] = byte(rng.Uint32())
		}
		pos, err := j.append(rec.Type, rec.Data)
		if err != nil {
			return err
		}
		if rec.Pos = pos; int(pos) != len(m.recs)+1 {
			m.fatalf("record %d got position %d", len(m.recs)+1, pos)
		}
		m.recs = append(m.recs, rec)
	}
	return nil
}

// wait waits for everything appended, and notes what is promised.
func (m *model) wait(j *Journal) error {
	err := j.WaitCommitted(context.Background(), Pos(len(m.recs)))
	m.note(j)
	return err
}

func (m *model) note(j *Journal) {
	if m.weak {
		return
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	m.committed = max(m.committed, j.committed)
}

// sync makes a promise of everything appended.
func (m *model) sync(j *Journal) error {
	err := j.Sync(context.Background())
	if err == nil {
		m.committed = Pos(len(m.recs))
	}
	return err
}

// recovered checks a recovery against the promises, and goes on from it.
func (m *model) recovered(r *Recovery) {
	m.t.Helper()
	if r.Last < m.committed {
		m.fatalf("record %d was committed, only %d came back; torn %+v", m.committed, r.Last, r.Torn)
	}
	for _, torn := range r.Torn {
		m.torn++
		if torn.Committed {
			m.fatalf("a crash is taken for lost records: %+v", torn)
		}
	}
	m.prefix(r)
	m.recs = m.recs[:r.Last]
	m.committed = min(m.committed, r.Last)
}

// prefix checks that the journal holds the first r.Last records as they were appended.
func (m *model) prefix(r *Recovery) {
	m.t.Helper()
	if int(r.Last) > len(m.recs) {
		m.fatalf("%d records came back, %d were appended", r.Last, len(m.recs))
	}
	if r.Snapshot != "" {
		s, err := r.ReadSnapshot()
		if err != nil {
			m.fatalf("%v", err)
		}
		b, err := io.ReadAll(s)
		s.Close()
		if err != nil || !bytes.Equal(b, m.state(r.From)) {
			m.fatalf("the snapshot at %d reads %.40q, want %.40q (%v)", r.From, b, m.state(r.From), err)
		}
	} else if r.From != 0 {
		m.fatalf("records begin at %d without a snapshot", r.From)
	}
	next := r.From + 1
	for rec, err := range r.Records() {
		if err != nil {
			m.fatalf("%v", err)
		}
		want := m.recs[next-1]
		if rec.Pos != next || rec.Type != want.Type || !bytes.Equal(rec.Data, want.Data) {
			m.fatalf("record %d came back as %d, type %d not %d, %d bytes not %d", next, rec.Pos, rec.Type, want.Type, len(rec.Data), len(want.Data))
		}
		next++
	}
	if next != r.Last+1 {
		m.fatalf("records end at %d, should at %d", next-1, r.Last)
	}
}

var testConfig = Config{SegmentSize: 4 << 10, RetryEvery: -1}

// open opens a journal on a simulated disk; what a recovery finds goes to the model.
func (m *model) open(d *simDisk, cfg Config) (*Journal, error) {
	j, r, err := openOn(d, "sim", func() error { return nil }, cfg)
	if err != nil {
		return nil, err
	}
	if d.crashed() { // then r can read nothing, and nobody has looked at it
		m.note(j)
		j.Close()
		return nil, errCrashed
	}
	m.recovered(r)
	m.note(j)
	return j, nil
}

// steps is a life with everything in it: several segments, three snapshots, a close and an opening.
func (m *model) steps(d *simDisk, seed uint64) error {
	rng := rand.New(rand.NewPCG(seed, 2))
	for range 2 {
		j, err := m.open(d, testConfig)
		if err != nil {
			return err
		}
		err = m.live(j, rng)
		m.note(j)
		if e := j.Close(); err == nil {
			err = e
		}
		m.note(j)
		if err != nil {
			return err
		}
	}
	return nil
}

func (m *model) live(j *Journal, rng *rand.Rand) error {
	for range 2 {
		for range 3 {
			if err := errors.Join(m.batch(j, rng, 1+rng.IntN(8)), m.wait(j)); err != nil {
				return err
			}
		}
		if err := m.snapshot(j, Pos(len(m.recs)-rng.IntN(3))); err != nil {
			return err
		}
	}
	return nil
}

// A crash at every single boundary, with nothing, some or all of the unsynced bytes surviving;
// then a crash in the recovery too.
func TestCrashEverywhere(t *testing.T) {
	torn, cases := 0, 0
	for seed := range uint64(3) {
		for _, keep := range []float64{0, 0.5, 0.95} {
			for at := 1; ; at++ {
				m := &model{t: t, name: fmt.Sprintf("seed %d, crash at %d, keep %v", seed, at, keep)}
				d := newSimDisk(seed)
				d.noAlloc = seed%2 == 1
				d.crashAt = at
				err := m.steps(d, seed)
				if err == nil {
					break
				}
				if !errors.Is(err, errCrashed) {
					m.fatalf("%v", err)
				}
				d = d.crash(keep)
				d.crashAt = 1 + at%5
				if j, err := m.open(d, testConfig); err == nil {
					j.Close()
				}
				d = d.crash(keep)
				j, err := m.open(d, testConfig)
				if err != nil {
					m.fatalf("%v", err)
				}
				if err := errors.Join(m.batch(j, d.rng, 3), m.wait(j), m.snapshot(j, j.Last()), j.Close()); err != nil {
					m.fatalf("%v", err)
				}
				j, err = m.open(d.crash(keep), testConfig)
				if err != nil {
					m.fatalf("%v", err)
				}
				j.Close()
				torn += m.torn
				cases++
			}
		}
	}
	if torn == 0 {
		t.Error("no crash ever tore a record: the test tests nothing")
	}
	t.Logf("%d crashes, %d torn places", cases, torn)
}

// Random walks through every misfortune at once.
func TestRandomWalks(t *testing.T) {
	walks := uint64(300)
	if testing.Short() {
		walks = 50
	}
	for seed := range walks {
		walk(t, seed)
	}
}

func walk(t *testing.T, seed uint64) {
	rng := rand.New(rand.NewPCG(seed, 3))
	m := &model{t: t, name: fmt.Sprintf("walk %d", seed)}
	d := newSimDisk(seed)
	d.noAlloc = rng.IntN(2) == 0
	cfg := testConfig
	if m.weak = rng.IntN(4) == 0; m.weak {
		cfg.SyncEvery = time.Hour
	}
	j, err := m.open(d, cfg)
	if err != nil {
		m.fatalf("%v", err)
	}
	for range 40 {
		switch rng.IntN(12) {
		case 0:
			d.set(func(d *simDisk) { d.room = rng.IntN(6000) + d.used() })
		case 1:
			d.set(func(d *simDisk) { d.badSync = 1 + rng.IntN(2) })
		case 2:
			d.set(func(d *simDisk) { d.crashAt = d.ops + 1 + rng.IntN(12) })
		case 3:
			if err := m.snapshot(j, j.Last()); err != nil && !misfortune(err) {
				m.fatalf("snapshot: %v", err)
			}
			m.note(j)
		case 4:
			d.set(func(d *simDisk) { d.room, d.badSync = -1, 0 })
			if err := m.sync(j); err != nil && !misfortune(err) {
				m.fatalf("sync after the trouble: %v", err)
			}
			m.note(j)
		case 5:
			j, d = m.restart(j, d, cfg, rng)
		default:
			if err := m.batch(j, rng, 1+rng.IntN(10)); err != nil && !misfortune(err) {
				m.fatalf("append: %v", err)
			}
			if err := m.wait(j); err != nil && !misfortune(err) {
				m.fatalf("wait: %v", err)
			}
		}
	}
	j.Close()
	m.note(j)
	d = d.crash(0.5)
	if j, err = m.open(d, testConfig); err != nil {
		m.fatalf("%v", err)
	}
	j.Close()
}

// misfortune is an error that the walk itself has caused.
func misfortune(err error) bool {
	return errors.Is(err, tutti.Full) || errors.Is(err, errCrashed) || tutti.KindOf(err) == tutti.Other
}

// restart ends the process in one of three ways and opens the journal again, until that works.
func (m *model) restart(j *Journal, d *simDisk, cfg Config, rng *rand.Rand) (*Journal, *simDisk) {
	m.t.Helper()
	how := rng.IntN(3)
	if how == 0 {
		j.Close()
		m.note(j)
		d = d.kill()
	}
	for range 20 {
		if how == 1 {
			d = d.kill()
		} else {
			d = d.crash(rng.Float64())
		}
		if j != nil {
			m.note(j)
			j.Close()
			j = nil
		}
		if rng.IntN(3) == 0 {
			d.crashAt = 1 + rng.IntN(6)
		}
		j, err := m.open(d, cfg)
		if err == nil {
			return j, d
		}
		if !errors.Is(err, errCrashed) {
			m.fatalf("open: %v", err)
		}
	}
	m.fatalf("twenty crashes in a row")
	return nil, nil
}
