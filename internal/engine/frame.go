package engine

import (
	"encoding/binary"
	"io"

	"github.com/tutti-hpc/tutti"
)

// Between agent and engine messages travel as frames: length of the rest (4, little endian),
// kind (2), body. The bodies are msgpack, so that an engine in another language can read them.

const (
	frameHead = 6
	// maxFrame bounds what a reader will allocate: both ends put large values into blobs.
	maxFrame = 256 << 20
	// keepBuffer is the size of a buffer that is not let go after a large frame.
	keepBuffer = 64 << 10
)

// The kinds of messages. New ones go to the end of their half.
const (
	kindRuns     uint16 = 1 // agent: runs
	kindCancel   uint16 = 2 // agent: stop a run
	kindTakeBack uint16 = 3 // agent: runs that may be given back
	kindPing     uint16 = 4 // agent: still there?
	kindStacks   uint16 = 5 // agent: what are you doing?
	kindCredit   uint16 = 6 // agent: so many bytes of output were dealt with
	kindStop     uint16 = 7 // agent: finish and end
	kindLost     uint16 = 8 // agent: a rank of a run's world has ended badly

	kindReady     uint16 = 16
	kindResults   uint16 = 17 // a wire.Done
	kindStarted   uint16 = 18 // a wire.RunStart
	kindGivenBack uint16 = 19 // a wire.Runs
	kindOutput    uint16 = 20 // a wire.Output
	kindDisplay   uint16 = 21 // a wire.Display
	kindPong      uint16 = 22
	kindStackText uint16 = 23
)

// frameReader cuts a stream into frames. Not for concurrent use.
type frameReader struct {
	r          io.Reader
	buf        []byte
	start, end int // what has been read and not yet been given out
}

func newFrameReader(r io.Reader) *frameReader {
	return &frameReader{r: r, buf: make([]byte, keepBuffer)}
}

// next blocks for a frame. The body is valid until the next call. At the end of the stream
// between two frames the error is io.EOF; bytes that cannot be frames are of kind Corrupt.
func (f *frameReader) next() (kind uint16, body []byte, err error) {
	if err := f.fill(4); err != nil {
		return 0, nil, err
	}
	n := int(binary.LittleEndian.Uint32(f.buf[f.start:]))
	if n < 2 || n > maxFrame {
		return 0, nil, tutti.Errorf("read frame", tutti.Corrupt, "a frame of %d bytes", n)
	}
	if err := f.fill(4 + n); err != nil {
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return 0, nil, err
	}
	b := f.buf[f.start+4 : f.start+4+n]
	f.start += 4 + n
	return binary.LittleEndian.Uint16(b), b[2:len(b):len(b)], nil
}

// fill reads until n bytes lie at start.
func (f *frameReader) fill(n int) error {
	for f.end-f.start < n {
		if f.end == len(f.buf) || f.start == f.end {
			f.makeRoom(n)
		}
		m, err := f.r.Read(f.buf[f.end:])
		f.end += m
		if m == 0 && err != nil {
			if err == io.EOF && f.end > f.start {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
	return nil
}

// makeRoom moves what is left to the front of the buffer, which grows by doubling, only as bytes
// really come in, so that a lie about the length costs its author as much as us.
func (f *frameReader) makeRoom(n int) {
	have := f.buf[f.start:f.end]
	to := f.buf
	switch {
	case len(have) == len(to):
		to = make([]byte, min(n, 2*len(to)))
	case len(have) == 0 && len(to) > keepBuffer && n <= keepBuffer:
		to = make([]byte, keepBuffer)
	}
	f.end = copy(to, have)
	f.start, f.buf = 0, to
}

// appendFrame begins a frame at the end of b; endFrame, given the length of b before, completes it.
func appendFrame(b []byte, kind uint16) []byte {
	b = append(b, 0, 0, 0, 0)
	return binary.LittleEndian.AppendUint16(b, kind)
}

func endFrame(b []byte, at int) { binary.LittleEndian.PutUint32(b[at:], uint32(len(b)-at-4)) }
