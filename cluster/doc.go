// Package cluster starts or joins a cluster, and gives views of its engines: a direct view, which
// addresses them by number, and a balanced view, which gives each task to whichever is free.
//
// # Nouns
//
// A [Client] is one program's membership of a cluster. [Open] joins the cluster named by
// $TUTTI_CLUSTER or by an option, and otherwise starts an embedded one: controller and agent in
// this process, engines as its children, gone when the program ends. The program is the same in
// both cases. A [Balanced] and a [Direct] view are small immutable values; both take tasks
// (tutti.Submitter). [Map], [MapUnordered], [Call], [CallRanks], [Scatter] and [Gather] are the
// calls made of many tasks.
//
// # Engines are the program itself
//
// An engine is a second process of the same binary, in which [Init], the first line of main, does
// not return but serves tasks. A function is found there by the name it was given with tutti.Func.
//
//	var square = tutti.Func("square", func(_ context.Context, x int) (int, error) { return x * x, nil })
//
//	func main() {
//		cluster.Init()
//		ctx := context.Background()
//		c, err := cluster.Open(ctx)
//		if err != nil {
//			log.Fatal(err)
//		}
//		defer c.Close()
//		for y, err := range cluster.Map(ctx, c.Balanced(), square, slices.Values([]int{1, 2, 3})) {
//			fmt.Println(y, err) // 1, 4, 9
//		}
//	}
//
// # What happens when things break
//
// A task whose engine is lost runs again on another by itself; one whose function fails does not
// unless asked. A client of a detached cluster whose controller has died waits for it to come
// back, and then sends again what had not ended; no result arrives twice. A wait that was given up
// says what it waited for.
package cluster
