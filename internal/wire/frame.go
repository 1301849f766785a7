package wire

import (
	"encoding/binary"

	"github.com/tutti-hpc/tutti"
)

// FrameType says what a frame is for.
type FrameType uint8

// The frame types. Their numbers are the protocol; new ones go to the end.
const (
	FrameHello   FrameType = 1 + iota // dialler to server: who I am, where I was
	FrameWelcome                      // server to dialler: the same, come in
	FrameRefuse                       // server to dialler: no, because
	FrameData                         // a message; Seq is its number
	FrameFin                          // no message follows; numbered like one
	FrameAck                          // what has arrived and what was consumed
	FramePing                         // an ack that wants a pong; Seq is the sender's clock
	FramePong                         // an ack that gives Seq back
	FrameAbort                        // the link ends here, without delivery, because
	frameTypes
)

// Frame is the unit that a [Conn] carries.
type Frame struct {
	Type    FrameType
	Kind    uint16 // of a message
	Seq     uint64
	Header  []byte
	Payload []byte
}

const (
	// frameHead is the length of the fixed part of an encoded frame: header length (4), payload
	// length (4), type (1), zero (1), kind (2), number (8), little endian. Header and payload follow.
	frameHead = 20
	// DefaultMaxFrame is the largest frame that is accepted unless told otherwise; what is
	// larger travels as a blob.
	DefaultMaxFrame = 64 << 20
	// helloLimit is the largest frame accepted from a peer that has not proved itself.
	helloLimit = 1 << 20
	// maxInfo is how much of that is for the layer above.
	maxInfo = helloLimit / 2
)

// Size is the number of bytes that the frame takes when encoded.
func (f *Frame) Size() int { return frameHead + len(f.Header) + len(f.Payload) }

// AppendFrame encodes f to the end of b.
func AppendFrame(b []byte, f *Frame) []byte {
	b = appendHead(b, f)
	b = append(b, f.Header...)
	return append(b, f.Payload...)
}

func appendHead(b []byte, f *Frame) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.Header)))
	b = binary.LittleEndian.AppendUint32(b, uint32(len(f.Payload)))
	b = append(b, byte(f.Type), 0)
	b = binary.LittleEndian.AppendUint16(b, f.Kind)
	return binary.LittleEndian.AppendUint64(b, f.Seq)
}

// decodeHead reads the fixed part, which must be complete, and gives the lengths of what follows.
// A frame above limit bytes is refused before anything is allocated for it.
func decodeHead(b []byte, limit int) (f Frame, header, payload int, err error) {
	h, p := binary.LittleEndian.Uint32(b), binary.LittleEndian.Uint32(b[4:])
	f.Type = FrameType(b[8])
	f.Kind = binary.LittleEndian.Uint16(b[10:])
	f.Seq = binary.LittleEndian.Uint64(b[12:])
	if f.Type == 0 || f.Type >= frameTypes || b[9] != 0 {
		return f, 0, 0, tutti.Errorf("read frame", tutti.Corrupt, "bytes that are no frame (type %d)", b[8])
	}
	if uint64(h)+uint64(p)+frameHead > uint64(limit) {
		return f, 0, 0, tutti.Errorf("read frame", tutti.Corrupt, "a frame of %d bytes exceeds the limit of %d", uint64(h)+uint64(p)+frameHead, limit)
	}
	return f, int(h), int(p), nil
}

// DecodeFrame reads one frame from the start of b and says how many bytes it took; 0 if b is the
// beginning of a frame that goes on. The frame has its own memory. Errors are of kind Corrupt.
func DecodeFrame(b []byte, limit int) (f Frame, n int, err error) {
	if len(b) < frameHead {
		return f, 0, nil
	}
	f, h, p, err := decodeHead(b, limit)
	if err != nil {
		return Frame{}, 0, err
	}
	n = frameHead + h + p
	if len(b) < n {
		return Frame{}, 0, nil
	}
	if h+p > 0 {
		body := make([]byte, h+p)
		copy(body, b[frameHead:n])
		f.split(body, h)
	}
	return f, n, nil
}

// split makes the first h bytes of body the header and the rest the payload.
func (f *Frame) split(body []byte, h int) {
	if h > 0 {
		f.Header = body[:h:h]
	}
	if h < len(body) {
		f.Payload = body[h:]
	}
}

// ackState is what acks, pings and pongs tell: it is cumulative, so any one of them can be lost.
type ackState struct {
	received      uint64 // every number up to here has arrived
	ahead         uint64 // the lowest number held beyond a gap, 0 if there is no gap
	consumed      uint64 // messages taken by Recv so far
	consumedBytes uint64 // their sizes
}

const ackLen = 32

func (a ackState) encode() []byte {
	b := make([]byte, 0, ackLen)
	for _, v := range [...]uint64{a.received, a.ahead, a.consumed, a.consumedBytes} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b
}

func decodeAck(b []byte) (a ackState, err error) {
	if len(b) < ackLen {
		return a, tutti.Errorf("read frame", tutti.Corrupt, "an acknowledgement of %d bytes", len(b))
	}
	for i, p := range [...]*uint64{&a.received, &a.ahead, &a.consumed, &a.consumedBytes} {
		*p = binary.LittleEndian.Uint64(b[8*i:])
	}
	return a, nil
}
