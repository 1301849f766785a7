package shmdev

import (
	"encoding/binary"
	"errors"
	"syscall"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// How an accepted message travels.
const (
	byRing   = iota // the sender writes pieces into the ring
	byHalves        // each side copies its part between the two memories
	byNobody        // there is nothing to copy
)

// Between these sizes copying from memory to memory is faster than two copies through the ring;
// above, the ring's small working set stays in the cache and both processors work at once.
const directMax = 3 << 20

// offer announces a message; false if the ring is full.
func (e *engine) offer(o *outRing, r *request, ctx uint32) bool {
	if r.id == 0 {
		e.number(r)
	}
	var where [8]byte
	binary.NativeEndian.PutUint64(where[:], e.lend(r.id, r.buf))
	return o.write(slotOffer, r.c.rank, ctx, int32(r.tag), uint64(len(r.buf)), r.id, where[:])
}

// offered takes an announcement.
func (e *engine) offered(in *inRing, s *slot) {
	c := e.find(s.ctx >> 1)
	m := &c.match[s.ctx&1]
	where := binary.NativeEndian.Uint64(s.data[:])
	if n := m.Match(int(s.src), int(s.tag)); n != nil {
		r := n.Val
		r.st = device.Status{Source: int(s.src), Tag: int(s.tag), Bytes: int(s.total)}
		r.total = int(s.total)
		e.accept(r, in.src, s.aux, where)
		return
	}
	msg := &message{e: e, c: c, world: in.src, total: int(s.total), offered: true, remote: s.aux, where: where}
	msg.node = device.Node[*message]{Src: int(s.src), Tag: int(s.tag), Val: msg}
	m.Keep(&msg.node)
}

// accept answers an announcement and copies this side's part.
func (e *engine) accept(r *request, world int, remote, where uint64) {
	r.peer, r.remote, r.limit = world, remote, min(r.total, len(r.buf))
	way, mine := byRing, 0
	switch {
	case r.limit == 0:
		way = byNobody
	case r.limit <= directMax && e.reaches(world):
		// The writing side is a little faster than the reading one: the reader takes less than half.
		way, mine = byHalves, r.limit*2/5&^4095
	}
	id, at := uint64(0), uint64(0)
	if way != byNobody {
		id = e.number(r)
	}
	if way == byHalves {
		at = e.lend(id, r.buf)
	}
	var d [inlineMax]byte
	binary.NativeEndian.PutUint64(d[0:], id)
	binary.NativeEndian.PutUint64(d[8:], uint64(mine))
	binary.NativeEndian.PutUint64(d[16:], at)
	d[24] = uint8(way)
	e.send(world, note{kind: slotAccept, aux: remote, tot: uint64(r.limit), data: d})
	switch way {
	case byNobody:
		e.finish(r)
	case byHalves:
		r.fins = 1
		e.readPart(r, mine, where)
	}
}

// readPart copies the receiver's part of a message and tells the sender.
func (e *engine) readPart(r *request, mine int, where uint64) {
	if mine == 0 {
		return
	}
	if err := e.read(r.peer, where, r.buf[:mine]); err != nil {
		// The sender's memory is gone, and so is the sender: its loss will be reported too.
		e.complete(r, err)
		return
	}
	e.send(r.peer, note{kind: slotDone, aux: r.remote})
}

// accepted is the sender's side of accept.
func (e *engine) accepted(s *slot) {
	r := e.numbered[s.aux]
	if r == nil {
		return // given up meanwhile
	}
	r.remote = binary.NativeEndian.Uint64(s.data[0:])
	mine := int(binary.NativeEndian.Uint64(s.data[8:]))
	where := binary.NativeEndian.Uint64(s.data[16:])
	r.limit, r.off = min(int(s.total), len(r.buf)), 0
	switch s.data[24] {
	case byNobody:
		e.complete(r, nil)
	case byRing:
		o := e.outs[r.dst]
		o.streams = append(o.streams, r)
		e.enqueue(o)
	case byHalves:
		if mine > 0 {
			r.fins = 1
		}
		e.writePart(r, min(mine, r.limit), where)
	}
}

// writePart copies the sender's part. A receiver that gives up waits until nobody writes any
// more (see quiesce); so the flag goes up first, and then we look whether it still wants it.
func (e *engine) writePart(r *request, from int, where uint64) {
	e.page.writing.Store(1)
	defer e.page.writing.Store(0)
	if e.hdr.epoch.Load() != e.epoch {
		e.news()
		if r.done {
			return
		}
	}
	if err := e.write(r.dst, where, from, r.buf[from:r.limit]); err != nil {
		e.complete(r, err)
		return
	}
	e.send(r.dst, note{kind: slotDone, aux: r.remote})
	if r.fins == 0 {
		e.complete(r, nil)
	}
}

// finishPart ends a request whose other side has copied its part.
func (e *engine) finishPart(r *request) {
	if r.recv() {
		e.finish(r)
		return
	}
	e.complete(r, nil)
}

// send writes a note to a rank, or keeps it until there is room.
func (e *engine) send(world int, t note) {
	o, err := e.out(world)
	if err != nil {
		e.stop = err // without a way back nobody can be answered
		return
	}
	if len(o.notes) == 0 && o.write(t.kind, 0, 0, 0, t.tot, t.aux, t.data[:]) {
		e.ring(world)
		return
	}
	o.notes = append(o.notes, t)
	e.enqueue(o)
}

// reaches says whether this process may copy from and to the memory of a rank's; tried once.
func (e *engine) reaches(world int) bool {
	if e.direct[world] == 0 {
		e.direct[world] = -1
		if e.a.inProcess() || !e.opt.NoDirect && e.tryReach(world) {
			e.direct[world] = 1
		}
	}
	return e.direct[world] > 0
}

// quiesce waits until the peer of a receive writes no more into its buffer. The peer looks for
// our reason after it raised its flag, so that once the flag is down it stays down.
func (e *engine) quiesce(r *request) {
	if r.fins == 0 || !r.recv() {
		return
	}
	if !e.patience(func() bool { return e.a.rank(r.peer).writing.Load() == 0 || state(e.a, r.peer) == lost }) {
		e.kept = append(e.kept, r.buf) // stopped in the middle: the memory must stay ours
	}
}

// recv says whether the request is a receive; only receives have a place in the lists of a Matcher.
func (r *request) recv() bool { return r.node.Val != nil }

func gone(world int, err error) error {
	if errors.Is(err, syscall.ESRCH) {
		return device.Errorf(tutti.Revoked, "rank %d of the world has died", world)
	}
	return device.Errorf(tutti.Lost, "the memory of rank %d of the world cannot be reached: %w", world, err)
}
