package device

// Plan is a collective operation of one rank, taken apart into messages and computing. It holds
// no state of execution: a transport goes through the steps in order, starting sends and
// receives without waiting for them until a step says so. Messages of one plan to one peer carry
// the same tag and are matched in their order.
type Plan struct{ Steps []Step }

// StepKind says what a step does.
type StepKind uint8

// The kinds of steps.
const (
	StepSend StepKind = iota // begin to send Buf to Peer
	StepRecv                 // begin to receive into Buf from Peer
	StepWait                 // until all that was begun is complete
	StepDo                   // call Do
)

// Step is one step of a [Plan].
type Step struct {
	Kind StepKind
	Peer int
	Buf  []byte
	Do   func()
}

func (p *Plan) send(b []byte, to int) {
	p.Steps = append(p.Steps, Step{Kind: StepSend, Buf: b, Peer: to})
}
func (p *Plan) recv(b []byte, from int) {
	p.Steps = append(p.Steps, Step{Kind: StepRecv, Buf: b, Peer: from})
}
func (p *Plan) wait()       { p.Steps = append(p.Steps, Step{Kind: StepWait}) }
func (p *Plan) do(f func()) { p.Steps = append(p.Steps, Step{Kind: StepDo, Do: f}) }

// planners is the table of algorithms.
var planners = [collKinds]func(p *Plan, c Call, me, n int){
	Barrier: planBarrier, Bcast: planBcast, Reduce: planReduce, Allreduce: planAllreduce, Gather: planGather,
	Scatter: planScatter, Allgather: planAllgather, Alltoall: planAlltoall, Scan: planScan, Exscan: planScan,
	ReduceScatter: planReduceScatter,
}

// PlanFor is the plan of rank me of n for a call.
func PlanFor(c Call, me, n int) *Plan {
	p := new(Plan)
	planners[c.Kind](p, c, me, n)
	p.wait()
	return p
}

// planBarrier is the dissemination barrier: after round k everybody has heard of 2^k others.
func planBarrier(p *Plan, _ Call, me, n int) {
	for k := 1; k < n; k <<= 1 {
		p.send(nil, (me+k)%n)
		p.recv(nil, (me-k+n)%n)
		p.wait()
	}
}

// planBcast goes down a binomial tree.
func planBcast(p *Plan, c Call, me, n int) { bcast(p, c.Recv, c.Root, me, n) }

func bcast(p *Plan, b []byte, root, me, n int) {
	v := (me - root + n) % n
	k := 1
	for ; k < n; k <<= 1 {
		if v&k != 0 {
			p.recv(b, (v-k+root)%n)
			p.wait()
			break
		}
	}
	for k >>= 1; k > 0; k >>= 1 {
		if v+k < n {
			p.send(b, (v+k+root)%n)
		}
	}
	p.wait()
}

// planReduce goes up a binomial tree. Where the operation does not commute the tree stands on
// rank 0, so that every partial result covers ranks in a row.
func planReduce(p *Plan, c Call, me, n int) {
	top := c.Root
	if !c.Op.Commutes {
		top = 0
	}
	var acc []byte
	if me == c.Root && me == top {
		acc = c.Recv[:len(c.Send)]
	}
	acc = reduce(p, c, acc, top, me, n)
	if top != c.Root {
		if me == top {
			p.send(acc, c.Root)
		}
		if me == c.Root {
			p.recv(c.Recv, top)
		}
	}
}

// reduce leaves the result in acc on rank top; elsewhere, or where acc is nil, in memory of its own.
func reduce(p *Plan, c Call, acc []byte, top, me, n int) []byte {
	v := (me - top + n) % n
	if acc == nil {
		acc = make([]byte, len(c.Send))
	}
	copy(acc, c.Send)
	var in []byte
	for k := 1; k < n; k <<= 1 {
		if v&k != 0 {
			p.send(acc, (v-k+top)%n)
			p.wait()
			return acc
		}
		if v+k < n {
			if in == nil {
				in = make([]byte, len(acc))
			}
			p.recv(in, (v+k+top)%n)
			p.wait()
			p.do(func() { c.Op.Apply(acc, acc, in) })
		}
	}
	return acc
}

func planAllreduce(p *Plan, c Call, me, n int) {
	var acc []byte
	if me == 0 {
		acc = c.Recv
	}
	reduce(p, c, acc, 0, me, n)
	bcast(p, c.Recv, 0, me, n)
}

func planGather(p *Plan, c Call, me, n int) {
	if me != c.Root {
		p.send(c.Send, c.Root)
		return
	}
	for r := range n {
		if b := c.RecvBlock(r, n); r == me {
			copy(b, c.Send)
		} else {
			p.recv(b, r)
		}
	}
}

func planScatter(p *Plan, c Call, me, n int) {
	if me != c.Root {
		p.recv(c.Recv, c.Root)
		return
	}
	for r := range n {
		if b := c.SendBlock(r, n); r == me {
			p.do(func() { copy(c.Recv, b) })
		} else {
			p.send(b, r)
		}
	}
}

// collectMax is the size up to which an allgather goes through rank 0: 2(n-1) messages are
// fewer than n(n-1), and what counts for short ones is their number.
const collectMax = 32 << 10

func planAllgather(p *Plan, c Call, me, n int) {
	if c.RecvCounts == nil && len(c.Recv) <= collectMax && n > 3 {
		c.Root = 0
		planGather(p, c, me, n)
		p.wait()
		bcast(p, c.Recv, 0, me, n)
		return
	}
	copy(c.RecvBlock(me, n), c.Send)
	for i := 1; i < n; i++ {
		p.recv(c.RecvBlock((me-i+n)%n, n), (me-i+n)%n)
	}
	for i := 1; i < n; i++ {
		p.send(c.Send, (me+i)%n)
	}
}

func planAlltoall(p *Plan, c Call, me, n int) {
	if len(c.Send) > 0 && len(c.Recv) > 0 && &c.Send[0] == &c.Recv[0] {
		c.Send = append([]byte(nil), c.Send...)
	}
	for i := 1; i < n; i++ {
		p.recv(c.RecvBlock((me-i+n)%n, n), (me-i+n)%n)
	}
	for i := 1; i < n; i++ {
		p.send(c.SendBlock((me+i)%n, n), (me+i)%n)
	}
	// The own block is copied while the others are on their way.
	p.do(func() { copy(c.RecvBlock(me, n), c.SendBlock(me, n)) })
}

// planScan hands the partial result from rank to rank; Exscan keeps its own part out of its own
// result.
func planScan(p *Plan, c Call, me, n int) {
	sum := c.Recv
	if c.Kind == Exscan {
		sum = make([]byte, len(c.Send))
	}
	if me == 0 {
		copy(sum, c.Send)
		p.send(c.Send, 1%n)
		if n == 1 {
			p.Steps = nil
		}
		return
	}
	in := make([]byte, len(c.Send))
	p.recv(in, me-1)
	p.wait()
	p.do(func() {
		c.Op.Apply(sum, in, c.Send)
		if c.Kind == Exscan {
			copy(c.Recv, in)
		}
	})
	if me+1 < n {
		p.send(sum, me+1)
	}
}

func planReduceScatter(p *Plan, c Call, me, n int) {
	acc := reduce(p, c, nil, 0, me, n)
	planScatter(p, Call{Type: c.Type, Send: acc, SendCounts: c.RecvCounts, SendDispls: c.RecvDispls, Recv: c.Recv}, me, n)
}
