package wire

import (
	"context"
	"math/rand/v2"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
)

// ServerConfig is how a server presents itself and whom it lets in.
type ServerConfig struct {
	Hello Hello      // ours; Session is not used
	Link  LinkConfig // the terms of every link
	// Admit, if not nil, decides about each new session before it begins, and may answer with
	// its own Info instead of Hello's. What it refuses with reaches the dialler: kind, text and
	// hint. Called concurrently; a session whose link fails later has been admitted all the same.
	Admit func(Peer) (info []byte, err error)
	// Greeting and Waiting bound the connections that have not said hello yet (the oldest gives
	// way) and the links that wait for Accept (further diallers are told to come back).
	Greeting, Waiting int
}

// ServerStats counts what came to a server's door since it was started.
type ServerStats struct {
	Connections uint64 // accepted by the listener
	Links       uint64 // new sessions
	Resumed     uint64 // connections that took a session up again
	Open        int    // sessions that live now

	Corrupt uint64 // garbage, truncated or oversized frames, before or after the greeting
	Slow    uint64 // did not say hello in time
	Denied  uint64 // key, user or role did not permit it
	Version uint64 // spoke another protocol
	Fenced  uint64 // wanted to resume a session that had been declared lost
	Unknown uint64 // wanted to resume a session that is closed, or older than the server
	Refused uint64 // by Admit, or because too many were waiting
	Broken  uint64 // went away during the greeting
}

// remembered is how many ended sessions a server can tell apart from those it never knew.
const remembered = 8192

// Server accepts links from a listener: it greets, refuses, and lets known sessions resume. Its
// methods may be called concurrently.
type Server struct {
	ln       Listener
	cfg      ServerConfig
	instance uint64
	ctx      context.Context
	cancel   context.CancelFunc
	running  sync.WaitGroup
	accepted chan *Link

	mu       sync.Mutex // guards what follows; may be taken with a Link.mu held, never the reverse
	closed   bool
	greeting []Conn // oldest first
	sessions map[SessionID]*session
	ended    []SessionID // oldest first, to be forgotten in turn
	stats    ServerStats
}

// session is what a server knows of one: a link, or, when that has ended, why.
type session struct {
	link *Link // nil while Admit decides
	end  *refusal
}

// Serve starts to accept on ln, which it owns from now on.
func Serve(ln Listener, cfg ServerConfig) *Server {
	cfg.Link = cfg.Link.filled()
	orElse(&cfg.Greeting, 256)
	orElse(&cfg.Waiting, 1024)
	if cfg.Hello.Versions == (Versions{}) {
		cfg.Hello.Versions = Protocol
	}
	if cfg.Hello.Role == "" {
		cfg.Hello.Role = RoleServer
	}
	s := &Server{
		ln: ln, cfg: cfg, instance: rand.Uint64() | 1,
		accepted: make(chan *Link, cfg.Waiting+cfg.Greeting), sessions: map[SessionID]*session{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	s.running.Go(s.listen)
	return s
}

// Addr is where diallers find the server.
func (s *Server) Addr() string { return s.ln.Addr() }

// Accept gives the next new link. Kinds: Closed after Close, else the context's.
func (s *Server) Accept(ctx context.Context) (*Link, error) {
	select {
	case l := <-s.accepted:
		return l, nil
	case <-s.ctx.Done():
		return nil, tutti.Errorf("accept link", tutti.Closed, "the server was closed")
	case <-ctx.Done():
		return nil, tutti.Errorf("accept link", tutti.KindOf(ctx.Err()), "at %s: %w", s.ln.Addr(), ctx.Err())
	}
}

// Stats is a snapshot.
func (s *Server) Stats() ServerStats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.stats
}

// Close stops accepting and closes the links that are left, in order: each delivers what was sent.
func (s *Server) Close() { s.stop(func(l *Link) { _ = l.Close() }) }

// Abort stops as a crash would: connections break, and nobody is told anything. Peers will dial
// again, and find another server or none.
func (s *Server) Abort() { s.stop((*Link).drop) }

func (s *Server) stop(each func(*Link)) {
	s.mu.Lock()
	s.closed = true
	links := s.links()
	for _, c := range s.greeting {
		c.Close()
	}
	s.mu.Unlock()
	s.cancel()
	s.ln.Close()
	var all sync.WaitGroup
	for _, l := range links {
		all.Go(func() { each(l) })
	}
	all.Wait()
	s.running.Wait()
}

// links are those that live; mu is held.
func (s *Server) links() (all []*Link) {
	for _, e := range s.sessions {
		if e.link != nil {
			all = append(all, e.link)
		}
	}
	return all
}

// listen accepts connections and greets each in its own goroutine.
func (s *Server) listen() {
	for {
		conn, err := s.ln.Accept(s.ctx)
		if err == nil {
			s.begin(conn)
			continue
		}
		if s.ctx.Err() != nil || tutti.KindOf(err) == tutti.Closed {
			return
		}
		// Out of descriptors, say: that passes, and spinning would not help.
		pause := time.NewTimer(50 * time.Millisecond)
		select {
		case <-pause.C:
		case <-s.ctx.Done():
			pause.Stop()
			return
		}
	}
}

// begin starts a greeting; if too many are under way the oldest has had its chance.
func (s *Server) begin(conn Conn) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Connections++
	if s.closed {
		conn.Close()
		return
	}
	if len(s.greeting) >= s.cfg.Greeting {
		s.greeting[0].Close()
		s.greeting = s.greeting[1:]
		s.stats.Slow++
	}
	s.greeting = append(s.greeting, conn)
	s.running.Go(func() { s.greet(conn) })
}

// unlist takes a connection off the list of greetings; false if it was pushed off, or the server
// was closed.
func (s *Server) unlist(conn Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.greeting {
		if c == conn {
			s.greeting = append(s.greeting[:i:i], s.greeting[i+1:]...)
			return !s.closed
		}
	}
	return false
}

// count adds to one of the statistics.
func (s *Server) count(n *uint64) {
	s.mu.Lock()
	*n++
	s.mu.Unlock()
}
