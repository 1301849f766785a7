package gateway

import (
	"encoding/json"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// EndSize is the size of the struct that tells the end of a task:
//
//	u64 number | u8 state | u8 codec | u16 flags | i32 engine | u32 attempt |
//	i64 started | i64 finished | u32 length of the payload        ns since 1970
const EndSize = 40

// What the flags of an end say of its payload: a failure is first, with its length before it, then
// the value, which may be a reference.
const (
	endHasRef  = 1 // the value is JSON of a tutti.Ref: it lies in a blob
	endHasFail = 2 // u32 length, JSON of a Failure, and then the value
)

const (
	// outLimit is how much may wait for a client that does not read before who brings more waits.
	outLimit = 8 << 20
	// endsLimit is when ends that were gathered become a frame.
	endsLimit = 1 << 20
)

// out is what goes to a client. Whoever adds writes too, if nobody does and the socket takes it;
// only what it does not take waits for the writer. So an end that comes alone costs no switch
// between goroutines.
type out struct {
	sock *net.UnixConn
	raw  interface {
		Write(f func(fd uintptr) bool) error
	}
	wake chan struct{} // the writer has something

	mu      sync.Mutex // guards what follows
	room    sync.Cond  // it has become less, or the end has come
	frames  []byte     // whole frames that wait
	ends    []byte     // structs of ends that are no frame yet
	values  []byte     // their payloads
	n       uint32     // how many they are
	writing bool       // somebody has taken frames, and will come back for more
	rest    []byte     // what the socket did not take, the writer's
	spare   []byte     // memory to be used again
	closed  bool
}

func (o *out) init(sock *net.UnixConn) error {
	raw, err := sock.SyscallConn()
	if err != nil {
		return tutti.E("serve client", tutti.Internal, err)
	}
	o.sock, o.raw, o.wake = sock, raw, make(chan struct{}, 1)
	o.room.L = &o.mu
	return nil
}

// waiting is how much has not been written; mu is held.
func (o *out) waiting() int { return len(o.frames) + len(o.ends) + len(o.values) + len(o.rest) }

// wait blocks while too much waits; false if the client has gone. mu is held.
func (o *out) wait() bool {
	for !o.closed && o.waiting() > outLimit {
		if !o.writing {
			o.begin()
		}
		o.room.Wait()
	}
	return !o.closed
}

// settle adds the end of a task.
func (o *out) settle(n uint64, end *wire.Outcome) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if !o.wait() {
		return
	}
	o.ends, o.values = appendEnd(o.ends, o.values, n, end)
	if o.n++; len(o.ends)+len(o.values) > endsLimit {
		o.seal()
	}
}

// appendEnd adds the struct of an end to ends, and its payload to values.
func appendEnd(ends, values []byte, n uint64, o *wire.Outcome) (_, _ []byte) {
	var flags uint16
	from := len(values)
	if o.State != tutti.Done {
		flags |= endHasFail
		text, _ := json.Marshal(failureOfEnd(o)) // strings and numbers
		values = le.AppendUint32(values, uint32(len(text)))
		values = append(values, text...)
	}
	if o.Value.Ref.IsZero() {
		values = append(values, o.Value.Data...)
	} else {
		flags |= endHasRef
		text, _ := json.Marshal(o.Value.Ref)
		values = append(values, text...)
	}
	ends = le.AppendUint64(ends, n)
	ends = append(ends, byte(o.State), byte(o.Value.Codec))
	ends = le.AppendUint16(ends, flags)
	ends = le.AppendUint32(ends, uint32(o.Engine))
	ends = le.AppendUint32(ends, uint32(o.Attempt))
	ends = le.AppendUint64(ends, uint64(o.Started))
	ends = le.AppendUint64(ends, uint64(o.Finished))
	ends = le.AppendUint32(ends, uint32(len(values)-from))
	return ends, values
}

