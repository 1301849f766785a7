package gateway

import (
	"context"
	"log/slog"
	"net"
	"os"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Config says what a gateway serves, and to whom.
type Config struct {
	Socket  string                   // where clients come; its folder must be this user's alone
	Door    cluster.Door             // how each client becomes one of the cluster's
	Own     bool                     // the cluster ends with the gateway
	Name    string                   // of the cluster
	Blobs   string                   // the socket of this node's blob store, "" if there is none
	Engines int                      // on each node, where the cluster has none for Python; 0: one for each core
	Python  string                   // their interpreter; "": the first client's
	Linger  time.Duration            // how long it stays after its last client has gone; negative: for ever
	Ready   func()                   // called when clients can come; may be nil
	spec    func(*Hello) programSpec // of the engines that are started, in tests
	Log     *slog.Logger             // nil for none
}

// firstPatience is how long a gateway waits for its first client.
const firstPatience = time.Minute

// Gateway serves one cluster to the programs of one user.
type Gateway struct {
	cfg   Config
	host  string
	watch *cluster.Client // asks for the gateway itself
	stop  context.CancelCauseFunc
	ctx   context.Context // ends with the gateway
	all   sync.WaitGroup  // connections

	choosing sync.Mutex        // one program at a time is looked for; guards anchors
	anchors  []*cluster.Client // they want engines for as long as the gateway lives
	self     *cluster.Client   // runs what the gateway itself has to, nil before there was anything

	mu      sync.Mutex // guards what follows
	conns   map[*conn]struct{}
	engines wire.EngineSet
	timer   *time.Timer // runs while there is no client
	refused int         // connections that were ended for what they sent
}

// Serve is a gateway's life: until ctx ends, a client asks for the end of a cluster that is the
// gateway's own, or the last client has gone. It returns when all connections are closed; the
// cluster is the caller's to end.
func Serve(ctx context.Context, cfg Config) error {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	g := &Gateway{cfg: cfg, conns: map[*conn]struct{}{}}
	g.host, _ = os.Hostname()
	g.ctx, g.stop = context.WithCancelCause(ctx)
	defer g.stop(nil)
	door := cfg.Door
	door.Watch, door.Keep, door.Name = true, false, "gateway"
	var err error
	if g.watch, err = cluster.Join(ctx, door); err != nil {
		return err
	}
	defer g.watch.Close()
	if g.engines, err = g.watch.WatchEngines(ctx, "", 0); err != nil {
		return err
	}
	ln, err := wire.ListenUnix(ctx, cfg.Socket)
	if err != nil {
		return err
	}
	g.lingerFor(max(cfg.Linger, firstPatience))
	defer g.end(ln)
	go func() {
		<-g.ctx.Done()
		ln.Close()
	}()
	g.all.Go(g.follow)
	if cfg.Ready != nil {
		cfg.Ready()
	}
	for {
		sock, err := ln.AcceptUnix()
		if err != nil {
			if g.ctx.Err() != nil {
				return nil
			}
			return tutti.E("accept clients", tutti.KindOf(err), err)
		}
		g.all.Go(func() { g.serve(sock) })
	}
}

// end closes what is left.
func (g *Gateway) end(ln *net.UnixListener) {
	g.stop(nil)
	ln.Close()
	g.mu.Lock()
	g.timer.Stop()
	g.mu.Unlock()
	g.all.Wait()
	g.choosing.Lock()
	defer g.choosing.Unlock()
	for _, a := range g.anchors {
		a.Close()
	}
}

// serve is the life of one connection.
func (g *Gateway) serve(sock *net.UnixConn) {
	c := &conn{g: g, works: map[uint32]*work{}, in: newFrames(sock)}
	if err := c.out.init(sock); err != nil {
		sock.Close()
		return
	}
	var writing sync.WaitGroup
	writing.Go(c.out.write)
	defer writing.Wait()
	defer c.out.close()
	c.ctx, c.cancel = context.WithCancel(g.ctx)
	defer c.cancel()
	ended := make(chan struct{})
	stop := context.AfterFunc(g.ctx, func() { defer close(ended); c.bye() })
	defer func() {
		if !stop() {
			<-ended
		}
	}()
	err := c.meet(sock)
	if err == nil && c.client != nil {
		err = c.read()
	}
	if err != nil {
		g.mu.Lock()
		g.refused++
		g.mu.Unlock()
		g.cfg.Log.Warn("client refused", "client", c.name, "err", err)
		c.out.json(kindFail, FailureOf(err))
		c.out.finish()
	}
	if c.client != nil {
		c.part()
	}
}

// enter welcomes a connection among those that hear of engines.
func (g *Gateway) enter(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.timer.Stop()
	g.conns[c] = struct{}{}
	c.engines = engineIDs(g.engines.Rows, c.program)
	c.out.json(kindWelcome, Welcome{
		Protocol: Protocol, Client: int64(c.client.ID()), Cluster: g.cfg.Name, Own: g.cfg.Own, Version: tutti.Release,
		Blobs: g.cfg.Blobs, Program: c.program, Engines: c.engines, Host: g.host, Pid: os.Getpid(),
	})
}

// left takes a connection out again.
func (g *Gateway) left(c *conn) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.conns, c)
	if len(g.conns) == 0 && g.ctx.Err() == nil {
		g.lingerLocked(g.cfg.Linger)
	}
}

