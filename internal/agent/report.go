package agent

import (
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// reports gathers what is told by the batch: it leaves when the loop has nothing else to do, at
// 64 KiB, or after a millisecond.
type reports struct {
	started wire.Started
	done    wire.Done
	back    wire.Runs
	bytes   int
	since   time.Time // of the first that waits
}

const (
	batchBytes = 64 << 10
	batchTime  = time.Millisecond
)

func (r *reports) init() { *r = reports{} }

func (r *reports) first() {
	if r.since.IsZero() {
		r.since = time.Now()
	}
}

func (r *reports) begun(s wire.RunStart) {
	r.first()
	r.started.Runs = append(r.started.Runs, s)
}

func (r *reports) ended(res *wire.Result) {
	r.first()
	r.done.Results = append(r.done.Results, *res)
	r.bytes += len(res.Value.Data) + 64
}

func (r *reports) returned(run tutti.RunID) {
	r.first()
	r.back.Runs = append(r.back.Runs, run)
}

// flush sends what was gathered: beginnings before ends, since an end implies its beginning.
func (a *Agent) flush() {
	r := &a.reports
	if r.since.IsZero() {
		return
	}
	if len(r.started.Runs) > 0 {
		a.post(wire.KindStarted, &r.started)
		r.started.Runs = r.started.Runs[:0]
	}
	if len(r.done.Results) > 0 {
		a.post(wire.KindDone, &r.done)
		clear(r.done.Results)
		r.done.Results = r.done.Results[:0]
	}
	if len(r.back.Runs) > 0 {
		a.post(wire.KindReturned, &r.back)
		r.back.Runs = r.back.Runs[:0]
	}
	r.bytes, r.since = 0, time.Time{}
}

// flushIfDue keeps a busy loop from sitting on results.
func (a *Agent) flushIfDue() {
	r := &a.reports
	if !r.since.IsZero() && (r.bytes >= batchBytes || time.Since(r.since) >= batchTime) {
		a.flush()
	}
}
