package gateway

import (
	"bufio"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"net"

	"github.com/tutti-hpc/tutti"
)

// The kinds of frames.
const (
	kindHello    = 1
	kindWork     = 2
	kindDropWork = 3
	kindTasks    = 4
	kindTask     = 5
	kindCancel   = 6
	kindForget   = 7
	kindAsk      = 8
	kindBye      = 9

	kindOutcomes = 32
	kindWelcome  = 33
	kindFail     = 34
	kindOutput   = 35
	kindAnswer   = 36
	kindDisplay  = 37
	kindEvent    = 38
	kindNotice   = 39
)

const (
	// Protocol is the version of the protocol, said by both sides when they meet.
	Protocol = 1
	// frameHead is the size of a frame's head.
	frameHead = 8
	// maxFrame bounds a frame's body, maxHello the first one's.
	maxFrame = 256 << 20
	maxHello = 1 << 20
	// keepRoom is how much memory a reader keeps between frames.
	keepRoom = 1 << 20
)

var le = binary.LittleEndian

// frames reads frames.
type frames struct {
	r     *bufio.Reader
	limit int
	room  []byte
}

func newFrames(r io.Reader) *frames {
	return &frames{r: bufio.NewReaderSize(r, 256<<10), limit: maxHello}
}

// next reads a frame. Its body is valid until the next call. The error is io.EOF between two frames,
// of kind Corrupt for what is no frame, and Lost for one that is cut off.
func (f *frames) next() (kind uint16, body []byte, err error) {
	head, err := f.r.Peek(frameHead)
	if err != nil {
		if len(head) == 0 && endOfStream(err) {
			return 0, nil, io.EOF
		}
		return 0, nil, tutti.Errorf("read frame", tutti.Lost, "it is cut off: %w", err)
	}
	size := le.Uint32(head)
	kind = le.Uint16(head[4:])
	if zero := le.Uint16(head[6:]); zero != 0 || uint64(size) > uint64(f.limit) {
		return 0, nil, tutti.Errorf("read frame", tutti.Corrupt, "a frame of %d bytes, flags %#x, where at most %d bytes and no flags are known", size, zero, f.limit)
	}
	_, _ = f.r.Discard(frameHead)
	if cap(f.room) > keepRoom && int(size) <= keepRoom {
		f.room = nil
	}
	if err := f.fill(int(size)); err != nil {
		return 0, nil, tutti.Errorf("read frame", tutti.Lost, "it is cut off: %w", err)
	}
	return kind, f.room, nil
}

// fillStep is how much memory is made for a frame before that much of it has come.
const fillStep = 16 << 20

// fill reads size bytes into room. A long frame has its memory as it comes: a length alone is no
// reason to believe it.
func (f *frames) fill(size int) error {
	f.room = f.room[:0]
	for len(f.room) < size {
		step := min(size-len(f.room), fillStep)
		from := len(f.room)
		if cap(f.room)-from < step {
			grown := make([]byte, from, min(size, max(from+step, 2*from)))
			copy(grown, f.room)
			f.room = grown
		}
		f.room = f.room[:from+step]
		if _, err := io.ReadFull(f.r, f.room[from:]); err != nil {
			return err
		}
	}
	return nil
}

// endOfStream reports whether an error of reading says no more than that the other side has gone.
func endOfStream(err error) bool {
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) || isReset(err)
}

// cursor takes a body apart. After a mistake everything it gives is zero.
type cursor struct {
	b   []byte
	bad bool
}

func (c *cursor) bytes(n uint64) []byte {
	if c.bad || n > uint64(len(c.b)) {
		c.bad, c.b = true, nil
		return nil
	}
	part := c.b[:n:n]
	c.b = c.b[n:]
	return part
}

func (c *cursor) u32() uint32 {
	if b := c.bytes(4); b != nil {
		return le.Uint32(b)
	}
	return 0
}

func (c *cursor) u64() uint64 {
	if b := c.bytes(8); b != nil {
		return le.Uint64(b)
	}
	return 0
}

// text reads a length and that many bytes of JSON, into into.
func (c *cursor) text(into any) error {
	data := c.bytes(uint64(c.u32()))
	if c.bad {
		return errShort
	}
	return parse(data, into)
}

var errShort = tutti.Errorf("read frame", tutti.Corrupt, "its body is shorter than it says")

// parse reads JSON. What is not JSON, or of other types, is an error of kind Corrupt.
func parse(data []byte, into any) error {
	if err := json.Unmarshal(data, into); err != nil {
		return tutti.Errorf("read frame", tutti.Corrupt, "%w", err)
	}
	return nil
}

// numbers reads a body that is a list of task numbers.
func numbers(body []byte) ([]uint64, error) {
	if len(body)%8 != 0 {
		return nil, tutti.Errorf("read frame", tutti.Corrupt, "%d bytes are no list of numbers", len(body))
	}
	ns := make([]uint64, len(body)/8)
	for i := range ns {
		ns[i] = le.Uint64(body[8*i:])
	}
	return ns, nil
}

// beginFrame appends the head of a frame whose length is not known yet, and endFrame fills it in.
func beginFrame(b []byte, kind uint16) (out []byte, at int) {
	at = len(b)
	return append(b, 0, 0, 0, 0, byte(kind), byte(kind>>8), 0, 0), at
}

func endFrame(b []byte, at int) []byte {
	le.PutUint32(b[at:], uint32(len(b)-at-frameHead))
	return b
}

// appendJSON appends a frame that is JSON alone. What v is has no values that JSON lacks.
func appendJSON(b []byte, kind uint16, v any) []byte {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	b, at := beginFrame(b, kind)
	return endFrame(append(b, data...), at)
}
