package shmdev

import (
	"runtime"
	"slices"
	"sync/atomic"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// policy says how a rank waits and what it sends eagerly.
//
// Measured with 0, 1 and 2 other programs that want the processors: while ranks are no more than
// processors, a long spin is within the C libraries' times in all cases. sched_yield is not: it
// gives whole time slices to whoever computes. Short spins fall, under load, into a state in
// which every message costs two futex calls. With more ranks than processors spinning only keeps
// the peer from running, and yielding to it is cheaper than sleeping.
//
// How long the spin is adapts: it halves when it was in vain and doubles when it was not. Two
// ranks whom the system put on one processor would else spin away each other's time.
type policy struct {
	spin   time.Duration // how long to look at memory; 0: not at all
	yields int           // then how often to let others run, before sleeping
	goros  bool          // the others are goroutines of this process
	eager  int           // the longest message sent without asking
}

const (
	eagerMax = 16 << 10
	spinMax  = 2 * time.Millisecond
	spinMin  = 20 * time.Microsecond
)

func choosePolicy(a arena, n int, cpus float64) policy {
	p := policy{eager: eagerMax}
	if a.inProcess() {
		p.goros, p.yields = true, 20
		return p
	}
	if cpus <= 0 {
		var err error
		if cpus, err = shm.CPUs(); err != nil {
			cpus = float64(runtime.NumCPU())
		}
	}
	if float64(n) <= cpus {
		p.spin = spinMax
	} else {
		p.yields = 8 * n
	}
	return p
}

// follower is a goroutine that waits while another polls.
type follower struct {
	cond cond
	c    *comm
	ch   chan struct{}
}

// cond is what a goroutine waits for. It is data rather than a function so that the frequent
// waits allocate nothing. It may be asked again after it was true.
type cond struct {
	r *request    // that it is done
	f func() bool // or that this is true
	c *comm       // or that the flag (done with cleared) of every rank, or of root, has reached step
	// and if c:
	step    uint64
	root    int // -1: every rank
	cleared bool
}

func (q *cond) met() bool {
	switch {
	case q.r != nil:
		return q.r.done
	case q.f != nil:
		return q.f()
	case q.root >= 0:
		return q.c.shared.ranks[q.root].flag.Load() >= q.step
	}
	return q.c.reached(q.step, q.cleared)
}

// what says for people what a rank waits for.
type what struct {
	op        uint32
	peer, tag int
	ctx       uint32
}

// meanwhile is what [SetMeanwhile] has set.
var meanwhile atomic.Pointer[func() bool]

// tick is how long a wait sleeps at most before it calls meanwhile again.
const tick = 100 * time.Millisecond

// SetMeanwhile gives all worlds of this process something to ask now and then while a call waits, on the
// goroutine of that call; it must not begin calls of its own. Where it says true the call gives up, with kind
// Canceled. Interpreters look for their signals in it. nil asks nothing.
func SetMeanwhile(f func() bool) {
	if f == nil {
		meanwhile.Store(nil)
		return
	}
	meanwhile.Store(&f)
}

// errGivenUp is what a wait ends with that meanwhile has ended.
var errGivenUp = device.Errorf(tutti.Canceled, "the wait was interrupted")

// ask calls meanwhile without the lock.
func (e *engine) ask(f *func() bool) error {
	if f == nil {
		return nil
	}
	e.unlock()
	stop := (*f)()
	e.lock()
	if stop {
		return errGivenUp
	}
	return nil
}

// wait blocks until q is met, which it evaluates under the lock and after progress, or until c
// or the world is broken. The lock is held at entry and return, not throughout. Of the
// goroutines that wait at a time one polls, the others are told by it. Whoever leaves sees to it
// that one polls: a follower too that was told to take over and found that its own wait had ended.
func (e *engine) wait(q cond, w what, c *comm) error {
	err := e.takePart(q, w, c)
	if !e.polling && len(e.followers) > 0 {
		e.tell(true)
	}
	return err
}

func (e *engine) takePart(q cond, w what, c *comm) error {
	for {
		if q.met() {
			return nil
		}
		if err := e.broken(c); err != nil {
			return err
		}
		if !e.polling {
			e.polling = true
			err := e.poll(&q, w, c)
			e.polling = false
			if err != nil && !q.met() {
				return err
			}
			continue
		}
		fo := &follower{q, c, make(chan struct{})}
		e.followers = append(e.followers, fo)
		e.ring(e.me) // the poller may sleep: it has one more to look after
		e.unlock()
		told := fo.await()
		e.lock()
		if err := e.desert(fo, told); err != nil && !q.met() {
			return err
		}
	}
}

// await blocks until the follower is told something, or it is time to ask meanwhile.
func (fo *follower) await() (told bool) {
	if meanwhile.Load() == nil {
		<-fo.ch
		return true
	}
	t := time.NewTimer(tick)
	defer t.Stop()
	select {
	case <-fo.ch:
		return true
	case <-t.C:
		return false
	}
}

// desert takes a follower out that has not been told anything, and asks meanwhile. One that was
// told at the last moment goes on as if it had waited for it.
func (e *engine) desert(fo *follower, told bool) error {
	if told {
		return nil
	}
	if i := slices.Index(e.followers, fo); i >= 0 {
		e.followers = slices.Delete(e.followers, i, i+1)
	}
	return e.ask(meanwhile.Load())
}

// tell wakes the followers that are through, or, when the poller leaves, one more to take over.
func (e *engine) tell(leaving bool) {
	keep := e.followers[:0]
	for _, fo := range e.followers {
		if leaving || fo.cond.met() || e.broken(fo.c) != nil {
			leaving = false
			close(fo.ch)
		} else {
			keep = append(keep, fo)
		}
	}
	clear(e.followers[len(keep):])
	e.followers = keep
}

// poll makes progress until q is met or something is broken. Its error is that of a wait given up.
func (e *engine) poll(q *cond, w what, c *comm) error {
	spins, yields, slept := 0, 0, false
	var began time.Time
	for {
		moved := e.progress()
		if q.met() {
			if spins > 64 && e.policy.spin > 0 {
				e.policy.spin = min(2*e.policy.spin, spinMax)
			}
			if slept {
				e.page.wait.end()
			}
			return nil
		}
		if moved {
			spins, yields = 0, 0
		}
		spins++
		if spins&63 != 0 && e.want.Load() == 0 && e.policy.spin > 0 {
			continue
		}
		if e.pause(c) {
			e.page.wait.end()
			return nil
		}
		switch {
		case e.policy.spin > 0 && spins <= 64:
			began = time.Now()
		case e.policy.spin > 0 && time.Since(began) < e.policy.spin:
		case yields < e.policy.yields:
			yields++
			e.yield()
		default:
			if e.policy.spin > 0 {
				e.policy.spin = max(e.policy.spin/2, spinMin)
			}
			if err := e.sleep(q, w); err != nil {
				e.page.wait.end()
				return err
			}
			spins, yields, slept = 0, 0, true
		}
	}
}

// pause is what even a spinning rank does now and then; it says whether something is broken.
func (e *engine) pause(c *comm) bool {
	if e.want.Load() != 0 {
		e.unlock()
		runtime.Gosched()
		e.lock()
	}
	if len(e.followers) > 0 {
		e.tell(false)
	}
	if e.hdr.epoch.Load() != e.epoch {
		e.news()
	}
	return e.broken(c) != nil
}

func (e *engine) yield() {
	if e.policy.goros {
		e.unlock()
		runtime.Gosched()
		e.lock()
		return
	}
	shm.Yield()
}

// sleep blocks until somebody rings, after a last look that cannot miss what was written before
// the bell saw us asleep. It ends now and then to look whether peers still live.
func (e *engine) sleep(q *cond, w what) error {
	val := atomic.LoadUint32(&e.page.word)
	e.page.asleep.Store(1)
	if e.progress() || q.met() || e.want.Load() != 0 || e.hdr.epoch.Load() != e.epoch {
		e.page.asleep.Store(0)
		return nil
	}
	e.page.wait.begin(w)
	limit, f := e.opt.Watch, meanwhile.Load()
	if f != nil && (limit == 0 || limit > tick) {
		limit = tick
	}
	e.unlock()
	e.a.sleep(e.me, val, int64(limit))
	e.lock()
	e.page.asleep.Store(0)
	if e.opt.Watch > 0 {
		e.watch()
	}
	return e.ask(f)
}

// patience waits up to a second for something that others do very soon, by looking. The lock is
// held all the time.
func (e *engine) patience(f func() bool) bool {
	for end := time.Now().Add(time.Second); !f(); {
		if time.Now().After(end) {
			return false
		}
		runtime.Gosched()
	}
	return true
}
