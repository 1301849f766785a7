package blob

import (
	"bytes"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/tutti-hpc/tutti"
)

// walker does at random what holders on two nodes do, and knows what must come of it.
type walker struct {
	t      *testing.T
	rnd    *rand.Rand
	stores [2]*Store
	fetch  [2]*Fetcher
	addr   [2]string
	spaces [2]map[Holder]Space
	locals map[Holder]func() // ends a holder's connection, for those who have one
	blobs  []made            // all that were ever made
	leases []leased
	builds []*Builder
	trace  []string
}

// made is what a blob holds and who refers to it on which node.
type made struct {
	ref  tutti.Ref
	seed uint64
	refs [2]map[Holder]int
}

type leased struct {
	lease  *Lease
	blob   int
	mode   Mode
	holder Holder
	dirty  bool
}

func newWalker(t *testing.T, seed uint64) *walker {
	w := &walker{t: t, rnd: rand.New(rand.NewPCG(seed, 1)), locals: map[Holder]func(){}}
	for i := range w.stores {
		w.stores[i] = open(t, Config{Node: tutti.NodeID(i), Memory: 1 << 20, Disk: 3 << 20})
		w.addr[i] = publish(t, Handler(w.stores[i], nil))
		w.fetch[i] = fetcher(t, w.stores[i], FetchConfig{Piece: 64 << 10, Streams: 2})
		w.spaces[i] = map[Holder]Space{}
		for _, h := range []Holder{"a", "b"} {
			w.spaces[i][h] = w.stores[i].As(h)
		}
		w.connect(i)
	}
	return w
}

// connect gives the node a holder in another process, as far as the store can tell.
func (w *walker) connect(node int) {
	h := Holder(fmt.Sprint("far", node))
	l, end := connect(w.t, w.stores[node], h)
	w.spaces[node][h] = l
	w.locals[h] = end
}

func (w *walker) holder(node int) (Holder, Space) {
	hs := slices.Sorted(maps.Keys(w.spaces[node]))
	h := hs[w.rnd.IntN(len(hs))]
	return h, w.spaces[node][h]
}

// size is mostly small; what is larger than memory goes to disk.
func (w *walker) size() int64 {
	return []int64{0, 1, 5000, 60_000, 200_000, 1_200_000}[w.rnd.IntN(6)] + w.rnd.Int64N(2)
}

func (w *walker) put(node int) {
	h, s := w.holder(node)
	seed := w.rnd.Uint64()
	r, err := Put(ctx, s, content(seed, int(w.size())))
	if tutti.KindOf(err) == tutti.Full {
		return
	}
	if err != nil {
		w.t.Fatal(err)
	}
	k := made{ref: r, seed: seed, refs: [2]map[Holder]int{{}, {}}}
	k.refs[node][h] = 1
	w.blobs = append(w.blobs, k)
}

func (w *walker) build(node int) {
	if len(w.builds) > 3 {
		i := w.rnd.IntN(len(w.builds))
		w.builds[i].Abort()
		w.builds = slices.Delete(w.builds, i, i+1)
		return
	}
	_, s := w.holder(node)
	if b, err := s.New(ctx, w.size()); err == nil {
		w.builds = append(w.builds, b)
		for i := range b.Bytes() {
			b.Bytes()[i] = 0xee
		}
	} else if tutti.KindOf(err) != tutti.Full {
		w.t.Fatal(err)
	}
}

// pick is any blob, the younger ones more often.
func (w *walker) pick() int {
	n := len(w.blobs)
	if n == 0 {
		return -1
	}
	return max(n-1-w.rnd.IntN(min(n, 20)), 0)
}

// expect fails where the outcome is not what the walker's own books say.
func (w *walker) expect(err error, there bool) bool {
	k := tutti.KindOf(err)
	if err == nil && !there || err != nil && there && k != tutti.Full || err != nil && !there && k != tutti.NotFound && k != tutti.Full {
		w.t.Fatalf("is here: %v, and the answer was %v", there, err)
	}
	return err == nil
}

func (w *walker) open(node int) {
	i := w.pick()
	if i < 0 {
		return
	}
	h, s := w.holder(node)
	m := Mode(w.rnd.IntN(2))
	l, err := s.Open(ctx, w.blobs[i].ref, m)
	if w.expect(err, len(w.blobs[i].refs[node]) > 0) {
		w.leases = append(w.leases, leased{lease: l, blob: i, mode: m, holder: h})
	}
}

func (w *walker) hold(node int) {
	if i := w.pick(); i >= 0 {
		h, s := w.holder(node)
		if w.expect(s.Hold(ctx, w.blobs[i].ref), len(w.blobs[i].refs[node]) > 0) {
			w.blobs[i].refs[node][h]++
		}
	}
}

