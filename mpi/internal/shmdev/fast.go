package shmdev

import (
	"sync/atomic"
	"unsafe"

	"github.com/tutti-hpc/tutti/internal/shm"
)

// A program in C that calls this package through package main of lib pays for every crossing into
// Go more than a short message costs. So it may pass short messages by itself, on the same rings.
// What both sides need for that is described here, in the same words as in lib/fast.c: it lies in memory of C, is never
// given back, and belongs to whoever holds FastEngine.lock. Go takes that lock with its own.
//
// C does only what needs no second thought: it writes a slot where nothing waits before it, and
// takes a slot that is a whole message for a receive, while no receive is posted and no message kept on
// that communicator, and nothing is under way on this rank that its progress could depend on.
// In every other case it leaves all as it is and calls Go.

// FastRing is one end of a ring: where it is, and the cursors of its owner.
type FastRing struct {
	slots   *ringSlots // nil until the ring is in use
	payload *byte
	room    uint64 // bytes of payload
	back    *ringHead
	cursor  [4]uint64 // an outCursor or an inCursor
}

// FastEngine is what C knows of a rank. Behind it lie the ends of the rings to all ranks and then
// those from all ranks.
type FastEngine struct {
	lock  atomic.Uint32
	want  atomic.Uint32 // Go threads that want it: C lets go then
	calm  uint32        // nothing is under way on this rank, and its world is well
	epoch uint32        // of the header when Go looked last
	me, n uint32
	spins uint32         // how often a receive of C looks before it calls Go
	turn  uint32         // C's own: from which rank on it looks for a message of anybody
	news  *atomic.Uint32 // the header's epoch
	pages *rankPage
	step  uint64 // from one rank's page to the next
	_     [72]byte
}

// FastComm is what C knows of a communicator.
type FastComm struct {
	handle  int32 // 0 when it is gone
	ctx     uint32
	rank    int32
	size    int32
	quiet   uint32 // no receive is posted, no message kept
	room    uint32 // of members
	engine  *FastEngine
	members *int32 // ranks in the world, memory of C
}

// FastMemory gives zeroed memory of C, aligned to 64 bytes.
type FastMemory func(bytes int) unsafe.Pointer

// fastEntry is a communicator of which C knows.
type fastEntry struct {
	c *comm
	f *FastComm
}

// fastMost is how many communicators C may know of; each costs a little at every call.
const fastMost = 8

func (f *FastEngine) out(r int) *FastRing {
	return (*FastRing)(unsafe.Add(unsafe.Pointer(f), unsafe.Sizeof(*f)+uintptr(r)*unsafe.Sizeof(FastRing{})))
}
func (f *FastEngine) in(r int) *FastRing { return f.out(int(f.n) + r) }

// acquire waits until C lets go, which is soon.
func (f *FastEngine) acquire() {
	if f.lock.CompareAndSwap(0, 1) {
		return
	}
	f.want.Add(1)
	for i := 1; !f.lock.CompareAndSwap(0, 1); i++ {
		if i%64 == 0 {
			shm.Yield()
		}
	}
	f.want.Add(^uint32(0))
}

// settle tells C how things stand, before Go lets go.
func (e *engine) settle() {
	f := e.fast
	f.calm, f.epoch = 0, e.epoch
	if e.stop == nil && !e.ended && len(e.backlog) == 0 && len(e.runs) == 0 && len(e.numbered) == 0 {
		f.calm = 1
	}
	for _, s := range e.fastComms {
		s.f.quiet = 0
		if s.c.broken == nil && !s.c.freed && s.c.match[0].Idle() {
			s.f.quiet = 1
		}
	}
}

// expose puts the cursors of a ring where C sees them, and says where the ring is.
func (p pair) expose(r *FastRing) unsafe.Pointer {
	r.payload, r.room, r.back = unsafe.SliceData(p.payload), uint64(len(p.payload)), p.back
	r.slots = p.slots
	return unsafe.Pointer(&r.cursor)
}

func (e *engine) exposeOut(o *outRing) {
	r := e.fast.out(o.dst)
	c := (*outCursor)(unsafe.Pointer(&r.cursor))
	*c = *o.outCursor
	o.outCursor = (*outCursor)(o.expose(r))
}

func (e *engine) exposeIn(in *inRing) {
	r := e.fast.in(in.src)
	c := (*inCursor)(unsafe.Pointer(&r.cursor))
	*c = *in.inCursor
	in.inCursor = (*inCursor)(in.expose(r))
}

// Share lets C pass short messages on the communicator by itself: f is filled in, with handle,
// until Unshare or the end of the world; a communicator that f described before must be gone. It says whether that is possible.
func (c *comm) Share(handle int32, f *FastComm, memory FastMemory) bool {
	e := c.e
	e.lock()
	defer e.unlock()
	if e.a.inProcess() || len(e.fastComms) == fastMost || e.ended || c.broken != nil || c.freed {
		return false
	}
	if e.fast == nil {
		e.shareEngine((*FastEngine)(memory(int(unsafe.Sizeof(FastEngine{})) + 2*e.n*int(unsafe.Sizeof(FastRing{})))))
	}
	if n := len(c.members); int(f.room) < n {
		f.members, f.room = (*int32)(memory(4*n)), uint32(n)
	}
	for i, w := range c.members {
		unsafe.Slice(f.members, len(c.members))[i] = int32(w)
	}
	f.ctx, f.rank, f.size, f.engine, f.quiet = c.ctx, int32(c.rank), int32(len(c.members)), e.fast, 0
	f.handle = handle
	e.fastComms = append(e.fastComms, fastEntry{c, f})
	return true
}

func (e *engine) shareEngine(f *FastEngine) {
	f.me, f.n, f.news, f.pages, f.step = uint32(e.me), uint32(e.n), &e.hdr.epoch, e.a.rank(0), uint64(unsafe.Sizeof(rankPage{}))
	f.spins = 1
	if e.policy.spin > 0 {
		f.spins = fastSpins
	}
	f.lock.Store(1) // held now, as the engine's own
	e.fast = f
	for _, o := range e.outs {
		if o != nil {
			e.exposeOut(o)
		}
	}
	for _, in := range e.ins {
		e.exposeIn(in)
	}
}

// fastSpins is about 20 µs, after which crossing into Go does not matter any more.
const fastSpins = 8000

// Unshare takes the communicator from C.
func (c *comm) Unshare() {
	e := c.e
	e.lock()
	defer e.unlock()
	for i, s := range e.fastComms {
		if s.c == c {
			s.f.handle = 0
			e.fastComms = append(e.fastComms[:i], e.fastComms[i+1:]...)
			return
		}
	}
}
