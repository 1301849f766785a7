package engine

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

// pyProcess is a Python interpreter as its agent sees it. The interpreter has one thread of ours,
// which runs the user's code and nothing beside it; so what must go on meanwhile goes on here: what
// it prints is read here, runs wait here, and what it has and has not begun is taken back by a
// number in shared memory.
type pyProcess struct {
	*child
	rt    *Python
	spec  Spec
	sink  func(Event)
	board *pyBoard
	ring  []byte
	kick  chan struct{} // there is something for the minder
	over  chan struct{} // closed when no more is read
	idle  chan struct{} // closed when the minder has ended
	words words         // of the crash pipe

	speak  sync.Mutex // held while the sink is called, and while ring or pipes are emptied
	pipes  [2]pyPipe
	seen   uint64 // how far the ring was filled a moment ago
	credit credit

	mu       sync.Mutex // guards what follows; taken last, and never held while anything waits
	queue    pyQueue
	funcs    pyFuncs
	out      []byte // frames that the socket did not take
	writing  bool   // the minder is writing some that came before those
	asks     []pyAsk
	ready    bool
	parked   bool // the minder sleeps until a run is given
	revoking bool // runs are being taken back from the interpreter
	stop     bool // when the queue is empty the interpreter is told to end
	hung     bool
	dead     bool // the shared memory is not mapped any more
	argRoom  []tutti.Arg
}

// pyAsk is something for the minder to see to, in order.
type pyAsk struct {
	back    []tutti.RunID // to be taken back, if cancel is zero
	cancel  tutti.RunID
	timeout bool
}

func newPyProcess(rt *Python, s Spec, e *ends, sink func(Event)) (*pyProcess, error) {
	p := &pyProcess{
		child: newChild(e), rt: rt, spec: s, sink: sink, board: pyBoardOf(e.shared), ring: e.shared[pyRingAt:],
		kick: make(chan struct{}, 1), over: make(chan struct{}), idle: make(chan struct{}),
		funcs: newPyFuncs(),
	}
	p.credit.init(OutputWindow)
	for i, f := range []*os.File{e.stdout, e.stderr} {
		if err := p.pipes[i].init(f, uint8(i+1)); err != nil {
			return nil, err
		}
	}
	return p, nil
}

// begin says the first words to a process that was just started, and listens.
func (p *pyProcess) begin(setup []string) {
	id, _ := json.Marshal(pyIdentity{ // of numbers and text: cannot fail
		Engine: p.spec.Engine, Life: p.spec.Life, Host: p.spec.Host, Program: p.spec.Program.Name,
		Threads: max(1, p.spec.Threads), Blobs: p.spec.ServeBlobs != nil, Setup: setup,
	})
	p.mu.Lock()
	p.out = appendPyFrame(p.out, pyStart, 0, 0, id)
	p.mu.Unlock()
	p.wake()
	for i := range p.pipes {
		go p.pump(&p.pipes[i])
	}
	go p.words.read(p.crash)
	go p.mind()
	go p.carry()
	go p.wait()
}

func (p *pyProcess) wake() {
	select {
	case p.kick <- struct{}{}:
	default:
	}
}

// Send queues runs and hands over what the interpreter should have.
func (p *pyProcess) Send(runs []Run) {
	p.mu.Lock()
	for i := range runs {
		r := &runs[i]
		f, forgotten := p.funcs.find(r.Func, r.Code)
		for _, number := range forgotten {
			p.out = appendPyFrame(p.out, pyForget, 0, uint64(number), nil)
		}
		x := pyRun{Run: *r, fn: f}
		var err error
		x.form, x.data, err = pyArguments(r, p.argRoom, max(1, p.spec.Threads))
		if err != nil {
			x.form, x.data = pyMixed, pyNonsense(err)
		}
		x.Code, x.Args, x.Deps = nil, nil, nil
		x.fn.calls++
		p.queue.waiting = append(p.queue.waiting, x)
	}
	p.give()
	p.mu.Unlock()
}

// pyNonsense lets the interpreter report arguments that could not be read, in their turn.
func pyNonsense(err error) []byte {
	text, _ := json.Marshal(map[string]string{"error": err.Error(), "kind": tutti.KindOf(err).String()})
	return append(binary.LittleEndian.AppendUint32(nil, uint32(len(text))), text...)
}

// give sends what the interpreter should have now; mu is held.
func (p *pyProcess) give() {
	if !p.ready || p.dead || p.revoking {
		return
	}
	if runs := p.queue.give(); len(runs) > 0 {
		p.out = p.appendRuns(p.out, runs)
		if p.parked {
			p.parked = false
			p.wake()
		}
	} else if p.stop && len(p.queue.inside) == 0 {
		p.stop = false
		p.out = appendPyFrame(p.out, pyStop, 0, 0, nil)
	}
	if len(p.out) > 0 && (p.writing || !p.push()) {
		p.wake()
	}
}

func (p *pyProcess) appendRuns(b []byte, runs []pyRun) []byte {
	size := 0
	for i := range runs {
		if f := runs[i].fn; !f.told {
			f.told = true
			body := binary.LittleEndian.AppendUint16(nil, uint16(len(f.name)))
			b = appendPyFrame(b, pyDefine, 0, uint64(f.number), append(append(body, f.name...), f.code...))
			f.code = nil
		}
		size += pyRunHead + len(runs[i].data)
	}
	le := binary.LittleEndian
	b = appendPyFrame(b, pyRuns, len(runs), p.board.generation.Load(), nil)
	le.PutUint32(b[len(b)-pyHead:], uint32(size))
	for i := range runs {
		r := &runs[i]
		b = le.AppendUint64(b, r.turn)
		b = le.AppendUint32(b, r.fn.number)
		b = le.AppendUint32(b, r.form)
		b = le.AppendUint32(b, uint32(len(r.data)))
	}
	for i := range runs {
		b = append(b, runs[i].data...)
	}
	return b
}

