// Package shm gives the processes of one machine memory in common: segments that several of
// them map, and futex waits on words inside.
//
//   - A [Segment] is a piece of shared memory behind a descriptor. [Create] makes one with a
//     name in /dev/shm (or in the folder given), which unrelated processes find by [Open];
//     [Anonymous] makes one without a name, whose descriptor is handed on by [SendFDs].
//   - A mapping is a []byte that [Segment.Map] returns: shared and writable, shared and read
//     only, or private (copy on write). It outlives its Segment and ends by [Unmap].
//   - A named segment carries its owner in its name: host, boot, process and the process's start.
//     [Stale] lists those whose owner is gone, so that a crash leaves nothing for ever.
//   - [Wait] and [Wake] sleep and wake on a uint32 in a mapping, between processes.
//   - [CPUs] and [Room] say how many processors and how much memory this process may really
//     use, after affinity masks and control groups.
//
// A segment's memory is reserved when it is made: where /dev/shm or the memory is too small,
// Create and Anonymous fail with [ErrFull], and nobody dies of SIGBUS later. A descriptor from
// another process is held to the size that its file has ([FromFile], [Segment.Map]).
//
// Errors are plain: errors.Is knows [ErrFull], [ErrMissing], [ErrDenied], [ErrInvalid] and
// [ErrUnsupported], and the errno beneath. Everything here needs Linux; elsewhere each call
// returns ErrUnsupported.
//
// Two processes that share a counter:
//
//	seg, err := shm.Create("", "demo", 4096) // first process
//	if err != nil {
//		return err
//	}
//	defer seg.Close()
//	b, err := seg.Map(0, 4096, shm.ReadWrite)
//	if err != nil {
//		return err
//	}
//	defer shm.Unmap(b)
//	word := shm.Word(b, 0)
//	startChild(seg.Path())                // the child opens, maps, adds one, and wakes us
//	for atomic.LoadUint32(word) == 0 {    // a wait may end early: look again
//		shm.Wait(word, 0, time.Second)
//	}
//	return seg.Unlink() // all have mapped it: the name may go, the memory stays
package shm
