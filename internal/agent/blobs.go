package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Who holds blobs in the node's store, besides its engines.
const (
	kept    blob.Holder = "controller" // results and displays, until the controller says that nobody wants them
	clients blob.Holder = "clients"    // what this node's clients have put there, likewise
	staged  blob.Holder = "runs"       // copies of other nodes' blobs, while runs need them
)

// blobs is the node's store with its doors. The store is opened when the node has its number, by
// which its blobs are named.
type blobs struct {
	cfg     *Blobs
	store   *blob.Store // nil before, and where there is none
	fetch   *blob.Fetcher
	addr    []string                   // where other nodes fetch, none if they cannot
	current atomic.Pointer[blob.Store] // store, for those who are not the loop
	handler atomic.Pointer[http.Handler]
	server  *http.Server
	socket  net.Listener
	serving sync.WaitGroup
	ctx     context.Context
	cancel  context.CancelFunc
	recent  []tutti.BlobID // of displays
	relay   relay
}

// newBlobs opens the doors, so that their addresses are known.
func newBlobs(cfg *Blobs) (*blobs, error) {
	b := &blobs{cfg: cfg}
	b.ctx, b.cancel = context.WithCancel(context.Background())
	if cfg.Off || cfg.Listen == "" {
		return b, nil
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		return nil, tutti.E("listen for blobs", tutti.KindOf(err), err)
	}
	b.addr = []string{ln.Addr().String()}
	if cfg.TLS != nil {
		ln = tls.NewListener(ln, cfg.TLS)
	}
	b.server = &http.Server{ReadHeaderTimeout: 10 * time.Second, Handler: http.HandlerFunc(b.serveHTTP)}
	b.serving.Go(func() { _ = b.server.Serve(ln) })
	return b, nil
}

func (b *blobs) serveHTTP(w http.ResponseWriter, r *http.Request) {
	h := b.handler.Load()
	if h == nil {
		http.Error(w, "not yet", http.StatusServiceUnavailable)
		return
	}
	(*h).ServeHTTP(w, r)
}

// open makes the store of a node, in place of the one before.
func (b *blobs) open(node tutti.NodeID, life uint32) error {
	if b.cfg.Off {
		return nil
	}
	b.closeStore()
	cfg := b.cfg.Store
	cfg.Node, cfg.Life = node, life
	s, err := blob.Open(cfg)
	if err != nil {
		return err
	}
	b.store = s
	b.current.Store(s)
	fetch := b.cfg.Fetch
	fetch.Relay = &b.relay
	b.fetch = blob.NewFetcher(s, fetch)
	h := blob.Handler(s, nil) // who comes has proved by TLS that he belongs to the cluster
	b.handler.Store(&h)
	if b.cfg.Socket != "" && b.socket == nil {
		return b.listen()
	}
	return nil
}

// listen opens the door for this user's clients.
func (b *blobs) listen() error {
	if err := os.MkdirAll(filepath.Dir(b.cfg.Socket), 0o700); err != nil {
		return tutti.E("listen for clients", tutti.KindOf(err), err)
	}
	_ = os.Remove(b.cfg.Socket)                 // of an agent that was killed
	ln, err := net.Listen("unix", b.cfg.Socket) // in a folder that is this user's alone
	if err == nil {
		err = os.Chmod(b.cfg.Socket, 0o600)
	}
	if err != nil {
		return tutti.E("listen for clients", tutti.KindOf(err), err)
	}
	b.socket = ln
	b.serving.Go(func() {
		for {
			c, err := ln.Accept()
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if u, ok := c.(*net.UnixConn); ok {
				b.serving.Go(func() { b.serveClient(u) })
			}
		}
	})
	return nil
}

// serveClient lets a client of this user make and read blobs. What it makes is its cluster's, and
// stays when it leaves, until the controller says that nobody wants it.
func (b *blobs) serveClient(c *net.UnixConn) {
	if s := b.current.Load(); s != nil {
		_ = s.Serve(b.ctx, c, clients)
	} else {
		c.Close()
	}
}

// closeStore ends the store, when what is just being fetched into it has ended.
func (b *blobs) closeStore() {
	b.handler.Store(nil)
	b.current.Store(nil)
	fetch, store := b.fetch, b.store
	b.store, b.fetch, b.recent = nil, nil, nil
	if store != nil {
		b.serving.Go(func() {
			fetch.Close()
			_ = store.Close()
		})
	}
}

// close ends everything; what waits for a fetch was cancelled before.
func (b *blobs) close() {
	b.cancel()
	if b.server != nil {
		_ = b.server.Close()
	}
	if b.socket != nil {
		_ = b.socket.Close()
	}
	b.closeStore()
	b.serving.Wait()
}

// adopt takes over an engine's result, so that it outlives the engine.
func (b *blobs) adopt(e *engineState, ref tutti.Ref) {
	if b.store == nil || ref.IsZero() {
		return
	}
	if b.store.As(kept).Hold(context.Background(), ref) == nil {
		b.store.As(e.holder()).Drop(ref)
	}
}

