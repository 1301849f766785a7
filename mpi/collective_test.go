package mpi_test

import (
	"fmt"
	"slices"

	"github.com/tutti-hpc/tutti/mpi"
)

func init() {
	bodies["collectives"] = collectives
	bodies["vectors"] = vectors
	bodies["operations"] = operations
	bodies["overlap"] = overlap
	bodies["long"] = long
}

// mine is what rank r contributes at index i, small enough that sums are exact.
func mine(r, i int) int64 { return int64((r + 1) * (i%97 + 1) % 1009) }

func contribution(r, n int) []int64 {
	b := make([]int64, n)
	for i := range b {
		b[i] = mine(r, i)
	}
	return b
}

// total is the sum of the contributions of ranks from lo to below hi.
func total(lo, hi, n int) []int64 {
	b := make([]int64, n)
	for r := lo; r < hi; r++ {
		for i := range b {
			b[i] += mine(r, i)
		}
	}
	return b
}

// all is what the ranks contribute, one behind the other.
func all(ranks, n int) (b []int64) {
	for r := range ranks {
		b = append(b, contribution(r, n)...)
	}
	return b
}

// wait makes the blocking form of a non-blocking call.
func wait(q *mpi.Request, err error) error {
	if err == nil {
		_, err = q.Wait()
	}
	return err
}

// collectives: every operation, every root, several lengths, both forms.
func collectives(c *mpi.Comm) error {
	for _, l := range []int{0, 1, 7, 257, 1001} {
		for root := range c.Size() {
			if err := rooted(c, l, root); err != nil {
				return fmt.Errorf("%d elements, root %d: %w", l, root, err)
			}
		}
		if err := unrooted(c, l); err != nil {
			return fmt.Errorf("%d elements: %w", l, err)
		}
	}
	return first(c.Barrier(), wait(c.Ibarrier()))
}

func equal(what string, got, want []int64) error {
	if slices.Equal(got, want) {
		return nil
	}
	for i := range want {
		if i >= len(got) || got[i] != want[i] {
			return fmt.Errorf("%s: wrong from element %d of %d on", what, i, len(want))
		}
	}
	return fmt.Errorf("%s: %d elements, %d wanted", what, len(got), len(want))
}

func rooted(c *mpi.Comm, l, root int) error {
	n, me := c.Size(), c.Rank()
	at := func(what string, got, want []int64, err error) error {
		if err == nil && me == root {
			err = equal(what, got, want)
		}
		return err
	}
	for pass := range 2 {
		blocking := pass == 0
		b := make([]int64, l)
		if me == root {
			b = contribution(root, l)
		}
		recv, gathered, part := make([]int64, l), make([]int64, l*n), make([]int64, l)
		var dealt []int64
		if me == root {
			dealt = all(n, l)
		}
		var eb, er, eg, es error
		if blocking {
			eb, er = mpi.Bcast(c, b, root), mpi.Reduce(c, contribution(me, l), recv, mpi.Sum, root)
			eg, es = mpi.Gather(c, contribution(me, l), gathered, root), mpi.Scatter(c, dealt, part, root)
		} else {
			eb, er = wait(mpi.Ibcast(c, b, root)), wait(mpi.Ireduce(c, contribution(me, l), recv, mpi.Sum, root))
			eg, es = wait(mpi.Igather(c, contribution(me, l), gathered, root)), wait(mpi.Iscatter(c, dealt, part, root))
		}
		if err := first(eb, equal("bcast", b, contribution(root, l)), at("reduce", recv, total(0, n, l), er),
			at("gather", gathered, all(n, l), eg), es, equal("scatter", part, contribution(me, l))); err != nil {
			return err
		}
	}
	// In place: the result lies where the contribution did.
	b := contribution(me, l)
	if err := at("reduce in place", b, total(0, n, l), mpi.Reduce(c, b, b, mpi.Sum, root)); err != nil {
		return err
	}
	g := make([]int64, l*n)
	copy(g[me*l:], contribution(me, l))
	return at("gather in place", g, all(n, l), mpi.Gather(c, g[me*l:(me+1)*l], g, root))
}

