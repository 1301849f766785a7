// Package blob keeps big data: bytes named by their maker and a number, which stay where they
// were made until somebody needs them.
//
// # Nouns
//
//   - A blob is a run of bytes that never changes after it was sealed. Its name is a
//     [tutti.BlobID]; a [tutti.Ref] is the name with the size and perhaps a checksum.
//   - The [Store] of a node keeps its blobs. It lives in one process: the agent, or the program
//     itself where the cluster is embedded.
//   - A [Space] is the store as one [Holder] sees it. Processes of the node that are not the
//     store's have it too: [Local], over a Unix socket whose other end has [Store.Serve].
//   - A [Builder] is a blob being written, in memory that the readers will map.
//   - A [Lease] is the right to read a blob where it lies, without a copy.
//   - A reference keeps a blob, a lease keeps its memory. Both are counted by who has them: when an
//     engine dies its leases end with its socket, and [Store.DropHolder] takes its references
//     back. A blob without references has no name any more; its memory is used again when the
//     last lease has ended too, and not a moment sooner.
//   - A [Fetcher] brings blobs from other nodes, whose [Handler] answers it.
//
// # Where the bytes lie
//
// A store has a pool of shared segments, up to [Config].Memory. Making memory is what costs: a
// fresh segment is many times slower than a warm one, because the kernel must clear each page and
// every process must fault it in. So segments are made with all their pages, mapped once by each
// process and kept mapped, and what was freed last is given out first. Small blobs share segments
// by size; a large one has its own.
//
// When the pool is full, segments that nobody uses make way for other sizes; then blobs that
// nobody reads, the longest unused first, move to files in [Config].Spill; and if all memory is
// leased, a new blob is written to a mapped file from the beginning. A spilled blob comes back to
// memory when there is room, else its file is mapped. All space is reserved before anybody writes,
// so what does not fit is an error of kind Full with a hint that names the folder and the limits,
// never a SIGBUS.
//
// Memory has no name and goes with the last process that maps it. Spill files have one, which
// says whose they are; [Open] removes those of processes that are no more.
//
// # Between nodes
//
// A blob travels in pieces, several at a time, each asked for by a range and verified by a
// checksum that the sender takes just before it sends. What was cut off goes on from there, with
// the same peer or another. Where a firewall stands between, the same request goes through a
// relay, which passes bytes on as they come ([Forward]).
//
// # A program
//
// One process writes a hundred megabytes, and another on the same node reads them:
//
//	store, err := blob.Open(blob.Config{Node: 0, Spill: "/scratch/me"})
//	if err != nil {
//		log.Fatal(err)
//	}
//	defer store.Close()
//
//	w, err := store.As("client 1").New(ctx, 100e6) // a warm segment, if there is one
//	if err != nil {
//		log.Fatal(err, tutti.HintOf(err))
//	}
//	fill(w.Bytes())
//	ref, err := w.Seal(ctx) // from now on nobody writes there
//
//	here, there, err := shm.Socketpair()
//	cmd := exec.Command("./engine", ref.Blob.String())
//	cmd.ExtraFiles = []*os.File{there}
//	cmd.Start()
//	there.Close()
//	err = store.Serve(ctx, here, "engine 7") // until the engine ends, or dies
//	store.DropHolder("engine 7")
//
//	// in the engine, which was told ref:
//	conn, err := shm.ConnFromFile(os.NewFile(3, "blobs"))
//	blobs := blob.Connect(conn)
//	defer blobs.Close()
//	lease, err := blobs.Open(ctx, ref, blob.View)
//	if err != nil {
//		return err
//	}
//	defer lease.Release()
//	fmt.Println(sum(lease.Bytes())) // where the client wrote them: no copy was made
package blob
