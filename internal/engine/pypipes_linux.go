package engine

import (
	"context"
	"os"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// credit is how many bytes may be told before some are dealt with.
type credit struct {
	mu     sync.Mutex
	earned sync.Cond
	left   int64
	over   bool
}

func (c *credit) init(n int64) { c.left, c.earned.L = n, &c.mu }

func (c *credit) add(n int) {
	c.mu.Lock()
	c.left += int64(n)
	c.mu.Unlock()
	c.earned.Broadcast()
}

func (c *credit) use(n int) { c.add(-n) }

func (c *credit) now() int64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.left
}

// wait waits until there is some, false if there will not be.
func (c *credit) wait() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for c.left <= 0 && !c.over {
		c.earned.Wait()
	}
	return !c.over
}

// end lets go of all who wait.
func (c *credit) end() {
	c.mu.Lock()
	c.over = true
	c.mu.Unlock()
	c.earned.Broadcast()
}

// pyPipe is one of the interpreter's two pipes. Nobody else reads it, and the interpreter does not go
// on from one run to the next while there is something in it: so what is found in it belongs to
// the run that is in progress at that moment.
type pyPipe struct {
	stream
	run    uint64      // the turn that offset is about
	name   tutti.RunID // of that run
	recent []byte      // the last of what that run has printed, or the start-up code
	early  bool        // the interpreter is not ready: what it prints is kept
	rest   []byte      // what was found when the process had ended
	closed chan struct{}
}

func (s *pyPipe) init(f *os.File, number uint8) error {
	raw, err := f.SyscallConn()
	if err != nil {
		return err
	}
	s.stream = stream{file: f, raw: raw, number: number, buf: make([]byte, readPiece)}
	s.closed, s.early = make(chan struct{}), true
	return raw.Control(func(fd uintptr) { s.fd = int(fd) })
}

// pump reads a pipe until end is called.
func (p *pyProcess) pump(s *pyPipe) {
	defer close(s.closed)
	for p.credit.wait() {
		err := s.raw.Read(func(uintptr) bool { return p.readPipe(s) })
		if err != nil {
			return
		}
	}
}

// readPipe passes on what lies in a pipe; false means that there is nothing to wait for but more.
func (p *pyProcess) readPipe(s *pyPipe) bool {
	p.speak.Lock()
	defer p.speak.Unlock()
	left := p.credit.now()
	if left <= 0 {
		return true
	}
	n := unread(s.fd)
	if n == 0 {
		return false
	}
	running := uint64(0)
	if b, e := p.board.begun.Load(), p.board.ended.Load(); b > e {
		running = b
	}
	n, err := unix.Read(s.fd, s.buf[:min(n, len(s.buf), int(left))])
	if n <= 0 {
		return err != unix.EAGAIN && err != unix.EINTR
	}
	if s.early {
		s.recent = keepLast(s.recent, s.buf[:n], keepText)
		return true
	}
	if running != s.run {
		p.endStream(s)
		s.run, s.name, s.offset = running, p.runOf(running), 0
		s.recent = s.recent[:0]
	}
	s.recent = keepLast(s.recent, s.buf[:n], keepRecent)
	p.credit.use(n)
	p.sink(Output{wire.Output{Run: s.name, Stream: s.number, Offset: s.offset, Data: append([]byte(nil), s.buf[:n]...)}})
	s.offset += int64(n)
	return true
}

// keepRecent is how much of what a run has printed may help to say what it died of.
const keepRecent = 1 << 10

// keepLast appends, and keeps the last n bytes.
func keepLast(b, more []byte, n int) []byte {
	b = append(b, more...)
	if len(b) > n {
		b = append(b[:0], b[len(b)-n:]...)
	}
	return b
}

// handOver passes on what was printed before the interpreter was ready; speak is held.
func (p *pyProcess) handOver() {
	for i := range p.pipes {
		s := &p.pipes[i]
		if s.early = false; len(s.recent) > 0 {
			p.credit.use(len(s.recent))
			p.sink(Output{wire.Output{Stream: s.number, Data: append([]byte(nil), s.recent...)}})
		}
	}
}

// endStreams closes what a run that has ended has printed; speak is held.
func (p *pyProcess) endStreams(run tutti.RunID) {
	for i := range p.pipes {
		if s := &p.pipes[i]; s.name == run {
			p.endStream(s)
		}
	}
}

func (p *pyProcess) endStream(s *pyPipe) {
	if s.offset > 0 && s.name != (tutti.RunID{}) {
		p.sink(Output{wire.Output{Run: s.name, Stream: s.number, Offset: s.offset, End: true}})
	}
	s.run, s.name, s.offset = 0, tutti.RunID{}, 0
}

// end stops reading a pipe and keeps the last of what is in it.
func (s *pyPipe) end() {
	_ = s.file.SetReadDeadline(time.Unix(1, 0))
	<-s.closed
	b := make([]byte, 16<<10)
	for {
		n, err := unix.Read(s.fd, b)
		if n <= 0 && err != syscall.EINTR {
			return
		}
		s.rest = keepLast(s.rest, b[:max(0, n)], keepText)
	}
}

// words is what comes through the crash pipe: stacks, when they are asked for, and the last words.
type words struct {
	mu     sync.Mutex
	text   []byte
	came   chan struct{} // closed with the next piece, while somebody asks
	asking sync.Mutex
	done   chan struct{}
	once   sync.Once
}

func (w *words) finished() chan struct{} {
	w.once.Do(func() { w.done = make(chan struct{}) })
	return w.done
}

// read reads the pipe to its end.
func (w *words) read(f *os.File) {
	defer close(w.finished())
	b := make([]byte, 4<<10)
	for {
		n, err := f.Read(b)
		w.mu.Lock()
		if len(w.text) < maxStacks {
			w.text = append(w.text, b[:n]...)
		}
		if w.came != nil && n > 0 {
			close(w.came)
			w.came = nil
		}
		w.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// quiet is after how long a picture of stacks is taken to be complete: it has no mark at its end.
const quiet = 30 * time.Millisecond

// stacks asks for a picture and waits for it. Kinds: Closed, and the context's.
func (w *words) stacks(ctx context.Context, ask func() bool) (string, error) {
	w.asking.Lock()
	defer w.asking.Unlock()
	came := w.next()
	if !ask() {
		return "", tutti.Closed
	}
	for first := true; ; first = false {
		enough := make(<-chan time.Time)
		if !first {
			enough = time.After(quiet)
		}
		select {
		case <-came:
			came = w.next()
			continue
		case <-w.finished():
			return "", tutti.Closed
		case <-ctx.Done():
			return "", ctx.Err()
		case <-enough:
		}
		return w.last(), nil
	}
}

// next is closed when something comes.
func (w *words) next() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.came == nil {
		w.came = make(chan struct{})
	}
	return w.came
}

// last takes what has come.
func (w *words) last() string {
	w.mu.Lock()
	defer w.mu.Unlock()
	text := string(w.text)
	w.text = nil
	return text
}
