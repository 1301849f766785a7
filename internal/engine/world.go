package engine

import (
	"context"
	"os"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

// World is a gang of engines that run one function together as ranks.
type World struct {
	Name    string // of the generation: no two are the same in the life of a cluster
	Rank    int
	Engines []tutti.EngineID // rank = place in it
	Segment string           // where the world's shared memory is opened, "" if it has none
}

type worldKey struct{}

// WorldOf finds the world that ctx's task is a rank of; ok is false for a task on its own.
func WorldOf(ctx context.Context) (World, bool) {
	if w, _ := ctx.Value(worldKey{}).(*World); w != nil {
		return *w, true
	}
	return World{}, false
}

// NewSegment makes the shared memory through which the ranks of a world pass messages. The world
// is joined by the path /proc/PID/fd/N of the descriptor, which must be open until all have.
func NewSegment() (*os.File, error) { return mpi.NewSegment("") }

// inWorld runs a function as a rank: mpi.From finds its communicator. If it fails the world is
// ended, in whichever of its communicators others wait for this rank: their calls give kind Revoked
// and say why. The engine lives on, for the next world.
func (w *World) inWorld(ctx *runContext, f func(context.Context) (any, error)) (result any, err error) {
	if w == nil || w.Segment == "" {
		return f(ctx)
	}
	world, err := mpi.Join(ctx, mpi.Spec{Path: w.Segment, Rank: w.Rank, Size: len(w.Engines)})
	if err != nil {
		return nil, machine{tutti.Errorf("join world", tutti.KindOf(err), "%s: %w", w.Name, err)}
	}
	ctx.enter(world)
	well := false
	defer func() {
		if !well {
			why := "its goroutine ended, or it panicked"
			if err != nil {
				why = err.Error()
			}
			world.Comm().Abort(1, why) // of a world that was joined: ends no process
		}
		ctx.enter(nil)
		_ = world.Finalize()
	}()
	result, err = f(mpi.NewContext(ctx, world.Comm()))
	well = err == nil
	return result, err
}
