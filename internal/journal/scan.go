package journal

import (
	"cmp"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/tutti-hpc/tutti"
)

// endless is the limit of a segment that has no successor.
const endless = Pos(math.MaxUint64)

// found is one file of the folder, as far as its header says.
type found struct {
	numbered
	name  string
	id    ID
	seed  uint32
	err   error // no usable header
	limit Pos   // of a segment: from this position on, a later segment counts instead
}

// scan reads the folder and decides what counts; it changes nothing. With after > 0 it looks
// for the records behind that position and for no snapshot. Errors are of kind Version, Denied, NotFound,
// Expired (after > 0 only: these records are gone), or the disk's.
func scan(d disk, dir string, after Pos) (*Recovery, error) {
	names, err := d.List()
	if err != nil {
		return nil, diskError("read journal", dir, err)
	}
	return scanNames(d, dir, after, names)
}

func scanNames(d disk, dir string, after Pos, names []string) (*Recovery, error) {
	r := &Recovery{dir: dir, disk: d, next: 1}
	segs, snaps, err := r.sort(names)
	if err != nil {
		return nil, err
	}
	r.chooseID(segs, snaps)
	segs, snaps = r.own(segs), r.own(snaps)
	setLimits(segs)
	if after > 0 {
		if len(segs) == 0 || segs[0].pos > after+1 {
			return nil, tutti.Errorf("read journal", tutti.Expired, "the records after %d are gone into a snapshot", after).
				WithHint("read from the newest snapshot")
		}
		r.From = after
	} else if err := r.chooseSnapshot(snaps); err != nil {
		return nil, err
	}
	for _, f := range segs {
		r.segments = append(r.segments, segment(f.numbered))
	}
	return r, r.follow(segs)
}

// sort tells the sorts of files apart by name, reads their headers, and orders them by ordinal.
func (r *Recovery) sort(names []string) (segs, snaps []found, err error) {
	for _, name := range names {
		stem, _, _ := strings.Cut(name, ".")
		ordinal, perr := strconv.ParseUint(stem, 10, 63)
		if perr != nil {
			continue // the lease, or nothing of ours
		}
		r.next = max(r.next, ordinal+1)
		n := numbered{ordinal: ordinal}
		f := found{numbered: n, name: name}
		switch name {
		case segment(n).name():
			if err := r.readHeader(&f, segmentMagic); err != nil {
				return nil, nil, err
			}
			segs = append(segs, f)
		case snapshot(n).name():
			if err := r.readHeader(&f, snapshotMagic); err != nil {
				return nil, nil, err
			}
			snaps = append(snaps, f)
		case snapshot(n).name() + unfinished:
			r.litter = append(r.litter, name)
		}
	}
	byOrdinal := func(a, b found) int { return cmp.Compare(a.ordinal, b.ordinal) }
	slices.SortFunc(segs, byOrdinal)
	slices.SortFunc(snaps, byOrdinal)
	return segs, snaps, nil
}

// readHeader fills in what the header says, or f.err if it says nothing. Only what must not be
// taken for damage is returned: a later version, no permission, a file that went away.
func (r *Recovery) readHeader(f *found, magic string) error {
	h, err := r.disk.Open(f.name, false)
	if err != nil {
		if errors.Is(err, fs.ErrPermission) || errors.Is(err, fs.ErrNotExist) {
			return diskError("read journal", r.dir, err)
		}
		f.err = err
		return nil
	}
	defer h.Close()
	b := make([]byte, headerSize)
	n, err := h.ReadAt(b, 0)
	if err != nil && err != io.EOF {
		f.err = err
		return nil
	}
	head, seed, err := decodeHeader(b[:n], magic)
	switch {
	case errors.Is(err, tutti.Version):
		return tutti.Errorf("read journal", tutti.Version, "%s: %w", f.name, err)
	case err == nil && head.ordinal != f.ordinal:
		err = fmt.Errorf("the header is of file %d", head.ordinal)
	}
	f.pos, f.id, f.seed, f.err = head.pos, head.id, seed, err
	return nil
}

// chooseID takes the journal's identity from its newest snapshot, else its newest segment, else
// makes one up.
func (r *Recovery) chooseID(segs, snaps []found) {
	for _, files := range [][]found{snaps, segs} {
		for _, f := range slices.Backward(files) {
			if f.err == nil {
				r.ID = f.id
				return
			}
		}
	}
	rand.Read(r.ID[:])
}

// own keeps the files with a good header of this journal. Of the others, a segment that never
// came to hold anything is litter, and the rest is damage.
func (r *Recovery) own(files []found) []found {
	return slices.DeleteFunc(files, func(f found) bool {
		if f.err == nil && f.id == r.ID {
			return false
		}
		reason := "a file of another journal"
		if f.err != nil {
			reason = f.err.Error()
		}
		size, blank := r.blank(f.name)
		if blank {
			r.litter = append(r.litter, f.name)
		} else {
			r.aside(Torn{File: f.name, Bytes: size, Reason: reason})
		}
		return true
	})
}

// blank reports a file's size and whether it is all zeros, as a crash in the making leaves it.
func (r *Recovery) blank(name string) (size int64, blank bool) {
	b, err := readAll(r.disk, name)
	return int64(len(b)), err == nil && used(b) == 0
}

// setLimits finds for each segment the position where it is superseded: a segment that was
// begun after a failed write, or after damage, repeats or replaces what comes from its first position on.
func setLimits(segs []found) {
	limit := endless
	for i := len(segs) - 1; i >= 0; i-- {
		segs[i].limit = limit
		limit = min(limit, segs[i].pos)
	}
}

