package engine

import (
	"strconv"
	"sync"
)

// guards is the set of process groups that must not outlive this process. The kernel kills our
// children when we die, but not theirs; so a guard, this same program started again, holds the
// other end of a pipe, is told of every group as it comes and goes, and when the pipe ends kills
// the groups that are left. It holds nothing else and runs nothing else.
type guards struct {
	mu   sync.Mutex
	once bool
	pipe interface{ Write([]byte) (int, error) } // nil: no guard on this system, or in this program
}

var guard guards

// message is a group's number with a sign: plus for came, minus for went.
func (g *guards) say(sign byte, pid int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if !g.once {
		g.once = true
		g.start()
	}
	if g.pipe == nil {
		return
	}
	if _, err := g.pipe.Write(append([]byte{sign}, strconv.Itoa(pid)+"\n"...)); err != nil {
		g.pipe = nil
	}
}

func (g *guards) add(pid int)    { g.say('+', pid) }
func (g *guards) remove(pid int) { g.say('-', pid) }
