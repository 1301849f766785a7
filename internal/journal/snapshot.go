package journal

import (
	"context"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"

	"github.com/tutti-hpc/tutti"
)

// unfinished ends the name of a snapshot that is being written.
const unfinished = ".tmp"

// chunkSize is the most that one chunk of a snapshot holds.
const chunkSize = 256 << 10

type snapshot numbered

func (s snapshot) name() string { return fmt.Sprintf("%012d.snap", s.ordinal) }

// Snapshot records the state as of position pos, as write gives it, so that recovery begins
// there; then it deletes what no recovery needs any more. The newest two snapshots are kept
// with all records behind the older, so that one of them may be damaged.
//
// pos is the last record whose effect is in the state; Snapshot first sees to it that it is durable.
// Appends go on meanwhile, if write reads a copy of the state. An error of write is returned
// as it is, and like every error leaves the snapshots before as they were. Kinds besides: Full,
// Other, Denied (the disk's), Canceled, Timeout, Closed, Invalid (pos was never appended, or
// lies before the newest snapshot).
func (j *Journal) Snapshot(ctx context.Context, pos Pos, write func(io.Writer) error) error {
	const op = "snapshot journal"
	select {
	case j.snapping <- struct{}{}:
		defer func() { <-j.snapping }()
	case <-j.done:
		return tutti.Errorf(op, tutti.Closed, "the journal is closed")
	case <-ctx.Done():
		return tutti.Errorf(op, tutti.KindOf(ctx.Err()), "waiting for the snapshot before to end: %w", ctx.Err())
	}
	if newest, last := j.files.newest(), j.Last(); pos > last || pos < newest {
		return tutti.Errorf(op, tutti.Invalid, "position %d is not within %d, the newest snapshot, and %d, the last record", pos, newest, last)
	}
	if err := j.Sync(ctx); err != nil {
		return err
	}
	s := j.files.newSnapshot(pos)
	if err := j.writeSnapshot(ctx, s, write); err != nil {
		j.disk.Remove(s.name() + unfinished)
		return err
	}
	if err := j.nameSnapshot(s); err != nil {
		return diskError(op, j.dir, err)
	}
	j.files.addSnapshot(s)
	j.files.prune()
	return nil
}

// writeSnapshot writes the whole file under its unfinished name and syncs it.
func (j *Journal) writeSnapshot(ctx context.Context, s snapshot, write func(io.Writer) error) error {
	const op = "snapshot journal"
	f, err := j.disk.Create(s.name() + unfinished)
	if err != nil {
		return diskError(op, j.dir, err)
	}
	defer f.Close()
	b, seed := header{magic: snapshotMagic, id: j.id, ordinal: s.ordinal, pos: s.pos}.encode()
	w := &snapshotWriter{file: f, sum: seed, stop: func() error { return j.stopSnapshot(ctx) }, buf: make([]byte, chunkHeader, chunkHeader+chunkSize)}
	_, w.err = f.WriteAt(b[:], 0)
	w.off = headerSize
	if err := write(w); err != nil && w.err == nil {
		return err
	}
	if len(w.buf) > chunkHeader {
		w.flush()
	}
	w.flush() // the end mark
	if w.err == nil {
		w.err = f.Sync()
	}
	if w.err != nil {
		return diskError(op, j.dir, w.err)
	}
	return nil
}

// stopSnapshot says why writing a snapshot should go no further, nil if it should.
func (j *Journal) stopSnapshot(ctx context.Context) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.closed {
		return tutti.Errorf("snapshot journal", tutti.Closed, "the journal is being closed")
	}
	return ctx.Err()
}

// nameSnapshot gives the finished file its name, durably.
func (j *Journal) nameSnapshot(s snapshot) error {
	if err := j.disk.Rename(s.name()+unfinished, s.name()); err != nil {
		j.disk.Remove(s.name() + unfinished)
		return err
	}
	if err := j.disk.SyncDir(); err != nil {
		// It may or may not be there after a crash; both are right, as nothing was deleted.
		j.disk.Remove(s.name())
		return err
	}
	return nil
}

