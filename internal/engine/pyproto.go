package engine

import (
	"encoding/binary"
	"encoding/json"
	"sync/atomic"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Between an agent and a Python interpreter other messages travel than between Go processes:
// fixed structs, little endian, that the interpreter takes apart by the batch. The other side is
// python/tutti/_engine/driver.py.
//
// A frame is: length of the body (4), kind (2), count (2), a number (8), body. Results do not come
// as frames but lie in a ring of shared memory, which the agent empties when it is told that there
// is something, when a run lasts, and after the process's end: so a result is never lost, and
// never waits behind the run that follows it.

const pyHead = 16

// The kinds of frames.
const (
	pyRuns   uint16 = 1 // agent: count runs of the generation that number is: heads, then arguments
	pyDefine uint16 = 2 // agent: function number is body: length of name (2), name, code
	pyForget uint16 = 3 // agent: function number is not used any more
	pyStop   uint16 = 4 // agent: end
	pyStart  uint16 = 5 // agent: the first frame, pyIdentity as JSON

	pyReady   uint16 = 16
	pyResults uint16 = 17 // there is something in the ring
	pyLarge   uint16 = 18 // one record that would not fit into it
	pyDisplay uint16 = 19 // of the turn number: length of type (2), type, form (1), bytes or a reference
	pySetup   uint16 = 20 // start-up code to remember, pyCode as JSON
)

// pyIdentity is what an interpreter is told first.
type pyIdentity struct {
	Engine  tutti.EngineID `json:"engine"`
	Life    uint32         `json:"life"`
	Host    string         `json:"host"`
	Program string         `json:"program"`
	Threads int            `json:"threads"`
	Blobs   bool           `json:"blobs"` // descriptor 4 is a connection to the node's blob store
	Setup   []string       `json:"setup"` // start-up code
}

// pyCode is start-up code, of one engine or of all that this agent starts later.
type pyCode struct {
	Code string `json:"code"`
	All  bool   `json:"all"`
}

// pyBoard is the beginning of the shared memory. begun and ended are as in [board], but
// of turns: see pyRun.
type pyBoard struct {
	board
	generation atomic.Uint64 // ours: of runs that may begin; see pyProcess.revoke
	head       atomic.Uint64 // theirs: bytes put into the ring so far
	tail       atomic.Uint64 // ours: bytes taken
	cancel     atomic.Uint64 // ours, cleared by them: the turn that SIGINT is about
}

const (
	pyRingAt   = 4096
	pyRingSize = 512 << 10
	pyShared   = pyRingAt + pyRingSize
)

func pyBoardOf(m []byte) *pyBoard { return (*pyBoard)(unsafe.Pointer(unsafe.SliceData(m))) }

// pyRunHead is the length of a run's head: turn (8), function (4), form (4), bytes of arguments (4).
const pyRunHead = 20

// The forms of a run's arguments.
const (
	pyPlain uint32 = 0 // a pickle without buffers of its own
	pyPack  uint32 = 1 // a whole pack
	pyMixed uint32 = 2 // length of JSON (4), pyArgs as JSON, the inline bytes that it names
)

// pyArgs says what a run has beyond one inline argument.
type pyArgs struct {
	Args    []pyArg  `json:"args"`
	World   *pyWorld `json:"world,omitempty"`
	GPUs    []string `json:"gpus,omitempty"`
	Threads int      `json:"threads,omitempty"`
}

// pyArg is one argument: so many inline bytes, a blob, or a list.
type pyArg struct {
	Codec tutti.Codec `json:"codec"`
	Len   int         `json:"len"`
	Ref   *[5]int64   `json:"ref,omitempty"` // node, life, number, size, checksum
	Items []pyArg     `json:"items,omitempty"`
	List  bool        `json:"list,omitempty"`
}

type pyWorld struct {
	Name    string           `json:"name"`
	Path    string           `json:"path"`
	Rank    int              `json:"rank"`
	Engines []tutti.EngineID `json:"engines"`
}

func appendPyFrame(b []byte, kind uint16, count int, number uint64, body []byte) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(body)))
	b = binary.LittleEndian.AppendUint16(b, kind)
	b = binary.LittleEndian.AppendUint16(b, uint16(count))
	b = binary.LittleEndian.AppendUint64(b, number)
	return append(b, body...)
}

const (
	packMagic = 0x4b505454 // "TTPK"
	packHead  = 16
)

// pyArguments encodes a run's arguments as far as there is no need to know which function it is.
// What cannot be read is an error of kind Corrupt.
func pyArguments(r *Run, room []tutti.Arg, usual int) (form uint32, data []byte, err error) {
	s := scan{b: r.Args}
	args := room[:0]
	if len(r.Args) > 0 {
		args = s.args(args, 0)
		if err := s.end(); err != nil {
			return 0, nil, err
		}
	}
	threads := r.Threads
	if threads == usual {
		threads = 0
	}
	if len(args) == 1 && r.World == nil && len(r.GPUs) == 0 && threads <= 0 {
		if a := &args[0]; a.Value.Codec == tutti.Pickle && a.From == 0 && a.Value.Ref.IsZero() && len(a.Items) == 0 {
			d := a.Value.Data
			if len(d) >= packHead && binary.LittleEndian.Uint64(d) == packMagic {
				return pyPlain, d[packHead:], nil
			}
			return pyPack, d, nil
		}
	}
	m := pyArgs{GPUs: r.GPUs, Threads: threads}
	if w := r.World; w != nil {
		m.World = &pyWorld{Name: w.Name, Path: w.Segment, Rank: w.Rank, Engines: w.Engines}
	}
	var inline []byte
	if m.Args, inline, err = pyArgList(args, r.Deps, nil); err != nil {
		return 0, nil, err
	}
	text, err := json.Marshal(&m)
	if err != nil {
		return 0, nil, tutti.E("encode arguments", tutti.Internal, err)
	}
	data = binary.LittleEndian.AppendUint32(make([]byte, 0, 4+len(text)+len(inline)), uint32(len(text)))
	return pyMixed, append(append(data, text...), inline...), nil
}

