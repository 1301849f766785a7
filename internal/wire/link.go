package wire

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Why a session cannot be resumed; found by errors.Is in an error of kind Lost. After either, a
// new link begins a new session.
var (
	// ErrFenced is a session that the other side had declared lost: others may have taken over
	// its work, so whoever returns from the dead must not go on as if nothing had happened.
	ErrFenced = errors.New("the session is fenced")
	// ErrForgotten is a session that began before the server was last started.
	ErrForgotten = errors.New("the session is forgotten")
)

// LinkConfig is the terms of a link. Zero fields take the values of [DefaultLink].
type LinkConfig struct {
	Window    Window        // what the peer may have under way to us
	MaxFrame  int           // largest frame accepted, header and payload included
	Heartbeat time.Duration // how often we show that we live
	LostAfter time.Duration // silence after which the peer is declared lost and fenced; negative: never
	AckDelay  time.Duration // how long an acknowledgement may wait for company
	Linger    time.Duration // how long Close tries to deliver
	Handshake time.Duration // how long a greeting may take
	RetryMin  time.Duration // the first wait between dials, doubled up to RetryMax, with jitter
	RetryMax  time.Duration
	Patience  time.Duration // how long Connect tries; 0: LostAfter; negative: once
}

// DefaultLink suits one cluster on one network.
var DefaultLink = LinkConfig{
	Window:    Window{Messages: 8192, Bytes: 32 << 20},
	MaxFrame:  DefaultMaxFrame,
	Heartbeat: 2 * time.Second,
	LostAfter: 30 * time.Second,
	AckDelay:  10 * time.Millisecond,
	Linger:    5 * time.Second,
	Handshake: 10 * time.Second,
	RetryMin:  50 * time.Millisecond,
	RetryMax:  3 * time.Second,
}

func orElse[T int | int64 | time.Duration](v *T, other T) {
	if *v == 0 {
		*v = other
	}
}

func (c LinkConfig) filled() LinkConfig {
	d := DefaultLink
	orElse(&c.Window.Messages, d.Window.Messages)
	orElse(&c.Window.Bytes, d.Window.Bytes)
	orElse(&c.MaxFrame, d.MaxFrame)
	orElse(&c.Heartbeat, d.Heartbeat)
	orElse(&c.LostAfter, d.LostAfter)
	orElse(&c.AckDelay, d.AckDelay)
	orElse(&c.Linger, d.Linger)
	orElse(&c.Handshake, d.Handshake)
	orElse(&c.RetryMin, d.RetryMin)
	orElse(&c.RetryMax, d.RetryMax)
	orElse(&c.Patience, c.LostAfter)
	return c
}

// phase is where a link is in its life; it only grows.
type phase uint8

const (
	open    phase = iota // Send and Recv work, connected or not; left by Close and by end
	closing              // Close was called, and what was sent is being delivered; left by end
	over                 // err says why; the last frames may still be on their way out
)

// Link is a reliable, ordered stream of messages in both directions between two named peers. It
// survives cut connections: the side that dialled dials again, and both go on where they were.
// All methods may be called concurrently.
//
// A link ends in order (Close on either side: kind Closed) or is lost (kind Lost); Err says which.
// An ended link holds no goroutine after a moment; Close waits for that moment.
type Link struct {
	cfg     LinkConfig
	local   Hello
	dialler *dialler    // nil on the accepting side
	onEnd   func(*Link) // called once with mu held, nil if nobody asked
	born    time.Time
	ctx     context.Context // ends with the link: stops dialling
	cancel  context.CancelFunc
	running sync.WaitGroup  // readers and writers; grows only with mu held and phase before over
	server  *sync.WaitGroup // the server's, which waits for them too; nil on the dialling side

	arrived  chan struct{} // lets one waiting Recv look again
	room     chan struct{} // lets one waiting Send look again
	stopping chan struct{} // closed when phase leaves open
	done     chan struct{} // closed when phase becomes over

	taking  sync.Mutex // guards ready, and is never taken with mu held
	ready   []Message  // taken out of the inbox, next at readyAt
	readyAt int

	// What Recv has taken: written with taking held, read anywhere.
	consumed, consumedBytes atomic.Uint64
	// When Recv must see to an acknowledgement: at these values of the above, or if none is
	// due soon anyway. Written with mu held.
	urgentAt, urgentBytes atomic.Uint64
	ackSoon               atomic.Bool
	deaf                  atomic.Bool // Close was called here: Recv gives no more

	mu       sync.Mutex    // guards what follows
	peer     Peer          // fixed after the first greeting
	instance uint64        // of the server
	attempt  uint32        // of the newest connection
	beat     time.Duration // the slower of both heartbeats
	peerMax  uint64        // the largest frame that the peer accepts
	phase    phase
	err      error  // why over
	closeErr error  // what Close reports
	words    *Frame // the last frame to the peer, when over
	linger   bool   // over because the peer closed: only acknowledge
	out      outbox
	in       inbox
	cur      *carrier // the connection in use, nil between two
	cutErr   error    // why there is none
	since    time.Time
	stats    Stats
	times    timing
}

