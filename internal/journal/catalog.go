package journal

import (
	"errors"
	"io/fs"
	"sync"
)

// catalog knows the files that may become superfluous.
type catalog struct {
	disk disk

	mu        sync.Mutex
	segments  []segment  // oldest first, all durable; the last may be in use
	snapshots []snapshot // oldest first, all durable
	next      uint64     // ordinal of the next snapshot
}

func (c *catalog) addSegment(s segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.segments = append(c.segments, s)
}

func (c *catalog) addSnapshot(s snapshot) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snapshots = append(c.snapshots, s)
}

// newSnapshot hands out a name that was never used.
func (c *catalog) newSnapshot(pos Pos) snapshot {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.next++
	return snapshot{c.next - 1, pos}
}

// newest is the position of the newest snapshot.
func (c *catalog) newest() Pos {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(c.snapshots) == 0 {
		return 0
	}
	return c.snapshots[len(c.snapshots)-1].pos
}

// prune deletes the snapshots before the newest two, and the segments that end before the older
// of these. What cannot be deleted stays in the catalog for the next time.
func (c *catalog) prune() {
	snapshots, segments := c.superfluous()
	gone := map[string]bool{}
	for _, s := range snapshots {
		gone[s.name()] = removed(c.disk, s.name())
	}
	for _, s := range segments {
		gone[s.name()] = removed(c.disk, s.name())
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.snapshots = without(c.snapshots, gone)
	c.segments = without(c.segments, gone)
}

// removed deletes a file and reports whether it is gone.
func removed(d disk, name string) bool {
	err := d.Remove(name)
	return err == nil || errors.Is(err, fs.ErrNotExist)
}

// superfluous lists what no recovery needs. Until there are two snapshots, the fallback is to
// replay everything.
func (c *catalog) superfluous() (snapshots []snapshot, segments []segment) {
	c.mu.Lock()
	defer c.mu.Unlock()
	included := Pos(0) // in a snapshot that is not the only one
	if n := len(c.snapshots); n >= 2 {
		snapshots = append(snapshots, c.snapshots[:n-2]...)
		included = c.snapshots[n-2].pos
	}
	for i := 0; i+1 < len(c.segments); i++ {
		s, next := c.segments[i], c.segments[i+1]
		if next.pos <= max(s.pos, included+1) { // it has no records, or none that are needed
			segments = append(segments, s)
		}
	}
	return snapshots, segments
}

// without is list without the files that are gone.
func without[S interface{ name() string }](list []S, gone map[string]bool) []S {
	var rest []S
	for _, s := range list {
		if !gone[s.name()] {
			rest = append(rest, s)
		}
	}
	return rest
}
