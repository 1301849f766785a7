package journal

import (
	"errors"
	"io/fs"
)

// repair makes the folder agree with what scan decided: it renames what was set aside, keeps
// copies of damaged ends, cuts them off, and clears litter away. A crash at any point leaves a
// folder that scan decides on in the same way.
func (r *Recovery) repair() error {
	for _, name := range r.litter {
		r.disk.Remove(name) // next time, if it fails
	}
	for _, t := range r.Torn {
		if t.Kept != t.File+damaged {
			continue
		}
		// Without this the file could count again once the disk reads it better, behind
		// records that were written without it.
		if err := r.disk.Rename(t.File, t.Kept); err != nil {
			return diskError("set aside "+t.File, r.dir, err)
		}
	}
	if err := r.disk.SyncDir(); err != nil {
		return diskError("open journal", r.dir, err)
	}
	for i := range r.Torn {
		if t := &r.Torn[i]; t.Offset > 0 && t.Kept != "" {
			if err := r.keep(*t); err != nil {
				t.Reason += "; no copy of it could be made: " + err.Error()
				t.Kept, t.unkept = "", true
			}
		}
	}
	if n := len(r.pieces); n > 0 {
		r.trim(r.pieces[n-1])
	}
	return nil
}

// keep copies the end of a segment from t.Offset on into a file of its own.
func (r *Recovery) keep(t Torn) error {
	b, err := readAll(r.disk, t.File)
	if err != nil {
		return err
	}
	f, err := r.disk.Create(t.Kept)
	if errors.Is(err, fs.ErrExist) {
		// From an Open that crashed before it cut anything off.
		if err = r.disk.Remove(t.Kept); err == nil {
			f, err = r.disk.Create(t.Kept)
		}
	}
	if err != nil {
		return err
	}
	defer f.Close()
	if _, err = f.WriteAt(b[t.Offset:t.Offset+t.Bytes], 0); err == nil {
		err = f.Sync()
	}
	if err == nil {
		err = r.disk.SyncDir()
	}
	if err != nil {
		r.disk.Remove(t.Kept)
	}
	return err
}

// trim cuts the last segment behind its last good record, which also frees what was reserved.
// If it fails the end stays, and does not count: the next segment begins before it.
func (r *Recovery) trim(p piece) {
	if !r.mayCut(p) {
		return
	}
	f, err := r.disk.Open(p.name, true)
	if err != nil {
		return
	}
	defer f.Close()
	f.Truncate(int64(p.end))
}

// mayCut reports whether nothing is lost for good by cutting the segment behind its records.
func (r *Recovery) mayCut(p piece) bool {
	for _, t := range r.Torn {
		if t.File == p.name && t.unkept {
			return false
		}
	}
	return true
}

// unproven gives the frames of the records that nothing proves to be durable: the last batch.
// They can be read, but perhaps only because a process wrote them that has died since; its sync may
// never have come, or have failed, after which the system calls pages clean that no disk has.
// So they are written again, from the position after durable on.
func (r *Recovery) unproven() (frames []byte, durable Pos, err error) {
	if len(r.pieces) == 0 {
		return nil, r.Last, nil
	}
	p := r.pieces[len(r.pieces)-1]
	if p.clean == 0 || p.last == p.after {
		return nil, r.Last, nil // a segment is begun when all before it is durable; and so is a snapshot
	}
	durable = max(p.after, p.clean-1)
	for rec, err := range r.records(r.pieces[len(r.pieces)-1:]) {
		if err != nil {
			return nil, 0, err
		}
		if rec.Pos > durable {
			frames = appendFrame(frames, rec.Pos, rec.Type, rec.Data)
		}
	}
	return frames, durable, nil
}
