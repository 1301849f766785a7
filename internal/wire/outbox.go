package wire

// outItem is a message, or the fin, that waits to be sent or acknowledged.
type outItem struct {
	msg   Message
	fin   bool
	again bool  // to be written again, out of turn
	at    int64 // when it was last written, on the link's clock
}

func (it *outItem) size() uint64 {
	if it.fin {
		return 0
	}
	return it.msg.size()
}

func (it *outItem) frame(seq uint64) Frame {
	if it.fin {
		return Frame{Type: FrameFin, Seq: seq}
	}
	return Frame{Type: FrameData, Kind: it.msg.Kind, Seq: seq, Header: it.msg.Header, Payload: it.msg.Payload}
}

// outbox is the sending half of a link: everything that was sent or posted and is not yet
// acknowledged, by number. Plain data without a clock; Link.mu guards it.
//
//	base ... next ... end        base <= next <= end
//
// Below base the peer has everything. From base to next things are written on this connection and
// not acknowledged; from next to end they wait for the line or for credit.
type outbox struct {
	items  ring[outItem] // numbers base to end-1
	base   uint64
	next   uint64
	high   uint64 // the first number never written: a write below it is a resend
	window Window // granted by the peer

	// Sizes of all messages below base, next and end since the link began.
	sumBase, sumNext, sumEnd uint64
	// What the peer's Recv has taken.
	consumed, consumedBytes uint64

	repeats int    // items marked again
	resent  uint64 // for the statistics
	fin     uint64 // number of the fin, 0 if there is none yet
}

func newOutbox() outbox { return outbox{base: 1, next: 1, high: 1} }

func (o *outbox) end() uint64 { return o.base + uint64(o.items.len()) }

// held is the size of what is not acknowledged.
func (o *outbox) held() uint64 { return o.sumEnd - o.sumBase }

// fits reports whether a message that follows number-1 others of that total size is covered by
// the peer's window. A message larger than the window may go alone.
func (o *outbox) fits(number, sum, size uint64) bool {
	under := number - 1 - o.consumed
	return under == 0 || under < uint64(o.window.Messages) && sum+size-o.consumedBytes <= uint64(o.window.Bytes)
}

// room reports whether one more message could be written at once after all that waits.
func (o *outbox) room(size uint64) bool { return o.fits(o.end(), o.sumEnd, size) }

func (o *outbox) push(m Message) {
	o.items.push(outItem{msg: m})
	o.sumEnd += m.size()
}

func (o *outbox) pushFin() {
	if o.fin == 0 {
		o.fin = o.end()
		o.items.push(outItem{fin: true})
	}
}

// take appends frames to be written now, at most so many, and at most about maxBytes.
func (o *outbox) take(into []Frame, maxBytes int, now int64) []Frame {
	bytes := 0
	for n := o.base; o.repeats > 0 && n < o.next; n++ {
		it := o.items.at(int(n - o.base))
		if !it.again {
			continue
		}
		if len(into) == cap(into) || bytes > maxBytes {
			return into
		}
		it.again, it.at = false, now
		o.repeats--
		o.resent++
		into = append(into, it.frame(n))
		bytes += int(it.size())
	}
	for o.next < o.end() && len(into) < cap(into) && bytes <= maxBytes {
		it := o.items.at(int(o.next - o.base))
		size := it.size()
		if !it.fin && !o.fits(o.next, o.sumNext, size) {
			break
		}
		it.at = now
		into = append(into, it.frame(o.next))
		if o.next < o.high {
			o.resent++
		}
		o.next++
		o.high = max(o.high, o.next)
		o.sumNext += size
		bytes += int(size)
	}
	return into
}

// sendable reports whether take would give something.
func (o *outbox) sendable() bool {
	if o.repeats > 0 {
		return true
	}
	if o.next == o.end() {
		return false
	}
	it := o.items.at(int(o.next - o.base))
	return it.fin || o.fits(o.next, o.sumNext, it.size())
}

// acknowledge takes in what the peer tells. It is false if the peer has what was never written.
func (o *outbox) acknowledge(a ackState) bool {
	if a.received >= o.high || a.consumed > a.received || a.consumedBytes > o.sumEnd {
		return false
	}
	for o.base <= a.received {
		it := o.items.pop()
		if it.again {
			o.repeats--
		}
		o.sumBase += it.size()
		o.base++
	}
	if o.next < o.base { // the peer had it already when it was about to be written again
		o.next, o.sumNext = o.base, o.sumBase
	}
	// Acks may overtake each other: only progress counts.
	o.consumed = max(o.consumed, a.consumed)
	o.consumedBytes = max(o.consumedBytes, a.consumedBytes)
	return true
}

// abandon drops everything: the link has ended.
func (o *outbox) abandon() {
	o.base = o.end()
	o.items = ring[outItem]{}
	o.next, o.repeats = o.base, 0
	o.sumBase, o.sumNext = o.sumEnd, o.sumEnd
}

// rewind starts over after what the peer has: a new connection knows nothing.
func (o *outbox) rewind() {
	for i := range o.items.len() {
		o.items.at(i).again = false
	}
	o.repeats = 0
	o.next, o.sumNext = o.base, o.sumBase
}

// scanLimit bounds how far a resend looks into a long queue at a time.
const scanLimit = 1024

// repeatGap marks what the peer misses below ahead, except what was written after since.
func (o *outbox) repeatGap(ahead uint64, since int64) {
	for n := o.base; n < min(ahead, o.next, o.base+scanLimit); n++ {
		o.repeat(n, since)
	}
}

// repeatOld marks what was written before since and is not acknowledged; at most a few, because
// most of it has likely arrived and only the first is missing.
func (o *outbox) repeatOld(since int64, most int) (marked int) {
	for n := o.base; n < min(o.next, o.base+scanLimit) && marked < most; n++ {
		if o.repeat(n, since) {
			marked++
		}
	}
	return marked
}

func (o *outbox) repeat(n uint64, since int64) bool {
	it := o.items.at(int(n - o.base))
	if it.again || it.at > since {
		return false
	}
	it.again = true
	o.repeats++
	return true
}

// oldest is when the first unacknowledged thing was written, false if everything is acknowledged.
func (o *outbox) oldest() (at int64, ok bool) {
	if o.base == o.next {
		return 0, false
	}
	return o.items.at(0).at, true
}

// ring is a queue whose memory is used again, and given back after a burst.
type ring[T any] struct {
	buf  []T // its length is a power of two
	head int
	n    int
}

func (r *ring[T]) len() int    { return r.n }
func (r *ring[T]) at(i int) *T { return &r.buf[(r.head+i)&(len(r.buf)-1)] }

func (r *ring[T]) push(v T) {
	if r.n == len(r.buf) {
		r.resize(max(16, 2*r.n))
	}
	r.n++
	*r.at(r.n - 1) = v
}

func (r *ring[T]) pop() T {
	p := r.at(0)
	v := *p
	var zero T
	*p = zero
	r.head = (r.head + 1) & (len(r.buf) - 1)
	r.n--
	if len(r.buf) > 1024 && r.n < len(r.buf)/8 {
		r.resize(len(r.buf) / 4)
	}
	return v
}

func (r *ring[T]) resize(size int) {
	buf := make([]T, size)
	for i := range r.n {
		buf[i] = *r.at(i)
	}
	r.buf, r.head = buf, 0
}