func unrooted(c *mpi.Comm, l int) error {
	n, me := c.Size(), c.Rank()
	send := contribution(me, l)
	sum, same := make([]int64, l), contribution(me, l)
	scan, ex := make([]int64, l), make([]int64, l)
	gat, igat, isum := make([]int64, l*n), make([]int64, l*n), make([]int64, l)
	rs := make([]int64, l)
	if err := first(
		mpi.Allreduce(c, send, sum, mpi.Sum), equal("allreduce", sum, total(0, n, l)),
		mpi.Allreduce(c, same, same, mpi.Sum), equal("allreduce in place", same, total(0, n, l)),
		wait(mpi.Iallreduce(c, send, isum, mpi.Sum)), equal("iallreduce", isum, total(0, n, l)),
		mpi.Scan(c, send, scan, mpi.Sum), equal("scan", scan, total(0, me+1, l)),
		mpi.Exscan(c, send, ex, mpi.Sum), equal("exscan", ex, total(0, me, l)),
		mpi.Allgather(c, send, gat), equal("allgather", gat, all(n, l)),
		wait(mpi.Iallgather(c, send, igat)), equal("iallgather", igat, all(n, l)),
		mpi.ReduceScatterBlock(c, all(n, l), rs, mpi.Sum), equal("reduce-scatter", rs, times(contribution(me, l), int64(n))),
	); err != nil {
		return err
	}
	// Element i of the part from r to s is distinct for all three.
	deal := func(r, s int) []int64 {
		b := contribution(r, l)
		for i := range b {
			b[i] += int64(10000 * s)
		}
		return b
	}
	var out, want []int64
	for r := range n {
		out, want = append(out, deal(me, r)...), append(want, deal(r, me)...)
	}
	in, iin := make([]int64, l*n), make([]int64, l*n)
	return first(mpi.Alltoall(c, out, in), equal("alltoall", in, want),
		wait(mpi.Ialltoall(c, out, iin)), equal("ialltoall", iin, want),
		mpi.Alltoall(c, out, out), equal("alltoall in place", out, want))
}

func times(b []int64, k int64) []int64 {
	for i := range b {
		b[i] *= k
	}
	return b
}

// vectors: rank r has r*3 elements (so rank 0 none), laid out with gaps.
func vectors(c *mpi.Comm) error {
	n, me := c.Size(), c.Rank()
	counts, displs, size := make([]int, n), make([]int, n), 0
	for r := range n {
		counts[r], displs[r] = r*3, size+1
		size += r*3 + 1
	}
	size++
	laid := make([]int64, size)
	for r := range n {
		copy(laid[displs[r]:], contribution(r, counts[r]))
	}
	for root := range n {
		got := make([]int64, size)
		part := make([]int64, counts[me])
		var from []int64
		if me == root {
			from = laid
		}
		if err := first(mpi.Gatherv(c, contribution(me, counts[me]), got, counts, displs, root),
			mpi.Scatterv(c, from, counts, displs, part, root), equal("scatterv", part, contribution(me, counts[me]))); err != nil {
			return err
		}
		if me == root {
			if err := equal("gatherv", got, laid); err != nil {
				return err
			}
		}
	}
	got := make([]int64, size)
	if err := first(mpi.Allgatherv(c, contribution(me, counts[me]), got, counts, displs), equal("allgatherv", got, laid)); err != nil {
		return err
	}
	// Rank r sends r+s elements to rank s.
	sc, rc := make([]int, n), make([]int, n)
	var out, want []int64
	for s := range n {
		sc[s], rc[s] = me+s, s+me
		out = append(out, slices.Repeat([]int64{int64(me*100 + s)}, me+s)...)
		want = append(want, slices.Repeat([]int64{int64(s*100 + me)}, s+me)...)
	}
	in := make([]int64, len(want))
	rs := make([]int64, counts[me])
	var whole []int64
	for r := range n {
		whole = append(whole, contribution(r, counts[r])...)
	}
	return first(mpi.Alltoallv(c, out, sc, nil, in, rc, nil), equal("alltoallv", in, want),
		mpi.ReduceScatter(c, whole, rs, counts, mpi.Sum), equal("reducescatter", rs, times(contribution(me, counts[me]), int64(n))))
}

