package engine

import "sync"

// guards is the set of process groups that must not outlive this process. The kernel kills our
// children when we die, but not theirs; so a guard, this same program started again, shares a table
// with us in which every group stands while it lives, and holds the other end of a pipe. When the pipe
// ends it kills the groups that are left. It holds nothing else and runs nothing else, and is not woken
// as groups come and go.
type guards struct {
	mu    sync.Mutex
	once  bool
	table []int32     // shared with the guard; nil: there is none on this system, or in this program
	where map[int]int // by group: its place in table
	free  []int       // places that were used and are free
	pipe  any         // our end, held for as long as we live
}

var guard guards

// guarded is how many groups the table has room for. Whatever is too much goes without.
const guarded = 1 << 16

// add enters a group.
func (g *guards) add(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.once {
		g.once, g.where = true, map[int]int{}
		g.start()
	}
	at := len(g.where)
	if last := len(g.free) - 1; last >= 0 {
		at = g.free[last]
		g.free = g.free[:last]
	}
	if at >= len(g.table) {
		return
	}
	g.where[pid] = at
	g.put(at, pid)
}

// remove strikes it out: its number may soon be somebody else's.
func (g *guards) remove(pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if at, ok := g.where[pid]; ok {
		g.put(at, 0)
		delete(g.where, pid)
		g.free = append(g.free, at)
	}
}
