package blob

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
)

// FetchConfig says how a [Fetcher] reaches other nodes. Zero numbers mean the values in brackets.
type FetchConfig struct {
	TLS     *tls.Config       // for mutual TLS; nil for plain HTTP, in tests
	Relay   http.RoundTripper // sends a request by way of another host where no peer can be reached; nil: none
	Blobs   int               // blobs at a time; the others wait (4)
	Streams int               // connections for one blob (4)
	Piece   int64             // bytes asked for at a time, each with a checksum (8 MiB)
	Stall   time.Duration     // a peer that sends nothing for so long is given up (30 s)
}

// Fetcher copies blobs from other nodes into the store of this one. All methods may be called
// concurrently.
type Fetcher struct {
	cfg    FetchConfig
	store  *Store
	direct *http.Transport
	turn   chan struct{} // one for each blob under way

	mu      sync.Mutex
	flights map[tutti.BlobID]*flight
	wg      sync.WaitGroup
}

// flight is one blob under way, for as many as want it.
type flight struct {
	cancel  context.CancelFunc
	waiting int // how many want it; guarded by Fetcher.mu
	done    chan struct{}
	err     error // valid once done is closed
}

// inFlight holds a fetched blob until all who waited for it hold it themselves.
const inFlight Holder = "\x00fetch"

// NewFetcher makes one for a store.
func NewFetcher(s *Store, cfg FetchConfig) *Fetcher {
	def(&cfg.Blobs, 4)
	def(&cfg.Streams, 4)
	def(&cfg.Piece, 8<<20)
	def(&cfg.Stall, 30*time.Second)
	dial := &net.Dialer{Timeout: 10 * time.Second}
	return &Fetcher{
		cfg: cfg, store: s, turn: make(chan struct{}, cfg.Blobs), flights: map[tutti.BlobID]*flight{},
		direct: &http.Transport{
			DialContext: dial.DialContext, TLSClientConfig: cfg.TLS, TLSHandshakeTimeout: 10 * time.Second,
			MaxIdleConnsPerHost: cfg.Blobs * cfg.Streams, IdleConnTimeout: time.Minute,
			DisableCompression: true, ReadBufferSize: 64 << 10,
		},
	}
}

func def[T int | int64 | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}

// Fetch leases a blob, after copying it here from one of the peers ("host:port" each) that have
// it, if it is not here already. With the lease, holder has one reference, to be dropped like any
// other. Several peers share the work; what one does not finish, the next goes on with; where none
// can be reached at all, it goes through the relay. Who asks for a blob that is already under way
// waits for that. Each piece is verified by its checksum, the whole by ref.Sum if that is known.
//
// Errors: NotFound (no peer has it), Lost (no peer can be reached, or all broke off), Denied,
// Corrupt (it came wrong, again and again), Full, Canceled, Closed.
func (f *Fetcher) Fetch(ctx context.Context, holder Holder, ref tutti.Ref, peers []string, m Mode) (*Lease, error) {
	if ref.Size < 0 || ref.IsZero() {
		return nil, tutti.Errorf("fetch blob", tutti.Invalid, "%v of %d bytes", ref.Blob, ref.Size)
	}
	at := f.store.As(holder)
	if err := at.Hold(ctx, ref); tutti.KindOf(err) == tutti.NotFound {
		if err := f.join(ctx, at, ref, peers); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	l, err := at.Open(ctx, ref, m)
	if err != nil {
		at.Drop(ref)
	}
	return l, err
}

// join starts a flight or joins the one that is under way, and leaves with a reference of its own.
func (f *Fetcher) join(ctx context.Context, at Space, ref tutti.Ref, peers []string) error {
	f.mu.Lock()
	fl := f.flights[ref.Blob]
	if fl == nil {
		// Not the asker's context: if he leaves, others may still want it.
		fctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		fl = &flight{cancel: cancel, done: make(chan struct{})}
		f.flights[ref.Blob] = fl
		f.wg.Go(func() { f.fly(fctx, fl, ref, peers) })
	}
	fl.waiting++
	f.mu.Unlock()
	var err error
	select {
	case <-fl.done:
		if err = fl.err; err == nil {
			err = at.Hold(ctx, ref)
		}
	case <-ctx.Done():
		err = tutti.Errorf("fetch blob", tutti.KindOf(ctx.Err()), "waiting for %v from %v: %w", ref.Blob, peers, ctx.Err())
	}
	f.leave(fl, ref)
	return err
}

// leave is called once by each who joined. The last ends the flight, or lets go of its fruit.
func (f *Fetcher) leave(fl *flight, ref tutti.Ref) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl.waiting--; fl.waiting > 0 {
		return
	}
	fl.cancel()
	if f.flights[ref.Blob] == fl { // whoever comes now starts another
		delete(f.flights, ref.Blob)
	}
	select {
	case <-fl.done:
		f.store.drop(ref.Blob, inFlight)
	default: // it ends without fruit, or with one that nobody wants: fly sees to that
	}
}

// fly does the work of a flight.
func (f *Fetcher) fly(ctx context.Context, fl *flight, ref tutti.Ref, peers []string) {
	err := f.copyHere(ctx, ref, peers)
	f.mu.Lock()
	defer f.mu.Unlock()
	fl.err = err
	close(fl.done)
	if f.flights[ref.Blob] == fl {
		delete(f.flights, ref.Blob)
	}
	if fl.waiting == 0 && err == nil {
		f.store.drop(ref.Blob, inFlight)
	}
}

// copyHere brings a blob into the store, with one reference of inFlight.
func (f *Fetcher) copyHere(ctx context.Context, ref tutti.Ref, peers []string) error {
	select {
	case f.turn <- struct{}{}:
		defer func() { <-f.turn }()
	case <-ctx.Done():
		return tutti.E("fetch blob", tutti.Canceled, ctx.Err())
	}
	// Written where it will lie: there is no other copy on the way.
	b, err := f.store.begin(ctx, inFlight, ref.Blob, ref.Size)
	if err != nil {
		return err
	}
	var dst []byte
	if mem, off := b.at.where(); mem != nil {
		if dst, err = mem.view(off, ref.Size, true); err != nil {
			f.store.abort(b)
			return err
		}
	}
	sum, err := f.pieces(ctx, ref, dst, peers)
	if err == nil && ref.Sum != 0 && sum != ref.Sum {
		err = tutti.Errorf("fetch blob", tutti.Corrupt, "%v has checksum %08x, not %08x", ref.Blob, sum, ref.Sum)
	}
	if err != nil {
		f.store.abort(b)
		return err
	}
	_, err = f.store.seal(b, sum)
	if tutti.KindOf(err) == tutti.Exists { // a flight given up a moment ago has landed after all
		return f.store.As(inFlight).Hold(ctx, ref)
	}
	return err
}

// Close waits until nothing is under way and closes the connections. Whoever still waits in Fetch
// should be cancelled first.
func (f *Fetcher) Close() {
	f.wg.Wait()
	f.direct.CloseIdleConnections()
}
