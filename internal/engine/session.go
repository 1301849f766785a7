package engine

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// session is the agent's end of the messages with one engine, whatever kind of process that is.
// It has three goroutines: one writes, one reads and calls the sink, one pings.
type session struct {
	spec Spec
	out  *sender
	kick chan struct{} // something was gathered for the writer
	over chan struct{} // closed when no more is read
	sink func(Event)

	onReady func() // called before the sink hears of it

	mu      sync.Mutex // guards what follows
	asked   map[uint64]chan string
	lastAsk uint64
	ready   bool
	sent    uint64 // pings
	heard   uint64 // the last that was answered
	inSink  bool   // the agent is busy with us: silence says nothing
	hung    bool
}

func newSession(s Spec, w io.Writer, sink func(Event)) *session {
	return &session{
		spec: s, out: newSender(w), sink: sink,
		kick: make(chan struct{}, 1), over: make(chan struct{}), asked: map[uint64]chan string{},
	}
}

// Send passes runs on, in frames of a moderate size.
func (s *session) Send(runs []Run) {
	for len(runs) > 0 {
		size, n := 0, 0
		for n < len(runs) && (n == 0 || size < sendLimit) {
			size += len(runs[n].Args) + 64
			for i := range runs[n].Deps {
				size += len(runs[n].Deps[i].Value.Data)
			}
			n++
		}
		b, at := s.out.open(kindRuns)
		b = msgp.AppendArrayHeader(b, uint32(n))
		before := ""
		for i := range runs[:n] {
			b = appendRun(b, &runs[i], before)
			before = runs[i].Func
		}
		s.out.shut(b, at)
		runs = runs[n:]
	}
	s.flushSoon()
}

func (s *session) flushSoon() {
	select {
	case s.kick <- struct{}{}:
	default:
	}
}

// tell sends one small frame.
func (s *session) tell(kind uint16, body []byte) {
	b, at := s.out.open(kind)
	s.out.shut(append(b, body...), at)
	s.flushSoon()
}

func (s *session) Cancel(run tutti.RunID, timeout bool) {
	b := msgp.AppendArrayHeader(nil, 4)
	b = msgp.AppendUint64(b, uint64(run.Task))
	b = msgp.AppendUint32(b, uint32(run.Attempt))
	b = msgp.AppendUint32(b, run.Epoch)
	n := 0
	if timeout {
		n = 1
	}
	s.tell(kindCancel, msgp.AppendInt(b, n))
}

func (s *session) TakeBack(runs []tutti.RunID) {
	w := wire.Runs{Runs: runs}
	b, _ := w.MarshalMsg(nil) // of numbers: cannot fail
	s.tell(kindTakeBack, b)
}

func (s *session) Credit(n int) { s.tell(kindCredit, msgp.AppendUint64(nil, uint64(n))) }

func (s *session) Stop() { s.tell(kindStop, nil) }

// Stacks asks the engine. Kinds: Closed when it has ended, and the context's.
func (s *session) Stacks(ctx context.Context) (string, error) {
	answer := make(chan string, 1)
	s.mu.Lock()
	s.lastAsk++
	seq := s.lastAsk
	s.asked[seq] = answer
	s.mu.Unlock()
	defer func() {
		s.mu.Lock()
		delete(s.asked, seq)
		s.mu.Unlock()
	}()
	s.tell(kindStacks, msgp.AppendUint64(nil, seq))
	select {
	case text := <-answer:
		return text, nil
	case <-s.over:
		return "", tutti.Errorf("read stacks", tutti.Closed, "engine %d has ended", s.spec.Engine)
	case <-ctx.Done():
		return "", tutti.Errorf("read stacks", tutti.KindOf(ctx.Err()), "engine %d does not answer: its process is stopped, or starved", s.spec.Engine)
	}
}

// write is the writer's goroutine.
func (s *session) write() {
	for {
		select {
		case <-s.kick:
			s.out.flush()
		case <-s.over:
			return
		}
	}
}

// read is the reader: it calls the sink until the stream ends, and says why it did.
func (s *session) read(r io.Reader) error {
	defer close(s.over)
	in := newFrameReader(r)
	for {
		kind, body, err := in.next()
		if err != nil {
			return err
		}
		e, err := s.decode(kind, body)
		if err != nil {
			return err
		}
		if e != nil {
			s.deliver(e)
		}
	}
}

