package agent

import (
	"bytes"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Space is the node's blob store as its clients see it, for a client in this process. nil where
// there is no store.
func (a *Agent) Space() blob.Space {
	var s blob.Space
	a.call(func() {
		if a.blobs.store != nil {
			s = a.blobs.store.As(clients)
		}
	})
	return s
}

// CheckBlobs verifies the invariants of the node's blob store, and, in its checking mode, that
// nobody has written into memory that was freed. It is for tests.
func (a *Agent) CheckBlobs() (err error) {
	a.call(func() {
		if a.blobs.store != nil {
			err = a.blobs.store.Check()
		}
	})
	return err
}

// maxRelay bounds one piece of a blob that goes through the controller.
const maxRelay = 4 << 20

// askedBlob is answered by a piece of a blob that lies here, for who cannot come to this node.
func (a *Agent) askedBlob(body []byte, reply func(any, error)) {
	q, err := question[wire.ReadBlob](body)
	if err == nil && (q.Offset < 0 || q.Offset > q.Ref.Size || q.Most < 1) {
		err = tutti.Errorf("read blob", tutti.Invalid, "%d bytes at %d of %d", q.Most, q.Offset, q.Ref.Size)
	}
	if err == nil && a.blobs.store == nil {
		err = tutti.Errorf("read blob", tutti.NotFound, "node %d keeps no blobs", a.node)
	}
	if err != nil {
		reply(nil, err)
		return
	}
	space := a.blobs.store.As(kept)
	a.aside(func() {
		lease, err := space.Open(a.ctx, q.Ref, blob.View)
		var piece []byte
		if err == nil {
			all := lease.Bytes()
			at := min(int(q.Offset), len(all))
			piece = bytes.Clone(all[at:min(len(all), at+min(q.Most, maxRelay))])
			lease.Release()
		}
		a.do(func() { reply(piece, err) })
	})
}
