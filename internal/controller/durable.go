package controller

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"path/filepath"

	"github.com/fxamacker/cbor/v2"
	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/journal"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// The types of journal records. Their numbers are stored: never renumber, only add.
const (
	recLife       uint16 = 1  // lifeRecord: the controller has started
	recClient     uint16 = 2  // clientRecord
	recClientGone uint16 = 3  // clientRecord with ID only
	recNode       uint16 = 4  // nodeRecord
	recProgram    uint16 = 5  // programRecord
	recWork       uint16 = 6  // wire.Work: tasks name it by number
	recTask       uint16 = 7  // wire.Task, preceded by its TaskID; Work is the number in recWork
	recEnd        uint16 = 8  // wire.Outcome
	recDrop       uint16 = 9  // a TaskID: its record is gone
	recEngines    uint16 = 10 // enginesRecord: numbers below it have been given to engines
)

type lifeRecord struct {
	Life  string `cbor:"life"`
	Epoch uint32 `cbor:"epoch"`
}

type clientRecord struct {
	ID      tutti.ClientID `cbor:"id"`
	Secret  string         `cbor:"secret,omitempty"`
	Name    string         `cbor:"name,omitempty"`
	Program string         `cbor:"program,omitempty"`
	Keep    bool           `cbor:"keep,omitempty"`
}

type nodeRecord struct {
	Node tutti.NodeID `cbor:"node"`
}

type programRecord struct {
	Spec    wire.ProgramSpec `cbor:"spec"`
	PerNode int              `cbor:"per_node"`
	Down    bool             `cbor:"down,omitempty"`
}

type enginesRecord struct {
	Engines tutti.EngineID `cbor:"engines"`
}

// recorder is the loop's side of the journal. Without a journal everything is durable at once.
type recorder struct {
	c       *Controller
	j       *journal.Journal
	works   map[uint32]bool // whose description is in the journal
	pending []held          // what waits for a position, in order of positions
	late    []lateRecord    // what the disk would not take; appended when it does again
	trouble error           // why it would not
	sure    journal.Pos     // up to which all that waited was done
	since   int             // records since the last snapshot
	live    int             // durable tasks
	engines tutti.EngineID  // numbers below it have been given out
	snaps   chan error      // the end of a snapshot that is being written
	snapped bool            // one is being written
}

type held struct {
	pos  journal.Pos
	f    func()
	sure bool // not even while the disk is in trouble
}

type lateRecord struct {
	typ  uint16
	data []byte
}

// append adds a record; one that the disk does not take is kept until it does.
func (r *recorder) append(typ uint16, data []byte) {
	if r.j == nil {
		return
	}
	r.since++
	if len(r.late) == 0 {
		if pos, err := r.j.Append(typ, data); err == nil {
			r.c.cfg.Probe.asks(r.c, Appended, pos)
			return
		}
	}
	r.late = append(r.late, lateRecord{typ, data})
}

// appendCBOR is append for rare records.
func (r *recorder) appendCBOR(typ uint16, v any) {
	if r.j == nil {
		return
	}
	data, err := cbor.Marshal(v)
	if err != nil {
		panic(err) // our own plain structs
	}
	r.append(typ, data)
}

func (r *recorder) appendMsg(typ uint16, prefix []byte, m msgp.Marshaler) {
	if r.j == nil {
		return
	}
	data, err := m.MarshalMsg(prefix)
	if err != nil {
		panic(err) // our own plain structs
	}
	r.append(typ, data)
}

// idle reports whether nothing waits for the disk.
func (r *recorder) idle() bool { return r.j == nil || len(r.pending) == 0 && r.allCommitted() }

func (r *recorder) allCommitted() bool {
	ok, _ := r.j.Committed(r.j.Last())
	return ok && len(r.late) == 0
}

// after has f done when all that was appended is committed. While the disk is in trouble it is
// done at once: an end is told, and the agent that made it keeps it until it is durable.
func (r *recorder) after(f func()) { r.hold(f, false) }

// afterSure has f done when all that was appended is committed, however long that takes.
func (r *recorder) afterSure(f func()) { r.hold(f, true) }

func (r *recorder) hold(f func(), sure bool) {
	if r.idle() || r.trouble != nil && !sure {
		f()
		return
	}
	r.pending = append(r.pending, held{pos: r.j.Last() + journal.Pos(len(r.late)), f: f, sure: sure})
}

// committed is the channel on which the journal tells its progress, nil without one.
func (r *recorder) committed() <-chan journal.Progress {
	if r.j == nil {
		return nil
	}
	return r.j.Progress()
}

// progress does what waited for the disk, and notes its troubles.
func (r *recorder) progress(p journal.Progress) {
	if (p.Err != nil) != (r.trouble != nil) {
		kind, text := tutti.JournalWell, "durable work is accepted again"
		if p.Err != nil {
			kind, text = tutti.JournalTrouble, p.Err.Error()
		}
		r.c.cfg.Log.Warn("journal", "state", kind, "text", text)
		r.c.publish(tutti.Event{Kind: kind, Engine: tutti.NoEngine, Node: tutti.NoNode, Text: text})
	}
	if r.trouble = p.Err; r.trouble == nil {
		r.catchUp()
	}
	keep := r.pending[:0]
	for _, h := range r.pending {
		if h.pos <= p.Committed || r.trouble != nil && !h.sure {
			h.f()
		} else {
			keep = append(keep, h)
		}
	}
	r.pending, r.sure = keep, p.Committed
}

