// Package tutti holds the words that every other package of tutti speaks: tasks, named
// functions, futures, resources, references, events and errors.
//
// tutti is interactive parallel computing for scientists. A unit of work travels like this: a
// function is given a name with [Func]; [Submit] turns one call of it into a [Task] and hands
// that to a [Submitter] (a balanced or a direct view of a cluster);
// an engine somewhere runs it; the [Future] that Submit returned receives the result or an
// [Error] that says engine, host and rank. Nothing in this package starts a goroutine that
// outlives a call, opens a socket or reads a clock on its own: execution lives above, in
// package cluster.
//
// A complete program:
//
//	var square = tutti.Func("square", func(_ context.Context, x int) (int, error) { return x * x, nil })
//
//	func main() {
//		cluster.Init() // in an engine process this never returns
//		ctx := context.Background()
//		c, err := cluster.Open(ctx) // joins $TUTTI_CLUSTER, or starts an embedded cluster
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer c.Close()
//		y, err := tutti.Submit(ctx, c.Balanced(), square, 7).Get(ctx)
//		fmt.Println(y, err)
//	}
package tutti
