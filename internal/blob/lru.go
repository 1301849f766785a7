package blob

import "container/list"

// lru orders the items that could be spilled, the longest unused first, by size of slot: to make
// room for a small blob the best victim is one whose slot it can have. The store's mu guards it.
type lru struct {
	lists map[int64]*list.List // by size of slot; of *item
	tick  uint64
	bytes int64 // of all slots
}

func (l *lru) push(it *item) {
	size := it.at.slot.seg.slot
	if l.lists[size] == nil {
		l.lists[size] = list.New()
	}
	l.tick++
	it.since = l.tick
	it.cold = l.lists[size].PushBack(it)
	l.bytes += size
}

func (l *lru) remove(it *item) {
	size := it.at.slot.seg.slot
	l.lists[size].Remove(it.cold)
	if l.lists[size].Len() == 0 {
		delete(l.lists, size)
	}
	it.cold = nil
	l.bytes -= size
}

// oldest is the longest unused item in a slot of that size, nil if there is none.
func (l *lru) oldest(size int64) *item {
	if q := l.lists[size]; q != nil {
		return q.Front().Value.(*item)
	}
	return nil
}

// oldestOfAll is the longest unused item.
func (l *lru) oldestOfAll() (found *item) {
	for size := range l.lists {
		if it := l.oldest(size); found == nil || it.since < found.since {
			found = it
		}
	}
	return found
}
