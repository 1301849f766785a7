package shmdev

import (
	"cmp"
	"encoding/binary"
	"slices"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// comm is a communicator as one rank has it. It may exist before its rank has heard of it, when
// a message came early; then it has no members yet. The engine's lock guards it.
type comm struct {
	e       *engine
	ctx     uint32
	members []int // ranks in the world
	rank    int
	match   [2]device.Matcher[*request, *message]
	broken  error
	freed   bool

	shared area   // buffers for collective operations; index < 0: none
	step   uint64 // steps taken there
	clear  uint64 // steps that nobody reads any more, as far as known
	turn   uint   // which of the two large buffers is next
	count  int    // collective operations begun, the tag of the next
}

// enroll makes a communicator known to its rank.
func (e *engine) enroll(ctx uint32, members []int, rank int) *comm {
	c := e.comms[ctx]
	if c == nil {
		c = &comm{e: e, ctx: ctx}
		e.comms[ctx] = c
	}
	c.members, c.rank, c.shared.index = members, rank, -1
	return c
}

func (c *comm) Rank() int      { return c.rank }
func (c *comm) Size() int      { return len(c.members) }
func (c *comm) Members() []int { return c.members }
func (c *comm) ID() int        { return int(c.ctx) }
func (c *comm) TagUB() int     { return device.MaxTag }

// Dup implements device.Comm.
func (c *comm) Dup() (device.Comm, error) { return c.Split(0, c.rank) }

// SplitShared implements device.Comm: everybody here shares memory.
func (c *comm) SplitShared(key int) (device.Comm, error) { return c.Split(0, key) }

// Split implements device.Comm. All ranks tell all their color and key, rank 0 finds numbers for
// the new communicators and shared buffers, and tells those.
func (c *comm) Split(color, key int) (device.Comm, error) {
	n := len(c.members)
	mine := make([]byte, 16)
	binary.NativeEndian.PutUint64(mine, uint64(color))
	binary.NativeEndian.PutUint64(mine[8:], uint64(key))
	all := make([]byte, 16*n)
	if err := c.Do(device.Call{Kind: device.Allgather, Type: device.Uint8, Send: mine, Recv: all}); err != nil {
		return nil, err
	}
	groups, which := sortOut(all, n)
	// 8 bytes for each new communicator: its number, and its buffers' or all ones.
	plan := make([]byte, 8*len(groups))
	var failed error
	if c.rank == 0 {
		failed = c.e.provide(plan, groups)
	}
	if err := c.Do(device.Call{Kind: device.Bcast, Type: device.Uint8, Recv: plan}); err != nil {
		return nil, err
	}
	if failed != nil {
		return nil, failed
	}
	if which[c.rank] < 0 {
		return nil, nil
	}
	g := groups[which[c.rank]]
	members := make([]int, len(g))
	for i, r := range g {
		members[i] = c.members[r]
	}
	e := c.e
	e.lock()
	defer e.unlock()
	p := plan[8*which[c.rank]:]
	d := e.enroll(binary.NativeEndian.Uint32(p), members, slices.Index(g, c.rank))
	if index := int32(binary.NativeEndian.Uint32(p[4:])); index >= 0 {
		var err error
		if d.shared, err = e.a.area(int(index), len(members), false); err != nil {
			return nil, err
		}
	}
	return d, nil
}

// sortOut gives the groups of ranks with equal colors, lowest color first, each in the order of
// keys and then ranks; and which group each rank is in, -1 for none.
func sortOut(all []byte, n int) (groups [][]int, which []int) {
	at := func(r, i int) int { return int(int64(binary.NativeEndian.Uint64(all[16*r+8*i:]))) }
	var order []int
	for r := range n {
		if at(r, 0) != device.Undefined {
			order = append(order, r)
		}
	}
	slices.SortStableFunc(order, func(a, b int) int {
		return cmp.Or(cmp.Compare(at(a, 0), at(b, 0)), cmp.Compare(at(a, 1), at(b, 1)))
	})
	which = slices.Repeat([]int{-1}, n)
	for i, r := range order {
		if i == 0 || at(r, 0) != at(order[i-1], 0) {
			groups = append(groups, nil)
		}
		g := len(groups) - 1
		groups[g], which[r] = append(groups[g], r), g
	}
	return groups, which
}

// provide finds numbers and buffers for new communicators. Where buffers are used up, or have no
// room, the communicator does without.
func (e *engine) provide(plan []byte, groups [][]int) error {
	first := e.hdr.nextCtx.Add(uint32(len(groups))) - uint32(len(groups)) + 1
	if first > 1<<30 {
		return device.Errorf(tutti.Full, "more than %d communicators have been made", 1<<30)
	}
	for i, g := range groups {
		index := int32(-1)
		if len(g) > 1 {
			index = e.takeArea(len(g))
		}
		binary.NativeEndian.PutUint32(plan[8*i:], first+uint32(i))
		binary.NativeEndian.PutUint32(plan[8*i+4:], uint32(index))
	}
	return nil
}

// takeArea reserves shared buffers; -1 if there are none left.
func (e *engine) takeArea(ranks int) int32 {
	for {
		old := e.hdr.areas.Load()
		i := 0
		for i < maxAreas && old&(1<<i) != 0 {
			i++
		}
		if i == maxAreas {
			return -1
		}
		if !e.hdr.areas.CompareAndSwap(old, old|1<<i) {
			continue
		}
		a, err := e.a.area(i, ranks, true)
		if err != nil {
			e.hdr.areas.And(^uint32(1 << i))
			return -1
		}
		a.head.members.Store(uint32(ranks))
		return int32(i)
	}
}

// Free implements device.Comm. What is still under way on it fails.
func (c *comm) Free() error {
	e := c.e
	e.lock()
	defer e.unlock()
	if c.freed || e.ended {
		return device.Errorf(tutti.Closed, "the communicator has been freed before")
	}
	if c.ctx == 0 {
		return device.Errorf(tutti.Invalid, "the world cannot be freed")
	}
	e.fail(c, device.Errorf(tutti.Closed, "the communicator has been freed"))
	c.freed = true
	if a := c.shared; a.index >= 0 && a.head.members.Add(^uint32(0)) == 0 {
		e.hdr.areas.And(^uint32(1 << a.index))
	}
	return nil
}

// Revoke implements device.Comm.
func (c *comm) Revoke() error {
	e := c.e
	e.lock()
	defer e.unlock()
	if c.freed || e.stop != nil {
		return nil
	}
	if i := e.hdr.nrevoked.Add(1) - 1; i < revokable {
		e.hdr.revoked[i].Store(c.ctx + 1)
	}
	e.announce()
	e.news()
	return nil
}

// announce makes all ranks look at the header.
func (e *engine) announce() { announce(e.a, e.n) }

func announce(a arena, n int) {
	a.header().epoch.Add(1)
	for r := range n {
		ring(a, r)
	}
}

// news looks at the header after it changed.
func (e *engine) news() {
	e.epoch = e.hdr.epoch.Load()
	if e.hdr.aborted.Load() == 2 && e.stop == nil {
		e.halt(e.abortReason())
	}
	if e.ctx.Err() != nil { // before what others, who share the context, did because of it
		e.halt(e.contextEnded())
	}
	n := e.hdr.nrevoked.Load()
	for i := range min(n, revokable) {
		if v := e.hdr.revoked[i].Load(); v != 0 {
			if c := e.comms[v-1]; c != nil {
				e.fail(c, device.Errorf(tutti.Revoked, "a rank has revoked the communicator"))
			}
		}
	}
	for r := range e.n {
		switch {
		case state(e.a, r) != lost:
		case r != e.me:
			e.mourn(r)
		default: // the others have given this rank up, and must not hear from it any more
			e.halt(device.Errorf(tutti.Revoked, "this rank has been declared dead"))
		}
	}
	if n > revokable {
		e.halt(device.Errorf(tutti.Revoked, "too many communicators have been revoked in this world"))
	}
}

// mourn breaks the communicators that a lost rank was in.
func (e *engine) mourn(r int) {
	for _, c := range e.comms {
		if i := slices.Index(c.members, r); i >= 0 && c.broken == nil {
			err := device.Errorf(tutti.Revoked, "rank %d has died", i)
			err.Rank = i
			e.fail(c, err)
		}
	}
}

// halt ends everything on this rank.
func (e *engine) halt(err error) {
	if e.stop != nil {
		return
	}
	e.stop = err
	for _, c := range e.comms {
		e.fail(c, err)
	}
	e.tell(false)
}

// fail breaks a communicator: what is under way on it ends with err.
func (e *engine) fail(c *comm, err error) {
	if c.broken != nil {
		return
	}
	c.broken = err
	for p := range c.match {
		c.match[p].Posted(func(r *request) { e.complete(r, err) })
		c.match[p].Arrived(func(m *message) {
			if m.self != nil {
				e.complete(m.self, err)
			}
		})
	}
	for _, o := range e.outs {
		if o != nil {
			o.sends = o.drop(o.sends, c, func(r *request) { e.complete(r, err) })
			o.streams = o.drop(o.streams, c, func(r *request) { e.complete(r, err) })
		}
	}
	for _, in := range e.ins {
		if in.req != nil && in.req.c == c { // the rest of its pieces must still be taken, and led nowhere
			e.complete(in.req, err)
			in.req.buf = nil
		}
	}
	for _, r := range e.numbered {
		if r.c == c {
			e.quiesce(r)
			e.complete(r, err)
		}
	}
	for _, r := range e.runs {
		if r.c == c {
			e.complete(r.req, err)
		}
	}
	e.nudge()
}

// drop takes the sends of one communicator out of a queue. A message whose first piece has been
// written stays: the receiver counts on the rest.
func (o *outRing) drop(q []*request, c *comm, f func(*request)) []*request {
	return slices.DeleteFunc(q, func(r *request) bool {
		if r.c != c || r.off > 0 && r.id == 0 {
			return false
		}
		f(r)
		return true
	})
}

// abandon gives up a request whose wait ended for another reason than its end.
func (e *engine) abandon(r *request, err error) {
	if r.c != nil && r.recv() {
		r.c.match[r.plane].Withdraw(&r.node)
	}
	e.quiesce(r)
	e.complete(r, err)
}