// catchUp appends what the disk had not taken.
func (r *recorder) catchUp() {
	for len(r.late) > 0 {
		if _, err := r.j.Append(r.late[0].typ, r.late[0].data); err != nil {
			return
		}
		r.late = r.late[1:]
	}
	r.late = nil
}

// close makes durable what there is.
func (r *recorder) close() error {
	if r.j == nil {
		return nil
	}
	r.catchUp()
	if r.snapped {
		err := r.j.Close() // stops the snapshot
		<-r.snaps
		return err
	}
	return r.j.Close()
}

// crash loses what is not committed.
func (r *recorder) crash() {
	if r.j == nil {
		return
	}
	r.j.Crash()
	if r.snapped {
		<-r.snaps
	}
}

func (r *recorder) clientNew(cl *client) {
	r.appendCBOR(recClient, clientRecord{cl.id, cl.secret, cl.name, cl.program, cl.keep})
}

func (r *recorder) clientGone(cl *client) { r.appendCBOR(recClientGone, clientRecord{ID: cl.id}) }

func (r *recorder) nodeNew(n tutti.NodeID) { r.appendCBOR(recNode, nodeRecord{n}) }

// engineNew notes that an engine's number is in use.
func (r *recorder) engineNew(id tutti.EngineID) {
	if id >= r.engines {
		r.engines = id + 1
		r.appendCBOR(recEngines, enginesRecord{r.engines})
	}
}

func (r *recorder) program(p *program, down bool) {
	r.appendCBOR(recProgram, programRecord{p.spec, p.perNode, down})
}

// submitted journals a durable task. Unlike all other records it is refused when the disk is in
// trouble: the client is told, and nothing is half accepted.
func (r *recorder) submitted(id tutti.TaskID, t *wire.Task, w *work) error {
	if r.j == nil {
		return tutti.Errorf("submit", tutti.Unsupported, "this cluster keeps no journal, so nothing is durable").
			WithHint("start one with `tutti start`")
	}
	if r.trouble != nil || len(r.late) > 0 {
		return tutti.Errorf("submit", tutti.KindOf(r.trouble), "durable work is not accepted now: %w", r.trouble).
			WithHint("make room on the disk under %s", r.c.cfg.Dir)
	}
	if !r.works[w.no] {
		data, err := (&wire.Work{No: w.no, Work: w.work}).MarshalMsg(nil)
		if err != nil {
			return tutti.E("submit", tutti.Invalid, err)
		}
		if _, err := r.j.Append(recWork, data); err != nil {
			return err
		}
		r.works[w.no] = true
	}
	data, err := taskRecord(id, t, w)
	if err != nil {
		return err
	}
	pos, err := r.j.Append(recTask, data)
	if err != nil {
		return err
	}
	r.c.cfg.Probe.asks(r.c, Appended, pos)
	r.since++
	r.live++
	return nil
}

// taskRecord encodes a task for the journal.
func taskRecord(id tutti.TaskID, t *wire.Task, w *work) ([]byte, error) {
	stored := *t
	stored.Work = w.no
	data, err := stored.MarshalMsg(binary.LittleEndian.AppendUint64(nil, uint64(id)))
	if err != nil {
		return nil, tutti.E("submit", tutti.Invalid, err)
	}
	return data, nil
}

func (r *recorder) finished(id tutti.TaskID, rec *record) {
	o := r.c.outcome(id, rec)
	r.appendMsg(recEnd, nil, &o)
}

func (r *recorder) dropped(id tutti.TaskID) {
	r.live--
	r.append(recDrop, binary.LittleEndian.AppendUint64(nil, uint64(id)))
}

// snapshotEvery is how many records are written between two snapshots, at least.
const snapshotEvery = 100_000

// snapshot writes the state as one, when the journal has become long compared to what is alive.
func (r *recorder) snapshot() {
	if r.j == nil || r.snapped || r.since < max(snapshotEvery, 4*r.live) || r.trouble != nil || len(r.late) > 0 {
		return
	}
	state := r.c.encodeState()
	pos := r.j.Last()
	r.since, r.snapped = 0, true
	go func() {
		r.snaps <- r.j.Snapshot(context.Background(), pos, func(w io.Writer) error {
			_, err := w.Write(state)
			return err
		})
	}()
}

// journalDir is where the journal of a state folder lies.
func journalDir(dir string) string { return filepath.Join(dir, "journal") }

// readSnapshot yields the records that encodeState wrote.
func readSnapshot(r io.Reader, yield func(typ uint16, data []byte) error) error {
	in := bufio.NewReaderSize(r, 1<<20)
	for {
		var head [6]byte
		if _, err := io.ReadFull(in, head[:]); err == io.EOF {
			return nil
		} else if err != nil {
			return tutti.E("read snapshot", tutti.Corrupt, err)
		}
		n := binary.LittleEndian.Uint32(head[2:])
		if n > journal.MaxData {
			return tutti.Errorf("read snapshot", tutti.Corrupt, "a record of %d bytes", n)
		}
		data := make([]byte, n)
		if _, err := io.ReadFull(in, data); err != nil {
			return tutti.E("read snapshot", tutti.Corrupt, err)
		}
		if err := yield(binary.LittleEndian.Uint16(head[:]), data); err != nil {
			return err
		}
	}
}
