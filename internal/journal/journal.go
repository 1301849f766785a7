package journal

import (
	"context"
	"encoding/hex"
	"os"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Pos numbers the records of a journal from 1, without gaps, for its whole life; 0 is before
// the first. A snapshot carries the position of the last record it includes.
type Pos uint64

// ID tells journals apart: random, made with the first file, written into every file.
type ID [16]byte

// String is the hexadecimal form.
func (id ID) String() string { return hex.EncodeToString(id[:]) }

// Record is one entry. The journal does not look into Data; Type is its owner's to define.
type Record struct {
	Pos  Pos
	Type uint16
	Data []byte
}

// Config is how a journal is kept. The zero Config is the careful one.
type Config struct {
	// SegmentSize is the length of a segment file: 16 MiB if 0, at least 4 KiB. A longer record gets a
	// segment of its own length.
	SegmentSize int64
	// SyncEvery 0 means that a record counts as committed when it is durable. Otherwise it
	// counts when it is handed to the operating system, which is told to make it durable this
	// often: a crash of the process loses nothing, a crash of the machine what came since.
	SyncEvery time.Duration
	// MaxPending bounds the bytes that wait in memory for the disk: 64 MiB if 0. Beyond it
	// Append returns an error of kind Full.
	MaxPending int
	// RetryEvery is the pause between two attempts to write while the disk is full or
	// faulty: 2 s if 0. Negative: only [Journal.Sync] tries.
	RetryEvery time.Duration
}

func (c Config) withDefaults() Config {
	if c.SegmentSize == 0 {
		c.SegmentSize = 16 << 20
	}
	c.SegmentSize = max(c.SegmentSize, 4<<10)
	if c.MaxPending <= 0 {
		c.MaxPending = 64 << 20
	}
	if c.RetryEvery == 0 {
		c.RetryEvery = 2 * time.Second
	}
	return c
}

// Progress is what a journal tells a loop that must not block: everything up to Committed is
// committed; while Err is not nil the disk does not take what comes after it.
type Progress struct {
	Committed Pos
	Err       error
}

// Journal is a journal open for writing. All methods may be called concurrently.
type Journal struct {
	dir  string
	cfg  Config
	disk disk
	id   ID

	wake    chan struct{} // room for one: records wait for the commit goroutine
	asks    chan ask      // orders to the commit goroutine
	done    chan struct{} // closed when the commit goroutine has ended
	tell    chan Progress // room for one: the newest
	release func() error  // gives the lease back

	snapping chan struct{} // room for one: held by who writes a snapshot, or closes
	files    catalog

	mu        sync.Mutex
	batch     []byte        // frames that the commit goroutine has not taken
	inflight  int           // bytes it has taken and not made durable
	last      Pos           // of the last record appended
	committed Pos           // what was reported
	err       error         // why the disk takes nothing, nil if it does
	awake     bool          // the commit goroutine has been told about the batch
	closed    bool          // no more records
	changed   chan struct{} // closed at the next change of the above, nil if nobody waits
}

// Open opens the journal in folder dir for its one writer, and makes folder (mode 0700) and journal if
// there are none. It takes the lease, finds the newest good snapshot and the records after it,
// cuts off what is torn, sets aside what is damaged, and writes again what is not known to be
// durable; the Recovery says all this, and hands out snapshot and records. Damage is never an
// error, and neither is a disk that has just room for the lease: [Journal.Committed] says of
// each recovered record whether it is durable by now.
//
// It blocks on the disk. Kinds: Exists (somebody has it open: the error says who), Denied, Version
// (written by a later tutti), Full, Other (a faulty disk).
func Open(dir string, cfg Config) (*Journal, *Recovery, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, diskError("open journal", dir, err)
	}
	release, err := takeLease(dir)
	if err != nil {
		return nil, nil, err
	}
	return openOn(osDisk(dir), dir, release, cfg)
}

// openOn is Open on any disk, with the lease taken; on an error it gives the lease back.
func openOn(d disk, dir string, release func() error, cfg Config) (*Journal, *Recovery, error) {
	j, r, err := start(d, dir, release, cfg)
	if err != nil {
		release()
		return nil, nil, err
	}
	// On a full disk this fails, and the journal is open all the same: it refuses records and
	// says so, and tries again.
	j.Sync(context.Background())
	return j, r, nil
}

// start recovers, and starts the commit goroutine with what is to be written again.
func start(d disk, dir string, release func() error, cfg Config) (*Journal, *Recovery, error) {
	r, err := scan(d, dir, 0)
	if err != nil {
		return nil, nil, err
	}
	if err := r.repair(); err != nil {
		return nil, nil, err
	}
	frames, durable, err := r.unproven()
	if err != nil {
		return nil, nil, err
	}
	j := &Journal{
		dir: dir, cfg: cfg.withDefaults(), disk: d, id: r.ID,
		wake: make(chan struct{}, 1), asks: make(chan ask), done: make(chan struct{}), tell: make(chan Progress, 1),
		release: release, snapping: make(chan struct{}, 1),
		last: r.Last, committed: durable,
	}
	j.files = catalog{disk: d, segments: r.segments, snapshots: r.snapshots, next: r.next}
	w := &writer{disk: d, id: r.ID, size: j.cfg.SegmentSize, next: r.next, made: j.files.addSegment,
		queue: frames, fresh: true, wrote: durable, synced: durable}
	go (&committer{Journal: j, w: w}).run()
	return j, r, nil
}

