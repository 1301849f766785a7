package wire

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"github.com/tutti-hpc/tutti"
)

// dialler is how the dialling side of a link comes by connections.
type dialler struct {
	network Network
	addr    string
	attempt uint32 // used, as what follows, by one goroutine at a time
	joined  bool   // has been welcomed once
	brief   int    // connections in a row that broke soon after the welcome
}

// finalError is a refusal that another try would only repeat.
type finalError struct {
	error
	code refusalCode
}

func (e *finalError) Unwrap() error { return e.error }

// Connect dials addr and presents itself as h until it is welcomed or refused, ctx ends, or
// Patience has passed. Afterwards the link dials again by itself whenever its connection is cut.
// ctx does not govern the link once it is there. Kinds: Denied (key, role), Version, whatever the
// server's Admit refused with, else that of the last attempt.
func Connect(ctx context.Context, n Network, addr string, h Hello, cfg LinkConfig) (*Link, error) {
	if len(h.Info) > maxInfo {
		return nil, tutti.Errorf("connect", tutti.Invalid, "an Info of %d bytes exceeds the limit of %d", len(h.Info), maxInfo)
	}
	if h.Session == (SessionID{}) {
		h.Session = NewSession()
	}
	if h.Versions == (Versions{}) {
		h.Versions = Protocol
	}
	l := newLink(cfg.filled(), h)
	l.dialler = &dialler{network: n, addr: addr}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if l.cfg.Patience > 0 {
		ctx, cancel = context.WithTimeout(ctx, l.cfg.Patience)
		defer cancel()
	}
	if err := l.dialUntil(ctx, l.cfg.Patience < 0); err != nil {
		l.cancel()
		return nil, err
	}
	return l, nil
}

