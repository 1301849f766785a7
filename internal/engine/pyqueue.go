package engine

import (
	"time"

	"github.com/tutti-hpc/tutti"
)

// pyQueue says which runs an interpreter is given ahead of time. It is plain data; its owner is the
// process, under whose mutex it is called. The interpreter runs what it has in order, and looks at
// nothing meanwhile, so it is given only as much as should take no longer than a moment, going by
// what the same functions took before.
type pyQueue struct {
	waiting []pyRun // not given to the interpreter
	inside  []pyRun // given, without a result, in order
	bytes   int     // of arguments inside
	load    time.Duration
	long    uint64 // the turn that lasts: nothing is put behind it
	doubt   uint64 // the turn that may turn out not to have begun
	last    uint64 // the last turn
	ended   uint64 // the serial number of the last run that ended
}

// pyRun is a run on its way.
type pyRun struct {
	Run
	fn     *pyFunc
	form   uint32
	data   []byte // arguments
	expect time.Duration
	// turn counts what the interpreter was given, from 1: the board speaks of turns. A run that was
	// taken back and is given again has a new one.
	turn uint64

	asked, timeout bool // it was asked to stop
}

const (
	// pyMoment is how long what was given to an interpreter ahead of time should last.
	pyMoment = time.Millisecond
	// pyMost and pyMostBytes bound it where calls are very short.
	pyMost      = 512
	pyMostBytes = 256 << 10
)

// give moves the runs to inside that should be sent now, and returns them.
func (q *pyQueue) give() []pyRun {
	n := 0
	for n < len(q.waiting) && q.room(&q.waiting[n]) {
		r := &q.waiting[n]
		r.expect = r.fn.took
		if r.expect == 0 {
			r.expect = pyMoment // not known: alone
		}
		q.last++
		r.turn = q.last
		q.load += r.expect
		q.bytes += len(r.data)
		q.inside = append(q.inside, *r)
		n++
	}
	if n == 0 {
		return nil
	}
	clear(q.waiting[:n])
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil
	}
	return q.inside[len(q.inside)-n:]
}

func (q *pyQueue) room(r *pyRun) bool {
	if len(q.inside) == 0 {
		return true
	}
	return q.long == 0 && q.doubt == 0 && r.fn.took > 0 && q.load+r.fn.took <= pyMoment && len(q.inside) < pyMost && q.bytes < pyMostBytes
}

// first is the run that is next to end, nil if none is inside.
func (q *pyQueue) first() *pyRun {
	if len(q.inside) == 0 {
		return nil
	}
	return &q.inside[0]
}

// world is the world of a run that has not ended, nil if it has, or is a rank of none.
func (q *pyQueue) world(run tutti.RunID) *World {
	for _, runs := range [][]pyRun{q.inside, q.waiting} {
		for i := range runs {
			if runs[i].ID == run {
				return runs[i].World
			}
		}
	}
	return nil
}

// shift takes the first of those inside out.
func (q *pyQueue) shift() pyRun {
	r := q.inside[0]
	q.inside[0] = pyRun{}
	if q.inside = q.inside[1:]; len(q.inside) == 0 {
		q.inside = nil
	}
	q.drop(&r)
	q.ended = r.Serial
	return r
}

// dropped puts the first of those inside back to the front of those that wait.
func (q *pyQueue) dropped() {
	ended := q.ended
	r := q.shift()
	q.ended = ended
	q.waiting = append([]pyRun{r}, q.waiting...)
}

// progress says how far the interpreter has come in serial numbers: what it began and ended last.
func (q *pyQueue) progress(begun, ended uint64) (uint64, uint64) {
	if r := q.turn(begun); r != nil && begun > ended {
		return r.Serial, r.Serial - 1
	}
	return q.ended, q.ended
}

// drop takes a run out of the sums.
func (q *pyQueue) drop(r *pyRun) {
	q.load -= r.expect
	q.bytes -= len(r.data)
	if q.long == r.turn {
		q.long = 0
	}
	if q.doubt == r.turn {
		q.doubt = 0
	}
}

// recall moves those inside that come after a turn back to the front of those that wait. The run of that
// turn is in doubt now: until its end is known nothing is given behind it, so that runs keep their order.
func (q *pyQueue) recall(turn uint64) {
	keep := len(q.inside)
	for keep > 0 && q.inside[keep-1].turn > turn {
		keep--
	}
	back := append([]pyRun(nil), q.inside[keep:]...)
	clear(q.inside[keep:])
	q.inside = q.inside[:keep]
	for i := range back {
		q.drop(&back[i])
	}
	q.waiting = append(back, q.waiting...)
	if keep > 0 {
		q.doubt = q.inside[keep-1].turn
	}
}

// remove takes those of ids that wait out, in the order of the queue.
func (q *pyQueue) remove(ids []tutti.RunID) (out []pyRun) {
	wanted := make(map[tutti.RunID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	kept := q.waiting[:0]
	for _, r := range q.waiting {
		if wanted[r.ID] {
			out = append(out, r)
		} else {
			kept = append(kept, r)
		}
	}
	clear(q.waiting[len(kept):])
	q.waiting = kept
	return out
}

// find looks for a run inside by its name.
func (q *pyQueue) find(id tutti.RunID) *pyRun {
	for i := range q.inside {
		if q.inside[i].ID == id {
			return &q.inside[i]
		}
	}
	return nil
}

// turn looks for a run inside.
func (q *pyQueue) turn(n uint64) *pyRun {
	for i := range q.inside {
		if q.inside[i].turn == n {
			return &q.inside[i]
		}
	}
	return nil
}
