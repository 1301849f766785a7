package wire

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"net"
	"time"

	"github.com/tutti-hpc/tutti"
)

// TCP is the network between machines: TCP with mutual TLS 1.3. Both sides need keys of the same
// cluster; the role in a peer's certificate is its [Identity]. Addresses are host:port.
type TCP struct {
	Keys *Keys
}

// Listen needs keys of role server. Without a host in addr it listens on the loopback address
// only: other machines are let in by saying so (0.0.0.0, or an address). Port 0: any.
func (n TCP) Listen(ctx context.Context, addr string) (Listener, error) {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, tutti.Errorf("listen", tutti.Invalid, "%w", err).WithHint("an address is host:port")
	}
	if host == "" {
		host = "127.0.0.1"
	}
	if n.Keys == nil || n.Keys.Role != RoleServer {
		return nil, tutti.Errorf("listen", tutti.Denied, "listening needs the server's key").WithHint(hintKeys)
	}
	var lc net.ListenConfig
	ln, err := lc.Listen(ctx, "tcp", net.JoinHostPort(host, port))
	if err != nil {
		return nil, tutti.Errorf("listen", tutti.KindOf(err), "%w", err)
	}
	cfg := n.Keys.ServerTLS(RoleClient, RoleAgent)
	wrap := func(c net.Conn) Conn {
		t := tls.Server(c, cfg)
		id := Identity{Network: "tcp", Addr: c.RemoteAddr().String(), UID: -1}
		return newStream(t, c, false, id, func() (Identity, error) { return acceptTLS(t, c, id) })
	}
	return &streamListener{ln: ln.(*net.TCPListener), addr: ln.Addr().String(), wrap: wrap}, nil
}

// Dial connects and proves that a server of our cluster is there. A server that does not accept
// our key says so on the first Read.
func (n TCP) Dial(ctx context.Context, addr string) (Conn, error) {
	if n.Keys == nil {
		return nil, tutti.Errorf("dial", tutti.Denied, "dialling %s needs a key", addr).WithHint(hintKeys)
	}
	if _, _, err := net.SplitHostPort(addr); err != nil {
		return nil, tutti.Errorf("dial", tutti.Invalid, "%w", err).WithHint("an address is host:port")
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, dialError(addr, err)
	}
	t := tls.Client(c, n.Keys.ClientTLS(RoleServer))
	if err := t.HandshakeContext(ctx); err != nil {
		c.Close()
		return nil, handshakeError(addr, err)
	}
	return newStream(t, c, false, tlsIdentity(t, Identity{Network: "tcp", Addr: addr, UID: -1}), nil), nil
}

// acceptTLS completes the handshake of an accepted connection. The caller bounds its time by
// closing the socket.
func acceptTLS(t *tls.Conn, c net.Conn, id Identity) (Identity, error) {
	if err := t.Handshake(); err != nil {
		sayWhy(c)
		return id, handshakeError(id.Addr, err)
	}
	return tlsIdentity(t, id), nil
}

// sayWhy lets the alert that TLS has sent reach the peer: closing while its bytes are unread would
// make the kernel reset the connection, and destroy the alert.
func sayWhy(c net.Conn) {
	if half, ok := c.(*net.TCPConn); ok {
		_ = half.CloseWrite()
		_ = c.SetReadDeadline(time.Now().Add(time.Duration(grace)))
		_, _ = io.CopyN(io.Discard, c, helloLimit)
	}
}

func tlsIdentity(t *tls.Conn, id Identity) Identity {
	cert := t.ConnectionState().PeerCertificates[0] // both sides require one
	id.Name, id.Role = cert.Subject.CommonName, roleOf(cert)
	return id
}

// handshakeError gives a failed TLS handshake its kind, and the person a way on.
func handshakeError(addr string, err error) error {
	var verify *tls.CertificateVerificationError
	var unknown x509.UnknownAuthorityError
	var header tls.RecordHeaderError
	var remote *net.OpError
	var ours *tutti.Error
	switch {
	case errors.As(err, &ours):
		return err
	case errors.As(err, &verify), errors.As(err, &unknown):
		return tutti.Errorf("connect", tutti.Denied, "%s has no key of this cluster: %w", addr, err).WithHint(hintKeys)
	case errors.As(err, &remote) && remote.Op == "remote error":
		return tutti.Errorf("connect", tutti.Denied, "%s does not accept our key: %w", addr, err).WithHint(hintKeys)
	case errors.As(err, &header):
		return tutti.Errorf("connect", tutti.Corrupt, "%s does not speak TLS: %w", addr, err).WithHint("is another service at that address?")
	case errors.Is(err, io.EOF), errors.Is(err, net.ErrClosed), errors.As(err, &remote):
		return tutti.Errorf("connect", tutti.Lost, "%s: %w", addr, err)
	case errors.Is(err, context.DeadlineExceeded):
		return tutti.Errorf("connect", tutti.Timeout, "%s: %w", addr, err)
	}
	// What remains is a peer that breaks the rules of TLS, or brings no certificate.
	return tutti.Errorf("connect", tutti.Denied, "%s: %w", addr, err).WithHint(hintKeys)
}
