package journal

import "fmt"

// writer puts frames into segments, one after the other. It has one owner, the goroutine of
// commit.go, and no lock, clock or goroutine of its own.
//
// A write or a sync that failed is never repeated in place. After a failed fsync the system may
// call pages clean that are not on the disk, and after a short write the end of the file is
// unknown; so the segment is left as it is, with all that was synced, and everything that was
// not goes into a fresh one. The fresh segment's first position says how far its predecessors count.
type writer struct {
	disk disk
	id   ID
	size int64         // of a segment, unless one record needs more
	next uint64        // ordinal of the next segment
	made func(segment) // called once for each segment that holds durable records

	// fresh is set until this life of the journal has a segment of its own, also if there are no
	// records yet: whatever lies behind the last recovered record in older ones, seen or
	// unseen, is superseded by it for good. The queue may begin with records that lie in an older
	// segment and may have been promised from there; so the header, which makes the new one
	// count instead, is written only when they are durable in it, all of them.
	fresh  bool
	cur    *openSegment
	queue  []byte // frames not known to be durable, oldest first
	sent   int    // so many bytes of the queue are written to cur
	wrote  Pos    // last position written
	synced Pos    // last position known to be durable
}

// openSegment is the segment being written.
type openSegment struct {
	segment
	file  file
	head  [headerSize]byte
	seed  uint32
	size  int64
	end   int64 // where the next frame goes
	named bool  // its name is durable
}

// numbered is what a file's name and header say: which of its sort it is, and its position (of
// a segment, that of its first record; of a snapshot, of the last record it includes).
type numbered struct {
	ordinal uint64
	pos     Pos
}

type segment numbered

func (s segment) name() string { return fmt.Sprintf("%012d.seg", s.ordinal) }

// add takes over a batch of frames and returns a buffer for the next.
func (w *writer) add(batch []byte) (spare []byte) {
	if len(w.queue) == 0 {
		spare, w.queue = w.queue[:0], batch
		return spare
	}
	w.queue = append(w.queue, batch...)
	return batch[:0]
}

// write sends what is queued to the disk; only at the change to the next segment does it sync.
func (w *writer) write() error {
	if w.fresh && w.cur == nil {
		if err := w.create(); err != nil {
			return err
		}
	}
	for w.sent < len(w.queue) {
		if w.cur == nil {
			if err := w.create(); err != nil {
				return err
			}
		}
		c := w.cur
		n, last := stamp(w.queue[w.sent:], c.size-c.end, c.seed, w.wrote == w.synced)
		if n == 0 {
			if err := w.finish(); err != nil {
				return err
			}
			continue
		}
		if _, err := c.file.WriteAt(w.queue[w.sent:w.sent+n], c.end); err != nil {
			return err
		}
		c.end += int64(n)
		w.sent += n
		w.wrote = last
	}
	return nil
}

// create makes the segment that the queue's next frame goes into. Its header is synced together
// with the first records.
func (w *writer) create() error {
	c := &openSegment{segment: segment{w.next, w.wrote + 1}}
	w.next++ // a name is used once, also when this fails: the file may linger
	need := len(w.queue)
	if !w.fresh {
		need = frameSize(int(frameLength(w.queue[w.sent:])))
	}
	c.size = max(w.size, int64(headerSize+need))
	f, err := w.disk.Create(c.name())
	if err != nil {
		return err
	}
	c.file, w.cur = f, c
	if err := f.Allocate(c.size); err != nil {
		return err
	}
	h := header{magic: segmentMagic, id: w.id, ordinal: c.ordinal, pos: c.pos}
	c.head, c.seed = h.encode()
	if c.end = headerSize; w.fresh {
		return nil
	}
	_, err = f.WriteAt(c.head[:], 0)
	return err
}

// sync makes durable what write has sent.
func (w *writer) sync() error {
	if w.wrote == w.synced && !w.fresh {
		return nil
	}
	if err := w.cur.file.Sync(); err != nil {
		return err
	}
	if !w.cur.named {
		if err := w.name(); err != nil {
			return err
		}
	}
	w.synced = w.wrote
	w.queue = append(w.queue[:0], w.queue[w.sent:]...)
	w.sent = 0
	return nil
}

// name makes the current segment count, after the first sync of its records.
func (w *writer) name() error {
	if w.fresh {
		if _, err := w.cur.file.WriteAt(w.cur.head[:], 0); err != nil {
			return err
		}
		if err := w.cur.file.Sync(); err != nil {
			return err
		}
	}
	if err := w.disk.SyncDir(); err != nil {
		return err
	}
	w.fresh = false
	w.cur.named = true
	w.made(w.cur.segment)
	return nil
}

// finish syncs and closes the current segment.
func (w *writer) finish() error {
	if err := w.sync(); err != nil {
		return err
	}
	c := w.cur
	w.cur = nil
	// All that counts is synced; a late complaint of close (NFS) can only be about the rest.
	c.file.Close()
	return nil
}

// fail gives up the current segment after an error, so that the next write begins a fresh one
// with everything that is not known to be durable.
func (w *writer) fail() {
	if c := w.cur; c != nil {
		c.file.Close()
		if !c.named {
			// It holds nothing that counts, and perhaps the last room on the disk. Should
			// this fail, the next Open removes it or finds it superseded.
			w.disk.Remove(c.name())
		}
	}
	w.cur, w.sent, w.wrote = nil, 0, w.synced
}

// close ends writing; what is not synced is lost. The room reserved and not used is given back.
func (w *writer) close() {
	if c := w.cur; c != nil {
		c.file.Truncate(c.end)
		c.file.Close()
		w.cur = nil
	}
}
