package main

// #include "fast.h"
// #include "internal.h"
import "C"

import (
	"context"
	"os"
	"sync"
	"syscall"
	"unsafe"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi"
)

// comm is a communicator as its handle knows it. It is not changed once it has a handle; another
// handler makes another one.
type comm struct {
	mpi.Raw
	handle  C.int32_t
	world   *world
	handler C.uintptr_t // a tutti_error_handler, and what it is called with; 0: errors are returned
	context C.uintptr_t
}

// world is what a joined communicator belongs to; the one of init has no mpi.World of ours.
type world struct{ joined *mpi.World }

var (
	comms = newTable[comm](3) // null, world, self

	// process guards the changes of what init and finalize make.
	process sync.Mutex
)

// lookup finds a communicator, or keeps the error.
func lookup(h C.int32_t, op string) (*comm, C.int) {
	if c := comms.get(h); c != nil {
		return c, 0
	}
	return nil, noComm(h, op)
}

func noComm(h C.int32_t, op string) C.int {
	var none *comm
	switch {
	case h == C.TUTTI_COMM_NULL:
		return none.wrong(C.TUTTI_ERR_COMM, op, "the null communicator was given")
	case h > C.TUTTI_COMM_SELF:
		return none.wrong(C.TUTTI_ERR_COMM, op, "%d is no communicator: it was freed, or its world was left", h)
	case mpi.Finalized():
		return none.wrong(C.TUTTI_ERR_CLOSED, op, "the world has been finalized")
	}
	return none.wrong(C.TUTTI_ERR_CLOSED, op, "the world has not been initialized")
}

// share lets the C part pass short messages by itself, where that is possible.
func (c *comm) share() {
	if at := C.fast_place(c.handle); at != nil {
		c.Raw.Share(int32(c.handle), at, func(bytes int) unsafe.Pointer { return C.fast_memory(C.size_t(bytes)) })
	}
}

// derive gives a communicator made of c its handle; nil is the null communicator.
func (c *comm) derive(made *mpi.Comm, out *C.int32_t) C.int {
	if made == nil {
		*out = C.TUTTI_COMM_NULL
		return 0
	}
	return register(comm{Raw: mpi.Raw{Comm: made}, world: c.world, handler: c.handler, context: c.context}, out)
}

func register(c comm, out *C.int32_t) C.int {
	h := comms.put(c)
	if h == 0 {
		return c.wrong(C.TUTTI_ERR_FULL, "handle", "there are too many communicators")
	}
	comms.get(h).handle = h
	comms.get(h).share()
	*out = h
	return 0
}

//export tuttigo_init
func tuttigo_init(report C.int) C.int {
	process.Lock()
	defer process.Unlock()
	if comms.get(C.TUTTI_COMM_WORLD) != nil {
		return 0
	}
	join := mpi.InitWithin
	if report != 0 {
		join = mpi.Init
	}
	c, err := join(context.Background())
	if err != nil {
		return (*comm)(nil).fail(err)
	}
	w := &world{}
	comms.set(C.TUTTI_COMM_WORLD, &comm{Raw: mpi.Raw{Comm: c}, handle: C.TUTTI_COMM_WORLD, world: w})
	comms.get(C.TUTTI_COMM_WORLD).share()
	comms.set(C.TUTTI_COMM_SELF, &comm{Raw: mpi.Raw{Comm: mpi.Alone(context.Background())}, handle: C.TUTTI_COMM_SELF, world: w})
	return 0
}

//export tuttigo_finalize
func tuttigo_finalize() C.int {
	process.Lock()
	defer process.Unlock()
	c := comms.get(C.TUTTI_COMM_WORLD)
	if c == nil {
		return noComm(C.TUTTI_COMM_WORLD, "Finalize")
	}
	forget(c.world)
	c.Unshare()
	comms.set(C.TUTTI_COMM_WORLD, nil)
	comms.set(C.TUTTI_COMM_SELF, nil)
	return c.result(mpi.Finalize())
}

// forget makes the handles of a world's communicators invalid.
func forget(w *world) {
	comms.each(func(h int32, c *comm) {
		if c.world == w && h > C.TUTTI_COMM_SELF {
			c.Unshare()
			comms.drop(C.int32_t(h))
		}
	})
}

//export tuttigo_initialized
func tuttigo_initialized() C.int {
	if mpi.Initialized() || mpi.Finalized() {
		return 1
	}
	return 0
}

//export tuttigo_finalized
func tuttigo_finalized() C.int {
	if mpi.Finalized() {
		return 1
	}
	return 0
}