func newLink(cfg LinkConfig, local Hello) *Link {
	l := &Link{
		cfg: cfg, local: local, born: time.Now(),
		arrived: make(chan struct{}, 1), room: make(chan struct{}, 1),
		stopping: make(chan struct{}), done: make(chan struct{}),
		out: newOutbox(), beat: cfg.Heartbeat,
	}
	l.ctx, l.cancel = context.WithCancel(context.Background())
	l.in.window = cfg.Window
	l.times.timer = time.AfterFunc(time.Hour, l.tick)
	l.times.timer.Stop() // until there is a connection
	l.since = l.born
	return l
}

// now is the link's clock in nanoseconds; it does not jump.
func (l *Link) now() int64 { return int64(time.Since(l.born)) }

// Send queues m and blocks while the peer's credit window is used up, also while there is no
// connection. When it returns nil the link will deliver m unless it is lost or aborted. Kinds:
// Closed, Lost, Invalid for a message that the peer would not accept, and the context's.
func (l *Link) Send(ctx context.Context, m Message) error {
	waited := false
	for {
		ok, err := l.trySend(m, waited)
		if ok || err != nil {
			return err
		}
		waited = true
		select {
		case <-l.room:
		case <-l.stopping:
		case <-ctx.Done():
			l.mu.Lock()
			l.signalRoom() // in case the one signal was ours
			err := tutti.Errorf("send", tutti.KindOf(ctx.Err()), "waiting for %s to take messages (%d bytes are not acknowledged): %w", l.peer.Name, l.out.held(), ctx.Err())
			l.mu.Unlock()
			return err
		}
	}
}

// trySend queues m if there is credit. A sender that had to wait passes the signal on, so that one
// acknowledgement wakes as many as it has room for.
func (l *Link) trySend(m Message, waited bool) (bool, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refuses(&m); err != nil {
		return false, err
	}
	if !l.out.room(m.size()) {
		return false, nil
	}
	l.push(m)
	if waited {
		l.signalRoom()
	}
	return true, nil
}

// Post queues m without ever blocking and without bound: for a loop that must not wait. Such a
// loop looks at Backlog and slows down those who feed it. Kinds: Closed, Lost, Invalid.
func (l *Link) Post(m Message) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.refuses(&m); err != nil {
		return err
	}
	l.push(m)
	return nil
}

// refuses says why m cannot be queued; mu is held.
func (l *Link) refuses(m *Message) error {
	switch {
	case l.phase == over:
		return l.err
	case l.phase == closing:
		return errClosedHere("send")
	case uint64(len(m.Header))+uint64(len(m.Payload))+frameHead > l.peerMax:
		return tutti.Errorf("send", tutti.Invalid, "a message of %d bytes exceeds the limit of %d", len(m.Header)+len(m.Payload), l.peerMax).
			WithHint("send large data as a blob")
	}
	return nil
}

func (l *Link) push(m Message) {
	l.out.push(m)
	l.stats.Sent++
	l.kick()
}

// signalRoom lets one more waiting Send try; mu is held.
func (l *Link) signalRoom() {
	if l.out.room(messageCost) {
		signal(l.room)
	}
}

// signal sets a flag that one waiter will take.
func signal(ch chan struct{}) {
	select {
	case ch <- struct{}{}:
	default:
	}
}

// Backlog is the bytes (with a little for each message) queued or sent, and not acknowledged.
func (l *Link) Backlog() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(l.out.held())
}

