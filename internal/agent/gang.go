package agent

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

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
	memo  *os.File       // the world's shared memory, nil if there is none

	failed   []int       // the ranks that did not end well, in the order in which they ended
	struck   []bool      // for each of these: it was lost through no fault of its own
	patience *time.Timer // after which the others are asked to stop
}

// newGang makes the gang of a run, with memory for the messages of its ranks where they are
// processes.
func (a *Agent) newGang(r *run) *gang {
	g := &gang{run: r, parts: make([]*wire.Result, len(r.engines)), left: len(r.engines)}
	if kind, _, _ := strings.Cut(r.work.Program, ":"); kind == "go" || kind == "python" {
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
	if g.patience != nil {
		g.patience.Stop()
	}
	if g.memo != nil {
		g.memo.Close()
		g.memo = nil
	}
}

// partEnded takes in the end of one rank. After the first that fails the others are told, for they
// would wait for it for ever: what they do in their world fails from then on, and those that still
// have not ended after a while are asked to stop. They are made to only if they do not, as any run.
func (a *Agent) partEnded(r *run, e *engineState, res wire.Result) {
	g := r.gang
	if g == nil {
		return
	}
	rank := slices.Index(r.engines, e.id)
	if rank < 0 || g.parts[rank] != nil {
		return
	}
	g.parts[rank] = &res
	g.left--
	if res.Ending != engine.Succeeded {
		g.place(e, rank)
		g.failed = append(g.failed, rank)
		if len(g.failed) == 1 && g.left > 0 {
			a.tellPeers(r, rank)
		}
	}
	if g.left > 0 || r.gang == nil {
		return
	}
	g.close()
	if len(g.failed) > 0 {
		a.join(r, g, *g.parts[g.root()])
		return
	}
	all := *g.parts[0]
	for _, p := range g.parts {
		all.Started = min(all.Started, p.Started)
		all.Took = max(all.Took, p.Took)
	}
	a.join(r, g, all)
}

// place completes what is said of a rank that failed: that it was one, and why it was stopped.
func (g *gang) place(e *engineState, rank int) {
	res := g.parts[rank]
	if res.Ending == engine.WasCanceled && !g.run.abort && len(g.failed) > 0 {
		err := tutti.Errorf("run", tutti.Revoked, "it was stopped because rank %d of its world had ended", g.failed[0])
		err.Engine, err.Host = e.id, e.a.cfg.Host
		res.Ending, res.Fail = engine.UserFailed, wire.PackError(err)
	}
	if res.Fail == nil {
		res.Fail = wire.PackError(tutti.Errorf("run", tutti.Failed, "it failed and did not say why"))
	}
	top := &res.Fail.Chain[0]
	top.Rank, top.Task = rank, g.run.id.Task
	g.struck = append(g.struck, res.Ending == engine.MachineFailed && e.ending == "")
}

// root is the rank whose failure is the world's: not one that only came to an end because another
// had. What was lost through no fault of its own is a cause for certain; else the first counts.
func (g *gang) root() int {
	for i, rank := range g.failed {
		if g.struck[i] && !isRevoked(g.parts[rank].Fail) {
			return rank
		}
	}
	for _, rank := range g.failed {
		if !isRevoked(g.parts[rank].Fail) {
			return rank
		}
	}
	return g.failed[0]
}

// strand ends a world of certain engines that cannot begin because one of them has died.
func (a *Agent) strand(r *run) {
	g := &gang{run: r, parts: make([]*wire.Result, len(r.engines))}
	for rank, id := range r.engines {
		how, err := engine.UserFailed, tutti.Errorf("run", tutti.Revoked, "it did not begin because another engine of its world had ended")
		if a.engines[id] == nil {
			how, err = engine.MachineFailed, tutti.Errorf("run", tutti.Lost, "engine %d ended before this began", id)
		}
		e := &engineState{id: id, a: a}
		res := e.verdictOf(how, err)
		res.Run = r.id
		g.parts[rank] = &res
		g.place(e, rank)
		g.failed = append(g.failed, rank)
	}
	r.gang = g
	a.join(r, g, *g.parts[g.root()])
}

func isRevoked(f *wire.Failure) bool { return errors.Is(f.Error(), tutti.Revoked) }

// peerPatience is how long ranks may go on after another one has failed, before they are asked to
// stop: time enough to come upon it in a call of theirs, and to tidy up.
const peerPatience = time.Second

// tellPeers tells the ranks that have not ended that one has failed.
func (a *Agent) tellPeers(r *run, rank int) {
	g := r.gang
	for i, id := range r.engines {
		e := a.engines[id]
		if e == nil || g.parts[i] != nil {
			continue
		}
		if e.has(r) {
			if m, ok := e.proc.(engine.Mourner); ok {
				m.Lost(r.id, rank)
			}
		} else if j := slices.Index(e.queue, r); j >= 0 { // it was not handed over, and need not be
			e.queue = slices.Delete(e.queue, j, j+1)
			a.pumpSoon(e)
			err := tutti.Errorf("run", tutti.Revoked, "rank %d of its world ended before this one began", rank)
			a.partEnded(r, e, e.verdictOf(engine.UserFailed, err))
		}
	}
	if r.gang == nil || g.left == 0 {
		return
	}
	g.patience = a.after(peerPatience, func() {
		if r.gang == g && !r.abort {
			a.abortParts(r, false)
		}
	})
}

// rankValue is how a rank's value lies in the gang's.
type rankValue struct {
	_     struct{} `cbor:",toarray"`
	Codec uint8
	Data  []byte
}

// join makes one value of the ranks' values, beside the loop if that takes time, and reports res
// with it.
func (a *Agent) join(r *run, g *gang, res wire.Result) {
	if r.abort && res.Ending != engine.Succeeded {
		res.Ending, res.Fail = engine.WasCanceled, wire.PackError(stopped(r.timeout))
	}
	failed := len(g.failed) > 0
	size, remote := 0, false
	for _, p := range g.parts {
		size += len(p.Value.Data) + 16
		remote = remote || !p.Value.Ref.IsZero() && !(failed && p.Fail == nil)
	}
	if !remote && size <= tutti.InlineLimit || a.blobs.store == nil {
		data, err := cbor.Marshal(g.value(nil))
		a.endJoined(r, g, res, tutti.Value{Codec: tutti.CBOR, Data: data}, err)
		return
	}
	store := a.blobs.store
	a.aside(func() {
		v, err := joinBlobs(a.ctx, store.As(kept), g)
		a.do(func() { a.endJoined(r, g, res, v, err) })
	})
}

// endJoined reports a gang with its value.
func (a *Agent) endJoined(r *run, g *gang, res wire.Result, v tutti.Value, err error) {
	for _, p := range g.parts {
		if !p.Value.Ref.IsZero() {
			a.blobs.drop([]tutti.BlobID{p.Value.Ref.Blob})
		}
	}
	if err != nil && res.Ending == engine.Succeeded {
		a.fail(r, engine.MachineFailed, tutti.Errorf("join results", tutti.KindOf(err), "of %d ranks: %w", len(g.parts), err))
		return
	}
	res.Value = v // of a failure: nothing, where it could not be made
	a.end(r, &res)
}

// value is what the ranks returned, or, if one failed, how each of them ended. open gives the bytes
// of those that are blobs; nil leaves them out.
func (g *gang) value(open func(tutti.Ref) []byte) any {
	ok, ends := make([]rankValue, len(g.parts)), make([]wire.RankEnd, len(g.parts))
	for i, p := range g.parts {
		codec, data := p.Value.Codec, p.Value.Data
		if !p.Value.Ref.IsZero() {
			if data = nil; open != nil {
				data = open(p.Value.Ref)
			}
			if data == nil {
				codec = tutti.None
			}
		}
		ok[i] = rankValue{Codec: uint8(codec), Data: data}
		ends[i] = wire.NewRankEnd(codec, data, p.Fail)
	}
	if len(g.failed) > 0 {
		return ends
	}
	return ok
}

// joinBlobs makes a blob of values that are many or are blobs. Of a world that failed, the large
// results of ranks that did not are of no use.
func joinBlobs(ctx context.Context, s blob.Space, g *gang) (tutti.Value, error) {
	var leases []*blob.Lease
	defer func() {
		for _, l := range leases {
			l.Release()
		}
	}()
	bytes := map[tutti.Ref][]byte{}
	for _, p := range g.parts {
		if p.Value.Ref.IsZero() || len(g.failed) > 0 && p.Fail == nil {
			continue
		}
		lease, err := s.Open(ctx, p.Value.Ref, blob.View)
		if err != nil {
			return tutti.Value{}, err
		}
		leases = append(leases, lease)
		bytes[p.Value.Ref] = lease.Bytes()
	}
	data, err := cbor.Marshal(g.value(func(r tutti.Ref) []byte { return bytes[r] }))
	if err != nil {
		return tutti.Value{}, err
	}
	if len(data) <= tutti.InlineLimit {
		return tutti.Value{Codec: tutti.CBOR, Data: data}, nil
	}
	ref, err := blob.Put(ctx, s, data)
	return tutti.Value{Codec: tutti.CBOR, Ref: ref}, err
}
