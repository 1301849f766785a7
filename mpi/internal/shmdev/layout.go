// Package shmdev is the device for ranks that share memory: processes of one machine that map
// the same segment, or goroutines of one process. Both run the same code, over memory that an
// [arena] gives out.
//
// A message travels like this. The sender writes a 64-byte slot into the ring from its rank to
// the receiver's, with up to 32 bytes in it; longer messages lie in the payload ring beside, in
// pieces. The receiver, whenever it waits or looks, drains its rings, matches what comes against
// the receives posted and copies it to its place, or keeps it until somebody asks. Messages above
// the eager limit are announced first; when the receive has begun both sides copy at once, each
// its part, straight between the two processes, or through the ring where that is impossible.
//
// Whoever waits spins for a while, unless there are more ranks than processors, and then sleeps
// on its doorbell, a word that peers ring after they wrote something.
package shmdev

import (
	"sync/atomic"
	"unsafe"
)

const (
	maxRanks  = 4096
	line      = 64
	nslot     = 128 // slots of a ring
	inlineMax = 32  // bytes of a message that lie in its slot
	inPayload = 255 // value of slot.inl: the bytes lie in the payload ring
	maxAreas  = 32  // communicators that have shared buffers for collective operations at a time
	smallMax  = 2048
	bigMax    = 32 << 10
	revokable = 256 // communicators that can be revoked one by one; one more revokes the world
)

// Where things lie in a mapped segment. The roster is known to the launcher too, which reads it
// to learn who left in order: one byte for each rank, of the values joined and finalized.
const (
	magic     = 0x5455544d // "TUTM"
	version   = 1
	rosterOff = 4096
	ranksOff  = 8192
)

const (
	absent    = iota // not here yet
	joined           // takes part; its end is a failure
	finalized        // left in order
	lost             // died
)

// header is the first page of a world.
type header struct {
	magic, version, ranks, payload uint32
	_                              [48]byte
	epoch                          atomic.Uint32 // changes when something below does, or somebody died
	_                              [60]byte
	nextCtx                        atomic.Uint32
	areas                          atomic.Uint32 // bit set: taken
	nrevoked                       atomic.Uint32
	aborted                        atomic.Uint32 // 1 while the text is written, 2 when it is there
	abortCode                      int32
	abortRank                      int32
	abortLen                       uint32
	_                              [36]byte
	revoked                        [revokable]atomic.Uint32
	abortText                      [1024]byte
}

// rankPage is what one rank shows to the others.
type rankPage struct {
	word   uint32        // the doorbell: a futex word that changes when it rings
	asleep atomic.Uint32 // 1: wants the doorbell to ring
	active atomic.Uint32 // how many rings lead here
	_      [52]byte
	// writing is 1 while this rank may write into memory that a peer lent it.
	writing atomic.Uint32
	pid     atomic.Uint32
	probe   atomic.Uint64 // address of a word with a known value: may others copy from this process?
	_       [48]byte
	wait    waitRecord
	senders [maxRanks / 64]atomic.Uint64 // bit set: a ring from that rank is in use
}

// waitRecord says what a rank waits for; read without a lock, by people.
type waitRecord struct {
	op    atomic.Uint32 // 0: does not wait
	peer  atomic.Int32
	tag   atomic.Int32
	ctx   atomic.Uint32
	since atomic.Int64 // nanoseconds of the wall clock
	_     [40]byte
}

// ringHead is what the receiver of a ring tells its sender; the rest both know by themselves.
type ringHead struct {
	tail  atomic.Uint64 // slots consumed
	_     [56]byte
	ptail atomic.Uint64 // payload bytes consumed
	_     [56]byte
}

// slot is one cache line on its way. seq is written last and makes it visible.
type slot struct {
	seq   atomic.Uint32
	kind  uint8
	inl   uint8  // bytes in data, or inPayload: then data holds their number
	src   uint16 // sender's rank in the communicator
	ctx   uint32
	tag   int32
	total uint64 // bytes of the whole message
	aux   uint64 // a request's number, or the end of the piece in the payload ring
	data  [inlineMax]byte
}

type ringSlots [nslot]slot

const pairHead = uint64(unsafe.Sizeof(ringHead{}) + unsafe.Sizeof(ringSlots{}))

// areaRank is one rank's part of a communicator's shared buffers.
type areaRank struct {
	flag atomic.Uint64 // steps published
	_    [56]byte
	done atomic.Uint64 // steps whose buffers this rank does not read any more
	_    [56]byte
	// Two of each, used in turn, so that a rank may be one step ahead.
	small [2][smallMax]byte
	big   [2][bigMax]byte
}

// areaHead belongs to all ranks of a communicator.
type areaHead struct {
	members atomic.Uint32 // ranks that have not freed it
	blocked atomic.Uint32 // ranks that wait until they may write into their buffer
	_       [56]byte
}

// pair is the ring from one rank to another as memory.
type pair struct {
	back    *ringHead
	slots   *ringSlots
	payload []byte
}

// area is a communicator's shared buffers as memory.
type area struct {
	index int
	head  *areaHead
	ranks []areaRank
}

// arena gives out the memory of a world. What it has given stays where it is until close.
type arena interface {
	header() *header
	roster(rank int) *atomic.Uint32 // shared by four ranks in mapped memory; see setState
	rank(r int) *rankPage
	// pair is the ring between two ranks; with reserve the memory is made sure of first, and the
	// error is of kind Full where there is none.
	pair(src, dst int, reserve bool) (pair, error)
	area(index, ranks int, reserve bool) (area, error)
	// sleeping on and ringing a rank's doorbell
	sleep(r int, val uint32, limit int64)
	wake(r int)
	// inProcess says that the ranks are goroutines here.
	inProcess() bool
	close() error
}

// payloadFor is the size of a payload ring: large where there are few of them.
func payloadFor(n int) uint32 {
	switch {
	case n <= 4:
		return 512 << 10
	case n <= 16:
		return 128 << 10
	case n <= 64:
		return 64 << 10
	}
	return 32 << 10
}

// setState writes one byte of the roster, which has no atomic bytes: four ranks share a word.
func setState(a arena, rank int, s uint32) {
	w, shift := a.roster(rank), uint(rank%4)*8
	for {
		old := w.Load()
		if w.CompareAndSwap(old, old&^(0xff<<shift)|s<<shift) {
			return
		}
	}
}

func state(a arena, rank int) uint32 { return a.roster(rank).Load() >> (uint(rank%4) * 8) & 0xff }

func roundUp(n, to uint64) uint64 { return (n + to - 1) / to * to }
