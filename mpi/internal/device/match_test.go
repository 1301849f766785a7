package device

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// naive is what a Matcher must do, in the plainest way: one list of each, searched from the front.
type naive struct {
	posted  []*Node[int]
	arrived []*Node[int]
}

func fits(p, m *Node[int]) bool {
	return (p.Src == AnySource || p.Src == m.Src) && (p.Tag == AnyTag || p.Tag == m.Tag)
}

func (n *naive) post(p *Node[int]) *Node[int] {
	if i := slices.IndexFunc(n.arrived, func(m *Node[int]) bool { return fits(p, m) }); i >= 0 {
		m := n.arrived[i]
		n.arrived = slices.Delete(n.arrived, i, i+1)
		return m
	}
	n.posted = append(n.posted, p)
	return nil
}

func (n *naive) arrive(m *Node[int]) *Node[int] {
	if i := slices.IndexFunc(n.posted, func(p *Node[int]) bool { return fits(p, m) }); i >= 0 {
		p := n.posted[i]
		n.posted = slices.Delete(n.posted, i, i+1)
		return p
	}
	n.arrived = append(n.arrived, m)
	return nil
}

func val(n *Node[int]) int {
	if n == nil {
		return -1
	}
	return n.Val
}

func TestMatcherAgainstModel(t *testing.T) {
	for seed := range uint64(200) {
		rng := rand.New(rand.NewPCG(seed, 1))
		var m Matcher[int, int]
		var model naive
		for i := range 300 {
			src, tag := rng.IntN(3), rng.IntN(3)
			a, b := &Node[int]{Src: src, Tag: tag, Val: i}, &Node[int]{Src: src, Tag: tag, Val: i}
			got, want := -1, -1
			switch rng.IntN(5) {
			case 0, 1:
				if rng.IntN(3) == 0 {
					a.Src, b.Src = AnySource, AnySource
				}
				if rng.IntN(3) == 0 {
					a.Tag, b.Tag = AnyTag, AnyTag
				}
				got, want = val(m.Post(a)), val(model.post(b))
			case 2, 3:
				p := m.Match(src, tag)
				if got, want = val(p), val(model.arrive(b)); p == nil {
					m.Keep(a)
				}
			case 4:
				if len(model.posted) == 0 {
					continue
				}
				// The last receive posted is taken back, and stays away.
				p := model.posted[len(model.posted)-1]
				model.posted = model.posted[:len(model.posted)-1]
				got, want = withdrawn(&m, p.Val), p.Val
			}
			if got != want {
				t.Fatalf("seed %d, step %d: %d, want %d", seed, i, got, want)
			}
			if m.Idle() != (len(model.posted)+len(model.arrived) == 0) {
				t.Fatalf("seed %d, step %d: idle %v", seed, i, m.Idle())
			}
		}
		left := 0
		m.Posted(func(int) { left++ })
		m.Arrived(func(int) { left++ })
		if left != len(model.posted)+len(model.arrived) || !m.Idle() {
			t.Fatalf("seed %d: %d left, want %d", seed, left, len(model.posted)+len(model.arrived))
		}
	}
}

// withdrawn finds the node of a posted receive by its value and withdraws it.
func withdrawn(m *Matcher[int, int], v int) int {
	lists := append([]list[int]{m.anyone}, m.posted...)
	for _, l := range lists {
		if _, n := l.find(func(n *Node[int]) bool { return n.Val == v }); n != nil {
			if m.Withdraw(n) && !m.Withdraw(n) {
				return v
			}
		}
	}
	return -1
}

// Plans of all ranks, run by a plain interpreter, are complete: every send has its receive.
func TestPlansFit(t *testing.T) {
	for k := range collKinds {
		for n := 1; n <= 9; n++ {
			for root := range n {
				var sends, recvs [][3]int
				for me := range n {
					c := Call{Kind: k, Type: Uint8, Op: Builtin(Sum, Uint8), Root: root,
						Send: make([]byte, 2*n), Recv: make([]byte, 2*n*n)}
					switch k {
					case Bcast, Scatter, Reduce, Allreduce, Scan, Exscan, Alltoall:
						c.Recv = make([]byte, 2*n)
					case ReduceScatter:
						c.Recv = make([]byte, 2)
					}
					if k == Scatter {
						c.Recv = make([]byte, 2)
					}
					for _, s := range PlanFor(c, me, n).Steps {
						switch s.Kind {
						case StepSend:
							sends = append(sends, [3]int{me, s.Peer, len(s.Buf)})
						case StepRecv:
							recvs = append(recvs, [3]int{s.Peer, me, len(s.Buf)})
						}
					}
				}
				order := func(a, b [3]int) int { return slices.Compare(a[:], b[:]) }
				slices.SortFunc(sends, order)
				slices.SortFunc(recvs, order)
				if !slices.Equal(sends, recvs) {
					t.Errorf("%v, %d ranks, root %d: sends %v, receives %v", k, n, root, sends, recvs)
				}
			}
		}
	}
}
