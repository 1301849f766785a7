package blob

import (
	"encoding/binary"
	"errors"
	"math"
	"os"
	"strings"

	"github.com/tutti-hpc/tutti"
)

// The protocol between a store and another process of its node. Both sides send messages over a
// Unix stream socket: 72 bytes, little endian, then text where there is some.
//
//	0  kind      what it is
//	1  flags     bit 0: a descriptor comes with the first byte
//	2  version   of the protocol
//	4  text      how many bytes follow
//	8  call      the number of the question; its answer has the same
//	16 handle    names a lease or a builder
//	24 segment   names what the descriptor is of, 0 for a file that is not to be kept
//	32 offset    of the blob's bytes in the segment
//	40 size      of the blob
//	48 node, 52 life, 56 n   the blob's name
//	64 sum       its CRC-32C, 0 if not known
//	68 nothing
//
// The peer asks (open, create, seal, hold) and is answered, by result or failure; it tells (abort,
// release, drop) and is not. A descriptor comes once for each segment, before or with the first
// answer that names it; the peer keeps it, and its mappings, until it is told to forget the
// segment.
const (
	messageSize = 72
	maxText     = 4096
	version     = 1
)

type kind uint8

const (
	kindOpen    kind = iota + 1 // blob -> handle of a lease, segment, offset, size
	kindCreate                  // size -> handle of a builder, segment, offset, size
	kindSeal                    // handle -> blob
	kindHold                    // blob -> blob
	kindAbort                   // handle
	kindRelease                 // handle
	kindDrop                    // blob
	kindResult                  // to the peer: the answer
	kindFailure                 // to the peer: the answer's error, as text; with call 0 the connection ends
	kindForget                  // to the peer: segment is no more
	kindEnd
)

// message is one of them; what a kind has no use for is zero.
type message struct {
	kind   kind
	call   uint64
	handle uint64
	seg    uint64
	off    int64
	ref    tutti.Ref
	text   string
	file   *os.File // what comes along, nil if nothing does
}

// brings reports whether the result of this question says where bytes lie.
func (m *message) brings() bool { return m.kind == kindOpen || m.kind == kindCreate }

// appendTo encodes m without its file.
func (m *message) appendTo(b []byte) []byte {
	text := m.text[:min(len(m.text), maxText)]
	var flags byte
	if m.file != nil {
		flags = 1
	}
	le := binary.LittleEndian
	b = append(b, byte(m.kind), flags)
	b = le.AppendUint16(b, version)
	b = le.AppendUint32(b, uint32(len(text)))
	b = le.AppendUint64(b, m.call)
	b = le.AppendUint64(b, m.handle)
	b = le.AppendUint64(b, m.seg)
	b = le.AppendUint64(b, uint64(m.off))
	b = le.AppendUint64(b, uint64(m.ref.Size))
	b = le.AppendUint32(b, uint32(m.ref.Blob.Node))
	b = le.AppendUint32(b, m.ref.Blob.Life)
	b = le.AppendUint64(b, m.ref.Blob.N)
	b = le.AppendUint64(b, uint64(m.ref.Sum))
	return append(b, text...)
}

// parseMessage reads the message at the beginning of b and says how long it is, 0 if b has only
// a part of it. hasFile says that a descriptor belongs to it. Errors: Corrupt, Version.
func parseMessage(b []byte) (m message, hasFile bool, n int, err error) {
	if len(b) < messageSize {
		return message{}, false, 0, nil
	}
	le := binary.LittleEndian
	text := int(min(le.Uint32(b[4:]), maxText+1))
	size := le.Uint64(b[40:])
	off := le.Uint64(b[32:])
	switch {
	case le.Uint16(b[2:]) != version:
		return message{}, false, 0, tutti.Errorf("read blob message", tutti.Version, "peer speaks version %d, we %d", le.Uint16(b[2:]), version)
	case b[0] == 0 || kind(b[0]) >= kindEnd, b[1] > 1, text > maxText, le.Uint32(b[68:]) != 0, size > math.MaxInt64, off > math.MaxInt64:
		return message{}, false, 0, tutti.Errorf("read blob message", tutti.Corrupt, "kind %d, flags %d, %d bytes from %d, text of %d", b[0], b[1], size, off, text)
	case len(b) < messageSize+text:
		return message{}, false, 0, nil
	}
	return message{
		kind: kind(b[0]), call: le.Uint64(b[8:]), handle: le.Uint64(b[16:]), seg: le.Uint64(b[24:]), off: int64(off),
		ref: tutti.Ref{Size: int64(size), Sum: le.Uint32(b[64:]), Blob: tutti.BlobID{
			Node: tutti.NodeID(le.Uint32(b[48:])), Life: le.Uint32(b[52:]), N: le.Uint64(b[56:])}},
		text: string(b[messageSize : messageSize+text]),
	}, b[1] == 1, messageSize + text, nil
}

// failure encodes an error: operation, kind, cause and hint, parted by zeros.
func failure(call uint64, err error) *message {
	op := "blob"
	cause := err
	var e *tutti.Error
	if errors.As(err, &e) {
		op, cause = e.Op, e.Err
	}
	text := ""
	if cause != nil {
		text = cause.Error()
	}
	// A long cause must not push the hint out.
	text = strings.ReplaceAll(text[:min(len(text), maxText/2)], "\x00", " ")
	return &message{kind: kindFailure, call: call, text: strings.Join([]string{op, tutti.KindOf(err).String(), text, tutti.HintOf(err)}, "\x00")}
}

// failed is the error that a failure carries.
func (m *message) failed() error {
	f := append(strings.SplitN(m.text, "\x00", 4), "", "", "", "")
	e := tutti.E(f[0], tutti.KindNamed(f[1]), nil)
	if f[2] != "" {
		e.Err = errors.New(f[2])
	}
	e.Hint = f[3]
	return e
}
