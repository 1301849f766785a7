package engine

import (
	"testing"
	"time"
)

// A run that looked as if it had begun when all others were called back may still be dropped. Until
// its end is known nothing is given behind it, so that what is called back then is it alone.
func TestNothingBehindARunInDoubt(t *testing.T) {
	fn := &pyFunc{took: time.Microsecond}
	var q pyQueue
	for serial := uint64(1); serial <= 3; serial++ {
		q.waiting = append(q.waiting, pyRun{Run: Run{Serial: serial}, fn: fn})
	}
	if runs := q.give(1); len(runs) != 3 {
		t.Fatalf("%d runs were given", len(runs))
	}
	q.recall(1) // run 1 is said to have begun
	if runs := q.give(2); len(runs) != 0 || len(q.inside) != 1 || len(q.waiting) != 2 {
		t.Fatalf("%d runs were given behind one in doubt", len(runs))
	}
	q.recall(0) // it was dropped
	runs := q.give(2)
	if len(runs) != 3 || runs[0].Serial != 1 || runs[0].generation != 2 {
		t.Fatalf("given again: %+v", runs)
	}
}
