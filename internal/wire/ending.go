package wire

import (
	"errors"

	"github.com/tutti-hpc/tutti"
)

// errTerms marks errors after which a peer is not given another connection.
var errTerms = errors.New("breach of terms")

func errClosedHere(op string) error {
	return tutti.Errorf(op, tutti.Closed, "the link was closed on this side")
}

// Close delivers what was sent or posted, tells the peer that this is the orderly end, and waits
// until it has confirmed, at most Linger long: then the error is of kind Timeout. The peer's Recv
// gives everything first, then an error of kind Closed. No goroutine is left when it returns. It
// may be called again, and on an ended link.
func (l *Link) Close() error {
	l.stopTaking()
	l.mu.Lock()
	if l.phase == open {
		l.phase = closing
		close(l.stopping)
		l.discard()
		l.considerAck()
		l.out.pushFin()
		l.times.graceAt = l.now() + int64(l.cfg.Linger)
		l.arm(l.times.graceAt)
		l.kick()
	}
	l.mu.Unlock()
	<-l.done
	l.running.Wait()
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.closeErr
}

// stopTaking makes Recv give no more: what it had not given yet counts as taken.
func (l *Link) stopTaking() {
	l.taking.Lock()
	defer l.taking.Unlock()
	l.deaf.Store(true)
	l.consume(l.ready[l.readyAt:])
	l.ready, l.readyAt = nil, 0
}

// discard drops what has arrived, and grants credit for it: the peer's fin may have to come after
// what nobody will take. mu is held.
func (l *Link) discard() {
	l.consume(l.in.queue)
	l.in.queue = nil
}

func (l *Link) consume(ms []Message) {
	for i := range ms {
		l.consumedBytes.Add(ms[i].size())
	}
	l.consumed.Add(uint64(len(ms)))
}

// Abort ends the link now, without delivering anything; the peer is told why if a connection is
// at hand, and on the accepting side the session is fenced. It does not block.
func (l *Link) Abort(reason string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.deaf.Store(true)
	r := &refusal{kind: tutti.Lost, reason: l.local.Name + " aborted: " + reason}
	if l.dialler == nil {
		r.code = refusedFenced
	}
	if l.phase == over {
		l.linger = false
		l.kick()
		return
	}
	l.end(tutti.Errorf("link", tutti.Closed, "aborted on this side: %s", reason), r)
}

// drop ends the link as a crash of this process would: the peer just sees its connection cut.
func (l *Link) drop() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.end(tutti.Errorf("link", tutti.Closed, "the server was stopped"), nil)
	if l.cur != nil {
		l.cur.shut(l.err)
	}
}

// turnPhase looks whether what just arrived ends the link; mu is held.
func (l *Link) turnPhase() {
	switch {
	case l.phase == over:
	case l.phase == closing && l.out.fin < l.out.base:
		l.end(errClosedHere("link"), nil)
	case l.phase == closing && l.in.fin:
		// Both close: neither will take what the other still has.
		l.end(errClosedHere("link"), nil)
	case l.in.fin:
		l.linger = true
		l.end(tutti.Errorf("link", tutti.Closed, "%s closed the link", l.peer.Name), nil)
	}
}

// end is the one way into phase over; mu is held. What has arrived can still be received. The
// writer sends acknowledgements that are due and words, if not nil, as the last frame.
func (l *Link) end(err error, words *refusal) {
	if l.phase == over {
		return
	}
	if l.phase == open {
		close(l.stopping)
	} else if l.closeErr == nil && tutti.KindOf(err) != tutti.Closed {
		l.closeErr = err
	}
	l.phase, l.err = over, err
	if words != nil {
		words.versions, words.software = Protocol, l.local.Software
		l.words = &Frame{Type: FrameAbort, Header: words.encode()}
	}
	l.cancel()
	close(l.done)
	l.out.abandon()
	if l.onEnd != nil {
		l.onEnd(l)
	}
	if l.cur == nil {
		l.times.timer.Stop()
		return
	}
	l.times.graceAt = l.now() + grace
	l.arm(l.times.graceAt)
	l.kick()
}
