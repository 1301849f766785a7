package shmdev

import (
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Collective operations in shared buffers. All ranks of a communicator take the same steps in
// the same order; a rank publishes a step in its flag once what it contributes lies in its
// buffer, and says in done which steps' buffers it no longer reads. Buffers come in twos, so a
// rank may write those of step s once everybody is done with step s-2.

// together carries out a call in the communicator's shared buffers, if it has some and the call
// is of a kind and size for which that is faster than messages.
func (c *comm) together(call device.Call) (done bool, err error) {
	e := c.e
	if c.shared.index < 0 || len(c.members) < 2 {
		return false, nil
	}
	how := chooseShared(&call, len(c.members))
	if how == byMessages {
		return false, nil
	}
	if err := e.enter(c); err != nil {
		return true, err
	}
	defer e.unlock()
	switch how { // not a table: through function values the call would escape to the heap
	case meeting:
		err = c.meet()
	case telling:
		err = c.tellAll(&call)
	case reducing:
		err = c.reduceShort(&call)
	case reducingForAll:
		err = c.reduceForAll(&call)
	case reducingLong:
		err = c.reduceLong(&call)
	case gathering:
		err = c.gatherShort(&call)
	case dealing:
		err = c.dealShort(&call)
	}
	return true, err
}

// The algorithms on shared buffers.
const (
	byMessages = iota
	meeting
	telling
	reducing
	reducingForAll
	reducingLong
	gathering
	dealing
)

func chooseShared(call *device.Call, ranks int) int {
	short := len(call.Send) <= smallMax
	switch {
	case call.Kind == device.Barrier:
		return meeting
	case call.Kind == device.Bcast && len(call.Recv) <= smallMax:
		return telling
	case call.Kind == device.Reduce && short:
		return reducing
	case call.Kind == device.Allreduce && short:
		return reducingForAll
	case call.Kind == device.Allreduce && call.Type.Size()*ranks <= bigMax:
		return reducingLong
	case call.Kind == device.Allgather && call.RecvCounts == nil && short:
		return gathering
	case call.Kind == device.Alltoall && call.SendCounts == nil && short:
		return dealing
	}
	return byMessages
}

// publish shows this rank's part of step s, and wakes those who sleep if it may have been the
// last that they waited for.
func (c *comm) publish(s uint64) {
	c.step = s
	c.shared.ranks[c.rank].flag.Store(s)
	// Where ranks are many, waking them for each arrival would cost more than looking.
	if c.e.policy.spin > 0 || len(c.members) == 2 || c.reached(s, false) {
		c.ringAll()
	}
}

// reached says whether every rank has published step s, or is done with it.
func (c *comm) reached(s uint64, cleared bool) bool {
	for i := range c.shared.ranks {
		at := &c.shared.ranks[i].flag
		if cleared {
			at = &c.shared.ranks[i].done
		}
		if at.Load() < s {
			return false
		}
	}
	return true
}

// gathered waits until every rank has published step s.
func (c *comm) gathered(s uint64, k device.Kind) error {
	err := c.e.wait(cond{c: c, step: s, root: -1}, what{opColl + uint32(k), -1, int(s), c.ctx}, c)
	if err == nil {
		c.clear = s - 1 // who publishes a step is done with those before
	}
	return err
}

// mine waits until the buffers of step s may be written, and gives this rank's part.
func (c *comm) mine(s uint64, k device.Kind) (*areaRank, error) {
	a := &c.shared.ranks[c.rank]
	if c.clear+2 >= s {
		return a, nil
	}
	c.shared.head.blocked.Add(1)
	defer c.shared.head.blocked.Add(^uint32(0))
	err := c.e.wait(cond{c: c, step: s - 2, root: -1, cleared: true}, what{opColl + uint32(k), -1, int(s), c.ctx}, c)
	if err == nil {
		c.clear = s - 2
	}
	return a, err
}

// leave says that this rank reads nothing of step s any more.
func (c *comm) leave(s uint64) {
	c.shared.ranks[c.rank].done.Store(s)
	if c.shared.head.blocked.Load() != 0 {
		c.ringAll()
	}
}

func (c *comm) ringAll() {
	for r, w := range c.members {
		if r != c.rank {
			c.e.ring(w)
		}
	}
}

func (c *comm) meet() error {
	s := c.step + 1
	c.publish(s)
	err := c.gathered(s, device.Barrier)
	c.leave(s)
	return err
}

func (c *comm) tellAll(call *device.Call) error {
	s := c.step + 1
	if c.rank == call.Root {
		a, err := c.mine(s, device.Bcast)
		if err != nil {
			return err
		}
		copy(a.small[s&1][:], call.Recv)
		c.step = s
		a.flag.Store(s)
		c.leave(s)
		c.ringAll()
		return nil
	}
	root := &c.shared.ranks[call.Root]
	err := c.e.wait(cond{c: c, step: s, root: call.Root}, what{opColl + uint32(device.Bcast), call.Root, int(s), c.ctx}, c)
	if err != nil {
		return err
	}
	copy(call.Recv, root.small[s&1][:])
	c.leave(s)
	c.publish(s)
	return nil
}

// contribute puts a short buffer in its place for step s.
func (c *comm) contribute(s uint64, call *device.Call) error {
	a, err := c.mine(s, call.Kind)
	if err == nil {
		copy(a.small[s&1][:], call.Send)
		c.publish(s)
	}
	return err
}

// fold combines what all contributed to step s, in the order of ranks.
func (c *comm) fold(s uint64, call *device.Call) {
	n, dst := len(call.Send), call.Recv[:len(call.Send)]
	part := func(r int) []byte { return c.shared.ranks[r].small[s&1][:n] }
	call.Op.Apply(dst, part(0), part(1))
	for r := 2; r < len(c.members); r++ {
		call.Op.Apply(dst, dst, part(r))
	}
}

func (c *comm) reduceForAll(call *device.Call) error {
	s := c.step + 1
	err := c.contribute(s, call)
	if err == nil {
		err = c.gathered(s, device.Allreduce)
	}
	if err == nil {
		c.fold(s, call)
	}
	c.leave(s)
	return err
}

func (c *comm) reduceShort(call *device.Call) error {
	s := c.step + 1
	err := c.contribute(s, call)
	if err == nil && c.rank == call.Root {
		if err = c.gathered(s, device.Reduce); err == nil {
			c.fold(s, call)
		}
	}
	c.leave(s)
	return err
}

func (c *comm) gatherShort(call *device.Call) error {
	s := c.step + 1
	err := c.contribute(s, call)
	if err == nil {
		err = c.gathered(s, device.Allgather)
	}
	if err == nil {
		for r := range c.members {
			b := call.RecvBlock(r, len(c.members))
			copy(b, c.shared.ranks[r].small[s&1][:len(b)])
		}
	}
	c.leave(s)
	return err
}

func (c *comm) dealShort(call *device.Call) error {
	s, n := c.step+1, len(c.members)
	err := c.contribute(s, call)
	if err == nil {
		err = c.gathered(s, device.Alltoall)
	}
	if err == nil {
		k := len(call.Send) / n
		for r := range c.members {
			copy(call.RecvBlock(r, n), c.shared.ranks[r].small[s&1][c.rank*k:])
		}
	}
	c.leave(s)
	return err
}

// reduceLong goes through the arrays in segments. Of each segment every rank owns a part: it
// combines that part from what the others put into their buffers, and they fetch the result.
// A segment takes two steps and one of the two large buffers.
func (c *comm) reduceLong(call *device.Call) error {
	if len(call.Send) >= directMin && !c.e.a.inProcess() {
		if done, err := c.reduceDirect(call); done || err != nil {
			return err
		}
	}
	size := call.Type.Size()
	most := bigMax / size * size
	for off := 0; off < len(call.Send); off += most {
		end := min(off+most, len(call.Send))
		if err := c.reduceSegment(call, call.Send[off:end], call.Recv[off:end]); err != nil {
			return err
		}
	}
	return nil
}

func (c *comm) reduceSegment(call *device.Call, send, recv []byte) error {
	n, size, turn := len(c.members), call.Type.Size(), c.turn
	c.turn ^= 1
	elems := len(send) / size
	part := func(r int) (lo, hi int) { return elems * r / n * size, elems * (r + 1) / n * size }
	own := c.shared.ranks[c.rank].big[turn][:]
	lo, hi := part(c.rank)
	copy(own[:lo], send[:lo])
	copy(own[hi:], send[hi:])
	c.publish(c.step + 1)
	if err := c.gathered(c.step, device.Allreduce); err != nil {
		return err
	}
	c.combine(call, own[lo:hi], send[lo:hi], turn, lo, hi)
	c.leave(c.step)
	c.publish(c.step + 1)
	copy(recv[lo:hi], own[lo:hi])
	if err := c.gathered(c.step, device.Allreduce); err != nil {
		return err
	}
	for i := 1; i < n; i++ {
		r := (c.rank + i) % n
		lo, hi := part(r)
		copy(recv[lo:hi], c.shared.ranks[r].big[turn][lo:hi])
	}
	c.leave(c.step)
	return nil
}

// combine reduces one part in the order of ranks into dst, which holds nothing yet.
func (c *comm) combine(call *device.Call, dst, mine []byte, turn uint, lo, hi int) {
	at := func(r int) []byte {
		if r == c.rank {
			return mine
		}
		return c.shared.ranks[r].big[turn][lo:hi]
	}
	call.Op.Apply(dst, at(0), at(1))
	for r := 2; r < len(c.members); r++ {
		call.Op.Apply(dst, dst, at(r))
	}
}
