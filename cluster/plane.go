package cluster

import (
	"context"
	"hash/crc32"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// plane is the blob store of the client's own node, with the controller as the way to others.
type plane struct {
	space blob.Space // nil: there is no store on this machine
	c     *Client    // for what is not here; set when the client has joined
}

// Put implements Plane: one copy, into a pooled segment.
func (p *plane) Put(ctx context.Context, v tutti.Value) (tutti.Value, func(), error) {
	if p.space == nil {
		return v, func() {}, nil // it travels inside the message
	}
	ref, err := blob.Put(ctx, p.space, v.Data)
	if gone(err) {
		return v, func() {}, nil
	}
	if err != nil {
		return tutti.Value{}, nil, err
	}
	return tutti.Value{Codec: v.Codec, Ref: ref}, func() { p.space.Drop(ref) }, nil
}

// gone reports whether the store itself has ended, with the agent of this node: then everything goes
// by the controller.
func gone(err error) bool {
	k := tutti.KindOf(err)
	return err != nil && (k == tutti.Closed || k == tutti.Lost)
}

// Get implements Plane: a view of the segment if the blob is here, else pieces through the
// controller.
func (p *plane) Get(ctx context.Context, v tutti.Value) ([]byte, func(), error) {
	if p.space != nil {
		lease, err := p.space.Open(ctx, v.Ref, blob.View)
		if err == nil {
			return lease.Bytes(), lease.Release, nil
		}
		if tutti.KindOf(err) != tutti.NotFound && !gone(err) {
			return nil, nil, err
		}
	}
	data, err := p.relayed(ctx, v.Ref)
	return data, func() {}, err
}

// relayPiece is how much of a blob comes through the controller at a time.
const relayPiece = 1 << 20

// relayed fetches a blob through the controller.
func (p *plane) relayed(ctx context.Context, ref tutti.Ref) ([]byte, error) {
	data := make([]byte, 0, ref.Size)
	for int64(len(data)) < ref.Size {
		var piece []byte
		q := wire.ReadBlob{Ref: ref, Offset: int64(len(data)), Most: relayPiece}
		if err := p.c.ask(ctx, "blob", q, &piece); err != nil {
			return nil, err
		}
		if len(piece) == 0 || int64(len(data)+len(piece)) > ref.Size {
			return nil, tutti.Errorf("fetch blob", tutti.Corrupt, "%v: a piece of %d bytes at %d of %d", ref.Blob, len(piece), len(data), ref.Size)
		}
		data = append(data, piece...)
	}
	if ref.Sum != 0 && crc32.Checksum(data, castagnoli) != ref.Sum {
		return nil, tutti.Errorf("fetch blob", tutti.Corrupt, "%v: the checksum is wrong", ref.Blob)
	}
	return data, nil
}

var castagnoli = crc32.MakeTable(crc32.Castagnoli)