// Append adds a record and returns its position. It copies data into the current batch and does
// not block on the disk: the record is committed later, in the order of positions. While the
// disk takes nothing (see [Progress]), or more than Config.MaxPending waits for it, the record
// is refused and gets no position. Kinds: Full, Other, Denied (the disk's), Invalid (longer than MaxData), Closed.
func (j *Journal) Append(typ uint16, data []byte) (Pos, error) {
	j.mu.Lock()
	pos, err := j.append(typ, data)
	wake := err == nil && !j.awake
	j.awake = j.awake || wake
	j.mu.Unlock()
	if wake {
		j.nudge()
	}
	return pos, err
}

// nudge leaves word for the commit goroutine; word that is already there will do.
func (j *Journal) nudge() {
	select {
	case j.wake <- struct{}{}:
	default:
	}
}

// append is Append under the lock, without the call to the commit goroutine.
func (j *Journal) append(typ uint16, data []byte) (Pos, error) {
	size := frameSize(len(data))
	switch {
	case j.closed:
		return 0, tutti.Errorf("append to journal", tutti.Closed, "the journal is closed")
	case j.err != nil:
		return 0, j.err
	case len(data) > MaxData:
		return 0, tutti.Errorf("append to journal", tutti.Invalid, "a record of %d bytes, the limit is %d", len(data), MaxData)
	case len(j.batch)+j.inflight+size > j.cfg.MaxPending && len(j.batch)+j.inflight > 0:
		return 0, tutti.Errorf("append to journal", tutti.Full, "%d bytes wait for the disk", len(j.batch)+j.inflight).
			WithHint("the disk under %s is slower than what is written to it: put the journal on a faster one", j.dir)
	}
	j.last++
	j.batch = appendFrame(j.batch, j.last, typ, data)
	return j.last, nil
}

// Last is the position of the last record appended.
func (j *Journal) Last() Pos {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.last
}

// Committed reports whether the record at pos is committed. If it is not, the error says why
// the disk takes nothing at the moment, nil if it is merely on its way.
func (j *Journal) Committed(pos Pos) (bool, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if pos <= j.committed {
		return true, nil
	}
	return false, j.err
}

// Progress is a channel that yields the newest progress each time it has changed; progress that
// nobody fetched is replaced by newer. It is for one reader, a loop that holds acknowledgements
// back until they are safe to give. It is closed by Close.
func (j *Journal) Progress() <-chan Progress { return j.tell }

// WaitCommitted returns when the record at pos is committed. An error of the disk (Full, Other,
// Denied) means not yet: the record is kept in memory and written when the disk recovers,
// unless the journal is closed before. Kinds besides: Canceled and Timeout from ctx, Invalid
// (no such record was appended), Closed.
func (j *Journal) WaitCommitted(ctx context.Context, pos Pos) error {
	const op = "wait for journal"
	for {
		j.mu.Lock()
		committed, err, last := j.committed, j.err, j.last
		if j.changed == nil {
			j.changed = make(chan struct{})
		}
		changed := j.changed
		j.mu.Unlock()
		switch {
		case pos <= committed:
			return nil
		case err != nil:
			return err
		case pos > last:
			return tutti.Errorf(op, tutti.Invalid, "no record %d was appended, the last is %d", pos, last)
		}
		select {
		case <-changed:
		case <-j.done:
			return j.afterClose(pos)
		case <-ctx.Done():
			return tutti.Errorf(op, tutti.KindOf(ctx.Err()), "record %d is not committed, the disk has reached %d: %w", pos, committed, ctx.Err())
		}
	}
}

// afterClose answers a waiter when the commit goroutine has ended.
func (j *Journal) afterClose(pos Pos) error {
	if ok, err := j.Committed(pos); ok || err != nil {
		return err
	}
	return tutti.Errorf("wait for journal", tutti.Closed, "the journal was closed before record %d was committed", pos)
}

// Sync makes everything appended so far durable and returns when it is, whatever
// Config.SyncEvery says. After an error of the disk it tries again at once. Kinds as WaitCommitted.
func (j *Journal) Sync(ctx context.Context) error {
	a := ask{reply: make(chan error, 1)}
	const op = "sync journal"
	select {
	case j.asks <- a:
	case <-j.done:
		return tutti.Errorf(op, tutti.Closed, "the journal is closed")
	case <-ctx.Done():
		return tutti.Errorf(op, tutti.KindOf(ctx.Err()), "waiting for the disk to finish its last write: %w", ctx.Err())
	}
	select {
	case err := <-a.reply:
		return err
	case <-ctx.Done():
		return tutti.Errorf(op, tutti.KindOf(ctx.Err()), "waiting for the disk: %w", ctx.Err())
	}
}

// Close makes durable what was appended, gives back the room that was reserved, and the lease.
// It waits for the disk, and for a snapshot that is being written, which it stops at the next
// write. An error of the disk means that what was not committed is lost. Closing again does nothing.
func (j *Journal) Close() error {
	return j.end(ask{reply: make(chan error, 1), last: true})
}

// Crash ends the journal as the death of its process would: what was appended and not committed is
// lost, and the next Open finds what a crash leaves. It is for tests of those who keep a journal.
func (j *Journal) Crash() { _ = j.end(ask{reply: make(chan error, 1), crash: true}) }

// end stops the commit goroutine by an order to it, and gives the lease back.
func (j *Journal) end(a ask) error {
	j.mu.Lock()
	again := j.closed
	j.closed = true
	j.mu.Unlock()
	if again {
		<-j.done
		return nil
	}
	j.snapping <- struct{}{}
	j.asks <- a
	err := <-a.reply
	<-j.done
	if e := j.release(); err == nil && e != nil {
		err = diskError("close journal", j.dir, e)
	}
	return err
}
