package device

// Node is a place in the lists of a [Matcher]: a posted receive, or a message that came before
// its receive. It is embedded in what it stands for, so that matching allocates nothing. While
// it is in a list it belongs to the Matcher.
type Node[V any] struct {
	Src, Tag int // a posted receive may have wildcards
	Val      V
	seq      uint64
	next     *Node[V]
	listed   bool
}

// Listed says whether the node waits in a list.
func (n *Node[V]) Listed() bool { return n.listed }

func (n *Node[V]) takes(tag int) bool { return n.Tag == tag || n.Tag == AnyTag }

// list keeps nodes in the order in which they came.
type list[V any] struct{ head, tail *Node[V] }

func (l *list[V]) add(n *Node[V]) {
	n.next, n.listed = nil, true
	if l.head == nil {
		l.head = n
	} else {
		l.tail.next = n
	}
	l.tail = n
}

// remove takes n out; prev is the node before it, nil at the head.
func (l *list[V]) remove(prev, n *Node[V]) {
	if prev == nil {
		l.head = n.next
	} else {
		prev.next = n.next
	}
	if l.tail == n {
		l.tail = prev
	}
	n.next, n.listed = nil, false
}

// find gives the first node that fits, and the one before it.
func (l *list[V]) find(fits func(*Node[V]) bool) (prev, n *Node[V]) {
	for n = l.head; n != nil; prev, n = n, n.next {
		if fits(n) {
			return prev, n
		}
	}
	return nil, nil
}

// Matcher pairs the receives posted on one communicator with the messages that come, by source
// and tag, each in its order: of two messages from one source that fit a receive the earlier is
// taken, and of two receives that fit a message the earlier. It has no lock: its owner has.
type Matcher[P, M any] struct {
	seq     uint64
	posted  []list[P] // by source
	anyone  list[P]   // receives from AnySource
	arrived []list[M] // by source
	kept    int       // how many have
	waiting int       // how many receives are posted
}

func at[V any](ls *[]list[V], src int) *list[V] {
	for len(*ls) <= src {
		*ls = append(*ls, list[V]{})
	}
	return &(*ls)[src]
}

// Post gives the message for a receive and takes it out, or keeps the receive for later and
// gives nil.
func (m *Matcher[P, M]) Post(p *Node[P]) *Node[M] {
	if m.kept > 0 {
		if got := m.Take(p.Src, p.Tag); got != nil {
			return got
		}
	}
	m.seq++
	m.waiting++
	p.seq = m.seq
	if p.Src == AnySource {
		m.anyone.add(p)
	} else {
		at(&m.posted, p.Src).add(p)
	}
	return nil
}

// Take gives the earliest message that fits and takes it out; nil if there is none.
func (m *Matcher[P, M]) Take(src, tag int) *Node[M] {
	l, prev, n := m.first(src, tag)
	if n != nil {
		l.remove(prev, n)
		m.kept--
	}
	return n
}

// Peek gives the earliest message that fits and leaves it where it is.
func (m *Matcher[P, M]) Peek(src, tag int) *Node[M] {
	_, _, n := m.first(src, tag)
	return n
}

func (m *Matcher[P, M]) first(src, tag int) (l *list[M], prev, n *Node[M]) {
	fits := func(n *Node[M]) bool { return tag == AnyTag || n.Tag == tag }
	if src != AnySource {
		if src >= len(m.arrived) {
			return nil, nil, nil
		}
		l = &m.arrived[src]
		prev, n = l.find(fits)
		return l, prev, n
	}
	for i := range m.arrived {
		if pv, c := m.arrived[i].find(fits); c != nil && (n == nil || c.seq < n.seq) {
			l, prev, n = &m.arrived[i], pv, c
		}
	}
	return l, prev, n
}

// Match gives the receive posted for a message from src and takes it out; nil if there is none.
func (m *Matcher[P, M]) Match(src, tag int) *Node[P] {
	var l *list[P]
	var prev, n *Node[P]
	if src < len(m.posted) {
		l = &m.posted[src]
		for n = l.head; n != nil && !n.takes(tag); prev, n = n, n.next {
		}
	}
	if m.anyone.head != nil {
		if pv, w := m.anyone.find(func(w *Node[P]) bool { return w.takes(tag) }); w != nil && (n == nil || w.seq < n.seq) {
			l, prev, n = &m.anyone, pv, w
		}
	}
	if n != nil {
		l.remove(prev, n)
		m.waiting--
	}
	return n
}

// Idle says whether no receive is posted and no message kept.
func (m *Matcher[P, M]) Idle() bool { return m.kept+m.waiting == 0 }

// Keep stores a message that no receive waits for.
func (m *Matcher[P, M]) Keep(n *Node[M]) {
	m.seq++
	n.seq = m.seq
	m.kept++
	at(&m.arrived, n.Src).add(n)
}

// Withdraw takes back a posted receive; false if it was matched before.
func (m *Matcher[P, M]) Withdraw(p *Node[P]) bool {
	if !p.listed {
		return false
	}
	l := &m.anyone
	if p.Src != AnySource {
		l = &m.posted[p.Src]
	}
	prev, n := l.find(func(n *Node[P]) bool { return n == p })
	l.remove(prev, n)
	m.waiting--
	return true
}

// Posted calls f with every receive that still waits, and forgets them all.
func (m *Matcher[P, M]) Posted(f func(P)) {
	m.waiting = 0
	for i := range m.posted {
		m.posted[i].drain(f)
	}
	m.anyone.drain(f)
}

// Arrived calls f with every message that nobody has received, and forgets them all.
func (m *Matcher[P, M]) Arrived(f func(M)) {
	m.kept = 0
	for i := range m.arrived {
		m.arrived[i].drain(f)
	}
}

func (l *list[V]) drain(f func(V)) {
	for n := l.head; n != nil; n = l.head {
		l.remove(nil, n)
		f(n.Val)
	}
}
