package wire

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti"
)

const (
	readBuffer = 32 << 10 // frames above it are read straight into their own memory
	writePiece = 64 << 10 // small parts are gathered up to about this before they are written
	direct     = 16 << 10 // parts from this size are written from where they lie
)

// stream is a Conn over a stream of bytes: a Unix socket or a TLS session.
type stream struct {
	conn   net.Conn // what is read and written
	raw    net.Conn // what is closed: the socket beneath
	vector bool     // conn writes several pieces by one system call
	// prove finds out who the peer is, once, before the first frame is read; nil where that
	// happened when dialling.
	prove func() (Identity, error)

	id      atomic.Pointer[Identity]
	limit   atomic.Int64
	arrived atomic.Uint64

	buf        []byte // owned by the reader: buf[head:tail] is not yet decoded
	head, tail int

	out    []byte // owned by the writer: heads and small parts
	pieces net.Buffers
}

func newStream(conn, raw net.Conn, vector bool, id Identity, prove func() (Identity, error)) *stream {
	s := &stream{conn: conn, raw: raw, vector: vector, prove: prove, buf: make([]byte, readBuffer)}
	s.id.Store(&id)
	s.limit.Store(helloLimit)
	return s
}

func (s *stream) Peer() Identity     { return *s.id.Load() }
func (s *stream) Reliable() bool     { return true }
func (s *stream) Arrived() uint64    { return s.arrived.Load() }
func (s *stream) SetLimit(bytes int) { s.limit.Store(int64(bytes)) }

// Close cuts: a TLS session that waits for the peer to take bytes could not say goodbye anyway,
// and links say it in frames.
func (s *stream) Close() error { return s.raw.Close() }

// Write copies small parts together and writes large ones from where they lie.
func (s *stream) Write(frames []Frame) error {
	begin := 0
	s.out = s.out[:0]
	for i := range frames {
		f := &frames[i]
		s.out = appendHead(s.out, f)
		for _, part := range [...][]byte{f.Header, f.Payload} {
			if len(part) < direct {
				s.out = append(s.out, part...)
				continue
			}
			// If out grows and moves, this piece stays where it is, and as it is.
			s.pieces = append(s.pieces, s.out[begin:len(s.out):len(s.out)], part)
			begin = len(s.out)
		}
		if len(s.out) >= writePiece {
			if err := s.flush(begin); err != nil {
				return err
			}
			begin = 0
		}
	}
	return s.flush(begin)
}

func (s *stream) flush(begin int) (err error) {
	if begin < len(s.out) {
		s.pieces = append(s.pieces, s.out[begin:])
	}
	if s.vector {
		rest := s.pieces
		_, err = rest.WriteTo(s.conn)
	} else {
		for _, p := range s.pieces {
			if _, err = s.conn.Write(p); err != nil {
				break
			}
		}
	}
	clear(s.pieces)
	s.pieces, s.out = s.pieces[:0], s.out[:0]
	return broken("write", err)
}

func (s *stream) Read(into []Frame) ([]Frame, error) {
	if s.prove != nil {
		id, err := s.prove()
		if err != nil {
			return into, err
		}
		s.id.Store(&id)
		s.prove = nil
	}
	had := len(into)
	for {
		for len(into) == had || len(into) < cap(into) {
			f, ok, err := s.next(len(into) == had)
			if err != nil && len(into) == had {
				return into, err
			}
			if err != nil || !ok {
				break // the error will be met again by the next Read
			}
			into = append(into, f)
		}
		if len(into) > had {
			return into, nil
		}
		if err := s.fill(); err != nil {
			return into, err
		}
	}
}

