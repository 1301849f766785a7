package engine

import (
	"context"
	"io"
	"sync"
	"sync/atomic"
)

// Memory is the runtime of engines that are goroutines of this process, for tests in virtual
// time: the same loop and the same messages over an in-memory pipe, no process and no real I/O.
// Functions are this program's. What they print is not captured. A run cannot be killed against
// its will: Kill cancels its context and no one hears of it any more.
type Memory struct {
	// Refuse, if not nil, may fail a start.
	Refuse func(Spec) error

	pids atomic.Int64
}

// Start makes an engine; see [Runtime].
func (m *Memory) Start(_ context.Context, s Spec, sink func(Event)) (Process, error) {
	if m.Refuse != nil {
		if err := m.Refuse(s); err != nil {
			return nil, err
		}
	}
	toEngine, toAgent := newPipe(), newPipe()
	p := &MemoryProcess{pid: int(m.pids.Add(1)), toEngine: toEngine, toAgent: toAgent, ended: make(chan struct{})}
	p.session = newSession(s, toEngine, sink)
	id := identity{Engine: s.Engine, Life: s.Life, Host: s.Host, Threads: s.Threads}
	p.loop = newLoop(id, newSender(toAgent), &p.board, s.Blobs)
	go p.engine()
	go p.write()
	go p.agent()
	go p.ping(p.Kill)
	return p, nil
}

// MemoryProcess is an engine made by [Memory], with knobs for misfortune.
type MemoryProcess struct {
	*session
	pid               int
	loop              *loop
	board             board
	toEngine, toAgent *pipe
	ended             chan struct{} // closed when the engine's end has returned

	mu  sync.Mutex
	end Exited // how it ended, and how far it had come then
}

// Pid is a number that no real process has a claim on.
func (p *MemoryProcess) Pid() int { return -p.pid }

// engine is what would be the process.
func (p *MemoryProcess) engine() {
	defer close(p.ended)
	err := p.loop.serve(p.toEngine)
	if err != nil && !gone(err) {
		p.die("", exitSetup)
	}
	p.die("", 0)
}

// agent is the agent's side: it reads until the engine is gone.
func (p *MemoryProcess) agent() {
	err := p.read(p.toAgent)
	p.die("KILL", 0)
	<-p.ended
	p.mu.Lock()
	x := p.end
	p.mu.Unlock()
	p.describe(&x, err)
	p.sink(x)
}

// die ends the engine; only the first cause counts. The worker's goroutine goes when its run
// returns, which it is asked to do.
func (p *MemoryProcess) die(signal string, status int) {
	p.mu.Lock()
	select {
	case <-p.toAgent.closed:
	default:
		p.end = Exited{Signal: signal, Status: status, Begun: p.board.begun.Load(), Ended: p.board.ended.Load()}
	}
	p.mu.Unlock()
	p.toAgent.Close()
	p.toEngine.Close()
	p.loop.queue.abandon()
	if c := p.loop.current.Load(); c != nil {
		c.cancel(false)
	}
}

// Terminate kills at once: there is nobody to be polite to.
func (p *MemoryProcess) Terminate() { p.die("TERM", 0) }

// Kill ends the engine as SIGKILL would.
func (p *MemoryProcess) Kill() { p.die("KILL", 0) }

// Exit ends it as a call of os.Exit in its run would.
func (p *MemoryProcess) Exit(status int) { p.die("", status) }

// Hang stops the engine as SIGSTOP would: it takes nothing in and lets nothing out. Unhang lets it
// go on.
func (p *MemoryProcess) Hang() { p.toEngine.hang(true); p.toAgent.hang(true) }

// Unhang undoes Hang.
func (p *MemoryProcess) Unhang() { p.toEngine.hang(false); p.toAgent.hang(false) }

// abandon empties the queue and closes it: the process is no more.
func (q *queue) abandon() {
	q.mu.Lock()
	clear(q.runs)
	q.runs, q.head, q.closed = nil, 0, true
	q.mu.Unlock()
	q.ready.Signal()
}

// pipe is a stream in memory. It holds a bounded amount: a writer waits for its reader.
type pipe struct {
	mu      sync.Mutex
	changed sync.Cond
	buf     []byte
	stopped bool // hung: readers get nothing
	over    bool
	closed  chan struct{}
}

// pipeLimit is as much as a socket would hold.
const pipeLimit = 256 << 10

func newPipe() *pipe {
	p := &pipe{closed: make(chan struct{})}
	p.changed.L = &p.mu
	return p
}

func (p *pipe) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for len(p.buf) > pipeLimit && !p.over {
		p.changed.Wait()
	}
	if p.over {
		return 0, io.ErrClosedPipe
	}
	p.buf = append(p.buf, b...)
	p.changed.Broadcast()
	return len(b), nil
}

func (p *pipe) Read(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for (len(p.buf) == 0 || p.stopped) && !p.over {
		p.changed.Wait()
	}
	if len(p.buf) == 0 || p.stopped {
		return 0, io.EOF
	}
	n := copy(b, p.buf)
	p.buf = p.buf[n:]
	p.changed.Broadcast()
	return n, nil
}

func (p *pipe) Close() error {
	p.mu.Lock()
	if !p.over {
		p.over = true
		close(p.closed)
	}
	p.mu.Unlock()
	p.changed.Broadcast()
	return nil
}

func (p *pipe) hang(on bool) {
	p.mu.Lock()
	p.stopped = on
	p.mu.Unlock()
	p.changed.Broadcast()
}
