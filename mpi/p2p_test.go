package mpi_test

import (
	"fmt"
	"math/rand/v2"
	"os"
	"slices"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

// sizes are the numbers of ranks of the conformance suite, lengths the message lengths in bytes:
// within a slot, within a piece, eager in pieces, offered, and beyond direct copies.
var (
	sizes   = []int{1, 2, 3, 4, 8}
	lengths = []int{0, 1, 7, 33, 1000, 8193, 16385, 1<<20 + 1}
)

// fill makes a message that says who sent it to whom.
func fill(n, from, to int) []byte {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(i*7 + from*31 + to*17 + i>>8)
	}
	return b
}

func init() {
	bodies["pairs"] = pairs
	bodies["forms"] = forms
	bodies["storm"] = storm
	bodies["arguments"] = arguments
	bodies["threads"] = threads
}

// Every rank sends to every rank, itself included, each length, in each form of sending.
func pairs(c *mpi.Comm) error {
	n, me := c.Size(), c.Rank()
	for _, l := range lengths {
		if l > 1<<20 && n > 4 {
			l = 1<<17 + 1
		}
		var qs []*mpi.Request
		in := make([][]byte, n)
		for r := range n {
			in[r] = make([]byte, l+3)
			q, err := mpi.Irecv(c, in[r], r, l)
			if err != nil {
				return err
			}
			qs = append(qs, q)
		}
		for i := range n {
			to := (me + i) % n
			begin := mpi.Isend[byte]
			if (i+l)%2 == 0 {
				begin = mpi.Issend[byte]
			}
			q, err := begin(c, fill(l, me, to), to, l)
			if err != nil {
				return err
			}
			qs = append(qs, q)
		}
		sts, err := mpi.WaitAll(qs...)
		if err != nil {
			return err
		}
		for r := range n {
			if sts[r].Source != r || sts[r].Tag != l || sts[r].Bytes != l || !slices.Equal(in[r][:l], fill(l, r, me)) {
				return fmt.Errorf("%d bytes from %d: %+v, or wrong content", l, r, sts[r])
			}
		}
	}
	return nil
}

// forms goes through the calls one by one, in a ring.
func forms(c *mpi.Comm) error {
	n, me := c.Size(), c.Rank()
	right, left := (me+1)%n, (me-1+n)%n
	want := func(what string, ok bool) error {
		if !ok {
			return fmt.Errorf("rank %d: %s", me, what)
		}
		return nil
	}
	for _, l := range []int{1, 5000, 1 << 18} {
		out, in := make([]float32, l), make([]float32, l+1)
		for i := range out {
			out[i] = float32(me*1000 + i%100)
		}
		st, err := mpi.Sendrecv(c, out, right, 1, in, left, 1)
		if err := first(err, want("sendrecv", in[0] == float32(left*1000) && mpi.Count[float32](st) == l && st.Source == left)); err != nil {
			return err
		}
		_, err = mpi.SendrecvReplace(c, out, right, 2, left, 2)
		if err := first(err, want("replace", out[0] == float32(left*1000))); err != nil {
			return err
		}
		// A probe finds what a receive then gets.
		q, err := mpi.Isend(c, out, right, 3)
		if err != nil {
			return err
		}
		st, err = c.Probe(mpi.AnySource, mpi.AnyTag)
		if err := first(err, want("probe", st.Source == left && st.Tag == 3 && mpi.Count[float32](st) == l)); err != nil {
			return err
		}
		m, err := c.Mprobe(left, 3)
		if err != nil {
			return err
		}
		_, found, err := c.Iprobe(left, 3)
		if err := first(err, want("a message set aside was found", !found)); err != nil {
			return err
		}
		st, err = mpi.Mrecv(m, in)
		if err := first(err, want("mrecv", mpi.Count[float32](st) == l)); err != nil {
			return err
		}
		if _, err := q.Wait(); err != nil {
			return err
		}
		if err := some(c, right, left, out, in); err != nil {
			return err
		}
	}
	if err := c.Barrier(); err != nil {
		return err
	}
	if _, ok, err := c.Improbe(mpi.AnySource, mpi.AnyTag); ok || err != nil {
		return fmt.Errorf("improbe: %v %v", ok, err)
	}
	return c.Barrier()
}