// redial finds the next connection, or ends the link. It runs in what was the reader, whose
// connection lived that long. The first attempt is made at once, unless connections have been
// breaking soon after their welcome: that must not become a busy loop.
func (l *Link) redial(lived time.Duration) {
	d := l.dialler
	if d.brief++; lived > l.cfg.RetryMax {
		d.brief = 0
	}
	if d.brief > 1 {
		l.pause(l.ctx, min(l.cfg.RetryMin<<min(d.brief, 16), l.cfg.RetryMax))
	}
	err := l.dialUntil(l.ctx, false)
	if err == nil {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	var final *finalError
	switch {
	case l.phase == over:
	case errors.As(err, &final) && final.code == refusedEnded && l.phase == closing:
		l.end(errClosedHere("link"), nil) // it was the confirmation that got lost
	case errors.Is(err, tutti.Lost), errors.As(err, &final) && final.code == refusedEnded:
		l.end(err, nil)
	default:
		l.end(tutti.Errorf("link", tutti.Lost, "%s does not let us back in: %w", l.peer.Name, err), nil)
	}
}

// dialUntil tries until a connection is in service, a refusal is final, or ctx ends.
func (l *Link) dialUntil(ctx context.Context, once bool) error {
	for wait := l.cfg.RetryMin; ; wait = min(2*wait, l.cfg.RetryMax) {
		err := l.dial(ctx)
		var final *finalError
		if errors.As(err, &final) && final.code == refusedFenced && !l.dialler.joined {
			// The welcome never came, and the server has given that session up since: nothing was
			// said in it, so another will do.
			l.local.Session, final = NewSession(), nil
		}
		if err == nil || once || final != nil {
			return err
		}
		l.mu.Lock()
		l.cutErr = err
		l.mu.Unlock()
		if l.pause(ctx, wait) {
			return tutti.Errorf("connect", tutti.KindOf(ctx.Err()), "to %s: %w; the last attempt: %w", l.dialler.addr, ctx.Err(), err)
		}
	}
}

// pause waits about that long, with jitter so that the many who were cut at once do not come back
// at once; true if ctx ended it.
func (l *Link) pause(ctx context.Context, wait time.Duration) bool {
	t := time.NewTimer(wait/2 + rand.N(wait/2+1))
	defer t.Stop()
	select {
	case <-t.C:
		return false
	case <-ctx.Done():
		return true
	}
}

// dial makes one attempt: connection, greeting, welcome.
func (l *Link) dial(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, l.cfg.Handshake)
	defer cancel()
	d := l.dialler
	d.attempt++
	conn, err := d.network.Dial(ctx, d.addr)
	if err != nil {
		return hopeless(err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	g, err := l.greet(conn)
	if !stop() && err == nil {
		err = tutti.E("connect", tutti.KindOf(ctx.Err()), ctx.Err())
	}
	if err == nil {
		err = l.welcomed(conn, g)
	}
	if err != nil {
		conn.Close()
		if ctx.Err() != nil && !errors.As(err, new(*finalError)) {
			err = tutti.Errorf("connect", tutti.KindOf(ctx.Err()), "%s does not answer the greeting: %w", d.addr, err)
		}
		return hopeless(err)
	}
	return nil
}

// hopeless marks errors of a kind that will not mend by themselves.
func hopeless(err error) error {
	switch tutti.KindOf(err) {
	case tutti.Denied, tutti.Invalid, tutti.Unsupported, tutti.Version:
		if !errors.As(err, new(*finalError)) {
			return &finalError{err, refusedOther}
		}
	}
	return err
}

// greet says hello and reads the answer.
func (l *Link) greet(conn Conn) (*greeting, error) {
	l.mu.Lock()
	g := greeting{
		Hello: l.local, resume: l.dialler.joined, attempt: l.dialler.attempt, instance: l.instance, pos: l.position(),
		window: l.cfg.Window, maxFrame: uint64(l.cfg.MaxFrame), heartbeat: l.cfg.Heartbeat,
	}
	l.mu.Unlock()
	header, payload := g.encode()
	if err := conn.Write([]Frame{{Type: FrameHello, Header: header, Payload: payload}}); err != nil {
		return nil, err
	}
	for {
		frames, err := conn.Read(make([]Frame, 0, 1))
		if err != nil {
			return nil, err
		}
		switch f := &frames[0]; {
		case f.Type == FrameWelcome:
			w, err := decodeGreeting(f.Header, f.Payload, l.local.Versions)
			return &w, err
		case f.Type == FrameRefuse:
			r, err := decodeRefusal(f.Header)
			if err == nil && r.code != refusedBusy {
				err = &finalError{r.error("connect"), r.code}
			} else if err == nil {
				err = r.error("connect")
			}
			return nil, err
		case conn.Reliable():
			return nil, tutti.Errorf("connect", tutti.Corrupt, "the answer to the greeting is a frame of type %d", f.Type)
		} // else it overtook the welcome, and will be sent again
	}
}

// welcomed puts the connection into service.
func (l *Link) welcomed(conn Conn, g *greeting) error {
	version, ok := g.Versions.common(l.local.Versions)
	if !ok {
		return tutti.Errorf("connect", tutti.Version, "%s", versionSentence(g.Hello, l.local))
	}
	g.attempt = l.dialler.attempt
	l.mu.Lock()
	if !l.dialler.joined {
		l.peer = Peer{Hello: g.Hello, Identity: conn.Peer(), Version: version}
		l.instance = g.instance
	}
	l.dialler.joined = true
	l.mu.Unlock()
	return l.attach(conn, g, nil)
}

// versionSentence names both versions.
func versionSentence(server, dialler Hello) string {
	return "the " + string(server.Role) + " " + server.Name + " (" + orUnknown(server.Software) + ") speaks link protocol " + server.Versions.String() +
		", the " + string(dialler.Role) + " " + dialler.Name + " (" + orUnknown(dialler.Software) + ") " + dialler.Versions.String()
}

func orUnknown(s string) string {
	if s == "" {
		return "version unknown"
	}
	return s
}
