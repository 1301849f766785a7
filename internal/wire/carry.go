package wire

import (
	"errors"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
)

const (
	batchFrames = 256     // frames per write or read
	batchBytes  = 1 << 18 // about, per write: heartbeats and acks come between
)

// carrier is a connection in the service of a link: one goroutine reads it, one writes it.
type carrier struct {
	conn    Conn
	first   *Frame // the welcome, on the accepting side
	wake    chan struct{}
	gone    chan struct{} // closed by shut
	once    sync.Once
	err     error  // why shut; read after gone
	idle    bool   // the writer waits for wake; guarded by Link.mu
	arrived uint64 // bytes at the last tick; guarded by Link.mu
}

// shut breaks the connection; reader and writer leave.
func (c *carrier) shut(err error) {
	c.once.Do(func() {
		c.err = err
		close(c.gone)
		c.conn.Close()
	})
}

// attach puts a greeted connection into service in place of what was there. The peer's greeting
// says what it has; welcome, if not nil, makes our answer, which must be the first frame to go.
func (l *Link) attach(conn Conn, g *greeting, welcome func() *Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == over {
		return l.err
	}
	if g.attempt < l.attempt || l.cur != nil && g.attempt == l.attempt {
		return tutti.Errorf("resume link", tutti.Invalid, "a newer connection is in use")
	}
	if !l.out.acknowledge(g.pos) {
		return tutti.Errorf("resume link", tutti.Corrupt, "the peer claims to have messages that were never sent")
	}
	if l.cur != nil {
		l.cur.shut(errors.New("replaced by a newer connection"))
	}
	if l.attempt > 0 {
		l.stats.Reconnects++
	}
	l.attempt = g.attempt
	l.out.window = g.window
	l.out.rewind()
	l.peerMax = g.maxFrame
	l.beat = max(l.cfg.Heartbeat, g.heartbeat)
	conn.SetLimit(l.cfg.MaxFrame)
	c := &carrier{conn: conn, wake: make(chan struct{}, 1), gone: make(chan struct{}), arrived: conn.Arrived()}
	if welcome != nil {
		c.first = welcome()
	}
	l.cur, l.since = c, time.Now()
	l.startTimes()
	l.start(func() { l.read(c) })
	l.start(func() { l.write(c) })
	l.signalRoom()
	l.considerAck()
	return nil
}

// start runs f as one of the link's goroutines; mu is held, and on the accepting side the caller
// is one of the server's.
func (l *Link) start(f func()) {
	if l.server != nil {
		l.server.Add(1)
	}
	l.running.Go(func() {
		f()
		if l.server != nil {
			l.server.Done()
		}
	})
}

// position is where the link stands, for a greeting; mu is held.
func (l *Link) position() ackState {
	l.ackSoon.Store(false) // before the counters are read: see take
	a := l.in.state(l.consumed.Load(), l.consumedBytes.Load())
	l.urgentAt.Store(a.consumed + uint64(max(1, l.cfg.Window.Messages/4)))
	l.urgentBytes.Store(a.consumedBytes + uint64(max(1, l.cfg.Window.Bytes/4)))
	l.times.ackAt = 0
	l.times.ackNow = false
	return a
}

// considerAck decides whether news for the peer goes now or can wait for more; mu is held.
func (l *Link) considerAck() {
	any, urgent := l.in.untold(l.consumed.Load(), l.consumedBytes.Load())
	switch {
	case urgent:
		l.times.ackNow = true
		l.kick()
	case any && l.times.ackAt == 0:
		l.ackSoon.Store(true)
		l.times.ackAt = l.now() + int64(l.cfg.AckDelay)
		l.arm(l.times.ackAt)
	}
}

// kick makes the writer look; mu is held.
func (l *Link) kick() {
	if c := l.cur; c != nil && c.idle {
		c.idle = false
		c.wake <- struct{}{} // has room: idle is only set when it is empty
	}
}

// write sends what there is to send, everything that waits in one piece, until the connection
// breaks or the last words are out.
func (l *Link) write(c *carrier) {
	batch := make([]Frame, 0, batchFrames)
	for {
		l.mu.Lock()
		frames, last := l.gather(c, batch[:0])
		if len(frames) == 0 && !last {
			c.idle = true
			l.mu.Unlock()
			select {
			case <-c.wake:
			case <-c.gone:
				return
			}
			continue
		}
		l.mu.Unlock()
		if len(frames) > 0 {
			if err := c.conn.Write(frames); err != nil {
				c.shut(err)
				return
			}
		}
		if last {
			c.shut(l.Err())
			return
		}
		clear(frames) // messages belong to the peer, or to the outbox, not to this slice
	}
}