// deliver calls the sink, which may take its time.
func (s *session) deliver(e Event) {
	s.mu.Lock()
	s.inSink = true
	_, ready := e.(Ready)
	s.ready = s.ready || ready
	s.mu.Unlock()
	if ready && s.onReady != nil {
		s.onReady()
	}
	s.sink(e)
	s.mu.Lock()
	s.inSink = false
	s.mu.Unlock()
}

// decode makes an event of a frame, nil for those that are not the agent's affair.
func (s *session) decode(kind uint16, body []byte) (Event, error) {
	switch kind {
	case kindResults, kindOutput, kindDisplay: // what they hold shares their memory, and the reader's is used again
		body = bytes.Clone(body)
	}
	sc := scan{b: body}
	switch kind {
	case kindReady:
		pid := sc.int()
		return Ready{Pid: int(pid)}, sc.end()
	case kindResults:
		var d wire.Done
		err := unpack(body, &d)
		return Results{d.Results}, err
	case kindStarted:
		var e Started
		err := unpack(body, &e.Run)
		return e, err
	case kindGivenBack:
		var w wire.Runs
		err := unpack(body, &w)
		return GivenBack{w.Runs}, err
	case kindOutput:
		var e Output
		err := unpack(body, &e.Output)
		return e, err
	case kindDisplay:
		var e Display
		err := unpack(body, &e.Display)
		return e, err
	case kindPong:
		seq := sc.uint()
		s.mu.Lock()
		s.heard = max(s.heard, min(seq, s.sent))
		s.mu.Unlock()
		return nil, sc.end()
	case kindStackText:
		seq, text := sc.uint(), string(sc.text())
		s.answer(seq, text)
		return nil, sc.end()
	}
	return nil, tutti.Errorf("read message", tutti.Corrupt, "unknown kind %d", kind)
}

func unpack(body []byte, into msgp.Unmarshaler) error {
	return wire.Unpack(wire.Message{Header: body}, into)
}

func (s *session) answer(seq uint64, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if ch := s.asked[seq]; ch != nil {
		ch <- text
		delete(s.asked, seq)
	}
}

// pings is how many unanswered pings, one after the other, make a hung engine. They are counted,
// not timed: when this machine slept, both ends did.
const pings = 4

// ping watches an engine, and calls hang once if it is silent for too long.
func (s *session) ping(hang func()) {
	limit := s.spec.Hang
	if limit < 0 {
		return
	}
	if limit == 0 {
		limit = DefaultHang
	}
	beat := time.NewTicker(limit / pings)
	defer beat.Stop()
	for {
		select {
		case <-beat.C:
		case <-s.over:
			return
		}
		if s.overdue() {
			hang()
			return
		}
	}
}

// overdue sends the next ping, and reports whether too many went unanswered.
func (s *session) overdue() bool {
	s.mu.Lock()
	if !s.ready || s.inSink { // starting has its own limit; a sink that is slow is not its fault
		s.heard = s.sent
	}
	s.hung = s.sent-s.heard >= pings
	s.sent++
	seq, hung := s.sent, s.hung
	s.mu.Unlock()
	s.tell(kindPing, msgp.AppendUint64(nil, seq))
	return hung
}

func (s *session) isReady() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.ready
}

// describe completes what is known of an engine's end with a sentence.
func (s *session) describe(x *Exited, readErr error) {
	s.mu.Lock()
	x.Hung = s.hung
	ready := s.ready
	s.mu.Unlock()
	x.describe(readErr, ready, "did not answer for "+s.hangLimit().String())
}

// describe puts the reason of an end into words; silent says what made it hang, if it did.
func (x *Exited) describe(readErr error, ready bool, silent string) {
	switch {
	case x.Hung:
		x.Why = fmt.Sprintf("it %s and was killed", silent)
	case readErr != nil && !gone(readErr):
		x.Why = fmt.Sprintf("it spoke nonsense and was killed: %v", readErr)
	case x.OOM && x.Signal != "":
		x.Why = "it was killed because the node had no memory left"
	case x.Signal != "":
		x.Why = "it was killed by signal " + x.Signal
	default:
		x.Why = fmt.Sprintf("it ended with status %d", x.Status)
	}
	if !ready {
		x.Why = "before it was ready " + x.Why
	}
}

func (s *session) hangLimit() time.Duration {
	if s.spec.Hang == 0 {
		return DefaultHang
	}
	return s.spec.Hang
}
