package engine

import (
	"sync"
	"sync/atomic"
)

// block is the memory of one message's runs. It is used again when the last of them has ended.
type block struct {
	data []byte
	refs atomic.Int32
	kept atomic.Bool // decoded arguments share its memory: leave it to the collector
}

var blocks = sync.Pool{New: func() any { return new(block) }}

// newBlock copies a message's body, which holds n runs.
func newBlock(body []byte, n int) *block {
	b := blocks.Get().(*block)
	b.data = append(b.data[:0], body...)
	b.refs.Store(int32(n))
	b.kept.Store(false)
	return b
}

// release gives up one run's share. A user's function may not keep its argument, but a mistake
// there should not show as somebody else's numbers: memory that was shared is not used again.
func (b *block) release() {
	if b.refs.Add(-1) == 0 && !b.kept.Load() && cap(b.data) <= 4*flushAt {
		blocks.Put(b)
	}
}

// sharesFrom is the size from which decoded values may share the message's memory.
const sharesFrom = 4 << 10
