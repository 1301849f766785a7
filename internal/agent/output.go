package agent

import (
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// ringSize is how much of each stream of a run is kept until the run is acknowledged.
const ringSize = 1 << 20

// ring keeps the last of a stream.
type ring struct {
	data []byte // ends at end
	end  int64  // bytes printed so far
	over bool   // nothing follows
}

func (r *ring) add(offset int64, b []byte) {
	if offset != r.end { // a stream has no gaps: this is not its continuation
		return
	}
	r.data = append(r.data, b...)
	r.end += int64(len(b))
	if len(r.data) > 2*ringSize { // seldom enough to be cheap
		r.data = append(make([]byte, 0, 2*ringSize), r.data[len(r.data)-ringSize:]...)
	}
}

// from gives what is kept from an offset on, and where that begins.
func (r *ring) from(offset int64) (data []byte, at int64) {
	at = max(offset, r.end-int64(len(r.data)))
	at = min(at, r.end)
	return r.data[int64(len(r.data))-(r.end-at):], at
}

// creditor is who printed, and waits for what it may print further.
type creditor interface{ Credit(n int) }

// debt is credit that is not yet given.
type debt struct {
	to creditor
	n  int
}

const (
	// backlogLimit is how much may wait on the link before what prints has to wait.
	backlogLimit = 8 << 20
	// backlogLook is how often that is looked at meanwhile.
	backlogLook = 20 * time.Millisecond
)

// output passes on what a run has printed. What was printed outside of any run goes to the log.
func (a *Agent) output(from creditor, o wire.Output) {
	if r := a.runs[o.Run]; r != nil && (o.Stream == 1 || o.Stream == 2) {
		s := &r.printed[o.Stream-1]
		if r.gang != nil { // several engines print into one stream, as their words come
			o.Offset, o.End = s.end, false
		}
		s.add(o.Offset, o.Data)
		s.over = s.over || o.End
		a.post(wire.KindOutput, &o)
	} else if o.Run == (tutti.RunID{}) && len(o.Data) > 0 {
		a.log.Info("engine printed outside of any run", "text", string(o.Data))
	}
	a.lend(o.Run, from, len(o.Data))
}

// display passes on something to show. Its blob, if it is one, is kept for who looks at it.
func (a *Agent) display(e *engineState, d wire.Display) {
	a.blobs.adopt(e, d.Value.Ref)
	a.blobs.shown(d.Value.Ref)
	a.post(wire.KindDisplay, &d)
	a.lend(d.Run, e.proc, len(d.Value.Data))
}

// lend gives credit for n bytes of a run: as the link takes them, or, where a client hears them, as
// the controller says that he does.
func (a *Agent) lend(id tutti.RunID, to creditor, n int) {
	r := a.runs[id]
	if r == nil || r.work == nil || !r.work.Echo || r.state == ended || a.up.link == nil || n == 0 {
		a.owe(to, n)
		return
	}
	r.lent = append(r.lent, debt{to, n})
}

// credited takes in that a client has been told so many bytes of a run.
func (a *Agent) credited(m *wire.Credit) {
	r := a.runs[m.Run]
	if r == nil {
		return
	}
	for n := m.Bytes; n > 0 && len(r.lent) > 0; {
		d := &r.lent[0]
		k := min(n, d.n)
		d.to.Credit(k)
		n -= k
		if d.n -= k; d.n == 0 {
			r.lent = r.lent[1:]
		}
	}
	if len(r.lent) == 0 {
		r.lent = nil
	}
}

// payAll gives all credit that a run waits for: nobody will say any more that it is due.
func (r *run) payAll() {
	for _, d := range r.lent {
		d.to.Credit(d.n)
	}
	r.lent = nil
}

// owe gives credit for n bytes, at once if the link takes them, else when it does.
func (a *Agent) owe(to creditor, n int) {
	if n == 0 || to == nil {
		return
	}
	if len(a.owed) == 0 && a.linkTakes() {
		to.Credit(n)
		return
	}
	if len(a.owed) == 0 {
		a.after(backlogLook, a.payDebts)
	}
	a.owed = append(a.owed, debt{to, n})
}

func (a *Agent) linkTakes() bool { return a.up.link != nil && a.up.link.Backlog() < backlogLimit }

// payDebts gives the credit that is owed, when the link takes more.
func (a *Agent) payDebts() {
	if len(a.owed) == 0 {
		return
	}
	if !a.linkTakes() && !a.stopping {
		a.after(backlogLook, a.payDebts)
		return
	}
	for _, d := range a.owed {
		d.to.Credit(d.n)
	}
	a.owed = nil
}

// resendOutput tells a controller that comes back all that is kept of a run's output. It knows by
// the offsets what it has already.
func (r *run) resendOutput(a *Agent) {
	for i := range r.printed {
		s := &r.printed[i]
		data, at := s.from(0)
		for first := true; first && s.over || len(data) > 0; first = false {
			n := min(len(data), batchBytes)
			a.post(wire.KindOutput, &wire.Output{Run: r.id, Stream: uint8(i + 1), Offset: at, Data: data[:n], End: s.over && n == len(data)})
			data, at = data[n:], at+int64(n)
		}
	}
}
