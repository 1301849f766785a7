package mpi_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

func init() {
	bodies["splits"] = splits
	bodies["grids"] = grids
	bodies["windows"] = windows
	bodies["values"] = values
	bodies["many"] = many
	bodies["checked"] = checked
	bodies["revoked"] = revoked
}

func TestRevoked(t *testing.T) {
	everywhere(t, "revoked", 3)
	start(t, 3, "revoked", "").ok()
}

func TestChecked(t *testing.T) {
	t.Setenv(mpi.EnvCheck, "1")
	everywhere(t, "checked", 2, 3)
	start(t, 2, "checked", "").ok()
}

// sumRanks checks that a communicator works: the sum of ranks over it.
func sumRanks(c *mpi.Comm) error {
	s := []int{c.Rank()}
	if err := mpi.Allreduce(c, s, s, mpi.Sum); err != nil {
		return err
	}
	if s[0] != c.Size()*(c.Size()-1)/2 {
		return fmt.Errorf("%s: ranks of %d add up to %d", c.Name(), c.Size(), s[0])
	}
	long := make([]int, 5000)
	return mpi.Allreduce(c, long, long, mpi.Sum)
}

func splits(c *mpi.Comm) error {
	n, me := c.Size(), c.Rank()
	half, err := c.Split(me%2, -me) // backwards
	if err := first(err, sumRanks(half)); err != nil {
		return err
	}
	got := make([]int, half.Size())
	if err := mpi.Allgather(half, []int{me}, got); err != nil {
		return err
	}
	if !slices.IsSortedFunc(got, func(a, b int) int { return b - a }) || got[half.Rank()] != me || got[0]%2 != me%2 {
		return fmt.Errorf("the order of keys: %v", got)
	}
	// The same tag on two communicators: the messages stay apart.
	d, err := c.Dup()
	if err != nil {
		return err
	}
	right, left := (me+1)%n, (me-1+n)%n
	q1, e1 := mpi.Isend(c, []int{1}, right, 0)
	q2, e2 := mpi.Isend(d, []int{2}, right, 0)
	x := make([]int, 1)
	if _, err := mpi.Recv(d, x, left, 0); first(e1, e2, err) != nil || x[0] != 2 {
		return fmt.Errorf("a message came through the wrong communicator: %v %v", x, first(e1, e2, err))
	}
	_, err = mpi.Recv(c, x, left, mpi.AnyTag)
	_, err2 := mpi.WaitAll(q1, q2)
	if err := first(err, err2); err != nil {
		return err
	}
	alone, err := c.Split(me, 0)
	if err := first(err, sumRanks(alone)); err != nil || alone.Size() != 1 {
		return fmt.Errorf("alone: %v", err)
	}
	none, err := c.Split(mpi.Undefined, 0)
	if err != nil || none != nil {
		return fmt.Errorf("undefined color: %v %v", none, err)
	}
	shared, err := c.SplitShared(me)
	if err := first(err, sumRanks(shared)); err != nil || shared.Size() != n {
		return fmt.Errorf("shared: %v", err)
	}
	return first(create(c), d.Free(), half.Free(), alone.Free(), shared.Free())
}

// create makes a communicator of all but the first rank, in reverse order.
func create(c *mpi.Comm) error {
	n := c.Size()
	if n == 1 {
		return nil
	}
	g, err := c.Group().RangeIncl([3]int{n - 1, 1, -1})
	if err != nil {
		return err
	}
	s, err := c.Create(g)
	if err != nil {
		return err
	}
	if c.Rank() == 0 {
		if s != nil {
			return errors.New("a rank got a communicator that it is not in")
		}
		return nil
	}
	if s.Rank() != n-1-c.Rank() {
		return fmt.Errorf("rank %d became %d", c.Rank(), s.Rank())
	}
	tr, err := s.Group().Translate([]int{0, mpi.ProcNull}, c.Group())
	if err != nil || !slices.Equal(tr, []int{n - 1, mpi.ProcNull}) {
		return fmt.Errorf("translate: %v %v", tr, err)
	}
	return first(sumRanks(s), s.Free())
}

