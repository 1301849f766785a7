package agent

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strings"
	"sync"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// relayPiece is how much of a blob is asked for at a time.
const relayPiece = 1 << 20

// nobody is an address at which a connection is refused at once: where a node has no door, its
// blobs come by the relay.
const nobody = "127.0.0.1:0"

// relay is the way to blobs by the controller: it makes questions of the fetcher's requests.
type relay struct {
	a     *Agent
	mu    sync.Mutex
	sizes map[tutti.BlobID]expected // what is being fetched: a request says only the name
}

// expected is the size of a blob that some fetches are about.
type expected struct {
	size    int64
	fetches int
}

func (r *relay) expect(ref tutti.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.sizes == nil {
		r.sizes = map[tutti.BlobID]expected{}
	}
	r.sizes[ref.Blob] = expected{ref.Size, r.sizes[ref.Blob].fetches + 1}
}

func (r *relay) forget(ref tutti.Ref) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := r.sizes[ref.Blob]
	if e.fetches--; e.fetches > 0 {
		r.sizes[ref.Blob] = e
	} else {
		delete(r.sizes, ref.Blob)
	}
}

// RoundTrip answers a request for a range of a blob as the blob's node would.
func (r *relay) RoundTrip(req *http.Request) (*http.Response, error) {
	id, err := tutti.ParseBlobID(strings.TrimPrefix(req.URL.Path, blob.Path))
	if err != nil {
		return nil, err
	}
	r.mu.Lock()
	e, ok := r.sizes[id]
	size := e.size
	r.mu.Unlock()
	var from, last int64
	if n, err := fmt.Sscanf(req.Header.Get("Range"), "bytes=%d-%d", &from, &last); !ok || err != nil || n != 2 || from > last || last >= size {
		return nil, tutti.Errorf("fetch blob", tutti.Invalid, "range %q of %v, %d bytes", req.Header.Get("Range"), id, size)
	}
	data := make([]byte, 0, last+1-from)
	for at := from; at <= last; at = from + int64(len(data)) {
		q := wire.ReadBlob{Ref: tutti.Ref{Blob: id, Size: size}, Offset: at, Most: int(min(last+1-at, relayPiece))}
		piece, err := r.ask(req.Context(), q)
		if err != nil {
			return nil, err
		}
		if len(piece) == 0 || len(piece) > q.Most {
			return nil, tutti.Errorf("fetch blob", tutti.Corrupt, "a piece of %d bytes of %v, %d wanted", len(piece), id, q.Most)
		}
		data = append(data, piece...)
	}
	sum := crc32.Checksum(data, crc32.MakeTable(crc32.Castagnoli))
	return &http.Response{
		Status: "206 Partial Content", StatusCode: http.StatusPartialContent, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: http.Header{
			"Content-Range": {fmt.Sprintf("bytes %d-%d/%d", from, last, size)},
			"Tutti-Crc32c":  {fmt.Sprintf("%08x", sum)}, // as package blob's handler sends it
		},
		Body: io.NopCloser(bytes.NewReader(data)), ContentLength: int64(len(data)), Request: req,
	}, nil
}

// ask puts a question to the controller from outside the loop, and waits.
func (r *relay) ask(ctx context.Context, q wire.ReadBlob) ([]byte, error) {
	type answer struct {
		body []byte
		err  error
	}
	got := make(chan answer, 1)
	r.a.do(func() { r.a.ask("blob", q, func(body []byte, err error) { got <- answer{body, err} }) })
	select {
	case ans := <-got:
		return ans.body, ans.err
	case <-r.a.done:
		return nil, tutti.Errorf("fetch blob", tutti.Closed, "the agent ends")
	case <-ctx.Done():
		return nil, tutti.Errorf("fetch blob", tutti.KindOf(ctx.Err()), "waiting for the controller to pass on %v: %w", q.Ref.Blob, ctx.Err())
	}
}
