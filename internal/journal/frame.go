package journal

import (
	"encoding/binary"
	"hash/crc32"

	"github.com/tutti-hpc/tutti"
)

// A file begins with a header, a segment goes on with frames; doc.go draws both. Everything is
// little-endian.
const (
	headerSize  = 64
	frameHeader = 20
	frameAlign  = 4
	version     = 1

	segmentMagic  = "tuttijnl"
	snapshotMagic = "tuttisnp"
)

// MaxData is the longest Data of a record. It bounds what a reader of a damaged file may be
// led to allocate, together with the length of that file.
const MaxData = 256 << 20

// flagClean in a frame says that every earlier record had been synced before this one was
// written. Found behind a damaged frame it proves that the damage hit a committed record, and
// is not just the ragged end of a crash.
const flagClean = 1

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// header is the first 64 bytes of a segment or a snapshot.
type header struct {
	magic   string
	id      ID
	ordinal uint64 // of the file among its sort; also its name
	pos     Pos    // segment: of its first record; snapshot: the last record it includes
}

// encode gives the bytes, and the checksum that seeds every checksum in the rest of the file:
// a frame copied from another file, or left over in a recycled block, does not verify.
func (h header) encode() (b [headerSize]byte, seed uint32) {
	copy(b[:], h.magic)
	binary.LittleEndian.PutUint16(b[8:], version)
	binary.LittleEndian.PutUint16(b[10:], headerSize)
	copy(b[16:], h.id[:])
	binary.LittleEndian.PutUint64(b[32:], h.ordinal)
	binary.LittleEndian.PutUint64(b[40:], uint64(h.pos))
	seed = crc32.Checksum(b[:60], castagnoli)
	binary.LittleEndian.PutUint32(b[60:], seed)
	return b, seed
}

// decodeHeader reads what encode wrote. Kind Corrupt: not such a file, or a damaged one; Kind
// Version: intact, but of a format that this program does not know.
func decodeHeader(b []byte, magic string) (h header, seed uint32, err error) {
	if len(b) < headerSize || string(b[:8]) != magic {
		return h, 0, tutti.Errorf("read journal", tutti.Corrupt, "no header")
	}
	seed = binary.LittleEndian.Uint32(b[60:])
	if crc32.Checksum(b[:60], castagnoli) != seed {
		return h, 0, tutti.Errorf("read journal", tutti.Corrupt, "the header's checksum is wrong")
	}
	if v := binary.LittleEndian.Uint16(b[8:]); v != version {
		return h, 0, tutti.Errorf("read journal", tutti.Version, "format %d, this program reads %d", v, version).
			WithHint("open it with the version of tutti that wrote it, or a later one")
	}
	h = header{magic: magic, ordinal: binary.LittleEndian.Uint64(b[32:]), pos: Pos(binary.LittleEndian.Uint64(b[40:]))}
	copy(h.id[:], b[16:32])
	return h, seed, nil
}

// frameSize is the room that a record with n bytes of data takes, padding included.
func frameSize(n int) int { return (frameHeader + n + frameAlign - 1) &^ (frameAlign - 1) }

// appendFrame adds a frame without its checksum and flags: these depend on the segment it will
// lie in, which is known only when it is written.
func appendFrame(b []byte, pos Pos, typ uint16, data []byte) []byte {
	var h [frameHeader]byte
	binary.LittleEndian.PutUint32(h[0:], uint32(len(data)))
	binary.LittleEndian.PutUint64(h[8:], uint64(pos))
	binary.LittleEndian.PutUint16(h[16:], typ)
	b = append(b, h[:]...)
	b = append(b, data...)
	var pad [frameAlign]byte
	return append(b, pad[:frameSize(len(data))-frameHeader-len(data)]...)
}

// stamp puts checksums into as many leading frames as fit into room, the flag clean into the
// first of them, and returns their bytes and the last one's position. It may be applied again
// to frames that were stamped for another segment.
func stamp(frames []byte, room int64, seed uint32, clean bool) (n int, last Pos) {
	for n < len(frames) {
		f := frames[n:]
		length := int(frameLength(f))
		size := frameSize(length)
		if int64(n+size) > room {
			break
		}
		flags := uint16(0)
		if clean && n == 0 {
			flags = flagClean
		}
		binary.LittleEndian.PutUint16(f[18:], flags)
		binary.LittleEndian.PutUint32(f[4:], frameSum(f, length, seed))
		last = framePos(f)
		n += size
	}
	return n, last
}

func framePos(f []byte) Pos       { return Pos(binary.LittleEndian.Uint64(f[8:])) }
func frameLength(f []byte) uint32 { return binary.LittleEndian.Uint32(f) }

// frameSum covers the length, everything after the checksum, and by the seed the segment.
func frameSum(f []byte, length int, seed uint32) uint32 {
	return crc32.Update(crc32.Update(seed, castagnoli, f[:4]), castagnoli, f[8:frameHeader+length])
}

// frame is one verified record in a segment's bytes.
type frame struct {
	pos   Pos
	typ   uint16
	clean bool
	data  []byte // within the segment's bytes
	size  int    // from this frame to the next
}

// parse reads the frame at the start of b, which ends with the file. ok is false where there is
// none: zeros, a torn or damaged frame, or a record other than the first..last expected.
func parse(b []byte, seed uint32, first, last Pos) (f frame, ok bool) {
	if len(b) < frameHeader {
		return f, false
	}
	// The position is looked at first: it turns away nearly everything that is no frame,
	// before any checksum is computed.
	if f.pos = framePos(b); f.pos < first || f.pos > last {
		return f, false
	}
	length := int64(frameLength(b))
	if length > MaxData || int64(len(b)) < int64(frameHeader)+length {
		return f, false
	}
	if binary.LittleEndian.Uint32(b[4:]) != frameSum(b, int(length), seed) {
		return f, false
	}
	f.typ = binary.LittleEndian.Uint16(b[16:])
	f.clean = binary.LittleEndian.Uint16(b[18:])&flagClean != 0
	f.data = b[frameHeader : frameHeader+length : frameHeader+length]
	f.size = min(frameSize(int(length)), len(b)) // the last frame's padding may be cut
	return f, true
}

// find looks for the next frame behind damage: at any aligned offset from off on, with a
// position of first..last. patience, shared by all searches in one file, bounds the work.
func find(b []byte, off int, seed uint32, first, last Pos, patience *int) (at int, f frame, ok bool) {
	// No file can hold more records than headers; nearly all that is not a frame has a
	// position out of this range. What is left may be made to look like long frames within
	// each other, so there is an end to the patience too.
	last = min(last, first+Pos(len(b)/frameHeader))
	for at = off; at+frameHeader <= len(b) && *patience > 0; at += frameAlign {
		if f, ok = parse(b[at:], seed, first, last); ok {
			return at, f, true
		}
		p, n := framePos(b[at:]), int64(frameLength(b[at:]))
		if first <= p && p <= last && n < int64(len(b)-at) {
			*patience -= int(n) // parse has read it all for the checksum
		}
	}
	return len(b), frame{}, false
}

// patienceFor is the work that searching a file of n bytes is worth.
func patienceFor(n int) int { return 4*n + 64<<10 }
