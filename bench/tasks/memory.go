package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
)

// hold occupies an engine until it is cancelled.
var hold = tutti.Func("bench.hold", func(ctx context.Context, _ int) (int, error) {
	<-ctx.Done()
	return 0, context.Cause(ctx)
})

// settling is for how long the controller's memory is watched once it has all tasks; the greatest
// that is seen counts.
const settling = 2 * time.Second

// measureMemory is what the controller's process grows by for each 100,000 tasks that wait while
// all engines are busy.
func measureMemory(ctx context.Context, r *run) error {
	if r.place == "embedded" {
		return fmt.Errorf("an embedded controller has no process of its own")
	}
	o, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer o.close()
	b := o.Balanced()
	var held []*tutti.Future[int]
	for i := range r.engines {
		held = append(held, tutti.Submit(ctx, b, hold, i))
	}
	before, err := proportional(o.controller)
	if err != nil {
		return err
	}
	waiting := make([]*tutti.Future[int], r.n)
	for i := range waiting {
		waiting[i] = tutti.Submit(ctx, b, noop, i)
	}
	if err := o.known(ctx, waiting[r.n-1].ID()); err != nil {
		return err
	}
	most := before
	for end := time.Now().Add(settling); time.Now().Before(end); time.Sleep(100 * time.Millisecond) {
		now, err := proportional(o.controller)
		if err != nil {
			return err
		}
		most = max(most, now)
	}
	for _, f := range append(waiting, held...) {
		f.Cancel()
	}
	r.emit("queued_memory", float64(most-before)/1e6*100_000/float64(r.n), "MB per 100k")
	r.emit("controller_memory", float64(before)/1e6, "MB")
	return nil
}

// known waits until the controller has a task.
func (o *opened) known(ctx context.Context, id tutti.TaskID) error {
	for {
		_, err := o.Explain(ctx, id)
		if kind := tutti.KindOf(err); err == nil || kind != tutti.NotFound && kind != tutti.Expired {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(50 * time.Millisecond):
		}
	}
}

// proportional is the memory of a process in bytes, with its share of what it shares.
func proportional(pid int) (int64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if rest, ok := strings.CutPrefix(lines.Text(), "Pss:"); ok {
			kb, err := strconv.ParseInt(strings.TrimSpace(strings.TrimSuffix(rest, "kB")), 10, 64)
			return kb << 10, err
		}
	}
	return 0, fmt.Errorf("no Pss of process %d", pid)
}
