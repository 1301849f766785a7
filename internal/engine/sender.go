package engine

import (
	"encoding/binary"
	"io"
	"sync"

	"github.com/tutti-hpc/tutti/internal/wire"
)

const (
	// flushAt is how much makes a batch by itself.
	flushAt = 64 << 10
	// sendLimit is how much may wait behind a peer that does not read before results wait too.
	sendLimit = 1 << 20
)

// sender gathers frames and writes them in batches. Whoever flushes writes, on behalf of all who
// come meanwhile; so there is no goroutine between a result and the socket. Its methods may be
// called concurrently.
type sender struct {
	w io.Writer

	mu      sync.Mutex
	idle    sync.Cond // signalled when a write has ended
	buf     []byte    // frames, the last perhaps open
	spare   []byte    // the buffer that is not being filled
	results int       // where the open frame of results begins in buf, -1 without one
	count   uint32    // of results in it
	writing bool
	err     error // of the first write that failed: all that follows is dropped
}

func newSender(w io.Writer) *sender {
	s := &sender{w: w, results: -1}
	s.idle.L = &s.mu
	return s
}

// open begins a frame and holds the sender until shut is given the slice with the body appended.
func (s *sender) open(kind uint16) (b []byte, at int) {
	s.mu.Lock()
	s.closeResults()
	return appendFrame(s.buf, kind), len(s.buf)
}

func (s *sender) shut(b []byte, at int) {
	endFrame(b, at)
	if s.err == nil {
		s.buf = b
	}
	s.mu.Unlock()
}

// frame sends a whole frame and flushes.
func (s *sender) frame(kind uint16, body []byte) {
	b, at := s.open(kind)
	s.shut(append(b, body...), at)
	s.flush()
}

// resultsHead is what stands before the results of a wire.Done: a tuple of one, an array's mark,
// and its length, which is filled in when the frame is closed.
const resultsHead = frameHead + 1 + 5

// result adds the end of a run to the batch. It blocks while far too much waits to be written.
func (s *sender) result(r *wire.Result) {
	s.mu.Lock()
	for s.writing && len(s.buf) > sendLimit {
		s.idle.Wait()
	}
	if s.results < 0 {
		s.results, s.count = len(s.buf), 0
		s.buf = append(appendFrame(s.buf, kindResults), 0x91, 0xdd, 0, 0, 0, 0)
	}
	b, err := r.MarshalMsg(s.buf)
	if err == nil { // numbers, bytes and text: it cannot fail
		s.buf = b
		s.count++
	}
	full := len(s.buf) >= flushAt
	s.mu.Unlock()
	if full {
		s.flush()
	}
}

// closeResults completes the open frame of results; s.mu is held.
func (s *sender) closeResults() {
	if s.results < 0 {
		return
	}
	binary.BigEndian.PutUint32(s.buf[s.results+resultsHead-4:], s.count)
	endFrame(s.buf, s.results)
	s.results = -1
}

// flush writes all that was gathered, unless somebody else is about to.
func (s *sender) flush() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.writing {
		return
	}
	s.writing = true
	for len(s.buf) > 0 {
		s.closeResults()
		batch := s.buf
		s.buf, s.spare = s.spare[:0], nil
		s.mu.Unlock()
		_, err := s.w.Write(batch)
		s.mu.Lock()
		if cap(batch) <= 4*flushAt { // a large one was an exception
			s.spare = batch
		}
		if err != nil && s.err == nil {
			s.err = err
		}
		if s.err != nil {
			s.buf, s.results = nil, -1
		}
		s.idle.Broadcast()
	}
	s.writing = false
	s.idle.Broadcast()
}

// drain writes all that was gathered and waits until it has gone.
func (s *sender) drain() {
	s.flush()
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.writing {
		s.idle.Wait()
	}
}
