package wire

//go:generate go tool msgp -file proto_client.go -o proto_client_gen.go -io=false -tests=false
//go:generate go tool msgp -file proto_agent.go -o proto_agent_gen.go -io=false -tests=false
//go:generate go tool msgp -file proto_error.go -o proto_error_gen.go -io=false -tests=false

import (
	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
)

// The kinds of messages: what a header is. Their numbers are part of the protocol version.
const (
	// Between a client and the controller.
	KindSubmit   uint16 = 1 // client: tasks
	KindCancel   uint16 = 2 // client: stop tasks
	KindForget   uint16 = 3 // client: results that it will not ask for again
	KindOutcomes uint16 = 4 // controller: ends of tasks
	KindThrottle uint16 = 5 // controller: stop or go on submitting
	KindNotice   uint16 = 6 // controller: a warning about a task
	KindOutput   uint16 = 7 // what a task printed: agent to controller, and on to a client that wants to hear it
	KindEvents   uint16 = 8 // controller: events that were asked for

	// The first message that the controller sends on any link: a ClientWelcome or an AgentWelcome.
	// What the peer said of itself (ClientHello, AgentHello) is the Info of its Hello.
	KindWelcome uint16 = 9

	// Questions, asked by either side of any link.
	KindAsk    uint16 = 16
	KindAnswer uint16 = 17

	// Between the controller and an agent.
	KindAssign      uint16 = 32 // controller: runs
	KindRecall      uint16 = 33 // controller: give back what has not started
	KindAbort       uint16 = 34 // controller: stop runs
	KindAck         uint16 = 35 // controller: ends that need not be kept
	KindStartEngine uint16 = 36
	KindStopEngine  uint16 = 37
	KindDropBlobs   uint16 = 38 // controller: nobody refers to them any more
	KindCredit      uint16 = 39 // controller: what a run has printed was passed on
	KindStarted     uint16 = 48 // agent: runs that have begun
	KindDone        uint16 = 49 // agent: runs that have ended
	KindReturned    uint16 = 50 // agent: runs given back
	KindEngineUp    uint16 = 51
	KindEngineDown  uint16 = 52
	KindDisplay     uint16 = 53 // agent: something to show; passed on as output is
)

// Pack makes a message of a header. Messages of this protocol have no payload apart from the
// header: values lie in it as bytes.
func Pack(kind uint16, header msgp.Marshaler) (Message, error) {
	b, err := header.MarshalMsg(nil)
	if err != nil {
		return Message{}, tutti.E("encode message", tutti.Internal, err)
	}
	return Message{Kind: kind, Header: b}, nil
}

// Unpack reads a message's header. Arguments and values in it share the message's memory. What does
// not decode, to the last byte, is an error of kind Corrupt.
func Unpack(m Message, into msgp.Unmarshaler) error {
	rest, err := into.UnmarshalMsg(m.Header)
	if err != nil {
		return tutti.Errorf("decode message", tutti.Corrupt, "kind %d: %w", m.Kind, err)
	}
	if len(rest) > 0 {
		return tutti.Errorf("decode message", tutti.Corrupt, "kind %d: %d bytes too many", m.Kind, len(rest))
	}
	return nil
}

// PackArgs appends the msgpack form of args to dst: the Args of a [Task] and of a [Run].
func PackArgs(dst []byte, args []tutti.Arg) ([]byte, error) {
	dst = msgp.AppendArrayHeader(dst, uint32(len(args)))
	for i := range args {
		var err error
		if dst, err = args[i].MarshalMsg(dst); err != nil {
			return nil, tutti.E("encode arguments", tutti.Invalid, err)
		}
	}
	return dst, nil
}

// maxArgs bounds the number of positional arguments.
const maxArgs = 1 << 16

// UnpackArgs reads what PackArgs wrote, into room, which is reused if it is large enough.
// Values in it share data's memory.
func UnpackArgs(data []byte, room []tutti.Arg) ([]tutti.Arg, error) {
	n, rest, err := msgp.ReadArrayHeaderBytes(data)
	if err != nil {
		return nil, tutti.E("decode arguments", tutti.Corrupt, err)
	}
	if n > maxArgs || int(n) > len(rest) {
		return nil, tutti.Errorf("decode arguments", tutti.Corrupt, "%d arguments in %d bytes", n, len(rest))
	}
	args := room[:0]
	for range n {
		var a tutti.Arg
		if rest, err = a.UnmarshalMsg(rest); err != nil {
			return nil, tutti.E("decode arguments", tutti.Corrupt, err)
		}
		args = append(args, a)
	}
	if len(rest) > 0 {
		return nil, tutti.Errorf("decode arguments", tutti.Corrupt, "%d bytes too many", len(rest))
	}
	return args, nil
}
