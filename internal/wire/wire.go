package wire

import (
	"context"
	"crypto/rand"
	"encoding/hex"
)

// Message is what a link carries: a small header that the layer above writes in msgpack, and a
// payload that nobody on the way looks into.
//
// Who sends a message gives its slices away for good: they are read again when a connection was
// cut, and over the memory network the receiver holds these very slices. They may be shared by
// several messages (a broadcast), hence who receives a message may keep its slices for ever but
// must not write to them.
type Message struct {
	Kind    uint16
	Header  []byte
	Payload []byte
}

// messageCost is what a message weighs in windows and backlogs beyond its bytes, so that a flood
// of empty messages is bounded too.
const messageCost = 64

// size is the message's weight in a credit window; both sides of a link count the same way.
func (m *Message) size() uint64 { return uint64(len(m.Header)+len(m.Payload)) + messageCost }

// Role says what a peer is in a cluster. A network may prove it ([Identity]).
type Role string

// The roles. A server accepts links (the controller, an agent for its engines); the others dial.
const (
	RoleServer Role = "server"
	RoleClient Role = "client"
	RoleAgent  Role = "agent"
	RoleEngine Role = "engine"
)

// Identity is what a network proved about the other end of a connection.
type Identity struct {
	Network string // "memory", "unix", "tcp"
	Addr    string // where it is, for messages to people
	Name    string // the name in its certificate, "" if there is none
	Role    Role   // the role in its certificate, "" if the network proves no role
	UID     int    // the user behind a Unix socket, -1 elsewhere
}

// May reports whether a peer of this identity can act in that role. Where no role is proved (the
// same process, the same user) any will do; an agent's key also serves the engines it starts.
func (id Identity) May(r Role) bool {
	return id.Role == "" || id.Role == r || id.Role == RoleAgent && r == RoleEngine
}

// Network makes connections. Implementations: [Memory], [Unix], [TCP]. Both methods may be
// called concurrently. Errors of Dial that will not mend by themselves are of kind Denied,
// Invalid or Unsupported; all others are worth another try.
type Network interface {
	Listen(ctx context.Context, addr string) (Listener, error)
	Dial(ctx context.Context, addr string) (Conn, error)
}

// Listener accepts connections. Accept may return before a connection has proved anything: its
// first Read or Write completes that. Close unblocks Accept, which then fails with kind Closed.
type Listener interface {
	Accept(ctx context.Context) (Conn, error)
	Addr() string // what Dial needs to come here
	Close() error
}

// Conn carries whole frames and may break at any time. One goroutine may read while another
// writes; Close and the rest may be called from anywhere.
type Conn interface {
	// Write sends frames, in order and in as few pieces as the network allows. It may block
	// and keeps neither the slice nor, when it has returned, more than the frames' slices.
	Write(frames []Frame) error
	// Read blocks for a frame, then appends to into what has arrived, as far as its capacity
	// goes (at least one). Bytes that are no frames are an error of kind Corrupt.
	Read(into []Frame) ([]Frame, error)
	// Close breaks the connection and unblocks Read and Write at both ends.
	Close() error
	// Peer is what is known of the other end; complete after the first successful Read.
	Peer() Identity
	// Reliable reports whether frames arrive complete and in order until the connection breaks.
	// Over an unreliable one a link also resends on gaps and timeouts.
	Reliable() bool
	// Arrived grows with every byte (or frame) that comes in, also of a frame not yet complete:
	// a large frame on a slow line is not silence.
	Arrived() uint64
	// SetLimit bounds the size of frames to be read: small before the peer has proved itself.
	SetLimit(bytes int)
}

// SessionID names one link between two peers for its whole life, across all its connections.
type SessionID [16]byte

// NewSession draws an id that nobody else has.
func NewSession() (id SessionID) {
	_, _ = rand.Read(id[:]) // cannot fail
	return id
}

// String is short: enough to tell sessions apart in a log.
func (id SessionID) String() string { return hex.EncodeToString(id[:4]) }

// Window bounds what one side of a link may have under way to the other: sent, and not yet taken
// by a Recv there. A single message may exceed Bytes when nothing else is under way.
type Window struct {
	Messages int
	Bytes    int64
}
