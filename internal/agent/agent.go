package agent

import (
	"context"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/engine"
)

// Agent is a node of a cluster. Its methods may be called concurrently.
type Agent struct {
	cfg    Config
	log    *logRing
	ctx    context.Context // ends when the agent is to stop
	stop   context.CancelCauseFunc
	inbox  chan func()
	done   chan struct{} // closed when all that ran has ended
	gone   chan struct{} // closed when nothing is left: links, blobs, files
	err    error         // why it ended; read after done
	joined chan struct{} // closed after the first welcome

	// What follows is the loop's.
	node       tutti.NodeID
	life       string // of the cluster
	up         session
	works      map[uint32]*tutti.Work
	runs       map[tutti.RunID]*run
	engines    map[tutti.EngineID]*engineState
	dying      map[*engineState]struct{} // forsaken, their processes not yet gone
	toPump     []*engineState            // that may take more
	batch      []engine.Run              // memory for what they take
	programs   map[string]*program
	jobs       int    // commands that were started or are just being started
	waiting    []*run // commands that wait for cores
	slots      map[slotName]*slot
	cores      float64
	gpus       *gpuRack
	reports    reports
	owed       []debt
	blobs      *blobs
	peers      map[tutti.NodeID][]string
	asking     bool // for peers
	unplaced   []*run
	stopping   bool
	background sync.WaitGroup
}

// inboxSize bounds what waits for the loop; who brings more waits.
const inboxSize = 256

// Start joins the cluster and returns when the controller has said welcome, or with the error
// that it has met: kinds Denied and Version will not mend by themselves. ctx bounds the joining
// alone; the agent lives until Close, or until it ends by itself.
func Start(ctx context.Context, cfg Config) (*Agent, error) {
	if err := cfg.fill(); err != nil {
		return nil, err
	}
	a := &Agent{
		cfg: cfg, inbox: make(chan func(), inboxSize), done: make(chan struct{}), gone: make(chan struct{}), joined: make(chan struct{}),
		node: tutti.NoNode, works: map[uint32]*tutti.Work{}, runs: map[tutti.RunID]*run{},
		engines: map[tutti.EngineID]*engineState{}, dying: map[*engineState]struct{}{}, programs: map[string]*program{}, slots: map[slotName]*slot{},
		cores: cfg.Has.Cores, gpus: newGPURack(cfg.GPUs), peers: map[tutti.NodeID][]string{},
	}
	a.log = newLogRing(cfg.Log)
	a.ctx, a.stop = context.WithCancelCause(context.Background())
	a.reports.init()
	var err error
	if a.blobs, err = newBlobs(&cfg.Blobs); err != nil {
		return nil, err
	}
	a.blobs.relay.a = a
	go a.loop()
	select {
	case <-a.joined:
		return a, nil
	case <-a.gone:
		return nil, a.err
	case <-ctx.Done():
		a.stop(tutti.Errorf("join cluster", tutti.KindOf(ctx.Err()), "waiting for the controller at %s: %w", cfg.Addr, ctx.Err()))
		<-a.gone
		return nil, a.err
	}
}

// Run is Start and then waits: it returns nil when ctx ends, else why the agent ended.
func Run(ctx context.Context, cfg Config) error {
	a, err := Start(ctx, cfg)
	if err != nil {
		return err
	}
	select {
	case <-ctx.Done():
		return a.Close()
	case <-a.gone:
		return a.err
	}
}

// Close ends engines and commands, leaves the cluster, and waits for all that. What had ended and
// was not acknowledged is lost.
func (a *Agent) Close() error {
	a.stop(nil)
	<-a.gone
	return nil
}

// Done is closed when the agent has ended, by Close or by itself.
func (a *Agent) Done() <-chan struct{} { return a.done }

// Err says why the agent ended by itself, nil before and after Close.
func (a *Agent) Err() error {
	select {
	case <-a.done:
		return a.err
	default:
		return nil
	}
}

// Node is the number that the controller gave this node, NoNode after the end.
func (a *Agent) Node() tutti.NodeID {
	n := tutti.NoNode
	a.call(func() { n = a.node })
	return n
}

// do passes the loop something to do; false when it has ended.
func (a *Agent) do(f func()) bool {
	select {
	case a.inbox <- f:
		return true
	case <-a.done:
		return false
	}
}

// call has the loop do something and waits for it.
func (a *Agent) call(f func()) bool {
	over := make(chan struct{})
	if !a.do(func() { f(); close(over) }) {
		return false
	}
	select {
	case <-over:
		return true
	case <-a.done:
		return false
	}
}

// after has the loop do something later. The timer may be stopped by whoever gets it.
func (a *Agent) after(d time.Duration, f func()) *time.Timer {
	return time.AfterFunc(d, func() { a.do(f) })
}

// aside does something that takes time, and whose end the agent's end waits for.
func (a *Agent) aside(f func()) { a.background.Go(f) }

// loop owns the agent's state until the end.
func (a *Agent) loop() {
	a.dial()
	ended := a.ctx.Done()
	for !a.stopping || len(a.dying) > 0 || a.jobs > 0 {
		select {
		case f := <-a.inbox:
			f()
		default:
			a.flush() // nothing more to do at the moment: what was gathered goes
			select {
			case f := <-a.inbox:
				f()
			case <-ended:
				ended = nil
				a.shutdown()
			}
		}
		a.flushIfDue()
	}
	a.finish()
}

// shutdown kills what runs. The loop goes on until all of it is gone.
func (a *Agent) shutdown() {
	a.stopping = true
	a.log.Info("agent stops", "why", context.Cause(a.ctx))
	a.dropAll()
}

// dropAll kills all engines and commands and forgets all runs: their work is somebody else's.
func (a *Agent) dropAll() {
	for _, e := range a.engines {
		a.forsake(e, "the agent gave it up")
	}
	for _, r := range a.runs {
		r.forget(a)
	}
	clear(a.runs)
	a.waiting = nil
	clear(a.slots)
	a.reports.init()
}

// finish closes what is left when nothing runs any more.
func (a *Agent) finish() {
	defer close(a.gone)
	a.flush()
	if cause := context.Cause(a.ctx); cause != context.Canceled {
		a.err = cause
	}
	link := a.up.link
	a.up = session{}
	close(a.done)
	if link != nil {
		_ = link.Close()
	}
	a.background.Wait()
	a.blobs.close()
	for _, p := range a.programs {
		p.remove()
	}
}

// quit ends the agent because of err.
func (a *Agent) quit(err error) { a.stop(err) }
