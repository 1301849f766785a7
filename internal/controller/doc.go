// Package controller is the controller's body: it owns the links to clients and agents, the one
// loop in which everything that happens is put in order, and the journal. What runs where is
// decided by package sched; this package carries events to it and its actions out.
//
// # How a task travels
//
// A client's [wire.Submit] is decoded by the goroutine that reads the client's link and handed to
// the loop. The loop makes a record of each task (what sched need not know: arguments, blobs,
// result), journals the durable ones, and steps the scheduler. Each sched.Assign becomes a
// [wire.Run] in the outbox of an agent; outboxes are flushed when the loop has nothing else to
// do, or are full. A [wire.Done] comes back the same way: its results are put into the records,
// sched is stepped, and each sched.Finish becomes a [wire.Outcome] in the outbox of its client,
// held back until the journal has it if the task is durable.
//
// # Who owns what
//
// All state belongs to the loop's goroutine. Readers only decode; they hand the loop functions to
// execute. The loop never blocks on a link (wire.Link.Post) nor on the disk (the journal commits
// in the background).
//
// # Restart
//
// With a folder, the controller journals clients, programs, durable tasks and their ends, and on
// the next start replays them. Agents come back with their engines and runs; a run whose task is
// not known may belong to a client that has not come back yet, so the nodes of returning agents
// are handed to sched only when the clients of the former life are back, or after a short while.
package controller
