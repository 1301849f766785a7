package engine

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"syscall"

	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// serve runs the engine: it says that it is ready and reads messages until the agent is gone or
// has asked it to stop. It returns when the worker has ended, or at once when the agent is gone:
// nobody would hear a result. Bytes that make no sense are an error of kind Corrupt.
func (l *loop) serve(r io.ReadCloser) error {
	go l.work()
	go l.watchRuns()
	b, at := l.out.open(kindReady)
	l.out.shut(msgp.AppendInt(b, os.Getpid()), at)
	l.out.flush()
	in := newFrameReader(r)
	var batch []queued
	for {
		kind, body, err := in.next()
		if err != nil {
			select {
			case <-l.done: // we closed r ourselves
				return nil
			default:
				return err
			}
		}
		switch kind {
		case kindRuns:
			if batch, err = l.readRuns(batch[:0], body); err == nil {
				l.queue.push(batch)
				clear(batch)
			}
		case kindStop:
			l.queue.close()
			go func() { // and go on reading: what is left may be cancelled
				<-l.done
				r.Close()
			}()
		default:
			err = l.control(kind, body)
		}
		if err != nil {
			return err
		}
	}
}

// readRuns reads a batch of runs, which share one copy of the message.
func (l *loop) readRuns(into []queued, body []byte) ([]queued, error) {
	s := scan{b: body}
	n := s.count()
	if n == 0 {
		return into, s.end()
	}
	block := newBlock(s.b, n)
	s.b = block.data
	before := &queued{}
	for range n {
		into = append(into, queued{block: block})
		q := &into[len(into)-1]
		s.run(q, before, l.find)
		if s.err != nil {
			return nil, s.err
		}
		before = q
	}
	return into, s.end()
}

// control handles the messages that are not runs; none of them waits for the worker.
func (l *loop) control(kind uint16, body []byte) error {
	s := scan{b: body}
	switch kind {
	case kindPing:
		l.out.frame(kindPong, body)
	case kindCancel:
		s.tuple(4)
		id, timeout := s.runID(), s.uint() != 0
		if s.end() == nil {
			l.cancel(id, timeout)
		}
	case kindTakeBack:
		var w wire.Runs
		if _, err := w.UnmarshalMsg(body); err != nil {
			return tutti.E("decode message", tutti.Corrupt, err)
		}
		l.giveBack(w.Runs)
	case kindStacks:
		seq := s.uint()
		if s.end() == nil {
			b := msgp.AppendUint64(nil, seq)
			l.out.frame(kindStackText, msgp.AppendString(b, stacks()))
		}
	case kindCredit:
		n := s.uint()
		if s.end() == nil {
			l.spending().credit(int64(n))
		}
	default:
		return tutti.Errorf("read message", tutti.Corrupt, "unknown kind %d", kind)
	}
	return s.err
}

// cancel stops a run: one that waits ends here, one in progress is told.
func (l *loop) cancel(id tutti.RunID, timeout bool) {
	for _, q := range l.queue.remove([]tutti.RunID{id}) {
		res := wire.Result{Run: id, Ending: WasCanceled, Engine: l.Engine, Fail: pack(l.place(stopped(timeout), &q))}
		q.block.release()
		l.out.result(&res)
		l.out.flush()
		return
	}
	if c := l.current.Load(); c != nil && c.id == id {
		c.cancel(timeout)
	}
}

// giveBack answers TakeBack with those that had not begun.
func (l *loop) giveBack(ids []tutti.RunID) {
	var back wire.Runs
	for _, q := range l.queue.remove(ids) {
		back.Runs = append(back.Runs, q.id)
		q.block.release()
	}
	b, at := l.out.open(kindGivenBack)
	b, _ = back.MarshalMsg(b)
	l.out.shut(b, at)
	l.out.flush()
}

// maxStacks bounds a picture of all goroutines.
const maxStacks = 4 << 20

func stacks() string {
	for n := 64 << 10; ; n *= 2 {
		b := make([]byte, n)
		if m := runtime.Stack(b, true); m < n || n >= maxStacks {
			return string(b[:m])
		}
	}
}

// display sends what is shown: it is the sink of the runs' contexts, and of the process for code
// that has no context of a run at hand.
func (l *loop) display(ctx context.Context, mime string, data []byte) error {
	c := runOf(ctx)
	if c == nil {
		c = l.current.Load()
	}
	d := wire.Display{Engine: l.Engine, MIME: mime}
	if c != nil {
		d.Run = c.id
	}
	d.Value = tutti.Value{Codec: tutti.RawUint8, Data: data}
	if len(data) > tutti.InlineLimit && l.blobs != nil {
		ref, err := blob.Put(ctx, l.blobs, data)
		if err != nil {
			return tutti.E("display", tutti.KindOf(err), err)
		}
		d.Value = tutti.Value{Codec: tutti.RawUint8, Ref: ref}
	}
	if err := l.spending().take(ctx, int64(len(d.Value.Data))); err != nil {
		return err
	}
	b, at := l.out.open(kindDisplay)
	b, _ = d.MarshalMsg(b)
	l.out.shut(b, at)
	l.out.flush()
	return nil
}

// spending is the credit from which displays are paid: that of all output where it is ours.
func (l *loop) spending() interface {
	credit(n int64)
	take(ctx context.Context, n int64) error
} {
	if l.capture != nil {
		return l.capture
	}
	return l.shown
}

// gone reports whether a stream ended because the other side is no more.
func gone(err error) bool {
	for _, e := range []error{
		io.EOF, io.ErrUnexpectedEOF, io.ErrClosedPipe, os.ErrClosed, net.ErrClosed, os.ErrDeadlineExceeded,
		syscall.ECONNRESET, syscall.EPIPE,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
