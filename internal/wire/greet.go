package wire

import (
	"time"

	"github.com/tutti-hpc/tutti"
)

// greet reads what a new connection wants, and lets it in or refuses it. Whatever arrives, the
// connection is in service, or closed and counted, within the time for a greeting.
func (s *Server) greet(conn Conn) {
	timer := time.AfterFunc(s.cfg.Link.Handshake, func() {
		if s.unlist(conn) {
			s.count(&s.stats.Slow)
		}
		conn.Close()
	})
	frames, err := conn.Read(make([]Frame, 0, 1))
	timer.Stop()
	if !s.unlist(conn) { // too late, pushed off, or the server was closed
		conn.Close()
		return
	}
	if err != nil {
		s.countFailed(err)
		conn.Close()
		return
	}
	g, refused := s.examine(conn, &frames[0])
	if refused == nil {
		refused = s.admit(conn, g)
	}
	if refused != nil {
		s.refuse(conn, refused)
	}
}

// countFailed counts a greeting that never came.
func (s *Server) countFailed(err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case tutti.KindOf(err) == tutti.Corrupt:
		s.stats.Corrupt++
	case tutti.KindOf(err) == tutti.Denied:
		s.stats.Denied++
	default:
		s.stats.Broken++
	}
}

// examine decodes a greeting and checks version and role.
func (s *Server) examine(conn Conn, f *Frame) (*greeting, *refusal) {
	if f.Type != FrameHello {
		s.count(&s.stats.Corrupt)
		return nil, &refusal{kind: tutti.Corrupt, reason: "the first frame was no greeting"}
	}
	g, err := decodeGreeting(f.Header, f.Payload, s.cfg.Hello.Versions)
	if err != nil {
		s.count(&s.stats.Corrupt)
		return nil, &refusal{kind: tutti.Corrupt, reason: err.Error()}
	}
	if _, ok := g.Versions.common(s.cfg.Hello.Versions); !ok {
		s.count(&s.stats.Version)
		if g.Role == "" {
			g.Role = "peer" // it came after the versions, where we cannot read
		}
		return nil, &refusal{kind: tutti.Version, reason: versionSentence(s.cfg.Hello, g.Hello), hint: "install the same version of tutti on both sides"}
	}
	if id := conn.Peer(); g.Role == RoleServer || !id.May(g.Role) {
		s.count(&s.stats.Denied)
		return nil, &refusal{kind: tutti.Denied, reason: "a key of role " + string(id.Role) + " cannot act as " + string(g.Role),
			hint: "use the " + string(g.Role) + " key of this cluster"}
	}
	return &g, nil
}

// admit resumes a known session or begins a new one.
func (s *Server) admit(conn Conn, g *greeting) *refusal {
	s.mu.Lock()
	e := s.sessions[g.Session]
	if e == nil && g.resume {
		defer s.mu.Unlock()
		s.stats.Unknown++
		if g.instance != s.instance {
			return &refusal{code: refusedForgotten, kind: tutti.Lost, reason: s.cfg.Hello.Name + " was started anew and knows nothing of links from before"}
		}
		return &refusal{code: refusedEnded, kind: tutti.Lost, reason: "the session ended long ago"}
	}
	if e == nil {
		e = &session{}
		s.sessions[g.Session] = e
		s.mu.Unlock()
		return s.create(conn, g, e)
	}
	link, end := e.link, e.end
	s.mu.Unlock()
	switch {
	case end != nil:
		if end.code == refusedFenced {
			s.count(&s.stats.Fenced)
		} else {
			s.count(&s.stats.Unknown)
		}
		return end
	case link == nil:
		return &refusal{code: refusedBusy, kind: tutti.Exists, reason: "the session is being admitted"}
	}
	if was, is := link.peer.Identity, conn.Peer(); g.Role != link.peer.Role || is.Role != was.Role || is.Name != was.Name || is.UID != was.UID {
		s.count(&s.stats.Denied)
		return &refusal{kind: tutti.Denied, reason: "the session belongs to another peer"}
	}
	return s.join(conn, g, link, nil)
}

