package journal

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"iter"

	"github.com/tutti-hpc/tutti"
)

// Recovery is what the files of a journal say: a snapshot, the records after it, and what does
// not count. It is read-only and reads the files again when asked for snapshot or records,
// which therefore must come before the next call of [Journal.Snapshot].
type Recovery struct {
	ID       ID
	Snapshot string // file name of the newest good snapshot, "" if there is none
	From     Pos    // the last record it includes, 0 if there is none
	Last     Pos    // the last good record
	Torn     []Torn // what was cut off or set aside

	dir       string
	disk      disk
	state     found      // the snapshot
	pieces    []piece    // the good records, in order
	litter    []string   // files that never came to count
	segments  []segment  // all that may be deleted when a snapshot has made them superfluous
	snapshots []snapshot // up to the chosen one
	next      uint64     // ordinal that no file has
}

// Torn is one place where a file of the journal stopped making sense.
type Torn struct {
	File   string
	Offset int64  // where, 0 if the whole file
	Bytes  int64  // how much, without zeros at the end
	Reason string // for a person
	// Kept names the file in the same folder where Open put the bytes for inspection, "" if
	// they are just the ragged end that a crash leaves, or could not be copied (then they
	// still lie where they were, and do not count).
	Kept string
	// Committed says that records are lost which had been committed: a fault of the disk, or
	// somebody's hand. A crash never causes it.
	Committed bool

	unkept bool // a copy was wanted and could not be made
}

const damaged = ".damaged"

// piece is a stretch of good records in one segment: after+1 to last.
type piece struct {
	found
	after, last Pos
	clean       Pos // of the last frame that proves all before it durable, 0 if there is none
	end         int // offset behind the last record
}

// ReadSnapshot opens the snapshot's state for reading; its bytes are verified once more on the
// way. Kinds: NotFound (there is none), Corrupt, Expired (a newer one has replaced it).
func (r *Recovery) ReadSnapshot() (io.ReadCloser, error) {
	const op = "read snapshot"
	if r.Snapshot == "" {
		return nil, tutti.Errorf(op, tutti.NotFound, "the journal in %s has no snapshot", r.dir)
	}
	f, err := r.disk.Open(r.Snapshot, false)
	if err != nil {
		return nil, r.vanished(op, err)
	}
	s, err := newSnapshotReader(f, r.state.seed)
	if err != nil {
		f.Close()
		return nil, diskError(op, r.dir, err)
	}
	return s, nil
}

// Records yields the records after From, in order. Data is the caller's to keep, not to change;
// it keeps the segment it lies in from being freed, so copy what is small and stays. An error
// ends it: kind Expired if a snapshot has replaced the records meanwhile, else the disk's.
func (r *Recovery) Records() iter.Seq2[Record, error] { return r.records(r.pieces) }

func (r *Recovery) records(pieces []piece) iter.Seq2[Record, error] {
	return func(yield func(Record, error) bool) {
		const op = "read journal"
		for _, p := range pieces {
			b, err := readAll(r.disk, p.name)
			if err != nil && len(b) < p.end {
				yield(Record{}, r.vanished(op, err))
				return
			}
			p.limit = p.last + 1
			more, expected := true, p.last
			p.walk(b, func(rec Record) bool {
				more = yield(rec, nil)
				return more
			})
			if !more {
				return
			}
			if p.last != expected {
				yield(Record{}, tutti.Errorf(op, tutti.Corrupt, "%s has changed: record %d could be read before", p.name, p.last+1))
				return
			}
		}
	}
}

// vanished explains a file that was there a moment ago.
func (r *Recovery) vanished(op string, err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return tutti.Errorf(op, tutti.Expired, "a newer snapshot has replaced what was to be read: %w", err).WithHint("read the journal again")
	}
	return diskError(op, r.dir, err)
}

// Read looks at the journal in dir while its writer may be at work, and changes nothing. With
// after = 0 it finds the newest snapshot and the records behind it; else the records after that
// position, so that a follower asks again with the last one it saw. It may see records that are not
// durable yet, and report as Torn what is being written this moment.
//
// Kinds: NotFound (no such folder), Expired (the records after that position are in a snapshot), Version, Denied, Other.
func Read(ctx context.Context, dir string, after Pos) (*Recovery, error) {
	return readOn(ctx, osDisk(dir), dir, after)
}

// readOn is Read on any disk. The writer may delete files between our look at the folder and at
// the file; then we look again.
func readOn(ctx context.Context, d disk, dir string, after Pos) (*Recovery, error) {
	for tries := 0; ; tries++ {
		if err := ctx.Err(); err != nil {
			return nil, tutti.E("read journal", tutti.KindOf(err), err)
		}
		names, err := d.List()
		if err != nil {
			return nil, diskError("read journal", dir, err)
		}
		r, err := scanNames(d, dir, after, names)
		if err == nil || !errors.Is(err, tutti.NotFound) || tries >= readTries {
			return r, err
		}
	}
}

const readTries = 20
