package blob

import (
	"context"
	"net"
	"os"
	"sync"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// Local is the [Space] of a process that is not the store's: it asks over a Unix socket, and
// maps what it is given by descriptor. Mappings of pooled segments are kept, so that a second
// blob in a warm segment costs one question and no page fault.
type Local struct {
	link *messages
	done chan struct{} // closed when the reader has ended

	mu    sync.Mutex
	calls map[uint64]*call
	segs  map[uint64]*known
	last  uint64 // number of call
	err   error  // why the connection ended
}

// call is a question that waits for its answer. When the asker has left it stays in the books,
// because the answer may bring a lease that must be given back.
type call struct {
	asked *message
	reply chan answer // of capacity 1
	left  bool        // nobody waits any more; guarded by Local.mu
}

type answer struct {
	message
	at  *known
	err error
}

// known is a segment that this process has been given, or a file for one use.
type known struct {
	mem   memory
	users int  // leases and builders; guarded by Local.mu
	gone  bool // to be destroyed with the last user
}

// Connect makes a Local of one end of a socket whose other end has [Store.Serve]. It does not
// block. The connection is Local's from now on.
func Connect(conn *net.UnixConn) *Local {
	l := &Local{link: newMessages(conn), done: make(chan struct{}), calls: map[uint64]*call{}, segs: map[uint64]*known{}}
	go l.read()
	return l
}

// Close ends the connection, and with it all leases as the store sees them: what is leased must not be
// read after it. Mappings of leases go when they are released.
func (l *Local) Close() error {
	l.link.conn.Close()
	<-l.done
	return nil
}

// Done is closed when the connection has ended, by Close or because the store's process is gone.
func (l *Local) Done() <-chan struct{} { return l.done }

// read receives answers until the connection ends. It never waits for anything but the socket, so
// that one slow reader of answers cannot hold up the others.
func (l *Local) read() {
	defer close(l.done)
	defer l.link.drain()
	for {
		m, err := l.link.next()
		if err == nil && m.kind == kindFailure && m.call == 0 {
			err = m.failed()
		}
		if err == nil {
			err = l.deliver(m)
		}
		if err != nil {
			l.link.conn.Close()
			l.fail(err)
			return
		}
	}
}

// fail ends all that waits.
func (l *Local) fail(err error) {
	if k := tutti.KindOf(err); k != tutti.Corrupt && k != tutti.Version {
		err = tutti.Errorf("use blobs", tutti.Lost, "the connection to the node's blob store ended: %w", err)
	}
	l.mu.Lock()
	l.err = err
	calls := l.calls
	l.calls = map[uint64]*call{}
	var gone []*known
	for id, k := range l.segs {
		gone = append(gone, l.forget(id, k)...)
	}
	l.mu.Unlock()
	for _, c := range calls {
		c.reply <- answer{err: err}
	}
	destroyAll(gone)
}

// forget takes a segment out of the books; what it returns is to be destroyed. mu is held.
func (l *Local) forget(id uint64, k *known) []*known {
	delete(l.segs, id)
	k.gone = true
	if k.users == 0 {
		return []*known{k}
	}
	return nil
}

func destroyAll(ks []*known) {
	for _, k := range ks {
		k.mem.destroy()
	}
}

// deliver gives a message to who waits for it.
func (l *Local) deliver(m message) error {
	if m.kind == kindForget {
		l.mu.Lock()
		var gone []*known
		if k := l.segs[m.seg]; k != nil {
			gone = l.forget(m.seg, k)
		}
		l.mu.Unlock()
		destroyAll(gone)
		return nil
	}
	l.mu.Lock()
	c := l.calls[m.call]
	l.mu.Unlock()
	if c == nil || m.kind != kindResult && m.kind != kindFailure {
		closeFile(m.file)
		return tutti.Errorf("use blobs", tutti.Corrupt, "an answer of kind %d to no question", m.kind)
	}
	at, err := l.enter(&m)
	if err != nil {
		return err
	}
	l.mu.Lock()
	delete(l.calls, m.call) // from here on this goroutine owes the reply
	left := c.left
	l.mu.Unlock()
	switch {
	case left:
		l.giveBack(c.asked.kind, m, at)
	case m.kind == kindFailure:
		c.reply <- answer{err: m.failed()}
	case c.asked.kind != kindSeal && m.ref.Size != c.asked.ref.Size, m.ref.Size > 0 && at == nil && c.asked.brings():
		l.unuse(at)
		err := tutti.Errorf("use blobs", tutti.Corrupt, "asked for %d bytes, offered %d", c.asked.ref.Size, m.ref.Size)
		c.reply <- answer{err: err}
		return err
	default:
		c.reply <- answer{message: m, at: at}
	}
	return nil
}

// enter finds or learns the segment that an answer names, and counts one user of it. It is nil
// where no bytes come with the answer. An answer that names bytes outside its segment is Corrupt.
func (l *Local) enter(m *message) (*known, error) {
	f := m.file
	m.file = nil
	l.mu.Lock()
	defer l.mu.Unlock()
	k := l.segs[m.seg]
	switch {
	case f == nil && m.seg == 0:
		return nil, nil
	case (f == nil) == (k == nil):
		closeFile(f)
		return nil, tutti.Errorf("use blobs", tutti.Corrupt, "segment %d came twice or never", m.seg)
	case k == nil:
		seg, err := shm.FromFile(f)
		if err != nil {
			f.Close()
			return nil, sorted("use blobs", err)
		}
		k = &known{mem: memory{Segment: seg}, gone: m.seg == 0}
	}
	if m.off > k.mem.Size()-m.ref.Size {
		closeFile(f)
		return nil, tutti.Errorf("use blobs", tutti.Corrupt, "%d bytes from %d of a segment of %d", m.ref.Size, m.off, k.mem.Size())
	}
	if m.seg != 0 {
		l.segs[m.seg] = k
	}
	k.users++
	return k, nil
}

func closeFile(f *os.File) {
	if f != nil {
		f.Close()
	}
}

// unuse ends one use of a segment.
func (l *Local) unuse(k *known) {
	if k == nil {
		return
	}
	l.mu.Lock()
	k.users--
	destroy := k.users == 0 && k.gone
	l.mu.Unlock()
	if destroy {
		k.mem.destroy()
	}
}

// giveBack returns what an answer brought that nobody waits for any more.
func (l *Local) giveBack(asked kind, m message, at *known) {
	l.unuse(at)
	if m.kind != kindResult {
		return
	}
	switch asked {
	case kindOpen:
		l.tell(&message{kind: kindRelease, handle: m.handle})
	case kindCreate:
		l.tell(&message{kind: kindAbort, handle: m.handle})
	case kindSeal, kindHold:
		l.tell(&message{kind: kindDrop, ref: m.ref})
	}
}

// tell sends a message that has no answer. Where that fails the connection has ended, and the
// store knows without being told.
func (l *Local) tell(m *message) {
	if err := l.link.send(m); err != nil {
		l.link.conn.Close()
	}
}

// ask sends a question and waits for the answer.
func (l *Local) ask(ctx context.Context, op string, m *message) (answer, error) {
	c := &call{asked: m, reply: make(chan answer, 1)}
	l.mu.Lock()
	if l.err != nil {
		defer l.mu.Unlock()
		return answer{}, l.err
	}
	l.last++
	m.call = l.last
	l.calls[m.call] = c
	l.mu.Unlock()
	if err := l.link.send(m); err != nil {
		l.link.conn.Close() // the reader sees it, and answers
	}
	select {
	case a := <-c.reply:
		return a, a.err
	case <-ctx.Done():
	}
	l.mu.Lock()
	_, waiting := l.calls[m.call]
	c.left = waiting
	l.mu.Unlock()
	if !waiting { // the answer has come, or is just coming
		a := <-c.reply
		return a, a.err
	}
	return answer{}, tutti.Errorf(op, tutti.KindOf(ctx.Err()), "waiting for the node's blob store: %w", ctx.Err())
}

// New asks for a buffer; see [Space].
func (l *Local) New(ctx context.Context, size int64) (*Builder, error) {
	if size < 0 {
		return nil, tutti.Errorf("make blob", tutti.Invalid, "size of %d bytes", size)
	}
	a, err := l.ask(ctx, "make blob", &message{kind: kindCreate, ref: tutti.Ref{Size: size}})
	if err != nil {
		return nil, err
	}
	bytes := []byte{}
	abort := func() {
		l.unuse(a.at)
		l.tell(&message{kind: kindAbort, handle: a.handle})
	}
	if a.at != nil {
		if bytes, err = a.at.mem.view(a.off, size, true); err != nil {
			abort()
			return nil, err
		}
	}
	return &Builder{bytes: bytes, abort: abort, seal: func(ctx context.Context) (tutti.Ref, error) {
		l.unuse(a.at) // a file is unmapped before the store reads its checksum
		r, err := l.ask(ctx, "seal blob", &message{kind: kindSeal, handle: a.handle})
		return r.ref, err
	}}, nil
}

// Open asks for a lease; see [Space].
func (l *Local) Open(ctx context.Context, ref tutti.Ref, m Mode) (*Lease, error) {
	if ref.Size < 0 {
		return nil, tutti.Errorf("open blob", tutti.Invalid, "size of %d bytes", ref.Size)
	}
	a, err := l.ask(ctx, "open blob", &message{kind: kindOpen, ref: ref})
	if err != nil {
		return nil, err
	}
	var mem *memory
	if a.at != nil {
		mem = &a.at.mem
	}
	return newLease(a.ref, mem, a.off, m, func() {
		l.unuse(a.at)
		l.tell(&message{kind: kindRelease, handle: a.handle})
	})
}

// Hold asks for one more reference; see [Space].
func (l *Local) Hold(ctx context.Context, ref tutti.Ref) error {
	if ref.Size < 0 {
		return tutti.Errorf("hold blob", tutti.Invalid, "size of %d bytes", ref.Size)
	}
	_, err := l.ask(ctx, "hold blob", &message{kind: kindHold, ref: ref})
	return err
}

// Drop gives a reference back; see [Space].
func (l *Local) Drop(ref tutti.Ref) { l.tell(&message{kind: kindDrop, ref: ref}) }
