package cluster

import "github.com/tutti-hpc/tutti"

// A call whose end another call waits for is kept until that one has ended too: a controller that
// died took the results of tasks which are not durable with it, so both are sent again.

// needs yields the calls of this client that c waits for and that are still known; mu is held.
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

// pin keeps what a new call waits for.
func (o *outbox) pin(c *call) { o.needs(c, func(d *call) { d.users++ }) }

// release lets go of a call that nobody waits for, and of those that were kept for it alone; it
// adds to frees what is then to be given up, without the lock.
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
			if d.users--; d.users == 0 && o.kept[d.n] == d {
				list = append(list, d)
			}
		})
	}
	return frees
}
