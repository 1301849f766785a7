package wire

import "github.com/tutti-hpc/tutti"

// inbox is the receiving half of a link: it puts frames in order, once each, and holds messages
// until Recv takes them. Plain data without a clock; Link.mu guards it.
type inbox struct {
	received uint64 // every number up to here has arrived
	bytes    uint64 // the sizes of those messages
	queue    []Message
	fin      bool // the peer's fin arrived in its turn: nothing follows
	window   Window

	ahead      map[uint64]Frame // arrived beyond a gap
	aheadBytes uint64
	duplicates uint64 // for the statistics

	told ackState // as last told to the peer
}

// errOverrun is a peer that sends what it has no credit for: it could fill our memory.
func errOverrun() error {
	return tutti.Errorf("receive", tutti.Corrupt, "%w: more was sent than credit allows", errTerms)
}

// verdict is what put found out about a frame.
type verdict uint8

const (
	inOrder   verdict = iota // the queue has grown
	duplicate                // had it already: the peer must have missed an ack
	gapped                   // something before it is missing
)

// put takes in a data frame or a fin. Consumed and consumedBytes are what Recv has taken so far.
func (in *inbox) put(f *Frame, reliable bool, consumed, consumedBytes uint64) (verdict, error) {
	if f.Seq <= in.received || in.ahead[f.Seq].Type != 0 {
		in.duplicates++
		return duplicate, nil
	}
	if f.Seq > in.received+1 {
		if reliable {
			return gapped, tutti.Errorf("receive", tutti.Corrupt, "message %d came after %d", f.Seq, in.received)
		}
		// One more than the window for the fin, which needs no credit.
		if f.Seq > consumed+uint64(in.window.Messages)+1 {
			return gapped, errOverrun()
		}
		return gapped, in.keep(f, consumed, consumedBytes)
	}
	if err := in.accept(f, consumed, consumedBytes); err != nil {
		return inOrder, err
	}
	for len(in.ahead) > 0 {
		next, ok := in.ahead[in.received+1]
		if !ok {
			break
		}
		delete(in.ahead, next.Seq)
		in.aheadBytes -= frameWeight(&next)
		if err := in.accept(&next, consumed, consumedBytes); err != nil {
			return inOrder, err
		}
	}
	return inOrder, nil
}

// keep holds a frame that came too early.
func (in *inbox) keep(f *Frame, consumed, consumedBytes uint64) error {
	if in.ahead == nil {
		in.ahead = map[uint64]Frame{}
	}
	w := frameWeight(f)
	// The first kept may be one large message that is alone under way but for what is missing.
	if len(in.ahead) > 0 && in.bytes+in.aheadBytes+w-consumedBytes > uint64(in.window.Bytes) {
		return errOverrun()
	}
	in.ahead[f.Seq] = *f
	in.aheadBytes += w
	return nil
}

// accept appends the next message in order to the queue.
func (in *inbox) accept(f *Frame, consumed, consumedBytes uint64) error {
	if in.fin {
		return tutti.Errorf("receive", tutti.Corrupt, "%w: a message after the end", errTerms)
	}
	in.received++
	if f.Type == FrameFin {
		in.fin = true
		return nil
	}
	m := Message{Kind: f.Kind, Header: f.Header, Payload: f.Payload}
	in.bytes += m.size()
	under := in.received - consumed
	if under > uint64(in.window.Messages) || under > 1 && in.bytes-consumedBytes > uint64(in.window.Bytes) {
		return errOverrun()
	}
	in.queue = append(in.queue, m)
	return nil
}

func frameWeight(f *Frame) uint64 {
	if f.Type == FrameFin {
		return 0
	}
	return uint64(len(f.Header)+len(f.Payload)) + messageCost
}

// state is what an ack would tell now; it notes that it was told.
func (in *inbox) state(consumed, consumedBytes uint64) ackState {
	a := ackState{received: in.received, consumed: min(consumed, in.received), consumedBytes: consumedBytes}
	for n := range in.ahead {
		if a.ahead == 0 || n < a.ahead {
			a.ahead = n
		}
	}
	in.told = a
	return a
}

// untold reports whether there is news for the peer, and whether so much that it should not wait:
// a quarter of the window keeps a busy sender going and costs few acks.
func (in *inbox) untold(consumed, consumedBytes uint64) (any, urgent bool) {
	arrived, taken := in.received-in.told.received, consumed-in.told.consumed
	quarter := uint64(max(1, in.window.Messages/4))
	urgent = arrived >= quarter || taken >= quarter || consumedBytes-in.told.consumedBytes >= uint64(max(1, in.window.Bytes/4))
	return arrived > 0 || taken > 0, urgent
}