// create asks Admit about a new session, begins it, and hands it to Accept.
func (s *Server) create(conn Conn, g *greeting, e *session) *refusal {
	version, _ := g.Versions.common(s.cfg.Hello.Versions)
	peer := Peer{Hello: g.Hello, Identity: conn.Peer(), Version: version}
	info, r := s.ask(peer)
	if r != nil {
		s.mu.Lock()
		delete(s.sessions, g.Session)
		s.stats.Refused++
		s.mu.Unlock()
		return r
	}
	local := s.cfg.Hello
	local.Session, local.Info = g.Session, info
	l := newLink(s.cfg.Link, local)
	l.peer, l.onEnd, l.server = peer, s.bury, &s.running
	s.mu.Lock()
	closed := s.closed
	if !closed {
		e.link = l
		s.stats.Links++
		s.stats.Open++
	}
	s.mu.Unlock()
	if closed {
		return &refusal{code: refusedBusy, kind: tutti.Closed, reason: "the server is being closed"}
	}
	return s.join(conn, g, l, func() { s.accepted <- l })
}

// ask finds out whether a new session is welcome, and what to tell it.
func (s *Server) ask(p Peer) (info []byte, r *refusal) {
	if len(s.accepted) >= s.cfg.Waiting { // the rest is for those that are past this point
		return nil, &refusal{code: refusedBusy, kind: tutti.Full, reason: "too many links wait to be accepted"}
	}
	if s.cfg.Admit == nil {
		return s.cfg.Hello.Info, nil
	}
	info, err := s.cfg.Admit(p)
	if err != nil {
		return nil, &refusal{kind: tutti.KindOf(err), reason: err.Error(), hint: tutti.HintOf(err)}
	}
	if len(info) > maxInfo {
		return nil, &refusal{kind: tutti.Internal, reason: "the answer to the greeting is too long"}
	}
	if info == nil {
		info = s.cfg.Hello.Info
	}
	return info, nil
}

// join puts the connection into the service of a link, with a welcome as its first frame.
func (s *Server) join(conn Conn, g *greeting, l *Link, then func()) *refusal {
	welcome := func() *Frame {
		w := greeting{
			Hello: l.local, resume: g.resume, attempt: g.attempt, instance: s.instance, pos: l.position(),
			window: l.cfg.Window, maxFrame: uint64(l.cfg.MaxFrame), heartbeat: l.cfg.Heartbeat,
		}
		header, payload := w.encode()
		return &Frame{Type: FrameWelcome, Header: header, Payload: payload}
	}
	if err := l.attach(conn, g, welcome); err != nil {
		return &refusal{code: refusedBusy, kind: tutti.KindOf(err), reason: err.Error()}
	}
	if then != nil {
		then()
	} else {
		s.count(&s.stats.Resumed)
	}
	return nil
}

// bury keeps of an ended link only why it ended. Called with the link's mu held.
func (s *Server) bury(l *Link) {
	r := &refusal{code: refusedFenced, kind: tutti.Lost, reason: l.err.Error()}
	switch {
	case l.words == nil && tutti.KindOf(l.err) == tutti.Closed:
		r.code, r.reason = refusedEnded, "the session was closed"
	case tutti.KindOf(l.err) == tutti.Closed:
		r.reason = s.cfg.Hello.Name + " ended it: " + l.err.Error()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.stats.Open--
	s.stats.Corrupt += l.stats.Corrupt
	s.sessions[l.local.Session] = &session{end: r}
	s.ended = append(s.ended, l.local.Session)
	if len(s.ended) > remembered {
		delete(s.sessions, s.ended[0])
		s.ended = s.ended[1:]
	}
}

// refuse tells why and closes. The dialler closes first, if it is one of ours: then nothing that
// is still on its way to us can destroy what is on its way to it.
func (s *Server) refuse(conn Conn, r *refusal) {
	r2 := *r
	r2.versions, r2.software = s.cfg.Hello.Versions, s.cfg.Hello.Software
	timer := time.AfterFunc(time.Duration(grace), func() { conn.Close() })
	if err := conn.Write([]Frame{{Type: FrameRefuse, Header: r2.encode()}}); err == nil {
		_, _ = conn.Read(make([]Frame, 0, 1))
	}
	timer.Stop()
	conn.Close()
}
