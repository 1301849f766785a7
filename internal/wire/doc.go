// Package wire carries messages between the processes of a cluster: reliable, ordered links
// between two named peers, over memory, Unix sockets, or TCP with mutual TLS.
//
// # Nouns
//
// A [Message] is a kind, a small header and an opaque payload. A [Link] carries messages both
// ways, in order, each exactly once, for as long as both peers live; it is one session, named by
// a [SessionID], and outlives any number of connections. A [Conn] is one connection; it carries
// whole [Frame] values and may break at any time, and on some networks lose, double or reorder
// them. A [Network] makes connections. [Connect] dials a link; a [Server] accepts links.
//
// A message travels like this: Send numbers it and puts it into the outbox, under the peer's
// credit; the connection's writer takes everything that waits and gives it to the connection in
// one piece; the peer's reader puts it in order in the inbox; Recv takes it, which grants new
// credit. It stays in the sender's outbox until the peer has acknowledged it.
//
// A complete program, one process being both sides:
//
//	network := wire.NewMemory(1)
//	ln, err := network.Listen(ctx, "controller")
//	server := wire.Serve(ln, wire.ServerConfig{Hello: wire.Hello{Name: "controller"}})
//	defer server.Close()
//	go func() {
//		link, _ := server.Accept(ctx)
//		for m, err := link.Recv(ctx); err == nil; m, err = link.Recv(ctx) {
//			link.Send(ctx, wire.Message{Kind: m.Kind + 1, Payload: m.Payload})
//		}
//	}()
//	link, err := wire.Connect(ctx, network, "controller", wire.Hello{Role: wire.RoleClient, Name: "me"}, wire.LinkConfig{})
//	link.Send(ctx, wire.Message{Kind: 1, Payload: []byte("hello")})
//	answer, err := link.Recv(ctx)
//	link.Close()
//
// # Frames
//
// All numbers are little endian. On streams of bytes a frame is
//
//	0   4  length of the header
//	4   4  length of the payload
//	8   1  type: 1 hello, 2 welcome, 3 refuse, 4 data, 5 fin, 6 ack, 7 ping, 8 pong, 9 abort
//	9   1  zero
//	10  2  the message's kind
//	12  8  number: of a message (from 1) or fin; the sender's clock in a ping, given back in a pong
//	20     header, then payload
//
// Acks, pings and pongs have a header of four numbers of 8 bytes: the last number up to which
// everything has arrived; the lowest that arrived beyond a gap, or 0; how many messages Recv has
// taken; and their total size. All four are cumulative, so that any such frame may be lost.
//
// Hello and welcome have the same form: the bytes "tutti\r\n\0"; the range of protocol versions
// (2 and 2); the software's version, role and name (each with a length of 4); session (16); epoch
// and attempt (4 each); whether the session has been welcomed before (1); the sender's four
// numbers as in an ack; the server's instance, the sender's window in messages and bytes, its
// largest frame, its heartbeat in nanoseconds (8 each). The payload is the Info of the layer
// above. Refuse and abort: the same beginning up to the software's version; a code (1): 0 see kind,
// 1 fenced, 2 forgotten, 3 ended, 4 come back later; then kind, reason and hint. What comes before
// the role stays for ever, so that any two versions can tell each other why they cannot talk.
//
// # Links
//
// The dialling side says hello on every connection, with where it stands; the server's welcome says
// the same, and both begin anew after what the other has. An attempt older than the connection
// in use is turned away.
//
// Acknowledgements wait for company, but never longer than AckDelay, and go at once when a
// quarter of the window has arrived or was taken, or something arrived twice or beyond a gap. So
// they are on nobody's way: a message is one hand-over from Send to the wire.
//
// On a connection that is not reliable a message is written again when an ack shows a gap before
// which it lies, or when it stays unacknowledged for about two round trips; both sides drop
// what they have. On a reliable one only a new connection makes a link write again.
//
// Credit: a side may have so many messages and bytes under way (sent, and not taken by Recv) as the
// other's [Window] says. Send blocks beyond that; Post queues. A peer that sends what it has no
// credit for loses the link.
//
// Both sides send a ping each Heartbeat. A connection on which not a byte came for four of them is
// given up. A peer that was not heard for LostAfter is declared lost: the link ends with kind Lost,
// and on the accepting side the session is fenced. Who then returns is refused with
// [ErrFenced], and who finds a server that was started anew with [ErrForgotten]; either must begin
// a new session. Epochs say which life of a peer one is talking to.
//
// Close sends a fin after all that was posted, and waits for its acknowledgement. The peer's Recv
// gives all that came before, then kind Closed. Abort sends its reason and ends at once.
//
// # Trust
//
// Over TCP both sides show a certificate of the cluster's authority, in which their role is
// written ([EnsureKeys]); over a Unix socket the kernel vouches for the user. A peer that has not
// said hello can send one frame of at most a megabyte, within the time for a greeting, and no more
// than [ServerConfig].Greeting of them wait at a time. Whatever comes in that is no frame, or does not
// fit, drops the connection and is counted in [ServerStats].
package wire