// pyArgList puts results of other tasks into their places.
func pyArgList(args []tutti.Arg, deps []wire.DepValue, inline []byte) ([]pyArg, []byte, error) {
	list := make([]pyArg, len(args))
	for i := range args {
		a := &args[i]
		v := a.Value
		if a.From != 0 {
			at := -1
			for j := range deps {
				if deps[j].Task == a.From {
					at = j
				}
			}
			if at < 0 {
				return nil, nil, tutti.Errorf("read arguments", tutti.Internal, "the result of task %v did not come along", a.From)
			}
			v = deps[at].Value
		}
		x := &list[i]
		x.Codec = v.Codec
		switch {
		case len(a.Items) > 0:
			var err error
			if x.Items, inline, err = pyArgList(a.Items, deps, inline); err != nil {
				return nil, nil, err
			}
			x.List = true
		case !v.Ref.IsZero():
			x.Ref = &[5]int64{int64(v.Ref.Blob.Node), int64(v.Ref.Blob.Life), int64(v.Ref.Blob.N), v.Ref.Size, int64(v.Ref.Sum)}
		default:
			x.Len = len(v.Data)
			inline = append(inline, v.Data...)
		}
	}
	return list, inline, nil
}

// pyRecordHead is the length of a record's head: turn (8), start in ns since 1970 (8), ns that it took (8),
// bytes that follow (4), ending (1), codec (1), form (1), nothing (1). Records begin at multiples of 8.
const pyRecordHead = 32

// The forms of a record.
const (
	pyInline uint8 = 0
	pyRef    uint8 = 1 // the value is a blob: node (4), life (4), number (8), size (8), checksum (4), nothing (4)
	pySkip   uint8 = 2 // no record: the next one is at the ring's beginning
)

// pyDropped is the ending of a run that was found revoked when it was about to begin.
const pyDropped Ending = 255

// pyRecord is the end of a run as the interpreter tells it. Its bytes share the ring's memory.
type pyRecord struct {
	turn          uint64
	started, took int64
	ending        Ending
	codec         tutti.Codec
	form          uint8
	body          []byte
}

// readPyRecord reads the record at the beginning of b and says how long it is.
func readPyRecord(b []byte) (r pyRecord, n int, err error) {
	if len(b) < pyRecordHead {
		return r, 0, tutti.Errorf("read result", tutti.Corrupt, "%d bytes", len(b))
	}
	le := binary.LittleEndian
	size := int(le.Uint32(b[24:]))
	if size > len(b)-pyRecordHead {
		return r, 0, tutti.Errorf("read result", tutti.Corrupt, "%d bytes of %d", len(b)-pyRecordHead, size)
	}
	return pyRecord{
		turn: le.Uint64(b), started: int64(le.Uint64(b[8:])), took: int64(le.Uint64(b[16:])),
		ending: b[28], codec: tutti.Codec(b[29]), form: b[30], body: b[pyRecordHead : pyRecordHead+size],
	}, pyRecordHead + (size+7)&^7, nil
}

// value is the record's value, without what an error needs; its bytes are a copy.
func (r *pyRecord) value(b []byte) (tutti.Value, error) {
	if r.form == pyRef {
		ref, err := readPyRef(b)
		return tutti.Value{Codec: r.codec, Ref: ref}, err
	}
	return tutti.Value{Codec: r.codec, Data: append([]byte(nil), b...)}, nil
}

func readPyRef(b []byte) (ref tutti.Ref, err error) {
	if len(b) != 32 {
		return ref, tutti.Errorf("read result", tutti.Corrupt, "a reference of %d bytes", len(b))
	}
	le := binary.LittleEndian
	return tutti.Ref{
		Blob: tutti.BlobID{Node: tutti.NodeID(le.Uint32(b)), Life: le.Uint32(b[4:]), N: le.Uint64(b[8:])},
		Size: int64(le.Uint64(b[16:])), Sum: le.Uint32(b[24:]),
	}, nil
}

// failure is the error of a record that has one, and the value that comes with it: lengths of
// kind, text and stack (4 each), those three, the value.
func (r *pyRecord) failure(op string) (*tutti.Error, tutti.Value, error) {
	b := r.body
	var part [3]string
	if len(b) < 12 {
		return nil, tutti.Value{}, tutti.Errorf("read result", tutti.Corrupt, "an error of %d bytes", len(b))
	}
	lengths, b := b[:12], b[12:]
	for i := range part {
		n := int(binary.LittleEndian.Uint32(lengths[4*i:]))
		if n > len(b) {
			return nil, tutti.Value{}, tutti.Errorf("read result", tutti.Corrupt, "an error with %d bytes of %d", len(b), n)
		}
		part[i], b = string(b[:n]), b[n:]
	}
	e := tutti.Errorf(op, tutti.KindNamed(part[0]), "%s", clip(part[1]))
	e.Stack = clip(part[2])
	if r.form != pyRef && len(b) == 0 {
		return e, tutti.Value{}, nil
	}
	v, err := r.value(b)
	return e, v, err
}
