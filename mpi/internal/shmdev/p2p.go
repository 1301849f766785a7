package shmdev

import (
	"slices"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// Send implements device.Comm. A short message to a peer with room in its ring, the usual case,
// makes no request at all.
func (c *comm) Send(buf []byte, _ device.Type, to, tag int, m device.Mode) error {
	e := c.e
	if err := e.enter(c); err != nil {
		return err
	}
	dst := c.members[to]
	if m == device.Standard && len(buf) <= piece && dst != e.me {
		o := e.outs[dst]
		if o != nil && len(o.sends) == 0 && o.write(slotEager, c.rank, c.ctx<<1, int32(tag), uint64(len(buf)), 0, buf) {
			e.ring(dst)
			e.unlock()
			return nil
		}
	}
	defer e.unlock()
	r := e.take(c, buf)
	r.dst, r.tag, r.sync = dst, tag, m == device.Synchronous
	err := e.launch(r)
	if err == nil && !r.done {
		if err = e.wait(cond{r: r}, what{opSend, to, tag, c.ctx}, c); err != nil && !r.done {
			e.abandon(r, err)
		}
	}
	if err == nil {
		err = r.err
	}
	return e.retire(r, err)
}

// retire puts a request of a blocking call back, unless something may still refer to it.
func (e *engine) retire(r *request, err error) error {
	if err == nil {
		e.give(r)
	}
	return err
}

// launch begins a send.
func (e *engine) launch(r *request) error {
	if r.dst == e.me {
		e.toSelf(r)
		return nil
	}
	o, err := e.out(r.dst)
	if err != nil {
		return err
	}
	if len(o.sends) == 0 {
		all, some := e.push(o, r)
		if some {
			e.ring(r.dst)
		}
		if all {
			return nil
		}
	}
	o.sends = append(o.sends, r)
	e.enqueue(o)
	return nil
}

// toSelf delivers a message of a rank to itself: at once, or as a copy that waits.
func (e *engine) toSelf(r *request) {
	m := &r.c.match[r.plane]
	if n := m.Match(r.c.rank, r.tag); n != nil {
		q := n.Val
		q.st = device.Status{Source: r.c.rank, Tag: r.tag, Bytes: len(r.buf)}
		q.total = len(r.buf)
		copy(q.buf, r.buf)
		e.finish(q)
		e.complete(r, nil)
		return
	}
	msg := &message{e: e, c: r.c, world: e.me, total: len(r.buf), got: len(r.buf), data: slices.Clone(r.buf)}
	msg.node = device.Node[*message]{Src: r.c.rank, Tag: r.tag, Val: msg}
	if r.sync {
		msg.self = r
	} else {
		e.complete(r, nil)
	}
	m.Keep(&msg.node)
	e.nudge()
}

// post begins a receive.
func (e *engine) post(r *request, from, tag int) {
	r.node.Src, r.node.Tag, r.node.Val = from, tag, r
	r.dst = -1
	if n := r.c.match[r.plane].Post(&r.node); n != nil {
		e.hand(n.Val, r)
	}
}

// Recv implements device.Comm.
func (c *comm) Recv(buf []byte, _ device.Type, from, tag int) (device.Status, error) {
	e := c.e
	if err := e.enter(c); err != nil {
		return device.Status{}, err
	}
	defer e.unlock()
	r := e.take(c, buf)
	e.post(r, from, tag)
	if !r.done {
		if err := e.wait(cond{r: r}, what{opRecv, from, tag, c.ctx}, c); err != nil && !r.done {
			e.abandon(r, err)
		}
	}
	st, err := r.st, r.err
	return st, e.retire(r, err)
}

// Isend implements device.Comm.
func (c *comm) Isend(buf []byte, _ device.Type, to, tag int, m device.Mode) (device.Request, error) {
	e := c.e
	if err := e.enter(c); err != nil {
		return nil, err
	}
	defer e.unlock()
	r := &request{e: e, c: c, buf: buf, dst: c.members[to], tag: tag, sync: m == device.Synchronous}
	if err := e.launch(r); err != nil {
		return nil, err
	}
	return r, nil
}

// Irecv implements device.Comm.
func (c *comm) Irecv(buf []byte, _ device.Type, from, tag int) (device.Request, error) {
	e := c.e
	if err := e.enter(c); err != nil {
		return nil, err
	}
	defer e.unlock()
	r := &request{e: e, c: c, buf: buf}
	e.post(r, from, tag)
	return r, nil
}

func (m *message) status() device.Status {
	return device.Status{Source: m.node.Src, Tag: m.node.Tag, Bytes: m.total}
}

// Iprobe implements device.Comm.
func (c *comm) Iprobe(from, tag int) (device.Status, bool, error) {
	e := c.e
	if err := e.enter(c); err != nil {
		return device.Status{}, false, err
	}
	defer e.unlock()
	n := c.match[0].Peek(from, tag)
	if n == nil {
		e.look()
		n = c.match[0].Peek(from, tag)
	}
	if n == nil {
		return device.Status{}, false, nil
	}
	return n.Val.status(), true, nil
}

// Probe implements device.Comm.
func (c *comm) Probe(from, tag int) (device.Status, error) {
	e := c.e
	if err := e.enter(c); err != nil {
		return device.Status{}, err
	}
	defer e.unlock()
	var n *device.Node[*message]
	found := func() bool { n = c.match[0].Peek(from, tag); return n != nil }
	err := e.wait(cond{f: found}, what{opProbe, from, tag, c.ctx}, c)
	if err != nil {
		return device.Status{}, err
	}
	return n.Val.status(), nil
}

// Mprobe implements device.Comm.
func (c *comm) Mprobe(from, tag int, block bool) (device.Message, bool, error) {
	e := c.e
	if err := e.enter(c); err != nil {
		return nil, false, err
	}
	defer e.unlock()
	var n *device.Node[*message]
	take := func() bool { // may be asked again after it said true
		if n == nil {
			n = c.match[0].Take(from, tag)
		}
		return n != nil
	}
	if !block {
		e.look()
		if !take() {
			return nil, false, nil
		}
	} else if err := e.wait(cond{f: take}, what{opProbe, from, tag, c.ctx}, c); err != nil {
		return nil, false, err
	}
	return n.Val, true, nil
}

// Status implements device.Message.
func (m *message) Status() device.Status { return m.status() }

// Recv implements device.Message.
func (m *message) Recv(buf []byte) (device.Status, error) {
	e := m.e
	if err := e.enter(m.c); err != nil {
		return device.Status{}, err
	}
	defer e.unlock()
	if m.c == nil {
		return device.Status{}, device.Errorf(tutti.Closed, "the message has been received")
	}
	r := &request{e: e, c: m.c, buf: buf, dst: -1}
	r.node.Val = r
	e.hand(m, r)
	if err := e.wait(cond{r: r}, what{opRecv, m.node.Src, m.node.Tag, m.c.ctx}, m.c); err != nil && !r.done {
		e.abandon(r, err)
	}
	m.c = nil
	return r.st, r.err
}

// Await implements device.Comm.
func (c *comm) Await(reqs []device.Request, need int) error {
	e := c.e
	e.lock()
	defer e.unlock()
	enough := func() bool {
		done := 0
		for _, q := range reqs {
			r, ok := q.(*request)
			if !ok || r.done {
				done++
			}
		}
		return done >= need
	}
	return e.wait(cond{f: enough}, what{op: opWait, peer: len(reqs), ctx: c.ctx}, nil)
}
