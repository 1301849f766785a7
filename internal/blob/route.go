package blob

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
)

const (
	// What is counted is kept short of what a person would call hanging.
	tries    = 8        // failures of one route, by all its streams, before it is given up
	progress = 64 << 10 // bytes after which a failure is no longer held against a route
	pause    = 50 * time.Millisecond
)

// route is one way to get at a blob: from a peer directly, or by the relay.
type route struct {
	peer    string
	relay   bool
	failed  int
	dead    bool
	lastErr error
}

// routes are the ways for one blob, shared by its streams.
type routes struct {
	mu   sync.Mutex
	all  []*route
	next int
}

func newRoutes(peers []string, relay bool) *routes {
	r := &routes{}
	for _, p := range peers {
		r.all = append(r.all, &route{peer: p})
	}
	if relay {
		for _, p := range peers {
			r.all = append(r.all, &route{peer: p, relay: true})
		}
	}
	return r
}

// pick is the next route in turn, so that streams spread over the peers: direct ones while there
// are any, then relayed ones, nil if all have failed.
func (r *routes) pick() *route {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, relay := range []bool{false, true} {
		for range r.all {
			w := r.all[r.next%len(r.all)]
			r.next++
			if !w.dead && w.relay == relay {
				return w
			}
		}
	}
	return nil
}

// report says how a request went: got bytes, then err. It is dead at once where asking again
// cannot help.
func (r *routes) report(w *route, got int, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if got >= progress || err == nil {
		w.failed = 0
	}
	if err == nil || errors.Is(err, errBusy) {
		return
	}
	w.failed++
	w.lastErr = err
	var op *net.OpError
	unreachable := errors.As(err, &op) && op.Op == "dial"
	w.dead = w.dead || w.failed >= tries || unreachable
	if k := tutti.KindOf(err); k == tutti.NotFound || k == tutti.Denied || k == tutti.Invalid {
		for _, other := range r.all { // the peer itself said no: it will not say yes to the relay
			if other.peer == w.peer {
				other.dead, other.lastErr = true, err
			}
		}
	}
}

// err is why no route is left: NotFound only if all say so, else what one of the others said.
func (r *routes) err(ref tutti.Ref) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.all) == 0 {
		return tutti.Errorf("fetch blob", tutti.NotFound, "nobody is known to have %v", ref.Blob)
	}
	kind, all := tutti.NotFound, []error{}
	for _, w := range r.all {
		via := ""
		if w.relay {
			via = " by the relay"
		}
		all = append(all, fmt.Errorf("from %s%s: %w", w.peer, via, w.lastErr))
		switch k := tutti.KindOf(w.lastErr); {
		case k == tutti.NotFound:
		case k == tutti.Denied || k == tutti.Corrupt || k == tutti.Invalid:
			kind = k
		case kind == tutti.NotFound:
			kind = tutti.Lost
		}
	}
	return tutti.Errorf("fetch blob", kind, "%v: %w", ref.Blob, errors.Join(all...))
}

// pieces fills dst from the peers, several streams at a time, and returns its checksum.
func (f *Fetcher) pieces(ctx context.Context, ref tutti.Ref, dst []byte, peers []string) (uint32, error) {
	if ref.Size == 0 {
		return 0, nil
	}
	n := int((ref.Size + f.cfg.Piece - 1) / f.cfg.Piece)
	sums := make([]uint32, n)
	ways := newRoutes(peers, f.cfg.Relay != nil)
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	// Streams take pieces as they get on: a slow peer does few.
	work := make(chan int, n)
	for i := range n {
		work <- i
	}
	close(work)
	var wg sync.WaitGroup
	for range min(f.cfg.Streams, n) {
		wg.Go(func() {
			for i := range work {
				from := int64(i) * f.cfg.Piece
				part := dst[from:min(from+f.cfg.Piece, ref.Size)]
				var err error
				if sums[i], err = f.piece(ctx, ways, ref, from, part); err != nil {
					cancel(err)
					return
				}
			}
		})
	}
	wg.Wait()
	if ctx.Err() != nil {
		return 0, context.Cause(ctx)
	}
	sum := sums[0]
	for i := 1; i < n; i++ {
		sum = joinSums(sum, sums[i], min(f.cfg.Piece, ref.Size-int64(i)*f.cfg.Piece))
	}
	return sum, nil
}