// next decodes the next frame out of the buffer; false if it is not there completely. A frame
// larger than the buffer is waited for, but only if the caller has nothing to give back yet.
func (s *stream) next(mayWait bool) (f Frame, ok bool, err error) {
	have := s.buf[s.head:s.tail]
	if len(have) < frameHead {
		return f, false, nil
	}
	f, h, p, err := decodeHead(have, int(s.limit.Load()))
	if err != nil {
		return f, false, err
	}
	large := frameHead+h+p > len(s.buf)
	if len(have) < frameHead+h+p && (!large || !mayWait) {
		return f, false, nil
	}
	if h+p == 0 {
		s.head += frameHead
		return f, true, nil
	}
	body := make([]byte, h+p)
	n := copy(body, have[frameHead:])
	s.head += frameHead + n
	for n < len(body) {
		m, err := s.conn.Read(body[n:])
		s.arrived.Add(uint64(m))
		if n += m; err != nil && n < len(body) {
			return f, false, ended(err, true)
		}
	}
	f.split(body, h)
	return f, true, nil
}

// fill reads more into the buffer.
func (s *stream) fill() error {
	if s.head > 0 {
		s.tail = copy(s.buf, s.buf[s.head:s.tail])
		s.head = 0
	}
	n, err := s.conn.Read(s.buf[s.tail:])
	s.arrived.Add(uint64(n))
	s.tail += n
	if n > 0 {
		return nil
	}
	return ended(err, s.tail > 0)
}

// ended is the error for a stream that gives no more; a peer that stops in the middle of a frame
// has sent something that is no frame.
func ended(err error, inside bool) error {
	if inside && errors.Is(err, io.EOF) {
		return tutti.Errorf("read frame", tutti.Corrupt, "the connection ended in the middle of a frame")
	}
	return broken("read", err)
}

// broken gives a network's error our form. A TLS peer's alert comes with the first Read.
func broken(op string, err error) error {
	var alert *net.OpError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &alert) && alert.Op == "remote error":
		return tutti.Errorf(op, tutti.Denied, "the other side does not accept our key: %w", err).WithHint(hintKeys)
	}
	return tutti.E(op, tutti.Lost, err)
}

// dialError gives the error of a failed dial its kind.
func dialError(addr string, err error) error {
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, os.ErrNotExist):
		return tutti.Errorf("dial", tutti.NotFound, "nobody listens at %s: %w", addr, err)
	case errors.Is(err, os.ErrPermission):
		return tutti.Errorf("dial", tutti.Denied, "%w", err).WithHint("the socket belongs to another user")
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return tutti.Errorf("dial", tutti.Timeout, "no answer from %s: %w", addr, err)
	case errors.Is(err, context.Canceled):
		return tutti.Errorf("dial", tutti.Canceled, "%s: %w", addr, err)
	}
	return tutti.Errorf("dial", tutti.Lost, "%s: %w", addr, err)
}

// deadliner is a listener of package net.
type deadliner interface {
	net.Listener
	SetDeadline(time.Time) error
}

// streamListener makes streams of what a listener of package net accepts.
type streamListener struct {
	ln   deadliner
	addr string
	wrap func(net.Conn) Conn

	mu sync.Mutex // one Accept at a time, since deadlines are the listener's
}

func (l *streamListener) Addr() string { return l.addr }

func (l *streamListener) Close() error { return l.ln.Close() }

func (l *streamListener) Accept(ctx context.Context) (Conn, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.ln.SetDeadline(time.Time{}); err != nil {
		return nil, tutti.Errorf("accept", tutti.Closed, "the listener at %s was closed", l.addr)
	}
	interrupted := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		_ = l.ln.SetDeadline(time.Unix(1, 0)) // wakes Accept
		close(interrupted)
	})
	c, err := l.ln.Accept()
	if !stop() {
		<-interrupted // or it would hit the next Accept
	}
	switch {
	case err == nil:
		return l.wrap(c), nil
	case errors.Is(err, net.ErrClosed):
		return nil, tutti.Errorf("accept", tutti.Closed, "the listener at %s was closed", l.addr)
	case ctx.Err() != nil:
		return nil, tutti.E("accept", tutti.KindOf(ctx.Err()), ctx.Err())
	}
	return nil, tutti.E("accept", tutti.Other, err)
}