func (g *Gateway) lingerFor(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.lingerLocked(d)
}

// lingerLocked ends the gateway after a while without clients; g.mu is held.
func (g *Gateway) lingerLocked(d time.Duration) {
	if g.timer != nil {
		g.timer.Stop()
	}
	if g.cfg.Linger < 0 {
		d = 1<<63 - 1
	}
	g.timer = time.AfterFunc(d, g.lonely)
}

// lookAgain is how often a gateway without clients looks whether its cluster still has work.
const lookAgain = 200 * time.Millisecond

// lonely ends a gateway that nobody uses. A cluster of its own has to have done its work.
func (g *Gateway) lonely() {
	busy := false
	if g.cfg.Own {
		ctx, cancel := context.WithTimeout(g.ctx, 5*time.Second)
		defer cancel()
		s, err := g.watch.Status(ctx)
		busy = err == nil && unfinished(s.Tasks) > 0
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	switch {
	case len(g.conns) > 0 || g.ctx.Err() != nil:
	case busy:
		g.lingerLocked(max(lookAgain, g.cfg.Linger/4))
	default:
		g.stop(tutti.Errorf("serve clients", tutti.Closed, "no client was left"))
	}
}

// unfinished counts the tasks that have not ended.
func unfinished(counts map[string]int) (n int) {
	for s := tutti.Waiting; !s.Final(); s++ {
		n += counts[s.String()]
	}
	return n
}

// follow tells the clients whenever engines come or go.
func (g *Gateway) follow() {
	for g.ctx.Err() == nil {
		g.mu.Lock()
		version := g.engines.Version
		g.mu.Unlock()
		set, err := g.watch.WatchEngines(g.ctx, "", version)
		if err != nil {
			g.clusterGone(err)
			return
		}
		g.mu.Lock()
		g.engines = set
		for c := range g.conns {
			c.tellEngines(set.Rows)
		}
		g.mu.Unlock()
	}
}

// clusterGone is called when the cluster has ended under the gateway.
func (g *Gateway) clusterGone(err error) {
	if g.ctx.Err() == nil {
		g.stop(err)
	}
}

// engineIDs lists the engines of a program by number.
func engineIDs(rows []wire.EngineRow, program string) []int64 {
	ids := []int64{}
	for _, r := range rows {
		if r.Program == program {
			ids = append(ids, int64(r.Engine))
		}
	}
	return ids
}
