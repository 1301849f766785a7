// Package provider says where machines come from.
//
//   - A [Config] is plain data, kept with the cluster's settings: it survives the controller.
//   - [Open] makes a [Provider] of it: something to which jobs are submitted, and that can be asked
//     about them later, also by another process than the one that submitted.
//   - A [Job] is a command to be started on some nodes; for a cluster it is this program itself as
//     an agent. Its secrets do not belong in its arguments or environment, which batch systems
//     show to everybody.
//   - A [Launcher] starts one process on each node of a job that has several.
//
// A cluster submits a job under a name of its own, and after a restart finds by that name what it
// has out:
//
//	p, err := provider.Open(provider.Config{Kind: "local", State: dir})
//	if err != nil {
//		return err
//	}
//	id, err := p.Submit(ctx, provider.Job{Name: "default-7", Argv: []string{"tutti", "agent"}})
//	...
//	ids, err := p.Find(ctx, "default-7") // in another process, another day
//	status, err := p.Status(ctx, ids...)
package provider