func TestGroups(t *testing.T) {
	err := mpi.Run(6, func(c *mpi.Comm) error {
		w := c.Group()
		a, _ := w.Incl(4, 2, 0)
		b, _ := w.Incl(2, 3, 4)
		excl, _ := w.Excl(0, 5)
		rexcl, _ := w.RangeExcl([3]int{0, 5, 2})
		ranks := func(g *mpi.Group) []int {
			all := make([]int, g.Size())
			for i := range all {
				all[i] = i
			}
			out, _ := g.Translate(all, w)
			return out
		}
		for what, c := range map[string]struct{ got, want []int }{
			"union":        {ranks(a.Union(b)), []int{4, 2, 0, 3}},
			"intersection": {ranks(a.Intersection(b)), []int{4, 2}},
			"difference":   {ranks(a.Difference(b)), []int{0}},
			"excl":         {ranks(excl), []int{1, 2, 3, 4}},
			"range excl":   {ranks(rexcl), []int{1, 3, 5}},
		} {
			if !slices.Equal(c.got, c.want) {
				return fmt.Errorf("%s: %v, want %v", what, c.got, c.want)
			}
		}
		r, _ := w.Incl(0, 4, 2)
		tr, _ := w.Translate([]int{1, 4}, a)
		if a.Compare(a) != mpi.Identical || a.Compare(r) != mpi.Similar || a.Compare(b) != mpi.Unequal ||
			!slices.Equal(tr, []int{mpi.Undefined, 0}) || (a.Rank() < 0) == (c.Rank()%2 == 0) {
			return fmt.Errorf("comparison or translation: %v, rank %d in a", tr, a.Rank())
		}
		_, e1 := w.Incl(6)
		_, e2 := w.Incl(1, 1)
		_, e3 := w.RangeIncl([3]int{0, 1, 0})
		_, e4 := a.Translate([]int{3}, w)
		return first(kind(e1, tutti.Invalid), kind(e2, tutti.Invalid), kind(e3, tutti.Invalid), kind(e4, tutti.Invalid))
	})
	if err != nil {
		t.Fatal(err)
	}
}

func grids(c *mpi.Comm) error {
	g, err := c.CartCreate([]int{2, 3}, []bool{false, true})
	if err != nil {
		return err
	}
	dims, per, at, err := g.CartGet()
	if err != nil || !slices.Equal(dims, []int{2, 3}) || !slices.Equal(per, []bool{false, true}) || !slices.Equal(at, []int{c.Rank() / 3, c.Rank() % 3}) {
		return fmt.Errorf("grid: %v %v %v %v", dims, per, at, err)
	}
	from, to, err := g.CartShift(0, 1)
	wantFrom, wantTo := mpi.ProcNull, mpi.ProcNull
	if at[0] == 0 {
		wantTo = g.Rank() + 3
	} else {
		wantFrom = g.Rank() - 3
	}
	if err != nil || from != wantFrom || to != wantTo {
		return fmt.Errorf("shift down: %d %d %v", from, to, err)
	}
	from, to, err = g.CartShift(1, 1)
	r, err2 := g.CartRank(at[0], at[1]+1)
	if first(err, err2) != nil || to != at[0]*3+(at[1]+1)%3 || from != at[0]*3+(at[1]+2)%3 || r != to {
		return fmt.Errorf("shift right: %d %d %v", from, to, first(err, err2))
	}
	row, err := g.CartSub(false, true)
	if err := first(err, sumRanks(row)); err != nil || row.Size() != 3 || row.Rank() != at[1] {
		return fmt.Errorf("row: %v", err)
	}
	col, err := g.CartSub(true, false)
	if err := first(err, sumRanks(col)); err != nil || col.Size() != 2 || col.Rank() != at[0] {
		return fmt.Errorf("column: %v", err)
	}
	small, err := c.CartCreate([]int{5}, nil)
	if err != nil || (small == nil) != (c.Rank() == 5) {
		return fmt.Errorf("grid of five: %v", err)
	}
	_, e1 := c.CartCreate([]int{7}, nil)
	_, e2 := c.CartCoords(0)
	_, e3 := g.CartRank(2, 0)
	_, _, e4 := g.CartShift(2, 1)
	return first(kind(e1, tutti.Invalid), kind(e2, tutti.Invalid), kind(e3, tutti.Invalid), kind(e4, tutti.Invalid))
}

func TestDims(t *testing.T) {
	for _, c := range []struct {
		n        int
		in, want []int
	}{
		{12, []int{0, 0}, []int{4, 3}}, {12, []int{0, 0, 0}, []int{3, 2, 2}}, {8, []int{0, 0, 0}, []int{2, 2, 2}},
		{7, []int{0, 0}, []int{7, 1}}, {12, []int{0, 2}, []int{6, 2}}, {1, []int{0}, []int{1}}, {36, []int{0, 0}, []int{6, 6}},
	} {
		if got, err := mpi.Dims(c.n, c.in); err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%d over %v: %v, want %v (%v)", c.n, c.in, got, c.want, err)
		}
	}
	for _, bad := range [][]int{{5, 0}, {2, 2}, {-1, 0}} {
		if _, err := mpi.Dims(12, bad); !errors.Is(err, tutti.Invalid) {
			t.Error(bad, err)
		}
	}
}

