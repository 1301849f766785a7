package controller

import (
	"cmp"
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"log/slog"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/journal"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Config is what a controller is started with. The zero value is an embedded one: nothing is
// journalled, everything has its default.
type Config struct {
	Name    string       // of the cluster
	Dir     string       // state: journal, outputs; "" keeps nothing on disk
	Version string       // of this program; clients and agents of another are refused
	Sched   sched.Config // its Epoch is set here
	Log     *slog.Logger // nil for none

	ClientGrace time.Duration // how long a client may be away before its calls are cancelled; 0: 30 s
	AgentGrace  time.Duration // how long an agent may be away before its runs go elsewhere; 0: 20 s
	Restore     time.Duration // how long after a restart former clients are waited for; 0: 3 s
	KeepResults int           // finished results kept until fetched; 0: 1,000,000
	KeepBytes   int64         // and their bytes; 0: 1 GiB
	KeepEvents  int           // events kept in memory; 0: 16,384
	Journal     journal.Config
	Pools       []Pool
	OnStop      func() // called when a client asks the cluster to stop; nil: it cannot
	Probe       Probe  // for tests
}

func (cfg Config) withDefaults() Config {
	cfg.ClientGrace = cmp.Or(cfg.ClientGrace, 30*time.Second)
	cfg.AgentGrace = cmp.Or(cfg.AgentGrace, 20*time.Second)
	cfg.Restore = cmp.Or(cfg.Restore, 3*time.Second)
	cfg.KeepResults = cmp.Or(cfg.KeepResults, 1_000_000)
	cfg.KeepBytes = cmp.Or(cfg.KeepBytes, 1<<30)
	cfg.KeepEvents = cmp.Or(cfg.KeepEvents, 16<<10)
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	return cfg
}

// Controller knows all engines and tasks of one cluster. Its exported methods may be called from
// any goroutine.
type Controller struct {
	cfg     Config
	life    string // identifies this cluster among all that had the name
	inbox   chan func()
	quit    chan struct{}
	once    sync.Once
	crashed bool // by Crash; written before quit is closed
	done    chan struct{}
	err     error // why the loop ended, readable once done is closed

	serving sync.Mutex     // guards ended, and readers against it
	ended   bool           // no link is served any more
	readers sync.WaitGroup // the goroutines that read links

	// Everything below belongs to the loop.
	mind     *sched.State
	epoch    uint32
	clients  map[tutti.ClientID]*client
	lastID   tutti.ClientID
	agents   map[tutti.NodeID]*agent
	lastNode tutti.NodeID
	works    works
	programs map[string]*program
	blobs    blobCount
	events   eventRing
	kept     keeper
	outputs  outputs
	rec      recorder
	restore  restoring
	waits    []*wait // questions that are answered when something holds
	engines  map[tutti.EngineID]*engine
	changes  uint64 // how often engines have come or gone
	endedOn  endedOn
	echoAt   time.Time // when it is looked whether clients have read, zero if none is waited for
	dirtyC   []*client // with something in the outbox
	dirtyA   []*agent
	timer    *time.Timer
	since    time.Time
	now      time.Time       // of what the loop is doing
	news     []sched.NewTask // memory for those of one message
	results  []sched.Result  // the same
	ballast  []byte
	pools    map[string]*pool
	watching bool     // a look at the pools is due
	afters   []func() // what actions ask for that steps the scheduler again

	ctx        context.Context    // of what is done aside; ends with the loop
	noMore     context.CancelFunc // ends ctx
	background sync.WaitGroup
	trapped    bool // Probe.Crash has said that this is the end
}

// ballastSize is memory that is allocated and never touched, so that it costs no page: it makes the
// garbage collector wait for as much garbage before it runs, instead of running hundreds of times
// a second over the few megabytes that a controller needs.
const ballastSize = 64 << 20

// Start begins a controller's life: it replays the journal if there is one, and runs the loop.
// Links are given to it by [Controller.Serve]. ctx bounds the start only. Errors are those of
// journal.Open.
func Start(ctx context.Context, cfg Config) (*Controller, error) {
	cfg = cfg.withDefaults()
	c := &Controller{
		cfg:      cfg,
		life:     newSecret(),
		inbox:    make(chan func(), 512),
		quit:     make(chan struct{}),
		done:     make(chan struct{}),
		epoch:    1,
		clients:  map[tutti.ClientID]*client{},
		agents:   map[tutti.NodeID]*agent{},
		lastNode: -1,
		programs: map[string]*program{},
		engines:  map[tutti.EngineID]*engine{},
		since:    time.Now(),
		ballast:  make([]byte, ballastSize),
	}
	c.works.init()
	c.blobs.init()
	c.events.init(cfg.KeepEvents)
	c.outputs.init(cfg.Dir)
	c.now = c.since
	if err := c.openRecord(ctx); err != nil {
		return nil, err
	}
	c.ctx, c.noMore = context.WithCancel(context.Background())
	if err := c.openPools(); err != nil {
		c.noMore()
		return nil, errors.Join(err, c.rec.close())
	}
	c.timer = time.NewTimer(time.Hour)
	go c.loop()
	return c, nil
}

// newSecret makes 128 random bits in hex.
func newSecret() string {
	var b [16]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:])
}

