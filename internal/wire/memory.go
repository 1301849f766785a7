package wire

import (
	"context"
	"io"
	"math/rand/v2"
	"sync"

	"github.com/tutti-hpc/tutti"
)

// Memory is a network inside one process: for embedded clusters, and with [Misfortune] for tests.
// It uses channels, conditions and timers only, so it works in a synctest bubble; frames pass
// without their payloads being copied. Its methods may be called concurrently.
//
// A Memory is the network as seen by the host ""; [Memory.Host] gives other hosts' views.
// Addresses are any strings, the same for all hosts.
type Memory struct {
	seed uint64

	mu        sync.Mutex
	dialled   uint64 // counts connections: each draws its misfortune from its own numbers
	listeners map[string]*memoryListener
	conns     map[*memoryConn]struct{} // the dialling ends of all live connections
	knobs     knobs
}

// NewMemory makes a network without misfortune; seed decides what any later misfortune hits.
func NewMemory(seed uint64) *Memory {
	return &Memory{
		seed:      seed,
		listeners: map[string]*memoryListener{},
		conns:     map[*memoryConn]struct{}{},
		knobs:     knobs{between: map[pair]Misfortune{}, silent: map[pair]bool{}},
	}
}

// Host is the network as the named host sees it; [Memory.Partition] and its like name hosts.
func (m *Memory) Host(name string) Network { return memoryHost{m, name} }

// Listen and Dial make Memory a Network.
func (m *Memory) Listen(ctx context.Context, addr string) (Listener, error) {
	return m.listen(ctx, "", addr)
}

// Dial connects to whoever listens at addr. Nobody there: kind NotFound.
func (m *Memory) Dial(ctx context.Context, addr string) (Conn, error) { return m.dial(ctx, "", addr) }

type memoryHost struct {
	m    *Memory
	name string
}

func (h memoryHost) Listen(ctx context.Context, addr string) (Listener, error) {
	return h.m.listen(ctx, h.name, addr)
}

func (h memoryHost) Dial(ctx context.Context, addr string) (Conn, error) {
	return h.m.dial(ctx, h.name, addr)
}

func (m *Memory) listen(ctx context.Context, host, addr string) (Listener, error) {
	if err := ctx.Err(); err != nil {
		return nil, tutti.E("listen", tutti.KindOf(err), err)
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.listeners[addr] != nil {
		return nil, tutti.Errorf("listen", tutti.Exists, "somebody listens at %q already", addr)
	}
	l := &memoryListener{m: m, host: host, addr: addr, queue: make(chan *memoryConn, 64), closed: make(chan struct{})}
	m.listeners[addr] = l
	return l, nil
}

func (m *Memory) dial(ctx context.Context, host, addr string) (Conn, error) {
	if err := ctx.Err(); err != nil {
		return nil, tutti.E("dial", tutti.KindOf(err), err)
	}
	m.mu.Lock()
	l := m.listeners[addr]
	if l == nil {
		m.mu.Unlock()
		return nil, tutti.Errorf("dial", tutti.NotFound, "nobody listens at %q", addr)
	}
	if m.knobs.silenced(host, l.host) || m.knobs.silenced(l.host, host) {
		m.mu.Unlock()
		<-ctx.Done() // as with a real partition: nothing comes back, not even a refusal
		return nil, tutti.Errorf("dial", tutti.KindOf(ctx.Err()), "no answer from %q", addr)
	}
	near, far := m.newPair(host, l.host, addr)
	m.mu.Unlock()
	select {
	case l.queue <- far:
	case <-l.closed:
		near.cut(io.EOF)
		return nil, tutti.Errorf("dial", tutti.NotFound, "nobody listens at %q any more", addr)
	case <-ctx.Done():
		near.cut(io.EOF)
		return nil, tutti.Errorf("dial", tutti.KindOf(ctx.Err()), "%q does not accept", addr)
	}
	select {
	case <-l.closed: // it may have closed between the two, and nobody will look into the queue
		near.cut(io.EOF)
		return nil, tutti.Errorf("dial", tutti.NotFound, "nobody listens at %q any more", addr)
	default:
		return near, nil
	}
}

// newPair makes both ends of a connection; m.mu is held.
func (m *Memory) newPair(from, to, addr string) (near, far *memoryConn) {
	m.dialled++
	end := func(host, peer string, dir uint64) *memoryConn {
		c := &memoryConn{m: m, host: host, peer: peer, addr: addr, limit: helloLimit}
		c.nonEmpty.L = &c.mu
		c.way.draw = rand.New(rand.NewPCG(m.seed, m.dialled<<1|dir))
		return c
	}
	near, far = end(from, to, 0), end(to, from, 1)
	near.other, far.other = far, near
	near.way.to, far.way.to = far, near
	near.way.set(m.knobs.path(from, to))
	far.way.set(m.knobs.path(to, from))
	m.conns[near] = struct{}{}
	return near, far
}

type memoryListener struct {
	m      *Memory
	host   string
	addr   string
	queue  chan *memoryConn
	once   sync.Once
	closed chan struct{}
}

func (l *memoryListener) Addr() string { return l.addr }

func (l *memoryListener) Accept(ctx context.Context) (Conn, error) {
	select {
	case c := <-l.queue:
		return c, nil
	case <-l.closed:
		return nil, tutti.Errorf("accept", tutti.Closed, "the listener at %q was closed", l.addr)
	case <-ctx.Done():
		return nil, tutti.E("accept", tutti.KindOf(ctx.Err()), ctx.Err())
	}
}

func (l *memoryListener) Close() error {
	l.once.Do(func() {
		l.m.mu.Lock()
		delete(l.m.listeners, l.addr)
		l.m.mu.Unlock()
		close(l.closed)
	})
	for {
		select {
		case c := <-l.queue:
			c.cut(io.EOF)
		default:
			return nil
		}
	}
}

// memoryConn is one end of a connection: a queue of what arrived, and the way to the other end.
type memoryConn struct {
	m          *Memory
	host, peer string
	addr       string
	other      *memoryConn
	way        way

	mu       sync.Mutex // guards what follows
	nonEmpty sync.Cond
	queue    []Frame
	head     int // how much of queue has been read
	arrived  uint64
	limit    int
	err      error // why no more comes, once the queue is empty
	closed   bool  // this end was closed
}

func (c *memoryConn) Peer() Identity {
	return Identity{Network: "memory", Addr: c.addr, Name: c.peer, UID: -1}
}

// Reliable is false also in fair weather, which may change while the connection lives.
func (c *memoryConn) Reliable() bool { return false }

func (c *memoryConn) Arrived() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.arrived
}