func windows(c *mpi.Comm) error {
	n, me := c.Size(), c.Rank()
	w, err := mpi.NewWindow[float64](c, 10+me)
	if err != nil {
		return err
	}
	for r := range n {
		if p := w.Part(r); len(p) != 10+r {
			return fmt.Errorf("the part of %d has %d elements", r, len(p))
		}
	}
	for _, v := range w.Part(me) {
		if v != 0 {
			return errors.New("a new window is not zero")
		}
	}
	if err := w.Sync(); err != nil {
		return err
	}
	w.Part((me + 1) % n)[3] = float64(me)
	if err := w.Sync(); err != nil {
		return err
	}
	if got := w.Part(me)[3]; got != float64((me-1+n)%n) {
		return fmt.Errorf("a neighbour wrote %v", got)
	}
	// The memory of a window can be sent and received into as any other.
	q, err := mpi.Irecv(c, w.Part(me)[5:6], (me-1+n)%n, 0)
	if err != nil {
		return err
	}
	s, err := mpi.Isend(c, w.Part(me)[3:4], (me+1)%n, 0)
	if err != nil {
		return err
	}
	if _, err := mpi.WaitAll(q, s); err != nil || w.Part(me)[5] != float64((me-2+2*n)%n) {
		return fmt.Errorf("a message from window to window: %v %v", w.Part(me)[5], err)
	}
	return w.Free()
}

type record struct {
	Name string
	Data []float64
	Sub  map[string]int
}

func values(c *mpi.Comm) error {
	n, me := c.Size(), c.Rank()
	make1 := func(r int) record {
		return record{strings.Repeat("x", r*100), []float64{float64(r), 0.5}, map[string]int{"r": r}}
	}
	same := func(what string, got, want any, err error) error {
		if err == nil && !reflect.DeepEqual(got, want) {
			err = fmt.Errorf("%s: %+v, %+v wanted", what, got, want)
		}
		return err
	}
	sent := make(chan error, 1)
	go func() { sent <- mpi.SendValue(c, make1(me), (me+1)%n, 3) }()
	got, st, err := mpi.RecvValue[record](c, mpi.AnySource, 3)
	if err := first(err, <-sent, same("record", got, make1((me-1+n)%n), nil)); err != nil || st.Tag != 3 {
		return fmt.Errorf("send: %v", err)
	}
	var mine []string
	if me == n-1 {
		for r := range n {
			mine = append(mine, fmt.Sprint("for ", r))
		}
	}
	b, e1 := mpi.BcastValue(c, make1(me), n-1)
	g, e2 := mpi.GatherValue(c, []float32{float32(me)}, 0)
	a, e3 := mpi.AllgatherValue(c, me*me)
	s, e4 := mpi.ScatterValue(c, mine, n-1)
	x, e5 := mpi.AllreduceValue(c, fmt.Sprint(me), func(a, b string) string { return a + b })
	var wantG [][]float32
	var wantA []int
	wantX := ""
	for r := range n {
		wantG, wantA, wantX = append(wantG, []float32{float32(r)}), append(wantA, r*r), wantX+fmt.Sprint(r)
	}
	if me != 0 {
		wantG = nil
	}
	if err := first(same("bcast", b, make1(n-1), e1), same("gather", g, wantG, e2), same("allgather", a, wantA, e3),
		same("scatter", s, fmt.Sprint("for ", me), e4), same("allreduce", x, wantX, e5)); err != nil {
		return err
	}
	// What cannot be encoded on one rank is an error on all, and nobody hangs.
	var bad any = me
	if me == n-1 {
		bad = func() {}
	}
	_, e1 = mpi.BcastValue(c, bad, n-1)
	_, e2 = mpi.GatherValue(c, bad, 0)
	_, e3 = mpi.ScatterValue(c, []int{1, 2, 3, 4, 5}, 0)
	return first(kind(e1, tutti.Invalid), kind(e2, tutti.Invalid), kind(e3, tutti.Invalid), c.Barrier())
}

// many: more communicators than there are shared buffers for, and buffers that come back.
func many(c *mpi.Comm) error {
	var cs []*mpi.Comm
	for range 40 {
		d, err := c.Dup()
		if err := first(err, sumRanks(d)); err != nil {
			return err
		}
		cs = append(cs, d)
	}
	for _, d := range cs {
		if err := d.Free(); err != nil {
			return err
		}
	}
	for range 40 {
		d, err := c.Dup()
		if err := first(err, sumRanks(d), d.Free()); err != nil {
			return err
		}
	}
	type key struct{}
	c.SetAttr(key{}, 5)
	if v, ok := c.Attr(key{}); !ok || v != 5 {
		return fmt.Errorf("attribute: %v %v", v, ok)
	}
	c.DeleteAttr(key{})
	if _, ok := c.Attr(key{}); ok {
		return errors.New("a deleted attribute")
	}
	return nil
}