// gather appends what should be written now; last if nothing will follow. mu is held.
func (l *Link) gather(c *carrier, batch []Frame) (frames []Frame, last bool) {
	if l.cur != c {
		return batch, true
	}
	if c.first != nil {
		batch = append(batch, *c.first)
		c.first = nil
	}
	t := &l.times
	switch {
	case t.pongDue:
		batch = append(batch, Frame{Type: FramePong, Seq: t.pong, Header: l.position().encode()})
	case t.pingDue:
		batch = append(batch, Frame{Type: FramePing, Seq: uint64(l.now()), Header: l.position().encode()})
	case t.ackNow:
		batch = append(batch, Frame{Type: FrameAck, Header: l.position().encode()})
	}
	if t.pongDue {
		t.pongDue = false // a ping that is due as well goes with the next round
	} else {
		t.pingDue = false
	}
	if l.phase == over {
		if l.words != nil {
			batch = append(batch, *l.words)
		}
		return batch, !l.linger
	}
	var now int64
	reliable := c.conn.Reliable()
	if !reliable {
		now = l.now()
	}
	n := len(batch)
	batch = l.out.take(batch, batchBytes, now)
	if len(batch) > n && !reliable {
		l.watchResend(now)
	}
	return batch, false
}

// read takes in what arrives until the connection breaks; then, on the dialling side, it sees to
// the next connection.
func (l *Link) read(c *carrier) {
	batch := make([]Frame, 0, batchFrames)
	for {
		frames, err := c.conn.Read(batch)
		if len(frames) > 0 {
			if bad := l.handle(c, frames); bad != nil {
				err = bad
			}
		}
		if err != nil {
			c.shut(err)
			break
		}
		clear(frames)
	}
	l.mu.Lock()
	mine, lived := l.cur == c, time.Since(l.since)
	if mine {
		l.cur, l.cutErr, l.since = nil, c.err, time.Now()
		if errors.Is(c.err, tutti.Corrupt) {
			l.stats.Corrupt++
		}
	}
	again := mine && l.phase != over && l.dialler != nil
	l.mu.Unlock()
	if again {
		l.redial(lived)
	}
}

// handle takes in a batch of frames under one lock.
func (l *Link) handle(c *carrier, frames []Frame) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.cur != c {
		return errors.New("replaced by a newer connection")
	}
	if l.phase == over && !l.linger {
		return nil
	}
	received := l.in.received
	for i := range frames {
		if err := l.handleOne(c, &frames[i]); err != nil {
			return l.misbehaved(err)
		}
	}
	l.turnPhase()
	if l.in.received > received {
		if l.phase == closing {
			l.discard()
		}
		signal(l.arrived)
		l.considerAck()
	}
	if l.times.ackNow || l.times.pongDue || l.out.sendable() {
		l.kick()
	}
	l.signalRoom()
	return nil
}

// misbehaved ends the link if the peer broke its terms, for it would do so again on the next
// connection; what may be a fault of the connection only cuts that.
func (l *Link) misbehaved(err error) error {
	if errors.Is(err, errTerms) {
		l.end(tutti.Errorf("link", tutti.Lost, "%s broke the terms: %w", l.peer.Name, err), nil)
	}
	return err
}

func (l *Link) handleOne(c *carrier, f *Frame) error {
	switch f.Type {
	case FrameData, FrameFin:
		v, err := l.in.put(f, c.conn.Reliable(), l.consumed.Load(), l.consumedBytes.Load())
		if v != inOrder || f.Type == FrameFin {
			l.times.ackNow = true
		}
		return err
	case FrameAck, FramePing, FramePong:
		a, err := decodeAck(f.Header)
		if err != nil {
			return err
		}
		return l.handleAck(f, a)
	case FrameAbort:
		r, err := decodeRefusal(f.Header)
		if err != nil {
			return err
		}
		l.end(r.error("link"), nil)
		return nil
	}
	if !c.conn.Reliable() {
		return nil // a greeting that was duplicated on its way
	}
	return tutti.Errorf("receive", tutti.Corrupt, "a greeting in the middle of a link")
}

func (l *Link) handleAck(f *Frame, a ackState) error {
	if l.phase != over {
		base := l.out.base
		if !l.out.acknowledge(a) {
			return tutti.Errorf("receive", tutti.Corrupt, "the peer acknowledges what was never sent")
		}
		if l.out.base > base {
			l.times.timeouts = 0
		}
		if a.ahead > 0 && !l.cur.conn.Reliable() {
			l.out.repeatGap(a.ahead, l.now()-l.times.gapPatience())
		}
	}
	switch f.Type {
	case FramePing:
		l.times.pong, l.times.pongDue = f.Seq, true
	case FramePong:
		l.times.sample(l.now() - int64(f.Seq))
	}
	return nil
}