// Recv gives the next message, in the order sent, each once, and blocks until there is one.
// Taking it grants the peer credit for another. What arrived before the peer closed or was lost
// is still given; then, and at once after our own Close, the error is Err.
func (l *Link) Recv(ctx context.Context) (Message, error) {
	for {
		if m, ok := l.take(); ok {
			return m, nil
		}
		select {
		case <-l.arrived:
		case <-l.stopping:
			if m, ok := l.take(); ok {
				return m, nil
			}
			return Message{}, l.recvErr()
		case <-ctx.Done():
			return Message{}, tutti.Errorf("receive", tutti.KindOf(ctx.Err()), "waiting for a message from %s: %w", l.Peer().Name, ctx.Err())
		}
	}
}

func (l *Link) recvErr() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.phase == over {
		return l.err
	}
	return errClosedHere("receive")
}

// take pops one message that has arrived. The lock of the sending side is only touched once per
// batch of arrivals, and when an acknowledgement is due.
func (l *Link) take() (m Message, ok bool) {
	l.taking.Lock()
	if l.deaf.Load() {
		l.taking.Unlock()
		return m, false
	}
	if l.readyAt == len(l.ready) {
		l.mu.Lock()
		l.ready, l.in.queue = l.in.queue, l.ready[:0]
		l.mu.Unlock()
		l.readyAt = 0
	}
	if len(l.ready) == 0 {
		l.taking.Unlock()
		return m, false
	}
	m = l.ready[l.readyAt]
	l.ready[l.readyAt] = Message{}
	l.readyAt++
	more := l.readyAt < len(l.ready)
	bytes := l.consumedBytes.Add(m.size())
	n := l.consumed.Add(1)
	l.taking.Unlock()
	if more {
		signal(l.arrived)
	}
	if n >= l.urgentAt.Load() || bytes >= l.urgentBytes.Load() || !l.ackSoon.Load() {
		l.mu.Lock()
		l.considerAck()
		l.mu.Unlock()
	}
	return m, true
}

// Done is closed when the link has ended, in order or not.
func (l *Link) Done() <-chan struct{} { return l.done }

// Err says why the link ended, nil while it has not: kind Closed if it was closed in order by
// either side, else Lost.
func (l *Link) Err() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// Peer is the other side as it presented itself when the link began.
func (l *Link) Peer() Peer {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.peer
}

// Session names the link; both sides have the same.
func (l *Link) Session() SessionID { return l.local.Session }

// Stats is what a link can tell about its life so far.
type Stats struct {
	RTT          time.Duration // smoothed, from heartbeats; 0 before the first
	Sent         uint64        // messages sent or posted
	Received     uint64        // messages that arrived in order
	Resent       uint64        // messages written more than once
	Duplicates   uint64        // messages that arrived more than once
	Reconnects   uint64
	LastHeard    time.Time // accurate to a heartbeat
	Backlog      int64     // see Link.Backlog
	Unread       int       // messages that arrived and wait for Recv
	Disconnected bool
	Corrupt      uint64 // connections given up because of bytes that are no frames
}

// Stats is a snapshot.
func (l *Link) Stats() Stats {
	l.mu.Lock()
	defer l.mu.Unlock()
	s := l.stats
	s.RTT = time.Duration(l.times.srtt)
	s.Received = l.in.received
	if l.in.fin {
		s.Received-- // it was numbered, but is no message
	}
	s.Resent, s.Duplicates = l.out.resent, l.in.duplicates
	s.LastHeard = l.born.Add(time.Duration(l.times.heard))
	s.Backlog = int64(l.out.held())
	s.Unread = int(s.Received - min(s.Received, l.consumed.Load()))
	s.Disconnected = l.cur == nil
	return s
}

// State is one line for people: what the link is doing, since when, and why.
func (l *Link) State() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	age := time.Since(l.since).Round(time.Millisecond)
	switch {
	case l.phase == over && errors.Is(l.err, tutti.Closed):
		return fmt.Sprintf("closed: %v", l.err)
	case l.phase == over:
		return fmt.Sprintf("lost because %v", l.err)
	case l.cur == nil:
		return fmt.Sprintf("reconnecting to %s for %v because %v", l.peer.Name, age, l.cutErr)
	case l.phase == closing:
		return fmt.Sprintf("closing: %d bytes to deliver to %s", l.out.held(), l.peer.Name)
	}
	return fmt.Sprintf("connected to %s for %v", l.peer.Name, age)
}
