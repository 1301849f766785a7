package sched

// line is ready tasks in order of submission. Nearly all come in order and form a list through
// the tasks themselves; those that come late (a retry, a dependency that took long) stand in a
// small heap beside it.
type line struct {
	head, tail ref
	n          int
	late       []ref // a heap by task.seq; the place is kept in task.next
}

// first is the task whose turn is next, 0 if the line is empty.
func (s *State) first(l *line) ref {
	switch {
	case len(l.late) == 0:
		return l.head
	case l.head == 0 || s.tasks.at(l.late[0]).seq < s.tasks.at(l.head).seq:
		return l.late[0]
	}
	return l.head
}

// join puts a task, which is in no list, in its place.
func (s *State) join(l *line, r ref) {
	t := s.tasks.at(r)
	l.n++
	switch {
	case l.tail == 0:
		l.head, l.tail = r, r
	case s.tasks.at(l.tail).seq < t.seq:
		t.prev = l.tail
		s.tasks.at(l.tail).next = r
		l.tail = r
	case s.tasks.at(l.head).seq > t.seq:
		t.next = l.head
		s.tasks.at(l.head).prev = r
		l.head = r
	default:
		t.flags |= isLate
		l.late = append(l.late, r)
		s.lateUp(l, len(l.late)-1)
	}
}

// leave takes a task out of the line.
func (s *State) leave(l *line, r ref) {
	t := s.tasks.at(r)
	l.n--
	if t.flags&isLate == 0 {
		s.unlink(&l.head, &l.tail, t)
		return
	}
	i, last := int(t.next), len(l.late)-1
	t.flags &^= isLate
	t.next = 0
	moved := l.late[last]
	l.late = l.late[:last]
	if i < last {
		l.late[i] = moved
		if s.lateUp(l, i) == i {
			s.lateDown(l, i)
		}
	}
}

// unlink takes t out of the doubly linked list whose ends are given.
func (s *State) unlink(head, tail *ref, t *task) {
	if t.prev != 0 {
		s.tasks.at(t.prev).next = t.next
	} else {
		*head = t.next
	}
	if t.next != 0 {
		s.tasks.at(t.next).prev = t.prev
	} else if tail != nil {
		*tail = t.prev
	}
	t.next, t.prev = 0, 0
}

// lateUp moves a late task towards the root of the heap as far as it belongs.
func (s *State) lateUp(l *line, i int) int {
	r := l.late[i]
	seq := s.tasks.at(r).seq
	for i > 0 {
		up := l.late[(i-1)/2]
		if s.tasks.at(up).seq < seq {
			break
		}
		l.late[i] = up
		s.tasks.at(up).next = ref(i)
		i = (i - 1) / 2
	}
	l.late[i] = r
	s.tasks.at(r).next = ref(i)
	return i
}

// lateDown moves it away from the root.
func (s *State) lateDown(l *line, i int) {
	r := l.late[i]
	seq := s.tasks.at(r).seq
	for c := 2*i + 1; c < len(l.late); c = 2*i + 1 {
		if c+1 < len(l.late) && s.tasks.at(l.late[c+1]).seq < s.tasks.at(l.late[c]).seq {
			c++
		}
		if s.tasks.at(l.late[c]).seq > seq {
			break
		}
		l.late[i] = l.late[c]
		s.tasks.at(l.late[i]).next = ref(i)
		i = c
	}
	l.late[i] = r
	s.tasks.at(r).next = ref(i)
}
