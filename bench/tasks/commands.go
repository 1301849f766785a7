package main

import (
	"context"
	"fmt"
	"time"

	"github.com/tutti-hpc/tutti"
)

// measureCommands is the rate of commands: the one that xargs is given, executed directly, and a
// script that does nothing.
func measureCommands(ctx context.Context, r *run) error {
	o, err := r.open(ctx)
	if err != nil {
		return err
	}
	defer o.close()
	for _, c := range []struct {
		metric string
		work   tutti.Work
	}{
		{"command_rate", tutti.Work{Argv: []string{"bash", "-c", ":"}}},
		{"script_rate", tutti.Work{Script: ":"}},
	} {
		if err := runCommands(ctx, o, c.work, 20); err != nil {
			return err
		}
		begin := time.Now()
		if err := runCommands(ctx, o, c.work, r.n); err != nil {
			return err
		}
		r.emit(c.metric, float64(r.n)/time.Since(begin).Seconds(), "1/s")
	}
	return nil
}

func runCommands(ctx context.Context, o *opened, work tutti.Work, n int) error {
	b, promises := o.Balanced(), make([]*tutti.Promise, n)
	for i := range promises {
		promises[i] = b.SubmitTask(ctx, &tutti.Task{Work: &work})
	}
	for _, p := range promises {
		end, err := p.Wait(ctx)
		if err == nil {
			err = end.Err
		}
		if err != nil {
			return fmt.Errorf("command: %w", err)
		}
	}
	return nil
}
