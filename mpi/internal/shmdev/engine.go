package shmdev

import (
	"context"
	"math/bits"
	"sync"
	"sync/atomic"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// engine is one rank: its ends of the rings, what it has posted and what has come. mu guards all
// of it; of the goroutines that wait, one polls for all (see wait.go).
type engine struct {
	mu   sync.Mutex
	want atomic.Int32 // goroutines that would like the lock

	a      arena
	me, n  int
	hdr    *header
	page   *rankPage
	policy policy
	opt    Options

	outs     []*outRing // by rank in the world, nil until used
	backlog  []*outRing // those with something queued
	ins      []*inRing  // those in use
	active   uint32     // how many of ours we have seen announced
	seen     []uint64   // which
	comms    map[uint32]*comm
	lastComm *comm
	numbered map[uint64]*request
	lastID   uint64
	free     *request
	runs     []*running // collective operations under way
	direct   []int8     // by rank: may we copy from and to it: 0 unknown, 1 yes, -1 no

	epoch     uint32
	stop      error // the world has ended for this rank
	polling   bool
	followers []*follower
	pidfds    []int    // by rank: to see its end; 0 not opened, -1 not possible
	kept      [][]byte // buffers that a stopped peer may still write to: never given back
	world     *comm
	ctx       context.Context // bounds the world's life
	ended     bool
	fast      *FastEngine // what C knows of this rank; nil: it does not
	fastComms []fastEntry
	holder    struct{ path, link string } // the launcher's descriptor of the world, and what it led to
}

func newEngine(a arena, me, n int, opt Options) *engine {
	e := &engine{
		a: a, me: me, n: n, hdr: a.header(), page: a.rank(me), opt: opt,
		outs: make([]*outRing, n), comms: map[uint32]*comm{}, numbered: map[uint64]*request{},
		seen: make([]uint64, n/64+1), direct: make([]int8, n),
	}
	e.policy = choosePolicy(a, n, opt.CPUs)
	members := make([]int, n)
	for i := range members {
		members[i] = i
	}
	e.world = e.enroll(0, members, me)
	e.direct[me] = -1
	return e
}

func (e *engine) lock() {
	if !e.mu.TryLock() {
		e.want.Add(1)
		e.mu.Lock()
		e.want.Add(-1)
	}
	if e.fast != nil {
		e.fast.acquire()
	}
}

func (e *engine) unlock() {
	if e.fast != nil {
		e.settle()
		e.fast.lock.Store(0)
	}
	e.mu.Unlock()
}

// enter begins a call on a communicator: with the lock, or with an error.
func (e *engine) enter(c *comm) error {
	e.lock()
	if e.ended { // the memory may be gone
		e.unlock()
		return e.stop
	}
	if e.hdr.epoch.Load() != e.epoch {
		e.news()
	}
	if err := e.broken(c); err != nil {
		e.unlock()
		return err
	}
	return nil
}

// broken says why nothing more can come of a communicator.
func (e *engine) broken(c *comm) error {
	if e.stop != nil {
		return e.stop
	}
	if c == nil {
		return nil
	}
	if c.freed {
		return device.Errorf(tutti.Closed, "the communicator has been freed")
	}
	return c.broken
}

// ring wakes a peer that sleeps. Callers have written before what it should see.
func (e *engine) ring(peer int) { ring(e.a, peer) }

func ring(a arena, rank int) {
	p := a.rank(rank)
	if p.asleep.Load() != 0 && p.asleep.CompareAndSwap(1, 0) {
		atomic.AddUint32(&p.word, 1)
		a.wake(rank)
	}
}

// out is the sender's end towards a rank, made at its first use.
func (e *engine) out(dst int) (*outRing, error) {
	if o := e.outs[dst]; o != nil {
		return o, nil
	}
	p, err := e.a.pair(e.me, dst, true)
	if err != nil {
		return nil, err
	}
	o := &outRing{pair: p, outCursor: new(outCursor), dst: dst}
	if e.fast != nil {
		e.exposeOut(o)
	}
	e.outs[dst] = o
	page := e.a.rank(dst)
	page.senders[e.me/64].Or(1 << (e.me % 64))
	page.active.Add(1)
	e.ring(dst)
	return o, nil
}

// announced finds the rings that have come into use.
func (e *engine) announced() {
	e.active = e.page.active.Load()
	for w := range e.seen {
		now := e.page.senders[w].Load()
		for fresh := now &^ e.seen[w]; fresh != 0; fresh &= fresh - 1 {
			src := w*64 + bits.TrailingZeros64(fresh)
			if src >= e.n {
				break
			}
			p, _ := e.a.pair(src, e.me, false)
			in := &inRing{pair: p, inCursor: new(inCursor), src: src}
			if e.fast != nil {
				e.exposeIn(in)
			}
			e.ins = append(e.ins, in)
		}
		e.seen[w] = now
	}
}

// progress does what can be done without waiting and says whether anything was.
func (e *engine) progress() bool {
	moved := false
	if e.page.active.Load() != e.active {
		e.announced()
	}
	for _, in := range e.ins {
		if s := in.next(); s != nil {
			e.drain(in, s)
			moved = true
		}
	}
	if len(e.backlog) > 0 && e.flush() {
		moved = true
	}
	if len(e.runs) > 0 && e.advance() {
		moved = true
	}
	return moved
}

// look is progress for callers that do not wait themselves: whoever waits hears of it.
func (e *engine) look() {
	if e.progress() {
		e.nudge()
	}
	if e.hdr.epoch.Load() != e.epoch {
		e.news()
	}
}

// drain takes what has come on one ring, up to a ring's length.
func (e *engine) drain(in *inRing, s *slot) {
	for range nslot {
		e.handle(in, s)
		if in.release(s) {
			e.ring(in.src)
		}
		if s = in.next(); s == nil {
			return
		}
	}
}

func (e *engine) handle(in *inRing, s *slot) {
	switch s.kind {
	case slotEager:
		e.arrive(in, s)
	case slotMore:
		e.more(in, in.bytes(s))
	case slotOffer:
		e.offered(in, s)
	case slotAccept:
		e.accepted(s)
	case slotData:
		if r := e.numbered[s.total]; r != nil {
			r.off += copy(r.buf[r.off:], in.bytes(s))
			if r.off >= r.limit {
				e.finish(r)
			}
		}
	case slotDone:
		if r := e.numbered[s.aux]; r != nil {
			if r.fins--; r.fins == 0 {
				e.finishPart(r)
			}
		}
	}
}

// find gives the communicator that a slot names. A message may come before this rank has heard
// that the communicator exists.
func (e *engine) find(ctx uint32) *comm {
	if c := e.lastComm; c != nil && c.ctx == ctx {
		return c
	}
	c := e.comms[ctx]
	if c == nil {
		c = &comm{e: e, ctx: ctx}
		e.comms[ctx] = c
	}
	e.lastComm = c
	return c
}

// arrive begins an eager message.
func (e *engine) arrive(in *inRing, s *slot) {
	c, b := e.find(s.ctx>>1), in.bytes(s)
	m := &c.match[s.ctx&1]
	src, tag, total := int(s.src), int(s.tag), int(s.total)
	if n := m.Match(src, tag); n != nil {
		r := n.Val
		r.st = device.Status{Source: src, Tag: tag, Bytes: total}
		r.total, r.off = total, len(b)
		copy(r.buf, b)
		if len(b) >= total {
			e.finish(r)
			return
		}
		in.req = r
		return
	}
	msg := &message{e: e, c: c, world: in.src, total: total, data: make([]byte, total)}
	msg.node = device.Node[*message]{Src: src, Tag: tag, Val: msg}
	msg.got = copy(msg.data, b)
	if msg.got < total {
		in.msg = msg
	}
	m.Keep(&msg.node)
}

// more takes the next piece of an eager message.
func (e *engine) more(in *inRing, b []byte) {
	if r := in.req; r != nil {
		if r.off < len(r.buf) {
			copy(r.buf[r.off:], b)
		}
		if r.off += len(b); r.off >= r.total {
			in.req = nil
			e.finish(r)
		}
		return
	}
	m := in.msg
	if m == nil {
		return
	}
	m.got += copy(m.data[m.got:], b)
	if m.got >= m.total {
		in.msg = nil
		if m.claimed != nil {
			e.hand(m, m.claimed)
		}
	}
}

// hand gives a message that came early to its receive.
func (e *engine) hand(m *message, r *request) {
	r.st = device.Status{Source: m.node.Src, Tag: m.node.Tag, Bytes: m.total}
	r.total = m.total
	switch {
	case m.offered:
		e.accept(r, m.world, m.remote, m.where)
	case m.got < m.total:
		m.claimed = r
	default:
		copy(r.buf, m.data)
		e.finish(r)
		if m.self != nil {
			e.complete(m.self, nil)
		}
	}
}

// enqueue keeps o for flush.
func (e *engine) enqueue(o *outRing) {
	if !o.queued {
		o.queued = true
		e.backlog = append(e.backlog, o)
	}
}

// flush writes what has been waiting for room.
func (e *engine) flush() bool {
	moved := false
	keep := e.backlog[:0]
	for _, o := range e.backlog {
		if e.flushOne(o) {
			moved = true
			e.ring(o.dst)
		}
		if o.queued = len(o.notes)+len(o.sends)+len(o.streams) > 0; o.queued {
			keep = append(keep, o)
		}
	}
	clear(e.backlog[len(keep):])
	e.backlog = keep
	return moved
}

func (e *engine) flushOne(o *outRing) (moved bool) {
	for len(o.notes) > 0 {
		t := &o.notes[0]
		if !o.write(t.kind, 0, 0, 0, t.tot, t.aux, t.data[:]) {
			return moved
		}
		o.notes, moved = o.notes[1:], true
	}
	for len(o.sends) > 0 {
		ok, some := e.push(o, o.sends[0])
		moved = moved || some
		if !ok {
			return moved
		}
		o.sends[0] = nil
		o.sends = o.sends[1:]
	}
	for len(o.streams) > 0 {
		r := o.streams[0]
		for r.off < r.limit {
			n := min(piece, r.limit-r.off)
			if !o.write(slotData, 0, 0, 0, r.remote, 0, r.buf[r.off:r.off+n]) {
				return moved
			}
			r.off += n
			moved = true
		}
		o.streams[0] = nil
		o.streams = o.streams[1:]
		e.complete(r, nil)
	}
	return moved
}

// push writes what it can of a send: all says whether it is through, some whether anything went.
func (e *engine) push(o *outRing, r *request) (all, some bool) {
	ctx := r.c.ctx<<1 | r.plane
	if r.sync || len(r.buf) > e.policy.eager {
		all = e.offer(o, r, ctx)
		return all, all
	}
	for {
		kind, n := slotMore, min(piece, len(r.buf)-r.off)
		if r.off == 0 {
			kind = slotEager
		}
		if !o.write(kind, r.c.rank, ctx, int32(r.tag), uint64(len(r.buf)), 0, r.buf[r.off:r.off+n]) {
			return false, some
		}
		some = true
		if r.off += n; r.off == len(r.buf) {
			e.complete(r, nil)
			return true, true
		}
	}
}