// both runs a reduction in both forms on contributions of one element and wants a result.
func both[T mpi.Elem](c *mpi.Comm, op mpi.Op, value func(r int) T, want T) error {
	for pass := range 2 {
		out := make([]T, 1)
		var err error
		if pass == 0 {
			err = mpi.Allreduce(c, []T{value(c.Rank())}, out, op)
		} else {
			err = wait(mpi.Iallreduce(c, []T{value(c.Rank())}, out, op))
		}
		if err != nil || any(out[0]) != any(want) {
			return fmt.Errorf("%v of %T: %v, %v wanted: %v", op, out[0], out[0], want, err)
		}
	}
	return nil
}

func arithmetic[T int8 | int16 | int32 | int64 | int | uint8 | uint16 | uint32 | uint64 | uint | float32 | float64 | complex64 | complex128](c *mpi.Comm) error {
	n := c.Size()
	// An int does not convert to a complex number; ones add up to any.
	v := func(r int) (t T) {
		for range r + 1 {
			t++
		}
		return t
	}
	sum, prod := T(0), T(1)
	for r := range n {
		sum += v(r)
		prod *= v(r)
	}
	truth := func(b bool) T {
		if b {
			return 1
		}
		return 0
	}
	odd := func(r int) T { return truth(r%2 == 1) }
	return first(both(c, mpi.Sum, v, sum), both(c, mpi.Prod, v, prod), both(c, mpi.LAnd, odd, 0),
		both(c, mpi.LOr, odd, truth(n > 1)), both(c, mpi.LXor, odd, truth(n/2%2 == 1)))
}

func ordering[T int8 | int16 | int32 | int64 | int | uint8 | uint16 | uint32 | uint64 | uint | float32 | float64](c *mpi.Comm) error {
	v := func(r int) T { return T(r*3%7 + 1) }
	hi, lo := v(0), v(0)
	for r := range c.Size() {
		hi, lo = max(hi, v(r)), min(lo, v(r))
	}
	return first(arithmetic[T](c), both(c, mpi.Max, v, hi), both(c, mpi.Min, v, lo))
}

func bits[T int8 | int16 | int32 | int64 | int | uint8 | uint16 | uint32 | uint64 | uint](c *mpi.Comm) error {
	v := func(r int) T { return T(1<<r | 64) }
	and, or, xor := v(0), v(0), v(0)
	for r := 1; r < c.Size(); r++ {
		and, or, xor = and&v(r), or|v(r), xor^v(r)
	}
	return first(ordering[T](c), both(c, mpi.BAnd, v, and), both(c, mpi.BOr, v, or), both(c, mpi.BXor, v, xor))
}

type temperature float64

