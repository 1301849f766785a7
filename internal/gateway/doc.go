// Package gateway lets programs in other languages, Python above all, be clients of a cluster
// without its keys and its messages: over a Unix socket of their own user, in frames that a script
// can read and write.
//
// The nouns: a [Gateway] serves one cluster, its own or one that runs already, to any number of
// connections. A connection is one client of the cluster, with a number; what it submits goes on
// when it leaves, and others can ask for the results by name ("7.12"). A frame is a message:
//
//	u32 length of the body | u16 kind | u16 zero | body        all little endian
//
// The first frame is HELLO, answered by WELCOME, or by FAIL and the end. Then the client describes
// works (what many tasks have in common), submits tasks by the batch, and is told their ends, by
// the batch too. Nothing on that way is JSON: ends are structs of [EndSize] bytes. Everything else
// is rare, and is a question (ASK) with a verb and an answer.
//
//	client → gateway                              gateway → client
//	 1 HELLO    JSON                              32 OUTCOMES  u32 n | n structs | payloads
//	 2 WORK     u32 no | u32 n | JSON | code      33 WELCOME   JSON
//	 3 DROPWORK u32 no                            34 FAIL      JSON
//	 4 TASKS    u32 work | u32 n | u64 first      35 OUTPUT    u64 number | u8 stream | bytes
//	            | n × u32 length | payloads       36 ANSWER    u64 seq | u8 ok | u32 n | JSON | bytes
//	 5 TASK     u32 n | JSON | payload            37 DISPLAY   u64 number | u32 n | JSON | bytes
//	 6 CANCEL   n × u64 number                    38 EVENT     JSON
//	 7 FORGET   n × u64 number                    39 NOTICE    JSON
//	 8 ASK      u64 seq | JSON
//	 9 BYE
//
// Tasks are numbered by the client, rising from 1; task 12 of client 7 is called "7.12" by everybody.
// Whoever does not read holds up himself alone: his ends wait in the cluster, what his tasks print is
// held back, and they with it, and after a while no more of it is sent, with a notice that says so.
package gateway