//export tuttigo_abort
func tuttigo_abort(h C.int32_t, code C.int, reason *C.char) C.int {
	text := "the program called abort"
	if reason != nil {
		text = C.GoString(reason)
	}
	if h == C.TUTTI_COMM_SELF {
		h = C.TUTTI_COMM_WORLD // what one rank ends, ends for all
	}
	c, bad := lookup(h, "Abort")
	if c == nil {
		return bad
	}
	c.Abort(int(code), text)
	if c.world.joined == nil { // a world of one that no launcher made
		os.Stderr.WriteString("mpi: " + text + "\n")
		os.Exit(int(code))
	}
	return 0
}

//export tuttigo_join
func tuttigo_join(path *C.char, fd, rank, size C.int, out *C.int32_t) C.int {
	spec := mpi.Spec{Rank: int(rank), Size: int(size)}
	if path != nil {
		spec.Path = C.GoString(path)
	} else {
		dup, err := duplicate(int(fd))
		if err != nil {
			return (*comm)(nil).wrong(C.TUTTI_ERR_ARG, "Join", "descriptor %d: %w", fd, err)
		}
		spec.File = os.NewFile(uintptr(dup), "segment")
	}
	w, err := mpi.Join(context.Background(), spec)
	if err != nil {
		return (*comm)(nil).fail(err)
	}
	bad := register(comm{Raw: mpi.Raw{Comm: w.Comm()}, world: &world{w}}, out)
	if bad != 0 {
		_ = w.Finalize()
	}
	return bad
}

func duplicate(fd int) (int, error) {
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	d, err := syscall.Dup(fd)
	if err == nil {
		syscall.CloseOnExec(d)
	}
	return d, err
}

//export tuttigo_leave
func tuttigo_leave(h C.int32_t) C.int {
	c, bad := lookup(h, "Leave")
	if c == nil {
		return bad
	}
	if c.world.joined == nil {
		return c.wrong(C.TUTTI_ERR_COMM, "Leave", "this world was not joined: finalize leaves it")
	}
	if c.world.joined.Comm() != c.Comm {
		return c.wrong(C.TUTTI_ERR_COMM, "Leave", "this is not the communicator of the whole world")
	}
	forget(c.world)
	return c.result(c.world.joined.Finalize())
}

//export tuttigo_new_segment
func tuttigo_new_segment(out *C.int) C.int {
	f, err := mpi.NewSegment("")
	if err != nil {
		return (*comm)(nil).fail(err)
	}
	defer f.Close()
	fd, err := duplicate(int(f.Fd()))
	if err != nil {
		return (*comm)(nil).fail(tutti.E("new segment", tutti.Full, err))
	}
	*out = C.int(fd)
	return 0
}

//export tuttigo_set_meanwhile
func tuttigo_set_meanwhile(on C.int) C.int {
	if on == 0 {
		mpi.SetMeanwhile(nil)
	} else {
		mpi.SetMeanwhile(func() bool { return C.tutti_call_meanwhile() != 0 })
	}
	return 0
}

//export tuttigo_lost
func tuttigo_lost(h C.int32_t, rank C.int) C.int {
	c, bad := lookup(h, "Lost")
	if c == nil {
		return bad
	}
	if c.world.joined == nil {
		return c.wrong(C.TUTTI_ERR_UNSUPPORTED, "Lost", "the launcher of this world sees the deaths of its ranks by itself")
	}
	c.world.joined.Lost(int(rank))
	return 0
}

//export tuttigo_revoke
func tuttigo_revoke(h C.int32_t) C.int {
	c, bad := lookup(h, "Revoke")
	if c == nil {
		return bad
	}
	return c.result(c.Revoke())
}

//export tuttigo_waiting
func tuttigo_waiting(h C.int32_t, text *C.char, room C.int64_t) C.int {
	c, bad := lookup(h, "Waiting")
	if c == nil {
		return bad
	}
	return c.write("Waiting", c.Waiting(), text, room)
}

// write puts a text into a buffer of the caller's, as much as there is room for.
func (c *comm) write(op, s string, text *C.char, room C.int64_t) C.int {
	if text == nil || room < 1 {
		return c.wrong(C.TUTTI_ERR_ARG, op, "there is no room for a text")
	}
	b := unsafe.Slice((*byte)(unsafe.Pointer(text)), room)
	b[copy(b[:room-1], s)] = 0
	return 0
}

//export tuttigo_set_error_handler
func tuttigo_set_error_handler(h C.int32_t, handler, context C.uintptr_t) C.int {
	c, bad := lookup(h, "SetErrorHandler")
	if c == nil {
		return bad
	}
	n := *c
	n.handler, n.context = handler, context
	comms.replace(h, n)
	return 0
}

//export tuttigo_version
func tuttigo_version(text *C.char, room C.int64_t) {
	(*comm)(nil).write("version", tutti.Release, text, room)
}