// seal makes a frame of the ends that were gathered; mu is held.
func (o *out) seal() {
	if o.n == 0 {
		return
	}
	b, at := beginFrame(o.frames, kindOutcomes)
	b = le.AppendUint32(b, o.n)
	b = append(b, o.ends...)
	b = append(b, o.values...)
	o.frames = endFrame(b, at)
	o.ends, o.values, o.n = o.ends[:0], o.values[:0], 0
	if cap(o.values) > 4*endsLimit {
		o.values = nil
	}
}

// frame adds a frame after all that was added before, and sends it. It waits for room if it may.
func (o *out) frame(patient bool, add func(b []byte) []byte) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if patient && !o.wait() || o.closed {
		return
	}
	o.seal()
	o.frames = add(o.frames)
	o.begin()
}

// json adds a frame that is JSON alone, without waiting.
func (o *out) json(kind uint16, v any) {
	o.frame(false, func(b []byte) []byte { return appendJSON(b, kind, v) })
}

// flush sends what was gathered.
func (o *out) flush() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.begin()
}

// begin writes what waits if nobody is writing; mu is held, but not while the socket is asked.
func (o *out) begin() {
	for !o.writing && !o.closed {
		if o.seal(); len(o.frames) == 0 {
			return
		}
		o.writing = true
		b := o.take()
		o.mu.Unlock()
		n, err := o.try(b)
		o.mu.Lock()
		switch {
		case err != nil || o.closed:
			o.writing = false
			o.lose()
		case n < len(b):
			o.rest = b[n:]
			o.wake <- struct{}{} // its one place is free: the writer has nothing
		default:
			o.writing = false
			o.spare = b[:0]
			o.room.Broadcast()
		}
	}
}

// take gives what waits to be written; mu is held.
func (o *out) take() []byte {
	b := o.frames
	o.frames, o.spare = o.spare[:0], nil
	if cap(o.frames) > keepRoom {
		o.frames = nil
	}
	return b
}

// try writes what the socket takes at once.
func (o *out) try(b []byte) (n int, err error) {
	failed := o.raw.Write(func(fd uintptr) bool {
		for n < len(b) {
			var k int
			if k, err = unix.Write(int(fd), b[n:]); err == unix.EINTR {
				continue
			}
			if err != nil {
				break
			}
			n += k
		}
		return true
	})
	if err == unix.EAGAIN {
		err = nil
	}
	if err == nil {
		err = failed
	}
	return n, err
}

// write is the writer: it brings out what the socket did not take at once, and all that comes
// meanwhile, until the end.
func (o *out) write() {
	for range o.wake {
		o.mu.Lock()
		for o.rest != nil && !o.closed {
			b := o.rest
			o.mu.Unlock()
			_, err := o.sock.Write(b)
			o.mu.Lock()
			if err != nil {
				o.lose()
				break
			}
			if o.rest = nil; !o.closed {
				if o.seal(); len(o.frames) > 0 {
					o.rest = o.take()
				}
			}
			o.room.Broadcast()
		}
		over := o.closed
		o.writing = false
		o.room.Broadcast()
		o.mu.Unlock()
		if over {
			return
		}
	}
}

// lose gives up what waits: nobody reads it any more. What the client has sent before it went is
// still read. mu is held.
func (o *out) lose() {
	o.closed = true
	o.frames, o.ends, o.values, o.n, o.rest = nil, nil, nil, 0, nil
	o.room.Broadcast()
}

// end gives everything up; mu is held.
func (o *out) end() {
	o.lose()
	o.sock.Close() // its reader notices
}

// lastTime is how long a client may take to read the last words.
const lastTime = 2 * time.Second

// finish ends it when what was added before has gone out, or nobody reads it.
func (o *out) finish() {
	_ = o.sock.SetWriteDeadline(time.Now().Add(lastTime)) // the writer gives up then
	o.mu.Lock()
	defer o.mu.Unlock()
	for !o.closed && (o.writing || o.waiting() > 0) {
		if o.begin(); o.writing {
			o.room.Wait()
		}
	}
	o.end()
}

// close ends the writer when nobody adds any more.
func (o *out) close() {
	o.mu.Lock()
	o.end()
	o.mu.Unlock()
	close(o.wake)
}