// chooseSnapshot takes the newest snapshot whose every byte verifies; newer ones are damage.
func (r *Recovery) chooseSnapshot(snaps []found) error {
	for i, f := range slices.Backward(snaps) {
		size, err := verifySnapshot(r.disk, f)
		if err == nil {
			r.Snapshot, r.From, r.state = f.name, f.pos, f
			for _, s := range snaps[:i+1] {
				r.snapshots = append(r.snapshots, snapshot(s.numbered))
			}
			return nil
		}
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return diskError("read journal", r.dir, err)
		}
		r.aside(Torn{File: f.name, Bytes: size, Reason: err.Error()})
	}
	return nil
}

// follow walks the segments from r.From on as far as the records are whole.
func (r *Recovery) follow(segs []found) error {
	r.Last = r.From
	for i, f := range segs {
		if f.limit <= r.Last+1 {
			continue // what counts in it is older than the snapshot
		}
		if f.pos > r.Last+1 {
			r.abandon(segs[i:], fmt.Sprintf("records %d to %d before it are missing", r.Last+1, f.pos-1))
			return nil
		}
		b, err := readAll(r.disk, f.name)
		if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrPermission) {
			return diskError("read journal", r.dir, err)
		}
		p := piece{found: f, after: r.Last}
		p.walk(b, nil)
		r.Last = p.last
		r.pieces = append(r.pieces, p)
		whole := r.Last+1 == f.limit || (f.limit == endless && err == nil && used(b[p.end:]) == 0)
		if whole {
			continue
		}
		r.cut(b, p, err)
		if f.limit != endless {
			r.abandon(segs[i+1:], fmt.Sprintf("records %d to %d before it are damaged", r.Last+1, f.limit-1))
			return nil
		}
	}
	return nil
}

// walk goes over the good records of a segment and hands those behind p.after to emit, unless
// that is nil or returns false. It leaves in p where they end, the last one, and the last clean one.
func (p *piece) walk(b []byte, emit func(Record) bool) {
	p.end, p.last, p.clean = min(headerSize, len(b)), p.after, 0
	patience := patienceFor(len(b))
	for expect := p.pos; expect < p.limit; {
		fr, ok := parse(b[p.end:], p.seed, expect, expect)
		if !ok && expect <= p.last {
			// Damage among records that the snapshot includes is no loss: look behind it.
			var at int
			if at, fr, ok = find(b, p.end, p.seed, expect+1, min(p.last+1, p.limit-1), &patience); ok {
				p.end = at
			}
		}
		if !ok {
			break
		}
		p.end += fr.size
		expect = fr.pos + 1
		if fr.clean {
			p.clean = fr.pos
		}
		if fr.pos <= p.last {
			continue
		}
		p.last = fr.pos
		if emit != nil && !emit(Record{fr.pos, fr.typ, fr.data}) {
			break
		}
	}
}

// cut reports the end of a segment's good records, and keeps a copy of what follows if there
// are records in it.
func (r *Recovery) cut(b []byte, p piece, err error) {
	t := Torn{File: p.name, Offset: int64(p.end), Bytes: int64(used(b[p.end:])), Reason: "a torn record"}
	if err != nil {
		t.Reason = err.Error()
	}
	behind, patience := 0, patienceFor(len(b))
	for at := p.end; ; behind++ {
		next, fr, ok := find(b, at, p.seed, r.Last+2, endless, &patience)
		if !ok {
			break
		}
		t.Committed = t.Committed || fr.clean
		at = next + fr.size
	}
	if p.limit != endless {
		t.Committed = true // the next segment was begun when all before it was durable
	}
	if behind > 0 {
		t.Reason = fmt.Sprintf("a damaged record %d, with %d good ones behind it", r.Last+1, behind)
	}
	if behind > 0 || t.Committed {
		t.Kept = fmt.Sprintf("%s.at-%d%s", p.name, p.end, damaged)
	}
	r.Torn = append(r.Torn, t)
}

// abandon reports segments that cannot be reached.
func (r *Recovery) abandon(segs []found, reason string) {
	for _, f := range segs {
		size, _ := fileSize(r.disk, f.name)
		r.aside(Torn{File: f.name, Bytes: size, Reason: reason, Committed: true})
		r.segments = slices.DeleteFunc(r.segments, func(s segment) bool { return s.ordinal == f.ordinal })
	}
}

// aside reports a whole file that does not count; repair will rename it.
func (r *Recovery) aside(t Torn) {
	t.Kept = t.File + damaged
	r.Torn = append(r.Torn, t)
}

// used is the length of b without the zeros at its end.
func used(b []byte) int {
	for len(b) > 0 && b[len(b)-1] == 0 {
		b = b[:len(b)-1]
	}
	return len(b)
}

// fileSize asks for the length of a file.
func fileSize(d disk, name string) (int64, error) {
	f, err := d.Open(name, false)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	return f.Size()
}

// readAll reads a file; on an error it returns what lies before the faulty place.
func readAll(d disk, name string) ([]byte, error) {
	f, err := d.Open(name, false)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	size, err := f.Size()
	if err != nil {
		return nil, err
	}
	b := make([]byte, size)
	for n := 0; n < len(b); {
		m, err := f.ReadAt(b[n:min(len(b), n+readPiece)], int64(n))
		if n += m; err == io.EOF || err == nil && m == 0 {
			return b[:n], nil // it was cut while we read
		} else if err != nil {
			return b[:n], err
		}
	}
	return b, nil
}

// readPiece is how much is asked of the disk at once: a faulty sector costs no more than this.
const readPiece = 1 << 20
