package blob

import (
	"bytes"
	"errors"
	"sync"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// memory is a shared segment with the mappings that this process has of it. They cover all of
// it and are made once: mapping 100 MB costs as much as reading it, so a warm segment keeps them.
// The zero memory has no segment.
type memory struct {
	*shm.Segment
	mu     sync.Mutex
	ro, rw []byte
}

// view is n bytes from off, of the shared mapping that may or may not be written.
func (m *memory) view(off, n int64, write bool) ([]byte, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	p, mode := &m.ro, shm.ReadOnly
	if write {
		p, mode = &m.rw, shm.ReadWrite
	}
	if *p == nil {
		b, err := m.Map(0, m.Size(), mode)
		if err != nil {
			return nil, sorted("map blob", err)
		}
		if err := shm.Prefault(b, write); err != nil {
			shm.Unmap(b)
			return nil, sorted("map blob", err)
		}
		*p = b
	}
	return (*p)[off : off+n : off+n], nil
}

// private maps, each time anew, since a mapping that was written into cannot show another blob;
// it maps n bytes from off for one reader, who may write; see [Private].
func (m *memory) private(off, n int64) ([]byte, error) {
	b, err := m.Map(off, min(pages(n), m.Size()-off), shm.Private)
	if err != nil {
		return nil, sorted("map blob", err)
	}
	if err := shm.Prefault(b, false); err != nil {
		shm.Unmap(b)
		return nil, sorted("map blob", err)
	}
	return b, nil
}

// destroy unmaps and closes; who else maps the segment keeps it.
func (m *memory) destroy() {
	m.mu.Lock()
	defer m.mu.Unlock()
	shm.Unmap(m.ro)
	shm.Unmap(m.rw)
	m.ro, m.rw = nil, nil
	m.Close()
}

// sorted gives an error of shm its kind.
func sorted(op string, err error) error {
	kind := tutti.KindOf(err)
	for _, k := range []struct {
		is   error
		kind tutti.Kind
	}{
		{shm.ErrFull, tutti.Full}, {shm.ErrMissing, tutti.NotFound}, {shm.ErrDenied, tutti.Denied},
		{shm.ErrInvalid, tutti.Corrupt}, {shm.ErrUnsupported, tutti.Unsupported},
	} {
		if errors.Is(err, k.is) {
			kind = k.kind
		}
	}
	return tutti.E(op, kind, err)
}

// poison is what a recycled byte looks like in checking mode.
const poison = 0xdb

func fillPoison(b []byte) {
	if len(b) == 0 {
		return
	}
	b[0] = poison
	for n := 1; n < len(b); n *= 2 {
		copy(b[n:], b[:n])
	}
}

// poisoned reports whether all of b is. If it begins so, it is so where each byte equals its successor.
func poisoned(b []byte) bool {
	return len(b) == 0 || b[0] == poison && bytes.Equal(b[1:], b[:len(b)-1])
}
