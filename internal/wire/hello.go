package wire

import (
	"encoding/binary"
	"fmt"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Versions is a range of link protocols that a program speaks.
type Versions struct{ Min, Max uint16 }

// Protocol is what this build speaks.
var Protocol = Versions{Min: 1, Max: 1}

func (v Versions) String() string {
	if v.Min == v.Max {
		return fmt.Sprintf("%d", v.Max)
	}
	return fmt.Sprintf("%d to %d", v.Min, v.Max)
}

// common is the newest version in both ranges, false if there is none.
func (v Versions) common(w Versions) (uint16, bool) {
	n := min(v.Max, w.Max)
	return n, n >= v.Min && n >= w.Min
}

// Hello is how a peer presents itself when a link begins; the other side sees it as [Peer].
type Hello struct {
	Role     Role
	Name     string    // which client, agent or engine: for people, and for the layer above
	Software string    // version of the program: for people
	Epoch    uint32    // which life of this peer: a controller counts how often it was started
	Session  SessionID // of the link; zero: a new one is drawn
	Info     []byte    // for the layer above, opaque here: an agent describes its node, say
	Versions Versions  // zero: [Protocol]; tests pretend to be of another version
}

// Peer is the other side of a link.
type Peer struct {
	Hello
	Identity Identity // what the network proved, at the first connection
	Version  uint16   // the protocol spoken
}

// greeting is a Hello or a welcome on its way: the Hello, where the link stands, and the terms.
type greeting struct {
	Hello
	resume    bool   // the sender has been welcomed before
	attempt   uint32 // counts the dials of one session: an older one must not displace a newer
	instance  uint64 // of the server: drawn at each start, so that a restart is noticed
	pos       ackState
	window    Window
	maxFrame  uint64
	heartbeat time.Duration
}

// magic begins every greeting and every refusal of every version of the protocol, and so does the
// range of versions after it: the rest may change with the version.
const magic = "tutti\r\n\x00"

func (g *greeting) encode() (header, payload []byte) {
	b := append([]byte(nil), magic...)
	b = binary.LittleEndian.AppendUint16(b, g.Versions.Min)
	b = binary.LittleEndian.AppendUint16(b, g.Versions.Max)
	b = appendString(b, g.Software)
	b = appendString(b, string(g.Role))
	b = appendString(b, g.Name)
	b = append(b, g.Session[:]...)
	b = binary.LittleEndian.AppendUint32(b, g.Epoch)
	b = binary.LittleEndian.AppendUint32(b, g.attempt)
	resume := byte(0)
	if g.resume {
		resume = 1
	}
	b = append(b, resume)
	b = append(b, g.pos.encode()...)
	for _, v := range [...]uint64{g.instance, uint64(g.window.Messages), uint64(g.window.Bytes), g.maxFrame, uint64(g.heartbeat)} {
		b = binary.LittleEndian.AppendUint64(b, v)
	}
	return b, g.Info
}

// decodeGreeting reads what encode wrote. Of a peer whose versions have nothing in common with
// ours only Versions and Software are filled in: the caller must look at Versions first.
func decodeGreeting(header, payload []byte, ours Versions) (g greeting, err error) {
	r := reader{b: header}
	if string(r.next(len(magic))) != magic {
		return g, tutti.Errorf("read greeting", tutti.Corrupt, "the peer does not speak tutti")
	}
	g.Versions = Versions{r.u16(), r.u16()}
	g.Software = r.str()
	if _, ok := g.Versions.common(ours); !ok && r.err == nil {
		return g, nil
	}
	g.Role = Role(r.str())
	g.Name = r.str()
	copy(g.Session[:], r.next(len(g.Session)))
	g.Epoch = r.u32()
	g.attempt = r.u32()
	if f := r.next(1); len(f) == 1 {
		g.resume = f[0] != 0
	}
	g.pos, _ = decodeAck(r.next(ackLen))
	g.instance = r.u64()
	g.window = Window{Messages: int(r.u64()), Bytes: int64(r.u64())}
	g.maxFrame = r.u64()
	g.heartbeat = time.Duration(r.u64())
	g.Info = payload
	if r.err != nil {
		return greeting{}, r.err
	}
	return g, g.check()
}

// check refuses terms that cannot be right, whoever wrote them.
func (g *greeting) check() error {
	if g.window.Messages < 1 || g.window.Bytes < 1 || g.maxFrame < frameHead || g.heartbeat <= 0 || g.Session == (SessionID{}) {
		return tutti.Errorf("read greeting", tutti.Corrupt, "terms that cannot be right")
	}
	return nil
}

// refusal is why a server does not let somebody in, or why a link was aborted.
type refusal struct {
	versions Versions
	software string
	code     refusalCode
	kind     tutti.Kind
	reason   string
	hint     string
}

// refusalCode tells a dialler what a refusal means for its link.
type refusalCode uint8

const (
	refusedOther     refusalCode = iota // see kind
	refusedFenced                       // the session was declared lost; it must not come back
	refusedForgotten                    // the server was started anew since the session began
	refusedEnded                        // the session was closed in order
	refusedBusy                         // come back later
)

func (f *refusal) encode() []byte {
	b := append([]byte(nil), magic...)
	b = binary.LittleEndian.AppendUint16(b, f.versions.Min)
	b = binary.LittleEndian.AppendUint16(b, f.versions.Max)
	b = appendString(b, f.software)
	b = append(b, byte(f.code))
	b = appendString(b, f.kind.String())
	b = appendString(b, f.reason)
	return appendString(b, f.hint)
}

func decodeRefusal(header []byte) (f refusal, err error) {
	r := reader{b: header}
	if string(r.next(len(magic))) != magic {
		return f, tutti.Errorf("read refusal", tutti.Corrupt, "the peer does not speak tutti")
	}
	f.versions = Versions{r.u16(), r.u16()}
	f.software = r.str()
	if c := r.next(1); len(c) == 1 {
		f.code = refusalCode(c[0])
	}
	f.kind = tutti.KindNamed(r.str())
	f.reason = r.str()
	f.hint = r.str()
	return f, r.err
}

// error is the refusal as the refused side reports it.
func (f *refusal) error(op string) *tutti.Error {
	var e *tutti.Error
	switch f.code {
	case refusedFenced:
		e = tutti.Errorf(op, tutti.Lost, "%w: %s", ErrFenced, f.reason)
	case refusedForgotten:
		e = tutti.Errorf(op, tutti.Lost, "%w: %s", ErrForgotten, f.reason)
	case refusedEnded:
		e = tutti.Errorf(op, tutti.Closed, "%s", f.reason)
	default:
		e = tutti.Errorf(op, f.kind, "%s", f.reason)
	}
	e.Hint = f.hint
	return e
}

func appendString(b []byte, s string) []byte {
	b = binary.LittleEndian.AppendUint32(b, uint32(len(s)))
	return append(b, s...)
}

// reader takes fields off the front of b; after the first that is not there it gives zeros and
// remembers the error.
type reader struct {
	b   []byte
	err error
}

func (r *reader) next(n int) []byte {
	if r.err != nil || n > len(r.b) {
		if r.err == nil {
			r.err = tutti.Errorf("read greeting", tutti.Corrupt, "it ends too early")
		}
		return nil
	}
	p := r.b[:n]
	r.b = r.b[n:]
	return p
}

func (r *reader) u16() uint16 {
	if p := r.next(2); p != nil {
		return binary.LittleEndian.Uint16(p)
	}
	return 0
}

func (r *reader) u32() uint32 {
	if p := r.next(4); p != nil {
		return binary.LittleEndian.Uint32(p)
	}
	return 0
}

func (r *reader) u64() uint64 {
	if p := r.next(8); p != nil {
		return binary.LittleEndian.Uint64(p)
	}
	return 0
}

func (r *reader) str() string {
	n := r.u32()
	if uint64(n) > uint64(len(r.b)) {
		n = uint32(min(uint64(len(r.b))+1, 1<<31)) // fails in next
	}
	return string(r.next(int(n)))
}
