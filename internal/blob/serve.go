package blob

import (
	"context"
	"net"
	"sync"

	"github.com/tutti-hpc/tutti"
)

// atOnce is how many questions of one peer may wait for the disk at the same time; then it is
// not read from until one is answered.
const atOnce = 64

// session is one peer of a store: another process, and what it has.
type session struct {
	store  *Store
	holder Holder
	link   *messages
	slow   chan struct{}
	wg     sync.WaitGroup

	mu     sync.Mutex
	leases map[uint64]*item
	builds map[uint64]*build
	last   uint64 // handle given

	sendMu sync.Mutex // orders what is known with what was sent
	known  map[uint64]bool
	trims  uint64
}

// Serve lets another process of the node use the store, at the other end of a Unix socket, as
// holder; that process calls [Connect]. It returns when the peer has closed the connection or
// died, or ctx has ended (then it closes the connection). The peer's leases and unsealed builders
// have ended by then; its references stay, until the caller has seen to those that matter and
// calls [Store.DropHolder]. The error is nil after an orderly end or a death; else Corrupt or
// Version (nonsense came), Canceled.
func (s *Store) Serve(ctx context.Context, conn *net.UnixConn, holder Holder) error {
	e := &session{
		store: s, holder: holder, link: newMessages(conn), slow: make(chan struct{}, atOnce),
		leases: map[uint64]*item{}, builds: map[uint64]*build{}, known: map[uint64]bool{},
	}
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	err := e.run(ctx)
	if k := tutti.KindOf(err); k == tutti.Corrupt || k == tutti.Version {
		_ = e.link.send(failure(0, err)) // the peer may be gone
	}
	if ctx.Err() != nil {
		err = tutti.E("serve blobs", tutti.Canceled, context.Cause(ctx))
	}
	stop()
	cancel() // who waits for the disk on behalf of the peer need not any more
	conn.Close()
	e.wg.Wait()
	e.end()
	return err
}

// run answers until the connection ends.
func (e *session) run(ctx context.Context) error {
	defer e.link.drain()
	for {
		m, err := e.link.next()
		if m.file != nil {
			m.file.Close() // a peer has none to give
		}
		if k := tutti.KindOf(err); k == tutti.Corrupt || k == tutti.Version {
			return err
		}
		if err != nil { // an end, orderly or not: what killed the peer is for its parent to say
			return nil
		}
		if err := e.handle(ctx, &m); err != nil {
			return err
		}
	}
}

// handle does what a message says. What may wait for the disk does so in a goroutine.
func (e *session) handle(ctx context.Context, m *message) error {
	switch m.kind {
	case kindOpen:
		it, ok, err := e.store.tryPin(m.ref)
		if ok || err != nil {
			e.opened(m, it, err)
			return nil
		}
		e.later(func() {
			it, err := e.store.pin(ctx, m.ref)
			e.opened(m, it, err)
		})
	case kindCreate:
		if b := e.store.tryBegin(e.holder, m.ref.Size); b != nil {
			e.created(m, b, nil)
			return nil
		}
		e.later(func() {
			b, err := e.store.begin(ctx, e.holder, tutti.BlobID{}, m.ref.Size)
			e.created(m, b, err)
		})
	case kindSeal:
		e.seal(m)
	case kindHold:
		e.answer(m, &message{ref: m.ref}, e.store.As(e.holder).Hold(ctx, m.ref))
	case kindAbort:
		if b := e.takeBuild(m.handle); b != nil {
			e.store.abort(b)
		}
	case kindRelease:
		e.mu.Lock()
		it := e.leases[m.handle]
		delete(e.leases, m.handle)
		e.mu.Unlock()
		if it != nil {
			e.store.unpin(it)
		}
	case kindDrop:
		e.store.drop(m.ref.Blob, e.holder)
	default:
		return tutti.Errorf("serve blobs", tutti.Corrupt, "a peer sent a message of kind %d", m.kind)
	}
	return nil
}

// later runs f beside the reading of messages.
func (e *session) later(f func()) {
	e.slow <- struct{}{}
	e.wg.Go(func() {
		defer func() { <-e.slow }()
		f()
	})
}

// opened answers a question for a lease.
func (e *session) opened(m *message, it *item, err error) {
	if err != nil {
		e.answer(m, nil, err)
		return
	}
	// It is the peer's before the answer is sent: if the peer dies in between, end finds it.
	e.mu.Lock()
	e.last++
	handle := e.last
	e.leases[handle] = it
	e.mu.Unlock()
	e.store.mu.Lock()
	ref := it.ref
	e.store.mu.Unlock()
	e.answer(m, located(it.at, &message{handle: handle, ref: ref}), nil)
}

// located fills in where the bytes lie.
func located(at place, m *message) *message {
	if mem, off := at.where(); mem != nil {
		m.off, m.file = off, mem.File()
		if at.slot.seg != nil {
			m.seg = at.slot.seg.id
		}
	}
	return m
}

// created answers a question for a buffer.
func (e *session) created(m *message, b *build, err error) {
	if err != nil {
		e.answer(m, nil, err)
		return
	}
	e.mu.Lock()
	e.last++
	handle := e.last
	e.builds[handle] = b
	e.mu.Unlock()
	e.answer(m, located(b.at, &message{handle: handle, ref: tutti.Ref{Size: b.size}}), nil)
}

func (e *session) takeBuild(handle uint64) *build {
	e.mu.Lock()
	defer e.mu.Unlock()
	b := e.builds[handle]
	delete(e.builds, handle)
	return b
}

func (e *session) seal(m *message) {
	b := e.takeBuild(m.handle)
	switch {
	case b == nil:
		e.answer(m, nil, tutti.Errorf("seal blob", tutti.Invalid, "no builder %d", m.handle))
	case b.at.file == nil:
		ref, err := e.store.seal(b, 0)
		e.answer(m, &message{ref: ref}, err)
	default: // it is read once for its checksum
		e.later(func() {
			ref, err := e.store.seal(b, 0)
			e.answer(m, &message{ref: ref}, err)
		})
	}
}

// answer sends r, or err as a failure, after news of segments that are no more. A descriptor that
// the peer has is not sent again. Where sending fails the peer is gone, and run sees it.
func (e *session) answer(m *message, r *message, err error) {
	e.sendMu.Lock()
	defer e.sendMu.Unlock()
	out := e.forgotten()
	if err != nil {
		out = append(out, failure(m.call, err))
	} else {
		r.kind, r.call = kindResult, m.call
		if r.seg != 0 {
			if e.known[r.seg] {
				r.file = nil
			}
			e.known[r.seg] = true
		}
		out = append(out, r)
	}
	if err := e.link.send(out...); err != nil {
		e.link.conn.Close()
	}
}

// forgotten tells with the next answer, not at once: the pages of a destroyed segment were given
// back to the system already, so a peer that asks nothing keeps no more than an empty mapping. It
// says of which segments the peer knows that are no more; sendMu is held.
func (e *session) forgotten() (out []*message) {
	trims := e.store.trims.Load()
	if trims == e.trims {
		return nil
	}
	e.trims = trims
	e.store.mu.Lock()
	defer e.store.mu.Unlock()
	for id := range e.known {
		if e.store.pool.segments[id] == nil {
			delete(e.known, id)
			out = append(out, &message{kind: kindForget, seg: id})
		}
	}
	return out
}

// end gives back what the peer had. It may be used again at once: when a process dies the kernel
// takes its memory down before its sockets, and a child that it forked shares the socket too.
func (e *session) end() {
	for _, it := range e.leases {
		e.store.unpin(it)
	}
	for _, b := range e.builds {
		e.store.abort(b)
	}
}
