package agent

import (
	"context"
	"fmt"
	"os"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// gang is a run on several engines, the ranks of one world. All parts are queued together, and
// the run has ended when all of them have.
type gang struct {
	run   *run
	parts []*wire.Result // by rank, nil while it goes on
	sent  int            // parts that were handed to their engines
	left  int            // parts without a result
	first *wire.Result   // the first that did not end well
	memo  *os.File       // the world's shared memory, nil if there is none
}

// newGang makes the gang of a run, with memory for the messages of its ranks where they are
// processes of the user's program.
func (a *Agent) newGang(r *run) *gang {
	g := &gang{run: r, parts: make([]*wire.Result, len(r.engines)), left: len(r.engines)}
	if strings.HasPrefix(r.work.Program, "go:") {
		var err error
		if g.memo, err = engine.NewSegment(); err != nil {
			a.log.Warn("a world without messages", "run", r.id, "err", err)
		}
	}
	return g
}

// world is what a rank is told.
func (g *gang) world(rank int) *engine.World {
	w := &engine.World{
		Name: fmt.Sprintf("%v.%d", g.run.id, g.run.id.Epoch), Rank: rank, Engines: g.run.engines,
	}
	if g.memo != nil {
		w.Segment = fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), g.memo.Fd())
	}
	return w
}

// close gives up the shared memory: all ranks have opened it, or will not.
func (g *gang) close() {
	if g.memo != nil {
		g.memo.Close()
		g.memo = nil
	}
}

// partEnded takes in the end of one rank. The first that fails brings the others to their end:
// they would wait for it for ever.
func (a *Agent) partEnded(r *run, e *engineState, res wire.Result) {
	g := r.gang
	if g == nil {
		return
	}
	rank := -1
	for i, id := range r.engines {
		if id == e.id {
			rank = i
		}
	}
	if rank < 0 || g.parts[rank] != nil {
		return
	}
	g.parts[rank] = &res
	g.left--
	if res.Ending != engine.Succeeded && g.first == nil {
		g.first = &res
		a.abortParts(r, false)
	}
	if g.left > 0 || r.gang == nil {
		return
	}
	g.close()
	if g.first != nil {
		a.endGang(r, g)
		return
	}
	a.join(r, g)
}

// endGang reports a gang of which a part failed.
func (a *Agent) endGang(r *run, g *gang) {
	res := *g.first
	for _, p := range g.parts {
		if p != nil && !p.Value.Ref.IsZero() {
			a.blobs.drop([]tutti.BlobID{p.Value.Ref.Blob})
		}
	}
	if r.abort && res.Ending != engine.Succeeded {
		res.Ending, res.Fail = engine.WasCanceled, wire.PackError(stopped(r.timeout))
	}
	a.end(r, &res)
}

// rankValue is how a rank's value lies in the gang's.
type rankValue struct {
	_     struct{} `cbor:",toarray"`
	Codec uint8
	Data  []byte
}

// join makes one value of the ranks' values, beside the loop if that takes time.
func (a *Agent) join(r *run, g *gang) {
	res := *g.parts[0]
	for _, p := range g.parts {
		res.Started = min(res.Started, p.Started)
		res.Took = max(res.Took, p.Took)
	}
	size, remote := 0, false
	for _, p := range g.parts {
		size += len(p.Value.Data) + 16
		remote = remote || !p.Value.Ref.IsZero()
	}
	if !remote && size <= tutti.InlineLimit || a.blobs.store == nil {
		a.endJoined(r, g, res, nil)
		return
	}
	store := a.blobs.store
	a.aside(func() {
		v, err := joinBlobs(a.ctx, store.As(kept), g.parts)
		a.do(func() {
			if err != nil {
				a.fail(r, engine.MachineFailed, tutti.Errorf("join results", tutti.KindOf(err), "of %d ranks: %w", len(g.parts), err))
				return
			}
			a.endJoined(r, g, res, &v)
		})
	})
}

// endJoined reports a gang that ended well; v is its value if it is a blob.
func (a *Agent) endJoined(r *run, g *gang, res wire.Result, v *tutti.Value) {
	if v == nil {
		data, err := cbor.Marshal(rankValues(g.parts))
		if err != nil {
			a.fail(r, engine.MachineFailed, tutti.E("join results", tutti.Internal, err))
			return
		}
		v = &tutti.Value{Codec: tutti.CBOR, Data: data}
	}
	for _, p := range g.parts {
		if !p.Value.Ref.IsZero() {
			a.blobs.drop([]tutti.BlobID{p.Value.Ref.Blob})
		}
	}
	res.Value = *v
	a.end(r, &res)
}

func rankValues(parts []*wire.Result) []rankValue {
	list := make([]rankValue, len(parts))
	for i, p := range parts {
		list[i] = rankValue{Codec: uint8(p.Value.Codec), Data: p.Value.Data}
	}
	return list
}

// joinBlobs copies values that are blobs into one.
func joinBlobs(ctx context.Context, s blob.Space, parts []*wire.Result) (tutti.Value, error) {
	list := rankValues(parts)
	for i, p := range parts {
		if p.Value.Ref.IsZero() {
			continue
		}
		lease, err := s.Open(ctx, p.Value.Ref, blob.View)
		if err != nil {
			return tutti.Value{}, err
		}
		defer lease.Release()
		list[i].Data = lease.Bytes()
	}
	data, err := cbor.Marshal(list)
	if err != nil {
		return tutti.Value{}, err
	}
	if len(data) <= tutti.InlineLimit {
		return tutti.Value{Codec: tutti.CBOR, Data: data}, nil
	}
	ref, err := blob.Put(ctx, s, data)
	return tutti.Value{Codec: tutti.CBOR, Ref: ref}, err
}
