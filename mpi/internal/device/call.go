package device

import (
	"bytes"
	"encoding/binary"
	"fmt"

	"github.com/tutti-hpc/tutti"
)

// Kind names a collective operation.
type Kind uint8

// The collective operations. A v form differs from its plain form by its counts alone.
const (
	Barrier Kind = iota
	Bcast
	Reduce
	Allreduce
	Gather
	Scatter
	Allgather
	Alltoall
	Scan
	Exscan
	ReduceScatter
	collKinds
)

var kindNames = [collKinds]string{
	"Barrier", "Bcast", "Reduce", "Allreduce", "Gather", "Scatter", "Allgather", "Alltoall", "Scan", "Exscan", "ReduceScatter",
}

func (k Kind) String() string { return kindNames[k] }

// Call is a collective operation as a value. Send and Recv are what the rank gives and gets, in
// bytes; which of them matter on which rank is as in MPI. Bcast uses Recv only. Where counts are
// nil the blocks are equal: len(Recv) or len(Send) divided by the number of ranks.
//
// Send and Recv of a reduction may be the same memory; otherwise they must not overlap, except
// that a rank's own block may lie at its place already.
type Call struct {
	Kind       Kind
	Type       Type
	Op         *Op
	Root       int
	Send, Recv []byte
	// Vector says on every rank that this is a v form, also where the counts are nil because only
	// the root's matter.
	Vector bool
	// Counts and displacements in elements, of all ranks; nil where blocks are equal.
	SendCounts, SendDispls, RecvCounts, RecvDispls []int
}

// SendBlock is the part of Send that goes to rank r of n.
func (c *Call) SendBlock(r, n int) []byte {
	return block(c.Send, c.SendCounts, c.SendDispls, c.Type, r, n)
}

// RecvBlock is the part of Recv that comes from rank r of n.
func (c *Call) RecvBlock(r, n int) []byte {
	return block(c.Recv, c.RecvCounts, c.RecvDispls, c.Type, r, n)
}

func block(b []byte, counts, displs []int, t Type, r, n int) []byte {
	if counts == nil {
		k := len(b) / n
		return b[r*k : (r+1)*k : (r+1)*k]
	}
	s := t.Size()
	lo := displs[r] * s
	return b[lo : lo+counts[r]*s : lo+counts[r]*s]
}

// Signature is what all ranks must agree on, in the order of [Call.Differs].
type Signature [5]int64

// Sign gives the signature of a call. Counts enter only where MPI asks all ranks for the same.
func (c *Call) Sign() Signature {
	s := Signature{int64(c.Kind), int64(c.Type), -1, int64(c.Root), -1}
	if c.Op != nil {
		s[2] = int64(c.Op.Code)
	}
	switch c.Kind {
	case Bcast:
		s[4] = int64(len(c.Recv))
	case Reduce, Allreduce, Scan, Exscan:
		s[4] = int64(len(c.Send))
	}
	return s
}

// Encode gives the bytes in which ranks show each other their signatures.
func (s Signature) Encode() []byte {
	b := make([]byte, 0, 8*len(s))
	for _, v := range s {
		b = binary.NativeEndian.AppendUint64(b, uint64(v))
	}
	return b
}

// Against compares a signature with those of all ranks, one behind the other as [Signature.Encode]
// gives them. The error, of kind Invalid, names the first rank that calls something else.
func (s Signature) Against(all []byte) error {
	mine := s.Encode()
	for r := 0; len(all) > 0; r++ {
		theirs := all[:len(mine)]
		all = all[len(mine):]
		if bytes.Equal(theirs, mine) {
			continue
		}
		var other Signature
		for i := range other {
			other[i] = int64(binary.NativeEndian.Uint64(theirs[8*i:]))
		}
		err := Errorf(tutti.Invalid, "rank %d called %s, this rank %s", r, other.Describe(), s.Describe())
		return err.WithHint("all ranks of a communicator must make the same collective calls in the same order")
	}
	return nil
}

// Describe tells a signature to a person.
func (s Signature) Describe() string {
	text := fmt.Sprintf("%v of %v", Kind(s[0]), Type(s[1]))
	if s[2] >= 0 {
		text += " with " + OpCode(s[2]).String()
	}
	if s[4] >= 0 {
		text += fmt.Sprintf(", %d elements", s[4]/int64(Type(s[1]).Size()))
	}
	return text + fmt.Sprintf(", root %d", s[3])
}
