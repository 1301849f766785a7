package cluster

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/controller"
)

// crash ends the controller as kill -9 would.
func (s *stage) crash() {
	s.ctl.Crash()
	s.srv.Abort()
}

func TestRestartedControllerGoesOn(t *testing.T) {
	cfg := controller.Config{Dir: t.TempDir(), Restore: time.Second}
	s := newStage(t, cfg)
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c := s.client()
	defer c.Close()
	durable := tutti.Submit(ctx, c.Balanced(), square, 7, tutti.Durable())
	interactive := tutti.Submit(ctx, c.Balanced(), square, 8)
	if err := c.ask(ctx, "sync", nil, nil); err != nil {
		t.Fatal(err)
	}
	s.crash()
	s.start(cfg)
	defer func() { s.stop() }()
	s.puppet(2)
	if y, err := durable.Get(ctx); y != 49 || err != nil {
		t.Error(y, err)
	}
	if y, err := interactive.Get(ctx); y != 64 || err != nil {
		t.Error(y, err)
	}
	if y, err := tutti.Submit(ctx, c.Balanced(), square, 9).Get(ctx); y != 81 || err != nil {
		t.Error("a new task:", y, err)
	}
}

func TestDurableNeedsAJournal(t *testing.T) {
	s := newStage(t, controller.Config{})
	defer s.stop()
	c := s.client()
	defer c.Close()
	_, err := tutti.Submit(context.Background(), c.Balanced(), square, 7, tutti.Durable()).Get(context.Background())
	if !errors.Is(err, tutti.Unsupported) {
		t.Error(err)
	}
}
