package engine

import (
	"bytes"
	"encoding/binary"
	"io"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// read takes in what the interpreter says until the stream ends, and says why it did.
func (p *pyProcess) read() error {
	b := make([]byte, keepBuffer)
	have := 0
	for {
		n, err := p.conn.Read(b[have:])
		have += n
		at := 0
		for have-at >= pyHead {
			size := int(binary.LittleEndian.Uint32(b[at:]))
			if size > maxFrame {
				return tutti.Errorf("read frame", tutti.Corrupt, "a frame of %d bytes", size)
			}
			if have-at < pyHead+size {
				break
			}
			if err := p.take(b[at:at+pyHead], b[at+pyHead:at+pyHead+size]); err != nil {
				return err
			}
			at += pyHead + size
		}
		have = copy(b, b[at:have])
		if have == len(b) {
			b = append(b, make([]byte, len(b))...)
		}
		if err != nil {
			if err == io.EOF && have > 0 {
				err = io.ErrUnexpectedEOF
			}
			return err
		}
	}
}

// take sees to one frame.
func (p *pyProcess) take(head, body []byte) error {
	number := binary.LittleEndian.Uint64(head[8:])
	switch kind := binary.LittleEndian.Uint16(head[4:]); kind {
	case pyResults:
		return p.collectResults(nil, p.board.head.Load)
	case pyLarge:
		return p.collectResults(bytes.Clone(body), p.board.head.Load)
	case pyReady:
		p.speak.Lock()
		p.sink(Ready{Pid: p.pid})
		p.handOver()
		p.speak.Unlock()
		p.mu.Lock()
		p.ready = true
		p.give()
		p.mu.Unlock()
		return nil
	case pyDisplay:
		return p.show(number, bytes.Clone(body))
	case pySetup:
		p.rt.remember(p.spec.Engine, body)
		return nil
	default:
		return tutti.Errorf("read message", tutti.Corrupt, "unknown kind %d", kind)
	}
}

// collectResults empties the ring as far as filled says, then takes in large, a record that came by
// the socket, and tells the ends of runs. What a run has printed was told before: the interpreter
// goes on only when its pipes are empty.
func (p *pyProcess) collectResults(large []byte, filled func() uint64) error {
	p.speak.Lock()
	defer p.speak.Unlock()
	list, err := p.emptyRing(filled())
	if err == nil && large != nil {
		var r pyRecord
		if r, _, err = readPyRecord(large); err == nil {
			list, err = p.endOf(list, &r)
		}
	}
	for i := range list {
		p.endStreams(list[i].Run)
	}
	if len(list) > 0 {
		p.sink(Results{list})
	}
	p.mu.Lock()
	p.give()
	p.mu.Unlock()
	return err
}

// emptyRing takes records out of the ring up to head; speak is held.
func (p *pyProcess) emptyRing(head uint64) (list []wire.Result, err error) {
	tail := p.board.tail.Load()
	if head-tail > pyRingSize {
		return nil, tutti.Errorf("read result", tutti.Corrupt, "%d bytes in the ring", head-tail)
	}
	for tail != head {
		at := int(tail % pyRingSize)
		if pyRingSize-at < pyRecordHead { // no room for a record, nor for saying so
			tail += uint64(pyRingSize - at)
			continue
		}
		most := min(int(head-tail), pyRingSize-at)
		r, n, err := readPyRecord(p.ring[at : at+most])
		if err != nil {
			return list, err
		}
		if r.form == pySkip {
			n = pyRingSize - at
		} else if list, err = p.endOf(list, &r); err != nil {
			return list, err
		}
		if tail += uint64(n); int64(head-tail) < 0 {
			return list, tutti.Errorf("read result", tutti.Corrupt, "a record beyond the ring's end")
		}
	}
	p.board.tail.Store(tail)
	return list, nil
}

// endOf makes the end of a run of a record. One that nobody waits for is not ours.
func (p *pyProcess) endOf(list []wire.Result, r *pyRecord) ([]wire.Result, error) {
	p.mu.Lock()
	first := p.queue.first()
	mine := first != nil && first.turn == r.turn
	if r.ending == pyDropped {
		if mine { // it had looked as if it had begun
			p.queue.dropped()
		}
		p.mu.Unlock()
		return list, nil
	}
	if !mine {
		p.mu.Unlock()
		return list, tutti.Errorf("read result", tutti.Corrupt, "of turn %d, which is nobody's", r.turn)
	}
	run := p.queue.shift()
	run.fn.calls--
	run.fn.learn(time.Duration(r.took))
	p.mu.Unlock()
	res := wire.Result{Run: run.ID, Ending: r.ending, Engine: p.spec.Engine, Started: r.started, Took: r.took}
	var err error
	if r.ending == Succeeded {
		res.Value, err = r.value(r.body)
		return append(list, res), err
	}
	fail, value, err := r.failure("call " + run.fn.name)
	if err != nil {
		return list, err
	}
	if run.asked {
		res.Ending = WasCanceled
		stack := fail.Stack
		fail = stopped(run.timeout)
		fail.Stack = stack
	}
	res.Value = value
	res.Fail = p.pack(fail, &run)
	return append(list, res), nil
}

// pack says where an error happened.
func (p *pyProcess) pack(e *tutti.Error, r *pyRun) *wire.Failure {
	e.Task, e.Engine, e.Host = r.ID.Task, p.spec.Engine, p.spec.Host
	if r.World != nil {
		e.Rank = r.World.Rank
	}
	return pack(e)
}

// show passes on something to look at, when what was printed before was dealt with.
func (p *pyProcess) show(turn uint64, b []byte) error {
	bad := tutti.Errorf("read display", tutti.Corrupt, "%d bytes", len(b))
	if len(b) < 2 {
		return bad
	}
	n := int(binary.LittleEndian.Uint16(b))
	if len(b) < 3+n {
		return bad
	}
	d := wire.Display{Engine: p.spec.Engine, MIME: string(b[2 : 2+n]), Run: p.runOf(turn)}
	v := pyRecord{form: b[2+n], codec: tutti.RawUint8}
	value, err := v.value(b[3+n:])
	if err != nil {
		return err
	}
	d.Value = value
	if p.credit.wait() {
		p.credit.use(len(value.Data))
	}
	p.speak.Lock()
	defer p.speak.Unlock()
	p.sink(Display{d})
	return nil
}

// runOf names the run that has a turn, zero if it has ended.
func (p *pyProcess) runOf(turn uint64) tutti.RunID {
	p.mu.Lock()
	defer p.mu.Unlock()
	if r := p.queue.turn(turn); r != nil {
		return r.ID
	}
	return tutti.RunID{}
}