// some tries the ways to wait, a cancelled receive and ProcNull.
func some(c *mpi.Comm, right, left int, out, in []float32) error {
	never, err := mpi.Irecv(c, make([]float32, 1), left, 99)
	if err != nil {
		return err
	}
	q, err := mpi.Irecv(c, in, left, mpi.AnyTag)
	if err != nil {
		return err
	}
	s, err := mpi.Issend(c, out, right, 4)
	if err != nil {
		return err
	}
	seen := map[int]bool{}
	for len(seen) < 2 {
		i, st, err := mpi.WaitAny(never, q, s)
		if err != nil || i == 0 || seen[i] {
			return fmt.Errorf("waitany: %d %+v %v", i, st, err)
		}
		seen[i] = true
	}
	if _, done, err := mpi.TestAll(never, q, s); done || err != nil {
		return fmt.Errorf("testall: %v %v", done, err)
	}
	if i, _, ok, err := mpi.TestAny(never); ok || err != nil {
		return fmt.Errorf("testany: %v %v %v", i, ok, err)
	}
	if err := never.Cancel(); err != nil {
		return err
	}
	done, sts, err := mpi.WaitSome(never, q, s)
	if err != nil || len(done) != 1 || !sts[0].Cancelled {
		return fmt.Errorf("cancelled: %v %+v %v", done, sts, err)
	}
	if i, _, err := mpi.WaitAny(never, q, s); i != mpi.Undefined || err != nil {
		return fmt.Errorf("nothing left to wait for: %d %v", i, err)
	}
	st, err := mpi.Recv(c, in, mpi.ProcNull, 0)
	if err != nil || st.Source != mpi.ProcNull || st.Bytes != 0 {
		return fmt.Errorf("from nobody: %+v %v", st, err)
	}
	return mpi.Send(c, out, mpi.ProcNull, 0)
}

// storm: everybody sends many messages of many lengths and tags to rank 0, which takes them with
// changing wildcards; what one sender sent with one tag must come in order.
func storm(c *mpi.Comm) error {
	const each, tags = 400, 5
	n, me := c.Size(), c.Rank()
	if me != 0 {
		rng := rand.New(rand.NewPCG(uint64(me), 1))
		qs := make([]*mpi.Request, each) // a blocking send could wait for a receive that comes later
		for i := range each {
			b := make([]int64, 1+rng.IntN(6)*rng.IntN(900))
			b[0], b[len(b)-1] = int64(i), int64(i)
			var err error
			if qs[i], err = mpi.Isend(c, b, 0, i%tags); err != nil {
				return err
			}
		}
		_, err := mpi.WaitAll(qs...)
		return first(err, c.Barrier())
	}
	rng := rand.New(rand.NewPCG(7, 7))
	next := map[[2]int]int64{}
	left := map[[2]int]int{}
	for s := 1; s < n; s++ {
		for g := range tags {
			left[[2]int{s, g}], next[[2]int{s, g}] = each/tags, int64(g)
		}
	}
	buf := make([]int64, 5000)
	for range each * (n - 1) {
		from, tag := mpi.AnySource, mpi.AnyTag
		if rng.IntN(2) == 0 {
			from = 1 + rng.IntN(n-1)
			tag = rng.IntN(tags)
			if left[[2]int{from, tag}] == 0 {
				from, tag = mpi.AnySource, mpi.AnyTag
			}
		}
		st, err := mpi.Recv(c, buf, from, tag)
		if err != nil {
			return err
		}
		k := [2]int{st.Source, st.Tag}
		if cnt := mpi.Count[int64](st); buf[0] != next[k] || buf[cnt-1] != next[k] {
			return fmt.Errorf("from %d tag %d: message %d, %d was next", st.Source, st.Tag, buf[0], next[k])
		}
		next[k] += tags
		left[k]--
	}
	return c.Barrier()
}