// discard frees a result that nobody waits for.
func (b *blobs) discard(e *engineState, ref tutti.Ref) {
	if b.store != nil && !ref.IsZero() {
		b.store.As(e.holder()).Drop(ref)
	}
}

// drop frees blobs that nobody refers to.
func (b *blobs) drop(ids []tutti.BlobID) {
	if b.store == nil {
		return
	}
	for _, id := range ids {
		for _, h := range []blob.Holder{kept, clients} {
			b.store.As(h).Drop(tutti.Ref{Blob: id})
		}
	}
}

// dropHolder frees what an engine held when it died.
func (b *blobs) dropHolder(e *engineState) {
	if b.store != nil {
		b.store.DropHolder(e.holder())
	}
}

// recentDisplays is how many blobs of displays are kept.
const recentDisplays = 256

// shown keeps the blob of a display until many others have been shown.
func (b *blobs) shown(ref tutti.Ref) {
	if ref.IsZero() {
		return
	}
	if b.recent = append(b.recent, ref.Blob); len(b.recent) > recentDisplays {
		b.drop(b.recent[:1])
		b.recent = slices.Delete(b.recent, 0, 1)
	}
}

// letGo gives up the copies that a run has needed.
func (b *blobs) letGo(r *run) {
	if b.store != nil {
		for _, ref := range r.fetched {
			b.store.As(staged).Drop(ref)
		}
	}
	r.fetched = nil
}

// fetchFor brings the blobs of other nodes that a run refers to, then queues it.
func (a *Agent) fetchFor(r *run, refs []tutti.Ref) {
	refs = slices.DeleteFunc(refs, func(f tutti.Ref) bool { return f.Blob.Node == a.node })
	if len(refs) == 0 {
		a.enqueue(r)
		return
	}
	r.state, r.wants = fetching, refs
	for _, f := range refs {
		if _, ok := a.peers[f.Blob.Node]; !ok {
			a.unplaced = append(a.unplaced, r)
			a.askPeers()
			return
		}
	}
	a.fetchNow(r)
}

// askPeers asks where other nodes are found.
func (a *Agent) askPeers() {
	if a.asking || a.up.link == nil {
		return
	}
	a.asking = true
	a.ask("nodes", nil, func(body []byte, err error) {
		a.asking = false
		var rows []wire.NodeRow
		if err == nil {
			err = cbor.Unmarshal(body, &rows)
		}
		if err != nil {
			return // the link ended: the next session asks again
		}
		for _, row := range rows {
			a.peers[row.Node] = row.Blobs
		}
		waiting := a.unplaced
		a.unplaced = nil
		for _, r := range waiting {
			a.fetchNow(r)
		}
	})
}

// fetchNow copies a run's blobs, beside the loop. A blob whose node is gone, or that no way leads
// to, fails the run through no fault of its own.
func (a *Agent) fetchNow(r *run) {
	refs, deps, b := r.wants, r.deps, a.blobs
	fetch, store := b.fetch, b.store
	peers := make([][]string, len(refs))
	for i, f := range refs {
		peers[i] = a.doorsOf(f.Blob.Node)
	}
	a.aside(func() {
		var got []tutti.Ref
		var err error
		for i, ref := range refs {
			var l *blob.Lease
			if l, err = b.bring(a.ctx, fetch, ref, peers[i]); err != nil {
				err = tutti.Errorf("fetch inputs", tutti.KindOf(err), "from node %d: %w", ref.Blob.Node, missing(deps, ref, err))
				break
			}
			l.Release()
			got = append(got, ref)
		}
		if !a.do(func() { a.fetched(r, got, err) }) {
			for _, ref := range got {
				store.As(staged).Drop(ref)
			}
		}
	})
}

// missing names the task whose result a blob is that is not there any more, so that the controller
// can have it computed again.
func missing(deps []wire.DepValue, ref tutti.Ref, err error) error {
	i := slices.IndexFunc(deps, func(d wire.DepValue) bool { return d.Value.Ref == ref })
	if i < 0 || tutti.KindOf(err) != tutti.NotFound {
		return err
	}
	e := tutti.E(wire.OpMissing, tutti.NotFound, err)
	e.Task = deps[i].Task
	return e
}

// doorsOf says where a node's blobs are fetched.
func (a *Agent) doorsOf(node tutti.NodeID) []string {
	if doors := a.peers[node]; len(doors) > 0 {
		return doors
	}
	return []string{nobody}
}

// bring copies one blob here and leases it.
func (b *blobs) bring(ctx context.Context, fetch *blob.Fetcher, ref tutti.Ref, peers []string) (*blob.Lease, error) {
	b.relay.expect(ref)
	defer b.relay.forget(ref)
	return fetch.Fetch(ctx, staged, ref, peers, blob.View)
}

func (a *Agent) fetched(r *run, got []tutti.Ref, err error) {
	r.fetched, r.wants = got, nil
	switch {
	case r.state != fetching: // aborted or recalled meanwhile
		a.blobs.letGo(r)
	case err != nil:
		a.fail(r, engine.MachineFailed, err.(*tutti.Error))
	default:
		a.enqueue(r)
	}
	a.pumpAll()
}