// checked: in the checking mode calls that do not fit are errors on all ranks, not a hang.
func checked(c *mpi.Comm) error {
	b := make([]int64, 4)
	var err error
	if c.Rank() == 0 {
		err = mpi.Bcast(c, b, 0)
	} else {
		err = mpi.Allreduce(c, b, b, mpi.Sum)
	}
	if err := kind(err, tutti.Invalid); err != nil {
		return err
	}
	if !strings.Contains(err.Error(), "Bcast") || !strings.Contains(err.Error(), "Allreduce") {
		return fmt.Errorf("the error does not say who called what: %v", err)
	}
	return first(kind(mpi.Bcast(c, b[:2+min(c.Rank(), 1)], 0), tutti.Invalid), sumRanks(c))
}

// revoked: one rank revokes; the calls of the others end, pending and new, on that communicator only.
func revoked(c *mpi.Comm) error {
	d, err := c.Dup()
	if err != nil {
		return err
	}
	if c.Rank() == 1 {
		if err := mpi.Send(c, []int{1}, 0, 0); err != nil {
			return err
		}
		// Only when the others are on their way into their calls, though not surely in them.
		if _, err := mpi.Recv(c, make([]int, 1), 2, 0); err != nil {
			return err
		}
		if err := d.Revoke(); err != nil {
			return err
		}
	}
	buf := make([]int, 100000)
	switch c.Rank() {
	case 0:
		if _, err := mpi.Recv(c, buf, 1, 0); err != nil {
			return err
		}
		_, err = mpi.Recv(d, buf, 1, 0)
	case 1:
		err = d.Barrier()
	case 2:
		if err := mpi.Send(c, []int{1}, 1, 0); err != nil {
			return err
		}
		err = mpi.Ssend(d, buf, 1, 9)
	}
	var e *mpi.Error
	if !errors.As(err, &e) || e.Rank != c.Rank() {
		return fmt.Errorf("not an mpi.Error: %v", err)
	}
	return first(kind(err, tutti.Revoked), kind(d.Barrier(), tutti.Revoked), sumRanks(c))
}

func TestErrorHandler(t *testing.T) {
	var seen []string
	err := mpi.Run(1, func(c *mpi.Comm) error {
		c.SetErrorHandler(func(_ *mpi.Comm, err error) { seen = append(seen, err.Error()) })
		d, err := c.Dup()
		if err != nil {
			return err
		}
		_ = mpi.Send(d, []int{1}, 4, 7)
		return nil
	})
	if err != nil || len(seen) != 1 || seen[0] != "mpi: Send on rank 0 of dup of world, peer 4, tag 7: invalid: there is no rank 4: the communicator has 1" {
		t.Error(err, seen)
	}
}

func TestRunFails(t *testing.T) {
	for what, body := range map[string]func(*mpi.Comm) error{
		"error": func(c *mpi.Comm) error {
			if c.Rank() == 2 {
				return tutti.Errorf("compute", tutti.Failed, "no convergence")
			}
			return c.Barrier()
		},
		"panic": func(c *mpi.Comm) error {
			if c.Rank() == 2 {
				panic("no convergence")
			}
			_, err := mpi.Recv(c, make([]int, 1), 2, 0)
			return err
		},
	} {
		err := mpi.Run(4, body)
		if err == nil || !strings.Contains(err.Error(), "no convergence") || errors.Is(err, tutti.Revoked) {
			t.Errorf("%s: %v", what, err)
		}
		var e *tutti.Error
		if what == "panic" && (!errors.As(err, &e) || e.Kind != tutti.Panicked || e.Rank != 2 || !strings.Contains(e.Stack, "comm_test")) {
			t.Errorf("panic: %#v", e)
		}
	}
	ctx, cancel := context.WithCancel(context.Background())
	err := mpi.RunContext(ctx, 2, func(c *mpi.Comm) error {
		if c.Rank() == 1 {
			cancel()
		}
		_, err := mpi.Recv(c, make([]int, 1), mpi.AnySource, 0)
		return first(kind(err, tutti.Canceled), kind(c.Barrier(), tutti.Canceled))
	})
	if err != nil && !errors.Is(err, tutti.Revoked) {
		t.Error(err)
	}
}

func TestContext(t *testing.T) {
	err := mpi.Run(1, func(c *mpi.Comm) error {
		if got, ok := mpi.From(mpi.NewContext(context.Background(), c)); !ok || got != c {
			return errors.New("not the communicator that was put in")
		}
		if _, ok := mpi.From(context.Background()); ok {
			return errors.New("a communicator from nowhere")
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}
