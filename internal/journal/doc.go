// Package journal is the one durable record of what happened to a cluster.
//
// The nouns: a [Journal] is a folder with one writer. A [Record] is a type and some bytes, which
// mean something to the writer only; its [Pos] numbers it. Records lie in segments, files of
// fixed size that are reserved in advance and only ever added to. A snapshot is the writer's whole
// state as of a position; it makes the segments before it superfluous. A [Recovery] is what the
// files say when they are opened: a snapshot, the records behind it, and what is torn.
//
// A record travels like this: [Journal.Append] copies it into the current batch and returns.
// One goroutine takes the batch, puts checksums into it, writes it and syncs; what is appended
// meanwhile becomes the next batch. When the sync returns, the batch is committed:
// [Journal.Progress] says so to a loop that must not block, [Journal.WaitCommitted] to one that
// may. [Journal.Snapshot] writes a snapshot beside the traffic. A complete program is the package's Example.
//
// # Promises
//
// A committed record comes back, after a crash of the process or the machine at any moment,
// in its place, once; unless the disk itself loses what it said it has (or Config.SyncEvery was
// set, which weakens this for crashes of the machine). What comes back is always the beginning of what
// was appended: of the records that were not committed, the last may be missing, never one in between.
//
// Damage is never fatal. The ragged end that a crash leaves is cut off. If the disk has damaged
// a committed record, what is before it counts, and what is behind it is kept in files *.damaged,
// for a person. A damaged snapshot is replaced by the one before it, whose segments are kept. All this
// is said in Recovery.Torn.
//
// A full or faulty disk harms nothing that is durable. New records are refused with an error that says why;
// those that wait are kept in memory; the journal tries again by itself. After an error no
// file is trusted to continue: what is not known to be durable is written again, into a fresh segment.
//
// # One writer
//
// The file "lease" names the writer: process, host, boot and start time. It is made exclusively, which
// works on every file system, and locked with flock, which works on local ones and mostly on NFS. A lease
// whose holder has died is taken over if that can be seen from here: on the same host, or
// by the flock where both are of one kernel. The holder on another host cannot be seen; then a person
// decides, and removes the file. Somebody who removes it while the holder lives gets two writers and a
// damaged journal.
//
// # Network file systems
//
// Nothing is mapped into memory, no file is replaced by renaming another over it, and O_APPEND is not
// used: all writes go to places that this process alone decides on. What remains to be trusted is that
// fsync means what it says (an NFS export with the option async lies), and that a name is durable
// when its folder was synced or the server has answered. Readers on other hosts may see records late,
// and an error instead of a file that a snapshot has just made superfluous: they read again.
//
// # Layout
//
// Numbers are little-endian; checksums are CRC-32C. The names of files are the ordinal in twelve digits with .seg
// or .snap; an ordinal is used once. Both sorts begin with a header:
//
//	 0  8  "tuttijnl" (segment) or "tuttisnp" (snapshot)
//	 8  2  version of the format: 1
//	10  2  length of the header: 64
//	12  4  0
//	16 16  id of the journal
//	32  8  ordinal
//	40  8  segment: position of its first record; snapshot: of the last it includes
//	48 12  0
//	60  4  checksum of the above: the seed of all others in the file
//
// A segment goes on with frames, each beginning at a multiple of four:
//
//	 0  4  length of the data
//	 4  4  checksum of all the rest of the frame but the padding, seeded
//	 8  8  position
//	16  2  type
//	18  2  flags; 1: every earlier record was durable when this one was written
//	20  n  data, then zeros up to a multiple of four
//
// It ends where no frame with the next position verifies. Where a later segment begins at a
// position that an earlier one also reaches, the later one counts: so begins each life of a journal and
// each attempt after a failed write.
//
// A snapshot goes on with chunks of at most 256 KiB, the last of length 0:
//
//	0  4  length of the data
//	4  4  checksum of length and data, seeded by the checksum of the chunk before
//	8  n  data
package journal
