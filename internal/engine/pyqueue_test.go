package engine

import (
	"testing"
	"time"
)

// A run that looked as if it had begun when all others were called back may still be dropped. Until
// its end is known nothing is given behind it, so that runs keep their order.
func TestNothingBehindARunInDoubt(t *testing.T) {
	fn := &pyFunc{took: time.Microsecond}
	var q pyQueue
	for serial := uint64(1); serial <= 3; serial++ {
		q.waiting = append(q.waiting, pyRun{Run: Run{Serial: serial}, fn: fn})
	}
	if runs := q.give(); len(runs) != 3 {
		t.Fatalf("%d runs were given", len(runs))
	}
	q.recall(1) // run 1 is said to have begun
	if runs := q.give(); len(runs) != 0 || len(q.inside) != 1 || len(q.waiting) != 2 {
		t.Fatalf("%d runs were given behind one in doubt", len(runs))
	}
	q.dropped()
	runs := q.give()
	if len(runs) != 3 || runs[0].Serial != 1 || runs[0].turn != 4 {
		t.Fatalf("given again: %+v", runs)
	}
	if q.recall(4); q.shift().Serial != 1 || len(q.give()) != 2 { // it ended
		t.Fatalf("%d wait when there is no doubt any more", len(q.waiting))
	}
	if q.shift(); q.load != q.inside[0].expect || q.ended != 2 {
		t.Errorf("a load of %v, run %d ended", q.load, q.ended)
	}
}
