package agent

import "github.com/tutti-hpc/tutti/internal/blob"

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
