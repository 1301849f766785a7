package engine

import (
	"bytes"
	"encoding/binary"
	"io"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// frames encodes one frame of each kind that an agent sends.
func frames() []byte {
	var out bytes.Buffer
	s := newSession(Spec{}, &out, nil)
	s.Send([]Run{
		{ID: id(1), Serial: 1, Func: "test.double", Args: packArgs(tutti.Arg{Value: tutti.Value{Codec: tutti.CBOR, Data: []byte{7}}})},
		{ID: id(2), Serial: 2, Func: "test.double", World: &World{Name: "w", Rank: 1, Engines: []tutti.EngineID{1, 2}}, GPUs: []string{"1"}, Threads: 2,
			Deps: []wire.DepValue{{Task: 9, Value: tutti.Value{Codec: tutti.CBOR, Data: []byte{7}}}}},
	})
	s.Cancel(id(1), true)
	s.TakeBack([]tutti.RunID{id(2)})
	s.Credit(100)
	s.tell(kindPing, msgp.AppendUint64(nil, 3))
	s.tell(kindStacks, msgp.AppendUint64(nil, 4))
	s.out.flush()
	return out.Bytes()
}

// Frames come out of the reader as they went in, however the stream is cut.
func TestFrames(t *testing.T) {
	stream := frames()
	stream = append(appendFrame(stream, kindRuns), bytes.Repeat([]byte{1}, 300_000)...)
	endFrame(stream, len(stream)-300_000-frameHead)
	for _, piece := range []int{1, 3, 1000, 1 << 20} {
		r := newFrameReader(&pieces{b: stream, n: piece})
		n, last := 0, 0
		for {
			_, body, err := r.next()
			if err == io.EOF {
				break
			}
			if err != nil {
				t.Fatal(err)
			}
			n, last = n+1, len(body)
		}
		if n != 7 || last != 300_000 {
			t.Errorf("in pieces of %d: %d frames, the last of %d bytes", piece, n, last)
		}
	}
	for _, bad := range [][]byte{{1, 0, 0, 0, 0}, {0xff, 0xff, 0xff, 0xff, 0}} {
		if _, _, err := newFrameReader(bytes.NewReader(bad)).next(); tutti.KindOf(err) != tutti.Corrupt {
			t.Errorf("% x: %v", bad, err)
		}
	}
	if _, _, err := newFrameReader(bytes.NewReader(stream[:50])).next(); err != io.ErrUnexpectedEOF {
		t.Errorf("a frame that is cut: %v", err)
	}
}

// pieces is a reader that gives n bytes at a time.
type pieces struct {
	b []byte
	n int
}

func (p *pieces) Read(into []byte) (int, error) {
	if len(p.b) == 0 {
		return 0, io.EOF
	}
	n := copy(into, p.b[:min(p.n, len(p.b))])
	p.b = p.b[n:]
	return n, nil
}

// FuzzEngine feeds an engine with bytes: it answers with an error, or serves what makes sense.
func FuzzEngine(f *testing.F) {
	f.Add(frames())
	f.Add(frames()[:40])
	f.Add(binary.LittleEndian.AppendUint32(nil, 6))
	f.Fuzz(func(t *testing.T, b []byte) {
		toAgent := newPipe()
		go func() { _, _ = io.Copy(io.Discard, toAgent) }()
		defer toAgent.Close()
		l := newLoop(identity{}, newSender(toAgent), new(board), nil)
		if err := l.serve(io.NopCloser(bytes.NewReader(b))); err == nil {
			t.Error("a stream without a stop ended well")
		}
		l.queue.abandon()
		if c := l.current.Load(); c != nil {
			c.cancel(false)
		}
		select {
		case <-l.done:
		case <-time.After(patience):
			t.Error("the worker does not end")
		}
	})
}

// FuzzAgent feeds an agent with bytes that claim to be an engine's.
func FuzzAgent(f *testing.F) {
	out := new(bytes.Buffer)
	s := newSender(out)
	s.result(&wire.Result{Run: id(1), Value: tutti.Value{Codec: tutti.CBOR, Data: []byte{7}}, Fail: &wire.Failure{Text: "x"}})
	s.frame(kindPong, msgp.AppendUint64(nil, 1))
	s.frame(kindStackText, msgp.AppendString(msgp.AppendUint64(nil, 1), "goroutine 1"))
	s.frame(kindReady, msgp.AppendInt(nil, 77))
	f.Add(out.Bytes())
	f.Fuzz(func(t *testing.T, b []byte) {
		s := newSession(Spec{}, io.Discard, func(Event) {})
		if s.read(bytes.NewReader(b)) == nil {
			t.Error("a stream ended without an error")
		}
	})
}

// What a Python interpreter puts into the ring is read without a panic, whatever it is.
func FuzzPythonRecord(f *testing.F) {
	f.Add(make([]byte, pyRecordHead))
	good := make([]byte, pyRecordHead+24)
	good[24], good[28], good[32], good[36], good[40] = 24, UserFailed, 3, 4, 1
	f.Add(good)
	f.Fuzz(func(t *testing.T, b []byte) {
		r, n, err := readPyRecord(b)
		if err != nil {
			return
		}
		if n < pyRecordHead || len(r.body) > len(b) {
			t.Fatalf("a record of %d bytes in %d", n, len(b))
		}
		_, _ = r.value(r.body)
		if e, _, err := r.failure("call f"); err == nil && e == nil {
			t.Fatal("neither an error nor why there is none")
		}
	})
}

// Arguments that come from anywhere are passed on or refused.
func FuzzPythonArguments(f *testing.F) {
	f.Add([]byte{0x91, 0x93, 0x93, 3, 0xc4, 1, 'x', 0xc0, 0, 0x90})
	f.Fuzz(func(t *testing.T, b []byte) {
		form, data, err := pyArguments(&Run{Args: b}, nil, 1)
		if err == nil && form == pyMixed && len(data) < 4 {
			t.Fatalf("%d bytes", len(data))
		}
	})
}
