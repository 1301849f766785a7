package blob

import (
	"context"
	"sync/atomic"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// Space is a node's blobs as one holder sees them: what [Store.As] returns in the process that
// owns the store, and [Local] in any other process of the node. All methods may be called
// concurrently.
type Space interface {
	// New gives a buffer of size bytes for a blob to be. Its contents are undefined: a warm
	// segment still has what was there before. It may wait while others are spilled to disk.
	// Errors: Full (memory and disk), Invalid (size), Closed, Canceled, Lost.
	New(ctx context.Context, size int64) (*Builder, error)
	// Open begins a lease on a blob of this node. It may wait while the blob is read back from
	// disk. Errors: NotFound (not on this node, or nobody refers to it any more), Corrupt, Full,
	// Closed, Canceled, Lost.
	Open(ctx context.Context, ref tutti.Ref, m Mode) (*Lease, error)
	// Hold adds one reference of this holder. Errors: NotFound, Closed, Canceled, Lost.
	Hold(ctx context.Context, ref tutti.Ref) error
	// Drop takes one reference of this holder back; the maker has one from the beginning. The
	// blob goes when the last reference and the last lease have gone. Dropping what is not held
	// does nothing.
	Drop(ref tutti.Ref)
}

// Holder names somebody who refers to blobs: "engine 3", "client 7".
type Holder string

// Mode says how a lease shows the bytes.
type Mode uint8

// The modes of a lease.
const (
	// View shows the bytes as they lie in shared memory, by a mapping that cannot be written: a
	// write is a fault that no recover catches. It costs nothing once the segment is warm.
	View Mode = iota
	// Private shows a copy on write: the reader may write into it, and nobody else sees that. It
	// costs a fresh mapping each time, about a tenth of what a copy costs, and a page fault for
	// each page written.
	Private
)

// Put makes a blob of a copy of b.
func Put(ctx context.Context, s Space, b []byte) (tutti.Ref, error) {
	w, err := s.New(ctx, int64(len(b)))
	if err != nil {
		return tutti.Ref{}, err
	}
	copy(w.Bytes(), b)
	return w.Seal(ctx)
}

// Builder is a blob being written. It belongs to one goroutine. It ends by Seal or Abort.
type Builder struct {
	bytes []byte
	seal  func(context.Context) (tutti.Ref, error)
	abort func()
	over  atomic.Bool
}

// Bytes is the buffer. It must not be touched after Seal or Abort: it is then others' memory.
func (b *Builder) Bytes() []byte { return b.bytes }

// Seal names the blob, with one reference of the holder that made it. Whatever it returns, the
// builder is at its end. Errors: Closed, Full, Canceled, Lost; Invalid when it was at its end before.
func (b *Builder) Seal(ctx context.Context) (tutti.Ref, error) {
	if !b.over.CompareAndSwap(false, true) {
		return tutti.Ref{}, tutti.Errorf("seal blob", tutti.Invalid, "sealed or aborted before")
	}
	b.bytes = nil
	return b.seal(ctx)
}

// Abort gives the buffer back. After Seal or Abort it does nothing, so it can be deferred.
func (b *Builder) Abort() {
	if b.over.CompareAndSwap(false, true) {
		b.bytes = nil
		b.abort()
	}
}

// Lease is the right to read a blob's bytes where they lie. The memory is not used for anything
// else before Release, whatever happens to the references.
type Lease struct {
	ref     tutti.Ref
	bytes   []byte
	mapping []byte // of a private lease
	release func()
	over    atomic.Bool
}

// Ref names the blob.
func (l *Lease) Ref() tutti.Ref { return l.ref }

// Bytes is the blob's content; see [View] and [Private] for whether it may be written. No part of
// it may be used after Release: it is then another blob's memory, or none.
func (l *Lease) Bytes() []byte { return l.bytes }

// Release ends the lease. A second call does nothing.
func (l *Lease) Release() {
	if l.over.CompareAndSwap(false, true) {
		l.bytes = nil
		shm.Unmap(l.mapping) // before the owner hears of it: the memory may be written at once
		l.release()
	}
}

// newLease shows n bytes from off of m in the mode asked for; release is called at the end, and
// at once where the mapping fails.
func newLease(ref tutti.Ref, m *memory, off int64, mode Mode, release func()) (*Lease, error) {
	l := &Lease{ref: ref, bytes: []byte{}, release: release}
	if ref.Size == 0 {
		return l, nil
	}
	var err error
	switch mode {
	case View:
		l.bytes, err = m.view(off, ref.Size, false)
	case Private:
		if l.mapping, err = m.private(off, ref.Size); err == nil {
			l.bytes = l.mapping[:ref.Size:ref.Size]
		}
	default:
		err = tutti.Errorf("open blob", tutti.Invalid, "no such mode: %d", mode)
	}
	if err != nil {
		release()
		return nil, err
	}
	return l, nil
}