// Life identifies this cluster among all that ever had its name.
func (c *Controller) Life() string { return c.life }

// Done is closed when the controller has ended.
func (c *Controller) Done() <-chan struct{} { return c.done }

// Close ends the controller: links are closed orderly, the journal is committed. What was durable
// is found again by the next Start with the same folder. It waits until all is quiet.
func (c *Controller) Close() error {
	c.stop(false)
	return c.err
}

// Crash ends the controller as the death of its process would: nobody is told, and what the journal
// had not committed is lost. The caller drops the links next (wire.Server.Abort). It is for tests.
func (c *Controller) Crash() { c.stop(true) }

// stop ends the loop and waits until all is quiet.
func (c *Controller) stop(crash bool) {
	c.once.Do(func() {
		c.crashed = crash
		close(c.quit)
	})
	<-c.done
	c.serving.Lock()
	c.ended = true
	c.serving.Unlock()
	c.readers.Wait()
	c.background.Wait()
}

// do has f executed by the loop; false if the loop has ended.
func (c *Controller) do(f func()) bool {
	select {
	case c.inbox <- f:
		return true
	case <-c.done:
		return false
	}
}

// batch bounds how much is taken in before what it caused is sent out.
const batch = 128

func (c *Controller) loop() {
	defer close(c.done)
	defer c.noMore()
	for !c.trapped {
		select {
		case f := <-c.inbox:
			c.now = time.Now()
			f()
			c.drain()
		case <-c.timer.C:
			c.now = time.Now()
			c.step(sched.Tick{})
			c.checkAway(c.now)
		case p := <-c.rec.committed():
			if c.cfg.Probe.asks(c, Committed, p.Committed); !c.trapped {
				c.rec.progress(p)
			}
		case err := <-c.rec.snaps:
			c.rec.snapped = false
			if err != nil {
				c.cfg.Log.Warn("no snapshot of the journal", "err", err)
			}
		case <-c.quit:
			c.end(c.crashed)
			return
		}
		if c.trapped {
			break
		}
		c.lookEchoes()
		c.flush()
		c.cfg.Probe.asks(c, Told, c.rec.sure)
		c.rec.snapshot()
		c.setTimer()
	}
	c.end(true)
}

// drain takes in what else has arrived, up to a batch.
func (c *Controller) drain() {
	for range batch {
		if c.trapped {
			return
		}
		select {
		case f := <-c.inbox:
			f()
		default:
			return
		}
	}
}

// setTimer wakes the loop for whatever is due first.
func (c *Controller) setTimer() {
	due := time.Now().Add(time.Hour)
	if at, ok := c.mind.Wake(); ok && at.Before(due) {
		due = at
	}
	if at, ok := c.nextAway(); ok && at.Before(due) {
		due = at
	}
	if at := c.echoAt; !at.IsZero() && at.Before(due) {
		due = at
	}
	c.timer.Reset(time.Until(due))
}

// end closes links and journal when the controller is told to stop; after a crash, neither.
func (c *Controller) end(crash bool) {
	c.timer.Stop()
	if crash {
		c.outputs.close()
		c.rec.crash()
		return
	}
	for _, w := range c.waits {
		w.answer(nil, tutti.Errorf("ask", tutti.Closed, "the controller was stopped"))
	}
	c.flush()
	c.closePools()
	for _, cl := range c.clients {
		cl.close()
	}
	for _, a := range c.agents {
		a.close()
	}
	c.outputs.close()
	c.err = c.rec.close()
}

// step tells the scheduler of an event and carries out what it wants.
func (c *Controller) step(ev sched.Event) { c.carryOut(c.think(ev)) }

// carryOut does what the scheduler wants. Actions are valid until the next step only, so what
// steps it again comes after them.
func (c *Controller) carryOut(actions []sched.Action) {
	for _, a := range actions {
		c.act(a)
	}
	for len(c.afters) > 0 {
		f := c.afters[0]
		c.afters = c.afters[1:]
		f()
	}
}

// later has f done when the actions at hand are carried out.
func (c *Controller) later(f func()) { c.afters = append(c.afters, f) }

// think is one step of the scheduler. The actions hold until the next.
func (c *Controller) think(ev sched.Event) []sched.Action {
	actions := c.mind.Step(c.now, ev)
	if check := c.cfg.Probe.Check; check != nil {
		if err := c.mind.Check(); err != nil {
			check(tutti.Errorf("check", tutti.Internal, "after %T %+v: %w", ev, ev, err))
		}
	}
	return actions
}

// flush sends what the outboxes hold.
func (c *Controller) flush() {
	if len(c.waits) > 0 {
		c.settleWaits()
	}
	for _, a := range c.dirtyA {
		a.flush()
	}
	c.dirtyA = c.dirtyA[:0]
	for _, cl := range c.dirtyC {
		cl.flush()
	}
	c.dirtyC = c.dirtyC[:0]
}

// Serve takes over a link that a peer has opened, until it ends.
func (c *Controller) Serve(l *wire.Link) {
	c.serving.Lock()
	defer c.serving.Unlock()
	if c.ended {
		l.Abort("the controller was stopped")
		return
	}
	c.readers.Add(1)
	go func() {
		defer c.readers.Done()
		c.serve(l)
	}()
}
