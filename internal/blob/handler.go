package blob

import (
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Path is where a node's blobs are found: GET Path + the blob's name, with a Range or without.
const Path = "/blob/"

const (
	sumHeader  = "Tutti-Crc32c" // of the bytes of this answer's body, in hex
	kindHeader = "Tutti-Kind"   // why not: an error's kind
	chunk      = 1 << 20        // what is written, or passed on, at once

	streams = 64               // answers at a time; the others wait in line,
	queued  = 10 * time.Second // so long, and are then sent away to come again
	stuck   = time.Minute      // a reader that takes no chunk for so long is given up, and its lease ends
)

// Handler answers other nodes that want a blob of this store. auth is asked first, and where it
// returns an error the answer is 403; nil lets everybody in. Each answer carries a checksum of
// its body, computed from the memory just before it is sent.
func Handler(s *Store, auth func(*http.Request) error) http.Handler {
	slots := make(chan struct{}, streams)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if auth != nil {
			if err := auth(r); err != nil {
				refuse(w, tutti.E("serve blob", tutti.Denied, err))
				return
			}
		}
		wait := time.NewTimer(queued)
		defer wait.Stop()
		select {
		case slots <- struct{}{}:
			defer func() { <-slots }()
		case <-wait.C:
			w.Header().Set("Retry-After", "1")
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		case <-r.Context().Done():
			return
		}
		if err := serve(w, r, s); err != nil {
			refuse(w, err)
		}
	})
}

// statuses says which answer a kind of error is; what is not in it is 500.
var statuses = map[tutti.Kind]int{
	tutti.NotFound: http.StatusNotFound, tutti.Denied: http.StatusForbidden, tutti.Invalid: http.StatusBadRequest,
	tutti.Unsupported: http.StatusMethodNotAllowed, tutti.Closed: http.StatusGone, tutti.Truncated: http.StatusRequestedRangeNotSatisfiable,
}

func refuse(w http.ResponseWriter, err error) {
	kind := tutti.KindOf(err)
	status := statuses[kind]
	if status == 0 {
		status = http.StatusInternalServerError
	}
	w.Header().Set(kindHeader, kind.String())
	http.Error(w, err.Error(), status)
}

// serve writes the answer; an error means that none was begun.
func serve(w http.ResponseWriter, r *http.Request, s *Store) error {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		return tutti.Errorf("serve blob", tutti.Unsupported, "method %.20s", r.Method)
	}
	id, err := tutti.ParseBlobID(strings.TrimPrefix(r.URL.Path, Path))
	if err != nil {
		return err
	}
	l, err := s.openByID(r.Context(), id)
	if err != nil {
		return err
	}
	defer l.Release()
	from, to, err := parseRange(r.Header.Get("Range"), l.ref.Size)
	if err != nil {
		return err
	}
	body := l.Bytes()[from:to]
	h := w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Content-Length", strconv.Itoa(len(body)))
	h.Set("Accept-Ranges", "bytes")
	h.Set(sumHeader, fmt.Sprintf("%08x", crc32.Checksum(body, castagnoli)))
	status := http.StatusOK
	if r.Header.Get("Range") != "" {
		status = http.StatusPartialContent
		h.Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to-1, l.ref.Size))
	}
	w.WriteHeader(status)
	if r.Method == http.MethodHead {
		return nil
	}
	c := http.NewResponseController(w)
	for len(body) > 0 {
		_ = c.SetWriteDeadline(time.Now().Add(stuck)) // a connection without deadlines is a test's
		n, err := w.Write(body[:min(chunk, len(body))])
		if err != nil {
			return nil // the reader went away: nobody to tell
		}
		body = body[n:]
	}
	return nil
}

// openByID leases a blob whose size only the store knows.
func (s *Store) openByID(ctx context.Context, id tutti.BlobID) (*Lease, error) {
	s.mu.Lock()
	ref := tutti.Ref{Blob: id}
	if it := s.blobs[id]; it != nil {
		ref = it.ref
	}
	s.mu.Unlock()
	return s.As("").Open(ctx, ref, View)
}

// parseRange reads "bytes=FROM-TO", TO included, or "bytes=FROM-"; "" is all. Other forms that
// HTTP knows nobody needs here. Errors: Invalid; Truncated, where the range is not within size bytes.
func parseRange(s string, size int64) (from, to int64, err error) {
	if s == "" {
		return 0, size, nil
	}
	spec, ok := strings.CutPrefix(s, "bytes=")
	a, b, dash := strings.Cut(spec, "-")
	from, err1 := parseDigits(a)
	to, err2 := size-1, error(nil)
	if b != "" {
		to, err2 = parseDigits(b)
	}
	switch {
	case !ok || !dash || err1 != nil || err2 != nil || b != "" && to < from:
		return 0, 0, tutti.Errorf("serve blob", tutti.Invalid, "range %.60q", s)
	case from > to || to >= size:
		return 0, 0, tutti.Errorf("serve blob", tutti.Truncated, "range %.60q of %d bytes", s, size)
	}
	return from, to + 1, nil
}

// parseDigits takes digits only, not the signs that ParseInt takes.
func parseDigits(s string) (int64, error) {
	if strings.Trim(s, "0123456789") != "" {
		return 0, strconv.ErrSyntax
	}
	return strconv.ParseInt(s, 10, 64)
}

// Forward passes a request for a blob on through rt, and the answer back in pieces as they come:
// what a controller does for nodes between which a firewall stands. out is the request to make,
// its URL naming the node that has the blob; w is the answer to who asked. The blob is never held
// as a whole. An error means that the answer has not begun; it is of kind Lost. It is called in a
// handler, which it ends by http.ErrAbortHandler where the answer breaks off, so that who asked
// sees that too.
func Forward(w http.ResponseWriter, out *http.Request, rt http.RoundTripper) error {
	resp, err := rt.RoundTrip(out)
	if err != nil {
		return tutti.E("forward blob", tutti.Lost, err)
	}
	defer resp.Body.Close()
	for _, k := range []string{"Content-Type", "Content-Length", "Content-Range", "Accept-Ranges", "Retry-After", sumHeader, kindHeader} {
		if v := resp.Header.Get(k); v != "" {
			w.Header().Set(k, v)
		}
	}
	w.WriteHeader(resp.StatusCode)
	c := http.NewResponseController(w)
	buf := make([]byte, chunk)
	for {
		_ = c.SetWriteDeadline(time.Now().Add(stuck))
		n, err := resp.Body.Read(buf)
		if n > 0 {
			if _, werr := w.Write(buf[:n]); werr != nil {
				return nil
			}
			_ = c.Flush()
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			panic(http.ErrAbortHandler)
		}
	}
}
