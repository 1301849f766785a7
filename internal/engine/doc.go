// Package engine holds the runtimes that an agent drives: the user's Go binary started again as
// an engine, the same inside this process for tests, Python interpreters, and commands.
//
//   - A [Runtime] starts processes of one kind of program; [Table] finds it by the program's
//     prefix ("go:", "mem:", "python:"). Another language is one more row.
//   - A [Process] is the agent's end of one engine: runs go in by Send, [Event] values come out
//     of a sink. The engine runs one at a time, in order, and keeps its variables in between.
//   - The engine's end is [Main], called first thing by every program that uses a cluster: in a
//     process that was started as an engine it never returns.
//   - A [Command] is a program that is executed for one run and needs no engine.
//
// A run travels like this: Send appends it to a buffer and one write carries the whole batch over
// a socketpair; the engine's reader puts it into a queue; the one worker finds the function by
// name, puts the results of other tasks and mapped blobs into the arguments' places, and calls
// it; the result joins a batch that leaves when the queue is empty, at 64 KiB, or after 1 ms. The
// reader goes on reading meanwhile, so that a run can be cancelled, taken back while it waits, or
// asked for its goroutines' stacks.
//
// What the engine prints is read from its pipes by the engine itself, since only it knows where
// one run ends and the next begins; when it dies the agent, which holds the pipes too, reads
// what is left. Which run it was in stands in a page of memory that both have mapped (the board),
// so that a dead engine leaves no doubt.
//
// A Python interpreter runs one thread at a time, so its engine's end (python/tutti/_engine) has one, which
// runs the user's code, and what must go on beside it is done here. The agent is the only reader of its
// pipes, and tells the runs apart by the board, since the interpreter does not begin a run while
// something of the one before lies in them. It is given runs ahead of time only as far as they
// should take a moment, going by what the same function took before; what it was given and has not
// begun is taken back by a number on the board. Results lie in a ring of shared memory: they wait
// for no later run, and are not lost with the process. A run is interrupted by SIGINT.
//
// An engine never outlives its agent: it ends when its socket does, the kernel kills it when its
// parent dies, and a small guard process kills the group that it may have left behind.
package engine