// operations: every predefined one on every type it is for, and own ones.
func operations(c *mpi.Comm) error {
	n := c.Size()
	truth := func(r int) bool { return r == 0 }
	place := func(r int) mpi.Loc[float64] { return mpi.Loc[float64]{Value: float64(r / 2), Index: int64(r)} }
	// The functions x -> ax+b (mod 1009) do not commute: they must be composed in the order of
	// ranks, whatever the length. Each is one number, a*1024+b.
	compose := func(f, g int64) int64 {
		a, b, p, q := f/1024, f%1024, g/1024, g%1024
		return a*p%1009*1024 + (p*b+q)%1009
	}
	composition := mpi.OpOf(func(acc, in []int64) {
		for i := range acc {
			acc[i] = compose(acc[i], in[i])
		}
	}, false)
	function := func(r int) int64 { return int64(r+2)*1024 + int64(r*r+3) }
	want := function(0)
	for r := 1; r < n; r++ {
		want = compose(want, function(r))
	}
	for root := range n {
		for _, k := range []int{1, 4001, 80000} {
			out := make([]int64, k)
			err := mpi.Reduce(c, slices.Repeat([]int64{function(c.Rank())}, k), out, composition, root)
			if err == nil && c.Rank() == root {
				err = equal("composition", out, slices.Repeat([]int64{want}, k))
			}
			again := slices.Repeat([]int64{function(c.Rank())}, k)
			if err := first(err, mpi.Allreduce(c, again, again, composition), equal("composition for all", again, slices.Repeat([]int64{want}, k))); err != nil {
				return err
			}
		}
	}
	return first(bits[int8](c), bits[int16](c), bits[int32](c), bits[int64](c), bits[int](c),
		bits[uint8](c), bits[uint16](c), bits[uint32](c), bits[uint64](c), bits[uint](c),
		ordering[float32](c), ordering[float64](c), arithmetic[complex64](c), arithmetic[complex128](c),
		both(c, mpi.LAnd, truth, n == 1), both(c, mpi.LOr, truth, true), both(c, mpi.LXor, truth, true),
		both(c, mpi.MinLoc, place, mpi.Loc[float64]{Value: 0, Index: 0}),
		both(c, mpi.MaxLoc, place, mpi.Loc[float64]{Value: float64((n - 1) / 2), Index: int64((n - 1) / 2 * 2)}),
		both(c, mpi.Sum, func(int) temperature { return 1.5 }, temperature(1.5*float64(n))))
}

// overlap: several collective operations are under way at once, with messages between.
func overlap(c *mpi.Comm) error {
	n, me, l := c.Size(), c.Rank(), 3000
	sum, gat, b := make([]int64, l), make([]int64, l*n), make([]int64, l)
	if me == n-1 {
		b = contribution(me, l)
	}
	q1, e1 := mpi.Iallreduce(c, contribution(me, l), sum, mpi.Sum)
	q2, e2 := mpi.Iallgather(c, contribution(me, l), gat)
	q3, e3 := mpi.Ibcast(c, b, n-1)
	q4, e4 := c.Ibarrier()
	small := []int64{int64(me)}
	if err := first(e1, e2, e3, e4, mpi.Allreduce(c, small, small, mpi.Max), equal("max", small, []int64{int64(n - 1)})); err != nil {
		return err
	}
	tok := []int64{int64(me)}
	if _, err := mpi.SendrecvReplace(c, tok, (me+1)%n, 0, (me-1+n)%n, 0); err != nil {
		return err
	}
	_, err := mpi.WaitAll(q4, q2, q3, q1)
	return first(err, equal("sum", sum, total(0, n, l)), equal("gathered", gat, all(n, l)), equal("bcast", b, contribution(n-1, l)))
}

// long: 1 MiB and one element.
func long(c *mpi.Comm) error {
	n, me, l := c.Size(), c.Rank(), 1<<17+1
	sum, b, part := make([]int64, l), contribution(me, l), make([]int64, l)
	gat, in := make([]int64, l*n), make([]int64, l*n)
	return first(mpi.Allreduce(c, contribution(me, l), sum, mpi.Sum), equal("allreduce", sum, total(0, n, l)),
		mpi.Bcast(c, b, n-1), equal("bcast", b, contribution(n-1, l)),
		mpi.Allgather(c, contribution(me, l), gat), equal("allgather", gat, all(n, l)),
		mpi.Scatter(c, gat, part, 0), equal("scatter", part, contribution(me, l)),
		mpi.Alltoall(c, all(n, l), in), equal("alltoall", in, slices.Repeat(contribution(me, l), n)))
}
