// Package agent is the one process per node that belongs to the cluster: it owns the node's
// resources, starts engines and commands as the controller says, watches both, keeps the node's
// blobs, and reports.
//
//   - [Start] joins a cluster; [Run] does so and stays until the end.
//   - A run that arrives waits for the blobs that it needs, then in the queue of its engine, is
//     handed to the engine's process a little ahead of time, and ends by a result that is kept
//     until the controller has acknowledged it. A command is executed as soon as the node has
//     cores for it.
//   - One goroutine, the loop, owns all state; everything else (links, processes, fetches)
//     passes it closures. Nothing in the loop waits.
//
// When the link to the controller is lost, engines and runs go on. The agent dials until it finds
// the controller again, perhaps a new life of it, says what it holds, and reports again what was
// not acknowledged. Without a controller for too long it ends everything.
package agent
