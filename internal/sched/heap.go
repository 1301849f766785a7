package sched

// heaped is what can stand in a heap: it knows its order and keeps its own place, 0 for none,
// else its index plus one, so that it can be moved or taken out from anywhere.
type heaped[T any] interface {
	before(T) bool
	place() *int32
}

// heapPush adds x, which stands in no heap.
func heapPush[T heaped[T]](h *[]T, x T) {
	*h = append(*h, x)
	heapUp(*h, len(*h)-1)
}

// heapFix moves x to where its changed order belongs.
func heapFix[T heaped[T]](h []T, x T) {
	i := int(*x.place()) - 1
	if heapUp(h, i) == i {
		heapDown(h, i)
	}
}

// heapRemove takes x out.
func heapRemove[T heaped[T]](h *[]T, x T) {
	i, last := int(*x.place())-1, len(*h)-1
	*x.place() = 0
	moved := (*h)[last]
	var zero T
	(*h)[last] = zero
	*h = (*h)[:last]
	if i < last {
		(*h)[i] = moved
		*moved.place() = int32(i + 1)
		heapFix(*h, moved)
	}
}

// heapUp moves the i-th item towards the root as far as it belongs, and says where it came to stand.
func heapUp[T heaped[T]](h []T, i int) int {
	x := h[i]
	for i > 0 && x.before(h[(i-1)/2]) {
		h[i] = h[(i-1)/2]
		*h[i].place() = int32(i + 1)
		i = (i - 1) / 2
	}
	h[i] = x
	*x.place() = int32(i + 1)
	return i
}

// heapDown moves the i-th item away from the root as far as it belongs.
func heapDown[T heaped[T]](h []T, i int) {
	x := h[i]
	for {
		c := 2*i + 1
		if c >= len(h) {
			break
		}
		if c+1 < len(h) && h[c+1].before(h[c]) {
			c++
		}
		if !h[c].before(x) {
			break
		}
		h[i] = h[c]
		*h[i].place() = int32(i + 1)
		i = c
	}
	h[i] = x
	*x.place() = int32(i + 1)
}
