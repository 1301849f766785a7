package journal

import "time"

// ask is an order to the commit goroutine: make everything durable now and say how it went.
type ask struct {
	reply chan error // room for one
	last  bool       // then end
	crash bool       // end at once: what was not committed is lost
}

// committer is the goroutine that commits. The window of a group commit is the time that the
// commit before it takes: a record that finds the disk idle is written at once, and all that
// come while the disk is busy share the next sync.
type committer struct {
	*Journal
	w        *writer
	spare    []byte // for the next batch
	lastSync time.Time
	failing  bool
}

// run is the loop: wait for a reason, then one round.
func (c *committer) run() {
	defer close(c.done)
	defer close(c.tell)
	for {
		wake := c.wake
		var tick <-chan time.Time
		if c.failing {
			wake = nil // Append refuses; what woke us is still in the queue
		}
		if d, ok := c.due(time.Now()); ok {
			tick = time.After(d)
		}
		var a ask
		select {
		case <-wake:
		case <-tick:
		case a = <-c.asks:
		}
		if a.crash {
			c.w.close()
			a.reply <- nil
			return
		}
		err := c.round(a.reply != nil)
		if a.reply != nil {
			a.reply <- err
		}
		if a.last {
			c.w.close()
			return
		}
	}
}

// due says how long to wait at most for records: until the next attempt while the disk fails,
// until the next sync when there is something to sync.
func (c *committer) due(now time.Time) (time.Duration, bool) {
	switch {
	case c.failing:
		return c.cfg.RetryEvery, c.cfg.RetryEvery > 0
	case c.w.wrote > c.w.synced:
		return max(0, c.lastSync.Add(c.cfg.SyncEvery).Sub(now)), true
	}
	return 0, false
}

// round takes the batch and commits it.
func (c *committer) round(force bool) error {
	c.mu.Lock()
	batch := c.batch
	c.batch = c.spare
	c.inflight = len(batch) + len(c.w.queue)
	c.mu.Unlock()

	idle := c.w.wrote == c.w.synced
	c.spare = c.w.add(batch)
	if cap(c.spare) > keepBuffer {
		c.spare = nil
	}
	err := c.w.write()
	now := time.Now()
	if idle {
		c.lastSync = now // nothing was waiting: the interval begins with the first record
	}
	if err == nil && (force || c.overdue(now)) {
		err = c.w.sync()
		c.lastSync = now
	}
	if err != nil {
		c.w.fail()
		err = diskError("write journal", c.dir, err)
	}
	c.failing = err != nil
	c.publish(err)
	return err
}

// overdue says whether this round syncs.
func (c *committer) overdue(now time.Time) bool {
	// Frames are held in memory until they are durable, to be written again if a sync fails;
	// a long interval must not let them fill it.
	return c.cfg.SyncEvery <= 0 || now.Sub(c.lastSync) >= c.cfg.SyncEvery || len(c.w.queue) > c.cfg.MaxPending/4
}

// keepBuffer is the largest buffer kept for the next batch.
const keepBuffer = 8 << 20

// publish makes the outcome of a round visible, and asks for another if records came meanwhile.
func (c *committer) publish(err error) {
	committed := c.w.synced
	if c.cfg.SyncEvery > 0 {
		committed = c.w.wrote
	}
	c.mu.Lock()
	news := committed > c.committed || (err == nil) != (c.err == nil)
	c.committed = max(c.committed, committed)
	c.err = err
	c.inflight = len(c.w.queue)
	c.awake = len(c.batch) > 0 || err != nil
	again := len(c.batch) > 0
	p := Progress{c.committed, c.err}
	if c.changed != nil && news {
		close(c.changed)
		c.changed = nil
	}
	c.mu.Unlock()
	if again {
		c.nudge()
	}
	if news {
		c.announce(p)
	}
}

// announce leaves the newest progress for the reader of Progress. Only this goroutine sends, so
// there is room once the old is taken out.
func (c *committer) announce(p Progress) {
	select {
	case c.tell <- p:
		return
	default:
	}
	select {
	case <-c.tell:
	default:
	}
	c.tell <- p
}
