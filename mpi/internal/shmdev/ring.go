package shmdev

import (
	"encoding/binary"
)

// What a slot carries.
const (
	slotEager  uint8 = iota // a message, or its first piece
	slotMore                // the next piece of the message begun last on this ring
	slotOffer               // a message is ready: total, aux = sender's request, data = where it lies
	slotAccept              // the receive has begun: see acceptance
	slotData                // a piece of an accepted message: total = receiver's request
	slotDone                // a side has copied its part: aux = the other side's request
)

// note is a small control slot that could not be written yet.
type note struct {
	kind uint8
	aux  uint64
	tot  uint64
	data [inlineMax]byte
}

// outCursor is how far the sender of a ring has come. C may move it too: see fast.go.
type outCursor struct {
	head  uint64 // slots written
	tail  uint64 // slots known to be consumed
	phead uint64 // payload bytes written, with the gaps at the end
	ptail uint64
}

// outRing is the sender's end of a ring. The engine's lock guards it.
type outRing struct {
	pair
	*outCursor
	dst int
	// What waits for room: notes go first, they end other people's waits; then messages in order;
	// then pieces of accepted ones.
	notes   []note
	sends   []*request
	streams []*request
	queued  bool
}

// room looks whether a slot and n payload bytes in one piece are free. It gives the place of the
// payload.
func (o *outRing) room(n uint64) (start uint64, ok bool) {
	if o.head-o.tail >= nslot {
		if o.tail = o.back.tail.Load(); o.head-o.tail >= nslot {
			return 0, false
		}
	}
	if n == 0 {
		return 0, true
	}
	size := uint64(len(o.payload))
	start = o.phead
	if r := start % size; r+n > size {
		start += size - r // a piece does not wrap
	}
	if start+n-o.ptail > size {
		if o.ptail = o.back.ptail.Load(); start+n-o.ptail > size {
			return 0, false
		}
	}
	return start, true
}

// write puts a slot with up to a piece of bytes into the ring; false if there is no room.
func (o *outRing) write(kind uint8, src int, ctx uint32, tag int32, total, aux uint64, b []byte) bool {
	n := uint64(len(b))
	if n > inlineMax {
		n = roundUp(n, line)
	} else {
		n = 0
	}
	start, ok := o.room(n)
	if !ok {
		return false
	}
	s := &o.slots[o.head%nslot]
	s.kind, s.src, s.ctx, s.tag, s.total, s.aux = kind, uint16(src), ctx, tag, total, aux
	if n == 0 {
		s.inl = uint8(len(b))
		copy(s.data[:], b)
	} else {
		copy(o.payload[start%uint64(len(o.payload)):], b)
		o.phead = start + n
		s.inl, s.aux = inPayload, o.phead
		binary.NativeEndian.PutUint64(s.data[:], uint64(len(b)))
	}
	o.head++
	s.seq.Store(uint32(o.head))
	return true
}

// piece is how much of a long message goes into one slot: small enough that the receiver copies
// one piece while the sender writes the next.
const piece = 8 << 10

// inCursor is how far the receiver of a ring has come. C may move it too: see fast.go.
type inCursor struct {
	tail  uint64 // slots consumed
	told  uint64 // of these the sender knows
	ptail uint64
	ptold uint64
}

// inRing is the receiver's end of a ring. The engine's lock guards it.
type inRing struct {
	pair
	*inCursor
	src int
	// The message whose pieces are still coming.
	req *request
	msg *message
}

// next is the next slot if it has been written.
func (in *inRing) next() *slot {
	s := &in.slots[in.tail%nslot]
	if s.seq.Load() != uint32(in.tail+1) {
		return nil
	}
	return s
}

// bytes are what a slot carries; they must be used before release.
func (in *inRing) bytes(s *slot) []byte {
	if s.inl != inPayload {
		return s.data[:s.inl]
	}
	n := binary.NativeEndian.Uint64(s.data[:])
	size := uint64(len(in.payload))
	if n > size {
		return nil // a peer gone mad must not take us along
	}
	at := (s.aux - roundUp(n, line)) % size
	return in.payload[at:min(at+n, size)]
}

// release gives a slot back. The sender is told now and then only, as each telling costs it a
// cache miss; it says whether it was.
func (in *inRing) release(s *slot) (told bool) {
	if s.inl == inPayload {
		in.ptail = s.aux
		if in.ptail-in.ptold >= uint64(len(in.payload)/4) {
			in.back.ptail.Store(in.ptail)
			in.ptold, told = in.ptail, true
		}
	}
	in.tail++
	if in.tail-in.told >= nslot/4 {
		in.back.tail.Store(in.tail)
		in.told, told = in.tail, true
	}
	return told
}