// arguments: what is wrong is said at once, with its kind, and does no harm.
func arguments(c *mpi.Comm) error {
	b := make([]int32, 4)
	_, e1 := mpi.Recv(c, b, c.Size(), 0)
	_, e2 := mpi.Recv(c, b, 0, -5)
	_, e3 := mpi.Irecv(c, b, -7, 0)
	for i, err := range []error{
		mpi.Send(c, b, c.Size(), 0), mpi.Send(c, b, -1, 0), mpi.Send(c, b, 0, -1), e1, e2, e3,
		mpi.Bcast(c, b, c.Size()), mpi.Allreduce(c, b, b[:1], mpi.Sum), mpi.Allreduce(c, []bool{true}, []bool{true}, mpi.Sum),
		mpi.Allreduce(c, b, b, nil), mpi.Allreduce(c, b, b, mpi.OpOf(func(a, b []int8) {}, true)),
		mpi.Allgather(c, b, make([]int32, 4*c.Size()-1)), mpi.Gatherv(c, b, b, []int{5}, nil, c.Rank()),
	} {
		if err := kind(err, tutti.Invalid); err != nil {
			return fmt.Errorf("case %d: %w", i, err)
		}
	}
	// A message too long: the buffer has its beginning, and the next message is in order.
	for _, l := range []int{20, 5000, 100000} {
		if onLibrary && os.Getenv(mpi.EnvCheck) != "1" {
			break // what MPI libraries do then differs, and some crash
		}
		q, err := mpi.Isend(c, fill(l, 1, 2), c.Rank(), 1)
		if err != nil {
			return err
		}
		in := make([]byte, 10)
		st, err := mpi.Recv(c, in, c.Rank(), 1)
		if err := first(kind(err, tutti.Truncated)); err != nil || st.Bytes != 10 || !slices.Equal(in, fill(l, 1, 2)[:10]) {
			return fmt.Errorf("truncated: %+v %v", st, err)
		}
		if _, err := q.Wait(); err != nil {
			return err
		}
		if c.Size() > 1 {
			if err := cutShort(c, l); err != nil {
				return err
			}
		}
	}
	d, err := c.Dup()
	if err != nil {
		return err
	}
	if err := d.Free(); err != nil {
		return err
	}
	return first(kind(d.Barrier(), tutti.Closed), kind(mpi.Send(d, b, 0, 0), tutti.Closed), kind(d.Free(), tutti.Closed), c.Barrier())
}

func cutShort(c *mpi.Comm, l int) error {
	if c.Rank() == 1 {
		return first(mpi.Ssend(c, fill(l, 1, 0), 0, 5), mpi.Send(c, fill(l, 1, 0), 0, 5), mpi.Send(c, []byte{42}, 0, 5))
	}
	in := make([]byte, 10)
	for range 2 {
		_, err := mpi.Recv(c, in, 1, 5)
		if err := kind(err, tutti.Truncated); err != nil || !slices.Equal(in, fill(l, 1, 0)[:10]) {
			return fmt.Errorf("cut short: %v", err)
		}
	}
	_, err := mpi.Recv(c, in, 1, 5)
	if in[0] != 42 {
		return fmt.Errorf("the message after one cut short: %d", in[0])
	}
	return err
}

// threads: several goroutines of a rank call at once.
func threads(c *mpi.Comm) error {
	const g, rounds = 6, 60
	errs := make(chan error, g)
	for i := range g {
		go func() {
			errs <- func() error {
				b := make([]int64, 1+i*700)
				for k := range rounds {
					b[0] = int64(k)
					if c.Rank() == 0 {
						if err := mpi.Send(c, b, 1, i); err != nil {
							return err
						}
					}
					if _, err := mpi.Recv(c, b, 1-c.Rank(), i); err != nil || b[0] != int64(k) {
						return fmt.Errorf("goroutine %d, round %d: %d %v", i, k, b[0], err)
					}
					if c.Rank() == 1 {
						if err := mpi.Send(c, b, 0, i); err != nil {
							return err
						}
					}
				}
				return nil
			}()
		}()
	}
	var err error
	for range g {
		err = first(err, <-errs)
	}
	return first(err, c.Barrier())
}