func (c *memoryConn) SetLimit(bytes int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.limit = bytes
}

// Write never blocks: the credit of the links bounds what lies in the queue.
func (c *memoryConn) Write(frames []Frame) error {
	c.mu.Lock()
	err, closed := c.err, c.closed
	c.mu.Unlock()
	if closed || err != nil {
		return tutti.Errorf("write", tutti.Lost, "the connection to %q is cut", c.peer)
	}
	c.way.send(frames)
	return nil
}

func (c *memoryConn) Read(into []Frame) ([]Frame, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.head == len(c.queue) && c.err == nil && !c.closed {
		c.nonEmpty.Wait()
	}
	waiting := c.queue[c.head:]
	if c.closed || len(waiting) == 0 {
		return into, tutti.E("read", tutti.Lost, c.endErr())
	}
	waiting = waiting[:max(1, min(cap(into)-len(into), len(waiting)))]
	for i := range waiting {
		if f := &waiting[i]; f.Size() > c.limit {
			return into, tutti.Errorf("read frame", tutti.Corrupt, "a frame of %d bytes exceeds the limit of %d", f.Size(), c.limit)
		}
	}
	into = append(into, waiting...)
	clear(waiting) // do not hold on to what the reader owns now
	c.head += len(waiting)
	return into, nil
}

func (c *memoryConn) endErr() error {
	if c.err != nil {
		return c.err
	}
	return io.ErrClosedPipe
}

// deliver puts frames that came through into the queue.
func (c *memoryConn) deliver(frames []Frame) {
	c.mu.Lock()
	if c.closed || c.err != nil {
		c.mu.Unlock()
		return
	}
	if c.head > len(c.queue)/2 { // so that the queue does not wander through memory
		n := copy(c.queue, c.queue[c.head:])
		clear(c.queue[n:])
		c.queue, c.head = c.queue[:n], 0
	}
	c.queue = append(c.queue, frames...)
	c.arrived += uint64(len(frames))
	c.mu.Unlock()
	c.nonEmpty.Signal()
}

// Close takes effect here at once; the other end reads what is on its way to it, then EOF, unless
// nothing gets through to it at all.
func (c *memoryConn) Close() error {
	c.mu.Lock()
	already := c.closed
	c.closed = true
	c.queue, c.head = nil, 0
	c.mu.Unlock()
	if already {
		return nil
	}
	c.nonEmpty.Broadcast()
	c.m.forget(c)
	c.way.end()
	return nil
}

// fail ends the incoming side with err after what is in the queue.
func (c *memoryConn) fail(err error) {
	c.mu.Lock()
	if c.err == nil {
		c.err = err
	}
	c.mu.Unlock()
	c.nonEmpty.Broadcast()
}

// cut breaks both directions now; what is on the way is gone.
func (c *memoryConn) cut(err error) {
	c.m.forget(c)
	for _, e := range []*memoryConn{c, c.other} {
		e.way.stop()
		e.mu.Lock()
		e.queue, e.head = nil, 0
		e.mu.Unlock()
		e.fail(err)
	}
}

// forget takes a connection off the list when either end is closed.
func (m *Memory) forget(c *memoryConn) {
	m.mu.Lock()
	defer m.mu.Unlock()
	delete(m.conns, c)
	delete(m.conns, c.other)
}