// push writes what the socket takes at once, and reports whether that was all; mu is held.
func (p *pyProcess) push() bool {
	raw, err := p.conn.SyscallConn()
	if err == nil {
		err = raw.Control(func(fd uintptr) {
			for len(p.out) > 0 {
				n, err := unix.SendmsgN(int(fd), p.out, nil, nil, unix.MSG_DONTWAIT|unix.MSG_NOSIGNAL)
				if err == unix.EINTR {
					continue
				}
				if err == unix.EAGAIN {
					return
				}
				if err != nil { // the process has ended: the reader sees it
					n = len(p.out)
				}
				p.out = p.out[n:]
			}
		})
	}
	if err != nil || len(p.out) == 0 {
		p.out = nil
		return true
	}
	return false
}

// Cancel asks a run to stop; see [Process].
func (p *pyProcess) Cancel(run tutti.RunID, timeout bool) {
	p.ask(pyAsk{cancel: run, timeout: timeout})
}

// TakeBack asks for runs that have not begun; see [Process].
func (p *pyProcess) TakeBack(runs []tutti.RunID) { p.ask(pyAsk{back: runs}) }

// Lost says that a rank of a run's world has ended badly; see [Mourner]. The interpreter may be inside
// of anything, so it is the world's memory that is told. A run that has not begun does begin, and
// comes upon it in its first call of the communicator.
func (p *pyProcess) Lost(run tutti.RunID, rank int) {
	p.mu.Lock()
	w := p.queue.world(run)
	p.mu.Unlock()
	if w == nil || w.Segment == "" {
		return
	}
	// Opened before we return: afterwards the path may lead to another world's memory.
	f, err := os.OpenFile(w.Segment, os.O_RDWR, 0)
	if err != nil {
		return // the peers find it out by themselves, or are asked to stop
	}
	// Beside the agent's loop, for the rank that is laying the memory out may have been stopped.
	go func() { _ = mpi.LostRank(mpi.Spec{File: f, Rank: rank, Size: len(w.Engines)}) }()
}

func (p *pyProcess) ask(a pyAsk) {
	p.mu.Lock()
	p.asks = append(p.asks, a)
	p.mu.Unlock()
	p.wake()
}

// Credit returns bytes that were dealt with.
func (p *pyProcess) Credit(n int) { p.credit.add(n) }

// Stop lets the interpreter finish what it has and end.
func (p *pyProcess) Stop() {
	p.mu.Lock()
	p.stop = true
	p.give()
	p.mu.Unlock()
}

// pyStackSignal makes the interpreter write the stacks of its threads into the crash pipe, whatever
// it is doing.
const pyStackSignal = unix.Signal(60)

// Stacks shows what every thread is doing.
func (p *pyProcess) Stacks(ctx context.Context) (string, error) {
	p.mu.Lock()
	ready := p.ready
	p.mu.Unlock()
	if !ready {
		return "", tutti.Errorf("read stacks", tutti.Unsupported, "engine %d is still starting", p.spec.Engine)
	}
	text, err := p.words.stacks(ctx, func() bool {
		p.reaping.Lock()
		defer p.reaping.Unlock()
		return !p.reaped && unix.Kill(p.pid, pyStackSignal) == nil
	})
	if tutti.KindOf(err) == tutti.Closed {
		return "", tutti.Errorf("read stacks", tutti.Closed, "engine %d has ended", p.spec.Engine)
	}
	if err != nil {
		return "", tutti.Errorf("read stacks", tutti.KindOf(err), "engine %d does not answer: its process is stopped, or starved", p.spec.Engine)
	}
	return text, nil
}

// carry is the process's life as its agent sees it: what it says, then how it ended.
func (p *pyProcess) carry() {
	readErr := p.read()
	x := p.collect(readErr)
	p.credit.end()
	for i := range p.pipes {
		p.pipes[i].end()
	}
	if err := p.collectResults(nil, p.board.head.Load); err != nil && gone(readErr) {
		readErr = err
	}
	close(p.over)
	<-p.words.finished()
	x.Stack = p.words.last()
	p.mu.Lock()
	x.Begun, x.Ended = p.queue.progress(p.board.begun.Load(), p.board.ended.Load())
	x.Hung = p.hung
	ready := p.ready
	p.mu.Unlock()
	x.describe(readErr, ready, "was stopped and did not go on for "+p.hangLimit().String())
	if x.Begun > x.Ended && x.Signal == "" && ready {
		x.Why += ": the code that it ran called os._exit, or C code called exit"
	}
	x.Stdout, x.Stderr = p.pipes[0].rest, p.pipes[1].rest
	if last := lastLines(append(p.pipes[1].recent, x.Stderr...)); last != "" && (!ready || x.Begun > x.Ended) {
		x.Why += ": " + last
	}
	<-p.idle
	p.mu.Lock()
	p.dead = true
	p.mu.Unlock()
	p.closeOurs()
	p.sink(x)
}

func (p *pyProcess) hangLimit() time.Duration {
	if p.spec.Hang == 0 {
		return DefaultHang
	}
	return p.spec.Hang
}

// isStopped reports whether the process was stopped by a signal.
func (p *pyProcess) isStopped() bool {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p.pid))
	_, rest, ok := strings.Cut(string(b), ") ")
	return err == nil && ok && strings.HasPrefix(rest, "T")
}