func (w *walker) drop(node int) {
	if i := w.pick(); i >= 0 {
		h, s := w.holder(node)
		s.Drop(w.blobs[i].ref)
		w.settle(node, h)
		if refs := w.blobs[i].refs[node]; refs[h] > 1 {
			refs[h]--
		} else {
			delete(refs, h)
		}
	}
}

// settle waits until the store has read all that a holder has told it: it asks something.
func (w *walker) settle(node int, h Holder) {
	err := w.spaces[node][h].Hold(ctx, tutti.Ref{Blob: tutti.BlobID{N: 1 << 60}})
	if tutti.KindOf(err) != tutti.NotFound {
		w.t.Fatal(err)
	}
}

// die ends a holder; if it was in another process, its leases end too.
func (w *walker) die(node int) {
	h, _ := w.holder(node)
	if end := w.locals[h]; end != nil {
		w.leases = slices.DeleteFunc(w.leases, func(l leased) bool {
			if l.holder == h {
				l.lease.Release()
			}
			return l.holder == h
		})
		end()
		w.connect(node)
	}
	w.stores[node].DropHolder(h)
	for _, k := range w.blobs {
		delete(k.refs[node], h)
	}
}

func (w *walker) copy(node int) {
	i := w.pick()
	if i < 0 {
		return
	}
	refs := w.blobs[i].refs
	h := Holder("fetched")
	l, err := w.fetch[node].Fetch(ctx, h, w.blobs[i].ref, []string{w.addr[1-node]}, View)
	if w.expect(err, len(refs[0])+len(refs[1]) > 0 || w.blobs[i].ref.Size == 0) {
		refs[node][h]++
		w.leases = append(w.leases, leased{lease: l, blob: i, mode: View, holder: h})
	}
	if w.rnd.IntN(3) == 0 {
		w.stores[node].DropHolder(h)
		for _, k := range w.blobs {
			delete(k.refs[node], h)
		}
	}
}

func (w *walker) release(int) {
	if len(w.leases) == 0 {
		return
	}
	i := w.rnd.IntN(len(w.leases))
	w.leases[i].lease.Release()
	if s := w.spaces[0][w.leases[i].holder]; s != nil {
		w.settle(0, w.leases[i].holder)
	}
	w.leases = slices.Delete(w.leases, i, i+1)
}

// scribble writes into a private lease; from then on only others are looked at.
func (w *walker) scribble(int) {
	for i := range w.leases {
		if l := &w.leases[i]; l.mode == Private && !l.dirty {
			clear(l.lease.Bytes())
			l.dirty = true
			return
		}
	}
}

// look compares every lease with what its blob was made of, and asks the stores.
func (w *walker) look() {
	for _, l := range w.leases {
		if k := w.blobs[l.blob]; !l.dirty && !bytes.Equal(l.lease.Bytes(), content(k.seed, int(k.ref.Size))) {
			w.t.Fatalf("a reader of %v sees other bytes", k.ref.Blob)
		}
	}
	for i, s := range w.stores {
		check(w.t, s)
		here := 0
		for _, k := range w.blobs {
			if len(k.refs[i]) > 0 {
				here++
			}
		}
		if n := s.Stats().Blobs; n != here {
			w.t.Fatalf("node %d has %d blobs, and should have %d", i, n, here)
		}
	}
}

var steps = []struct {
	name string
	do   func(*walker, int)
	odds int
}{
	{"put", (*walker).put, 5}, {"build", (*walker).build, 2}, {"open", (*walker).open, 6}, {"hold", (*walker).hold, 2},
	{"drop", (*walker).drop, 4}, {"die", (*walker).die, 1}, {"copy", (*walker).copy, 3}, {"release", (*walker).release, 7},
	{"scribble", (*walker).scribble, 1},
}

func TestRandomWalks(t *testing.T) {
	var deck []int
	for i, s := range steps {
		for range s.odds {
			deck = append(deck, i)
		}
	}
	for seed := range uint64(6) {
		t.Run(fmt.Sprint(seed), func(t *testing.T) {
			w := newWalker(t, seed)
			defer func() {
				if t.Failed() {
					t.Log("the last steps:", w.trace[max(0, len(w.trace)-30):])
				}
				for _, l := range w.leases {
					l.lease.Release()
				}
				for _, b := range w.builds {
					b.Abort()
				}
			}()
			for range 150 {
				s := steps[deck[w.rnd.IntN(len(deck))]]
				node := w.rnd.IntN(2)
				w.trace = append(w.trace, fmt.Sprint(s.name, node))
				s.do(w, node)
				w.look()
			}
			if st := w.stores[0].Stats(); st.Spilled == 0 && w.stores[1].Stats().Spilled == 0 && st.Blobs > 10 {
				t.Errorf("nothing was ever spilled: %+v", st)
			}
		})
	}
}
