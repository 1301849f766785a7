// Package sched is the controller's mind: it decides what runs where. It has no clock, socket or
// goroutine; [State.Step] takes the time and an [Event] and answers with [Action] values, the same
// events always giving the same answers.
//
// The nouns. A task has a [Class], shared with others like it. What decides where it fits, the
// program and the amounts it needs, is its shape; shapes know at every moment on which nodes one
// more of them fits, so that nothing is ever searched for. Ready tasks of one client, shape and
// priority form a queue. A slot is a share of a node in use: it holds the resources of one shape
// once, for the run that is first in it; more runs may wait in it, and hold nothing. An edge joins a
// task to one that waits for it.
//
// A task travels through the states of [tutti.State]:
//
//	Waiting   for dependencies, or for the delay before a retry     in no list
//	Ready     for room and an engine                                in a queue, or at its engine
//	Assigned  sent to an agent                                      in a slot
//	Running   as Assigned, once the agent has said so               in a slot
//	Done, Errored, Stopped                                          known until forgotten
//
// Every Step does the same things in the same order: take in the event; wake what was to be woken
// by now; let the ends of tasks act on those that wait for them; see to slots that have lost runs;
// place what can be placed. What follows from one end is done by lists, never by recursion.
//
// The rules, in short:
//
//   - Clients take turns: next is the one that was given least core time. Within a client a higher
//     priority goes first, then who was submitted first; a retry keeps its place.
//   - A node is filled before the next is begun, so that others stay whole for what is large or can
//     be given back. A task prefers the node with most of its data. If the data is so much that
//     fetching it takes 20 ms or more (at 1 GiB/s), it waits for that node, but no longer than fetching would take.
//   - The task that is first in its client's order and has been passed over for Config.Patience gets
//     nodes kept for it: nothing else is begun there until it fits. A client keeps nodes for one task
//     at most, and takes all it needs or none, so gangs neither starve nor block each other.
//   - Runs are sent ahead to an engine, or behind a command, only behind runs of the same shape, and only if both functions
//     are known to be short: as many as make 5 ms, at least 2, one from 20 ms on. If the first runs
//     for 100 ms, those behind it are asked back. Where tasks of other shapes wait, an engine is kept
//     busy so for 50 ms at most before its share of the node is given out anew.
//   - Tasks for one engine ([Class.Target]) go there in order of submission, before any others.
//   - A run that the machinery lost is repeated by itself, and counts if it was first in its slot;
//     those behind it come back as if they had never been sent. What failed in the user's code is
//     repeated if asked for. A task for one engine is not repeated unless it asks, for the engine's
//     variables are gone.
//   - A failure reaches all that depend on the task, with the task at its root as cause; being
//     cancelled is a failure to them. Who only comes after a task does not care how it ended.
//   - A result lost with its node is computed again when a task that has not ended needs it, or when
//     somebody reports that he cannot read it; what that needs too, as far as it is not forgotten.
//     Tasks with Retry.Lost -1 are not run twice, so those that need their lost results fail.
//   - What a task needs is what the whole task needs: Ranks 4 with Cores 8 are 2 cores a rank. Left
//     out, Cores are 1, or 1 for each rank; tasks for one engine hold nothing unless they ask. Nodes
//     counts whole nodes; more than one is for commands only.
//
// A State is owned by one goroutine. It needs about 135 bytes for a task that waits, about 205 for
// one with a dependency, and some 4 for one that has ended and is forgotten among others that are
// not.
package sched
