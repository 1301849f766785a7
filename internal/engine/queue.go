package engine

import (
	"sync"

	"github.com/tutti-hpc/tutti"
)

// queue holds the runs that have not begun, in order. The reader fills it and takes back from it,
// the worker empties it.
type queue struct {
	mu     sync.Mutex
	ready  sync.Cond
	runs   []queued // from head on
	head   int
	begin  func(*queued) // called with the lock held: a run is always either here or begun
	closed bool          // nothing more will be added: the engine ends when it is empty
	asleep bool          // the worker waits
}

func newQueue(begin func(*queued)) *queue {
	q := &queue{begin: begin}
	q.ready.L = &q.mu
	return q
}

func (q *queue) push(runs []queued) {
	q.mu.Lock()
	if q.head > len(q.runs)/2 { // so that the queue does not wander through memory
		n := copy(q.runs, q.runs[q.head:])
		clear(q.runs[n:])
		q.runs, q.head = q.runs[:n], 0
	}
	q.runs = append(q.runs, runs...)
	wake := q.asleep
	q.mu.Unlock()
	if wake {
		q.ready.Signal()
	}
}

// close lets pop end when the queue is empty.
func (q *queue) close() {
	q.mu.Lock()
	q.closed = true
	q.mu.Unlock()
	q.ready.Signal()
}

// tryPop takes the first run, if there is one.
func (q *queue) tryPop(into *queued) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	return q.take(into)
}

func (q *queue) take(into *queued) bool {
	if q.head == len(q.runs) {
		return false
	}
	*into = q.runs[q.head]
	q.runs[q.head] = queued{}
	q.head++
	q.begin(into)
	return true
}

// pop waits for a run; it is false when none will come.
func (q *queue) pop(into *queued) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	for !q.take(into) {
		if q.closed {
			return false
		}
		q.asleep = true
		q.ready.Wait()
		q.asleep = false
	}
	return true
}

// remove takes out those of ids that wait, and gives them in the order of the queue.
func (q *queue) remove(ids []tutti.RunID) []queued {
	wanted := make(map[tutti.RunID]bool, len(ids))
	for _, id := range ids {
		wanted[id] = true
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	var out []queued
	kept := q.runs[:q.head]
	for _, r := range q.runs[q.head:] {
		if wanted[r.id] {
			out = append(out, r)
		} else {
			kept = append(kept, r)
		}
	}
	clear(q.runs[len(kept):])
	q.runs = kept
	return out
}
