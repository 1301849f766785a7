package sched

import (
	"time"

	"github.com/tutti-hpc/tutti"
)

// Config is what a scheduler is made with. The zero value is good for everything but Epoch.
type Config struct {
	Epoch    uint32        // how often the controller has been started; part of every RunID
	Window   int           // most runs in flight on one engine; 0 means 64
	High     Mark          // a client with more waiting is asked to stop; 0 means a million tasks, 1 GiB
	Low      Mark          // and to go on when it has come down to this; 0 means half of High
	Crashes  int           // starts in a row that may fail before a program is given up; 0 means 5
	Restart  time.Duration // before an engine that died is started again, doubled each time; 0 means 1 s
	Grace    time.Duration // between asking a run to stop and killing it; 0 means 10 s
	Patience time.Duration // how long the first task of a client is passed over; 0 means 100 ms
}

// Mark is an amount of work: tasks that have not ended and the bytes of their arguments.
type Mark struct {
	Tasks int
	Bytes int64
}

// withDefaults fills in what was left zero.
func (c Config) withDefaults() Config {
	setDefault(&c.Window, 64)
	setDefault(&c.High.Tasks, 1_000_000)
	setDefault(&c.High.Bytes, 1<<30)
	setDefault(&c.Low.Tasks, c.High.Tasks/2)
	setDefault(&c.Low.Bytes, c.High.Bytes/2)
	setDefault(&c.Crashes, 5)
	setDefault(&c.Restart, time.Second)
	setDefault(&c.Grace, 10*time.Second)
	setDefault(&c.Patience, 100*time.Millisecond)
	return c
}

// setDefault fills in one value.
func setDefault[T int | int64 | time.Duration](v *T, to T) {
	if *v <= 0 {
		*v = to
	}
}

// State is the scheduler. It is owned by one goroutine: no method may be called while another runs.
type State struct {
	cfg Config
	now int64 // of the current Step, nanoseconds since 1970; never goes back
	out []Action

	tasks   slab[task]
	edges   slab[edge]
	seq     uint64 // of the last task submitted
	counts  Counts
	clients map[tutti.ClientID]*client
	order   []*client // by number
	turn    []*client // a heap: those who have something that can be placed now
	vtime   int64     // the pass of the client served last
	last    *client   // the one looked up last

	kinds   kinds
	busy    int // shapes with ready tasks
	ready   int // tasks in queues
	nodes   []*node
	up      []*node // those that are there, in order of joining
	grown   uint64  // counts changes of what nodes could ever hold
	engines []*engine
	progs   map[string]*program
	program []*program // in order of first mention
	pools   []*pool    // by name

	timers   []*timer
	looking  timer
	awaiting timer
	spare    []*slot

	// Work left within one Step. Endings and recomputations go through lists, not through calls of
	// calls, so that a chain of a hundred thousand tasks does not need as deep a stack.
	ended   []ref
	touched []*slot
	settle  []*node
	kicks   []*node
	dirty   []*node
	again   []ref
	scratch scratch
}

// scratch is memory that is used again by each Step; what actions point to lies in it.
type scratch struct {
	engines []tutti.EngineID
	nodes   []tutti.NodeID
	runs    []tutti.RunID
	places  []Place
	batch   []ref
}

// New makes a scheduler that knows nothing yet.
func New(cfg Config) *State {
	return &State{
		cfg:     cfg.withDefaults(),
		clients: map[tutti.ClientID]*client{},
		progs:   map[string]*program{},
		kinds:   newKinds(),
	}
}

// Step takes in what happened and answers with what is to be done, in order. The answer depends
// on nothing but the events so far and their times. The actions, and slices in them, are valid
// until the next Step.
func (s *State) Step(now time.Time, ev Event) []Action {
	s.now = max(s.now, now.UnixNano())
	clear(s.out)
	s.out = s.out[:0]
	s.scratch.engines, s.scratch.nodes, s.scratch.runs = s.scratch.engines[:0], s.scratch.nodes[:0], s.scratch.runs[:0]
	s.handle(ev)
	s.ring()
	s.spread()
	s.serve()
	s.place()
	s.wind()
	return s.out
}

// Wake says when a [Tick] is due if nothing else happens before; false for never.
func (s *State) Wake() (time.Time, bool) {
	if len(s.timers) == 0 {
		return time.Time{}, false
	}
	return time.Unix(0, s.timers[0].at), true
}

// handle hands an event to its chapter.
func (s *State) handle(ev Event) {
	switch e := ev.(type) {
	case Submit:
		s.submit(e)
	case Restore:
		s.restore(e)
	case Done:
		s.done(e)
	case Started:
		s.started(e)
	case Returned:
		s.returned(e)
	case Cancel:
		s.cancel(e.Tasks)
	case Forget:
		s.forget(e.Tasks)
	case ClientGone:
		s.clientGone(e)
	case ResultLost:
		s.resultLost(e)
	case NodeUp:
		s.nodeUp(e)
	case NodeDown:
		s.nodeDown(e)
	case NodeDrain:
		s.nodeDrain(e)
	case EngineUp:
		s.engineUp(e)
	case EngineDown:
		s.engineDown(e)
	case ProgramUp:
		s.programUp(e)
	case ProgramDown:
		s.programDown(e)
	case EnginesMore:
		s.enginesMore(e)
	case EngineLeave:
		s.engineLeave(e)
	case EngineAgain:
		s.engineAgain(e)
	case PoolSet:
		s.poolSet(e)
	case AcquireFailed:
		s.acquireFailed(e)
	case Tick:
	}
}

// do adds an action to the answer.
func (s *State) do(a Action) { s.out = append(s.out, a) }

// wind leaves everything so that time alone can bring it further: it sees to idle nodes, and has
// a look arranged if tasks could not be placed.
func (s *State) wind() {
	for _, n := range s.settle {
		n.settling = false
		s.rest(n)
	}
	s.settle = s.settle[:0]
	if s.ready > 0 {
		first := s.now + int64(s.cfg.Patience)/8
		if s.looking.pos == 0 {
			s.setTimer(&s.looking, (*look)(s), first)
		}
	}
}