// piece fills dst with the bytes from off, going on elsewhere after a cut, and verifies them.
func (f *Fetcher) piece(ctx context.Context, ways *routes, ref tutti.Ref, off int64, dst []byte) (uint32, error) {
	got := 0
	var want uint32 // what the first answer said that all of dst has
	for {
		w := ways.pick()
		if w == nil {
			return 0, ways.err(ref)
		}
		n, sum, err := f.get(ctx, w, ref, off+int64(got), dst[got:])
		if got == 0 {
			want = sum
		}
		if got += n; err == nil {
			if crc32.Checksum(dst, castagnoli) == want {
				ways.report(w, n, nil)
				return want, nil
			}
			// Nobody knows which part is wrong: all of it comes again.
			got, n = 0, 0
			err = tutti.Errorf("fetch blob", tutti.Corrupt, "%d bytes from %d of %v do not have checksum %08x", len(dst), off, ref.Blob, want)
		}
		ways.report(w, n, err)
		if ctx.Err() != nil {
			return 0, tutti.Errorf("fetch blob", tutti.KindOf(ctx.Err()), "after %d bytes of %v from %s: %w", off+int64(got), ref.Blob, w.peer, context.Cause(ctx))
		}
		if err := rest(ctx, err); err != nil {
			return 0, err
		}
	}
}

var errBusy = errors.New("the peer is busy")

// rest waits a little before the next try: longer where the peer said that it is busy.
func rest(ctx context.Context, after error) error {
	d := pause
	if errors.Is(after, errBusy) {
		d *= 10
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return tutti.E("fetch blob", tutti.KindOf(ctx.Err()), context.Cause(ctx))
	}
}

// get asks once for the bytes from off that fill dst, and says how many came before an error,
// and what checksum the answer announced for all of them.
func (f *Fetcher) get(ctx context.Context, w *route, ref tutti.Ref, off int64, dst []byte) (n int, sum uint32, err error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	stalled := tutti.Errorf("fetch blob", tutti.Lost, "%s sent nothing for %v", w.peer, f.cfg.Stall)
	// A deadline for the whole would punish what is merely large: only silence counts.
	alarm := time.AfterFunc(f.cfg.Stall, func() { cancel(stalled) })
	defer alarm.Stop()
	resp, err := f.request(ctx, w, ref, off, off+int64(len(dst)))
	if err != nil {
		return 0, 0, because(ctx, err)
	}
	defer resp.Body.Close()
	s, err := strconv.ParseUint(resp.Header.Get(sumHeader), 16, 32)
	if err != nil {
		return 0, 0, tutti.Errorf("fetch blob", tutti.Corrupt, "%s sent no checksum", w.peer)
	}
	for n < len(dst) {
		m, err := resp.Body.Read(dst[n:min(n+chunk, len(dst))])
		n += m
		if err != nil && n < len(dst) {
			if err == io.EOF {
				err = io.ErrUnexpectedEOF
			}
			return n, uint32(s), because(ctx, err)
		}
		alarm.Reset(f.cfg.Stall)
	}
	return n, uint32(s), nil
}

// because is why a context was ended, if it was, else err.
func because(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// request sends one request and sees to it that the answer is what was asked for.
func (f *Fetcher) request(ctx context.Context, w *route, ref tutti.Ref, from, to int64) (*http.Response, error) {
	scheme, rt := "http", http.RoundTripper(f.direct)
	if f.cfg.TLS != nil {
		scheme = "https"
	}
	if w.relay {
		rt = f.cfg.Relay
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, scheme+"://"+w.peer+Path+ref.Blob.String(), nil)
	if err != nil {
		return nil, tutti.E("fetch blob", tutti.Invalid, err)
	}
	req.Header.Set("Range", fmt.Sprintf("bytes=%d-%d", from, to-1))
	resp, err := rt.RoundTrip(req)
	if err != nil {
		return nil, distrust(err)
	}
	if err := judge(resp, from, to, ref.Size); err != nil {
		resp.Body.Close()
		return nil, err
	}
	return resp, nil
}

// distrust makes an error Denied where one side did not accept the other's certificate.
func distrust(err error) error {
	var cert *tls.CertificateVerificationError
	var op *net.OpError
	if errors.As(err, &cert) || errors.As(err, &op) && op.Op == "remote error" {
		return tutti.E("fetch blob", tutti.Denied, err)
	}
	return err
}

// judge accepts exactly the range asked for, of a blob of the size that it should have.
func judge(resp *http.Response, from, to, size int64) error {
	if resp.StatusCode == http.StatusServiceUnavailable {
		return errBusy
	}
	if resp.StatusCode != http.StatusPartialContent {
		text, _ := io.ReadAll(io.LimitReader(resp.Body, 1000))
		kind := tutti.Lost
		for k, s := range statuses {
			if s == resp.StatusCode {
				kind = k
			}
		}
		if kind == tutti.Truncated { // the peer's blob is shorter than its name says
			kind = tutti.Invalid
		}
		return tutti.Errorf("fetch blob", kind, "the peer said %s: %.200s", resp.Status, text)
	}
	if got, want := resp.Header.Get("Content-Range"), fmt.Sprintf("bytes %d-%d/%d", from, to-1, size); got != want {
		return tutti.Errorf("fetch blob", tutti.Invalid, "the peer sent %.60q instead of %q", got, want)
	}
	return nil
}
