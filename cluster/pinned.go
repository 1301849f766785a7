package cluster

import "github.com/tutti-hpc/tutti"

// The results of tasks that are not durable die with the controller. A call that needs one is then
// sent again together with what it needs, though that had ended; so ended calls are kept as long as
// some call needs them, or a program may still name them because it holds their futures.

// needs yields the calls of this client whose results c needs, and which are known; mu is held.
func (o *outbox) needs(c *call, yield func(*call)) {
	for _, list := range [][]tutti.TaskID{c.msg.Deps, c.msg.After} {
		for _, id := range list {
			if id.Client() != o.client {
				continue
			}
			if d := o.find(id.N()); d != nil {
				yield(d)
			}
		}
	}
}

// find finds a call that has not ended or is kept.
func (o *outbox) find(n uint64) *call {
	if c := o.open.get(n); c != nil {
		return c
	}
	return o.kept[n]
}

// mayNeed reports whether a call that has just ended is kept though nothing needs it yet: where the
// controller may come back without it, unless its arguments hold shared memory.
func (o *outbox) mayNeed(c *call) bool {
	return o.returns && c.promised != nil && !c.forgotten && c.free == nil && !c.work.Durable
}

// enqueue has a call sent, after what it needs that this controller has not been told of. mu is held.
func (o *outbox) enqueue(c *call) {
	if c.life == o.life {
		return
	}
	c.life = o.life
	o.needs(c, o.enqueue)
	c.queued = true
	o.queue = append(o.queue, c)
	o.bytes += len(c.msg.Args)
	id := tutti.MakeTaskID(o.client, c.n)
	if c.cancelled {
		o.cancels = append(o.cancels, id)
	}
	if c.forgotten {
		o.forgets = append(o.forgets, id)
	}
}

// drop lets go of kept calls that nobody can name any more; mu is held.
func (o *outbox) drop() {
	var frees []func()
	for _, id := range o.forgets {
		if c := o.kept[id.N()]; c != nil && c.users == 0 {
			frees = o.release(c, frees)
		}
	}
	if len(frees) > 0 {
		go func() {
			for _, free := range frees {
				free()
			}
		}()
	}
}

// release lets go of a call that nobody needs, and of those that were kept for it alone; it adds
// to frees what is then to be given up, without the lock.
func (o *outbox) release(c *call, frees []func()) []func() {
	for list := []*call{c}; len(list) > 0; {
		c := list[len(list)-1]
		list = list[:len(list)-1]
		delete(o.kept, c.n)
		if c.free != nil {
			frees = append(frees, c.free)
			c.free = nil
		}
		o.needs(c, func(d *call) {
			if d.users--; d.users == 0 && o.kept[d.n] == d && (d.forgotten || !o.mayNeed(d)) {
				list = append(list, d)
			}
		})
	}
	return frees
}