// chunkHeader is the length of a chunk's data and a checksum. The checksum goes over length and
// data and is seeded by the one before, so that chunks cannot be missing or swapped. A chunk of length 0
// ends the file.
const chunkHeader = 8

// snapshotWriter cuts what it is given into chunks. After an error it writes nothing.
type snapshotWriter struct {
	file file
	off  int64
	sum  uint32
	buf  []byte // a chunk in the making, behind room for its header
	stop func() error
	err  error
}

func (w *snapshotWriter) Write(p []byte) (n int, err error) {
	for n < len(p) && w.err == nil {
		m := min(len(p)-n, cap(w.buf)-len(w.buf))
		w.buf = append(w.buf, p[n:n+m]...)
		n += m
		if len(w.buf) == cap(w.buf) {
			w.flush()
		}
	}
	return n, w.err
}

// flush writes the chunk, also an empty one.
func (w *snapshotWriter) flush() {
	if w.err == nil {
		w.err = w.stop()
	}
	if w.err != nil {
		return
	}
	binary.LittleEndian.PutUint32(w.buf, uint32(len(w.buf)-chunkHeader))
	w.sum = chunkSum(w.sum, w.buf[:4], w.buf[chunkHeader:])
	binary.LittleEndian.PutUint32(w.buf[4:], w.sum)
	_, w.err = w.file.WriteAt(w.buf, w.off)
	w.off += int64(len(w.buf))
	w.buf = w.buf[:chunkHeader]
}

func chunkSum(seed uint32, length, data []byte) uint32 {
	return crc32.Update(crc32.Update(seed, castagnoli, length), castagnoli, data)
}

// snapshotReader gives back what snapshotWriter was given. Nothing is handed out before the
// chunk it lies in is verified, and EOF means that the end mark was there.
type snapshotReader struct {
	file file
	off  int64
	size int64
	sum  uint32
	buf  []byte
	rest []byte // of buf, not handed out
	end  error
}

func newSnapshotReader(f file, seed uint32) (*snapshotReader, error) {
	size, err := f.Size()
	return &snapshotReader{file: f, off: headerSize, size: size, sum: seed}, err
}

func (r *snapshotReader) Read(p []byte) (int, error) {
	for len(r.rest) == 0 && r.end == nil {
		if r.end = r.fill(); r.end == nil && len(r.rest) == 0 {
			r.end = io.EOF
		}
	}
	if len(r.rest) == 0 {
		return 0, r.end
	}
	n := copy(p, r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// fill reads and verifies the next chunk.
func (r *snapshotReader) fill() error {
	const op = "read snapshot"
	var h [chunkHeader]byte
	if r.off+chunkHeader > r.size {
		return tutti.Errorf(op, tutti.Corrupt, "it has no end")
	}
	if _, err := r.file.ReadAt(h[:], r.off); err != nil {
		return err
	}
	length := int64(binary.LittleEndian.Uint32(h[:]))
	if length > chunkSize || r.off+chunkHeader+length > r.size {
		return tutti.Errorf(op, tutti.Corrupt, "at %d stands no chunk", r.off)
	}
	if r.buf == nil {
		r.buf = make([]byte, min(chunkSize, r.size))
	}
	b := r.buf[:length]
	if n, err := r.file.ReadAt(b, r.off+chunkHeader); n < len(b) {
		return err
	}
	r.sum = chunkSum(r.sum, h[:4], b)
	if r.sum != binary.LittleEndian.Uint32(h[4:]) {
		return tutti.Errorf(op, tutti.Corrupt, "the checksum at %d is wrong", r.off)
	}
	r.off += chunkHeader + length
	r.rest = b
	return nil
}

func (r *snapshotReader) Close() error { return r.file.Close() }

// verifySnapshot reads a snapshot to its end.
func verifySnapshot(d disk, s found) (size int64, err error) {
	f, err := d.Open(s.name, false)
	if err != nil {
		return 0, err
	}
	r, err := newSnapshotReader(f, s.seed)
	defer f.Close()
	if err != nil {
		return 0, err
	}
	_, err = io.Copy(io.Discard, r)
	return r.size, err
}
