package controller

import "github.com/tutti-hpc/tutti"

// eventRing keeps the newest events.
type eventRing struct {
	ring []tutti.Event
	next uint64 // sequence number of the next event
}

func (e *eventRing) init(size int) {
	e.ring = make([]tutti.Event, size)
	e.next = 1
}

// since gives the events kept from number seq on, in order, at most n.
func (e *eventRing) since(seq uint64, n int) []tutti.Event {
	oldest := uint64(1)
	if size := uint64(len(e.ring)); e.next > size {
		oldest = e.next - size
	}
	var out []tutti.Event
	for s := max(seq, oldest); s < e.next && len(out) < n; s++ {
		out = append(out, e.ring[s%uint64(len(e.ring))])
	}
	return out
}

// publish makes a fact public.
func (c *Controller) publish(ev tutti.Event) {
	ev.Version, ev.Time, ev.Seq = tutti.EventVersion, c.now, c.events.next
	c.events.ring[ev.Seq%uint64(len(c.events.ring))] = ev
	c.events.next++
}

// keeper bounds the finished results that wait to be fetched or forgotten.
type keeper struct {
	order []tutti.TaskID // oldest first; may name tasks that are gone
	head  int
	count int
	bytes int64
}

// add notes a finished task, and lets the oldest go where there are too many.
func (k *keeper) add(c *Controller, id tutti.TaskID, r *record) {
	r.kept = resultSize(r)
	k.order = append(k.order, id)
	k.count++
	k.bytes += int64(r.kept)
	for (k.count > c.cfg.KeepResults || k.bytes > c.cfg.KeepBytes) && k.head < len(k.order)-1 {
		old := k.order[k.head]
		k.head++
		if c.record(old) != nil {
			c.later(func() { c.forget([]tutti.TaskID{old}) })
		}
	}
	if len(k.order) > 1024 && len(k.order)-k.head > 2*k.count || k.head > len(k.order)/2 {
		k.compact(c)
	}
}

// compact takes out the tasks that are gone.
func (k *keeper) compact(c *Controller) {
	live := k.order[:0]
	for _, id := range k.order[k.head:] {
		if c.record(id) != nil {
			live = append(live, id)
		}
	}
	k.order, k.head = live, 0
}

// remove notes that a task's record is gone.
func (k *keeper) remove(r *record) {
	if r.kept > 0 {
		k.count--
		k.bytes -= int64(r.kept)
	}
}

// resultSize is what a finished record weighs: its inline bytes, and something for itself.
func resultSize(r *record) int32 {
	n := 256 + len(r.args)
	if r.last != nil {
		n += len(r.last.Value.Data)
	}
	return int32(min(n, 1<<30))
}
