package wire_test

import (
	"crypto/tls"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

func TestKeysOnDisk(t *testing.T) {
	dir := filepath.Join(privateDir(t), "profile", "keys")
	var all sync.WaitGroup
	for range 4 { // several processes may come first
		all.Go(func() {
			if err := wire.EnsureKeys(dir, "c"); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	entries, err := os.ReadDir(filepath.Dir(dir))
	if err != nil || len(entries) != 1 {
		t.Errorf("left beside the keys: %v, %v", entries, err)
	}
	files, err := os.ReadDir(dir)
	if err != nil || len(files) != 4 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if st, err := f.Info(); err != nil || st.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", f.Name(), st.Mode(), err)
		}
	}
	before, _ := os.ReadFile(filepath.Join(dir, "client.pem"))
	if err := wire.EnsureKeys(dir, "c"); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile(filepath.Join(dir, "client.pem")); string(after) != string(before) {
		t.Error("the second start made new keys")
	}
	k, err := wire.LoadKeys(dir, wire.RoleAgent)
	if err != nil || k.Role != wire.RoleAgent || k.Name != "c" {
		t.Error(k, err)
	}
}

func TestKeysRefused(t *testing.T) {
	dir := filepath.Join(privateDir(t), "keys")
	if err := wire.EnsureKeys(dir, "c"); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "client.pem")
	refuse := func(kind tutti.Kind, hint string) {
		t.Helper()
		_, err := wire.LoadKeys(dir, wire.RoleClient)
		if tutti.KindOf(err) != kind || !strings.Contains(tutti.HintOf(err), hint) {
			t.Errorf("%v (hint %q), want kind %v and hint %q", err, tutti.HintOf(err), kind, hint)
		}
	}
	do := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	do(os.Chmod(file, 0o640))
	refuse(tutti.Denied, "chmod 600 "+file)
	do(os.Chmod(file, 0o600))
	do(os.Chmod(dir, 0o750))
	refuse(tutti.Denied, "chmod 700 "+dir)
	do(os.Chmod(dir, 0o700))
	agent, err := os.ReadFile(filepath.Join(dir, "agent.pem"))
	do(err)
	do(os.WriteFile(file, agent, 0o600))
	refuse(tutti.Denied, "client.pem")
	do(os.WriteFile(file, agent[:len(agent)/2], 0o600))
	refuse(tutti.Corrupt, "client.pem")
	do(os.Remove(file))
	refuse(tutti.NotFound, "")
	if _, err := wire.IssueKeys(dir, wire.RoleEngine, "x"); tutti.KindOf(err) != tutti.Invalid {
		t.Error(err)
	}
}

// tcpServer is a server with its keys' folder.
func tcpServer(t *testing.T) (dir string, s *wire.Server) {
	t.Helper()
	dir = filepath.Join(privateDir(t), "keys")
	if err := wire.EnsureKeys(dir, "c"); err != nil {
		t.Fatal(err)
	}
	k, err := wire.LoadKeys(dir, wire.RoleServer)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := wire.TCP{Keys: k}.Listen(t.Context(), ":0")
	if err != nil {
		t.Fatal(err)
	}
	if host, _, _ := net.SplitHostPort(ln.Addr()); host != "127.0.0.1" {
		t.Errorf("without a host it listens at %s", ln.Addr())
	}
	s = wire.Serve(ln, wire.ServerConfig{})
	t.Cleanup(s.Close)
	return dir, s
}

func TestIssuedKeyOpens(t *testing.T) {
	noneLeft(t)
	dir, s := tcpServer(t)
	content, err := wire.IssueKeys(dir, wire.RoleClient, "maria")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(privateDir(t), "any-name.pem")
	if err := os.WriteFile(file, content, 0o600); err != nil {
		t.Fatal(err)
	}
	k, err := wire.ReadKeys(file)
	if err != nil {
		t.Fatal(err)
	}
	l, err := wire.Connect(t.Context(), wire.TCP{Keys: k}, s.Addr(), wire.Hello{Role: wire.RoleClient}, wire.LinkConfig{})
	if err != nil {
		t.Fatal(err)
	}
	far, err := s.Accept(t.Context())
	if err != nil || far.Peer().Identity.Name != "maria" {
		t.Error(far.Peer(), err)
	}
	if err := l.Close(); err != nil {
		t.Error(err)
	}
}

func TestWrongKeys(t *testing.T) {
	noneLeft(t)
	dir, s := tcpServer(t)
	other := testKeys(t)
	connect := func(k *wire.Keys, addr string) error {
		_, err := wire.Connect(t.Context(), wire.TCP{Keys: k}, addr, wire.Hello{Role: wire.RoleClient}, wire.LinkConfig{Patience: -1})
		return err
	}
	for name, k := range map[string]*wire.Keys{"none": nil, "another cluster's": other(wire.RoleClient)} {
		if err := connect(k, s.Addr()); tutti.KindOf(err) != tutti.Denied || tutti.HintOf(err) == "" {
			t.Errorf("key %s: %v (hint %q)", name, err, tutti.HintOf(err))
		}
	}
	client, err := wire.LoadKeys(dir, wire.RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (wire.TCP{Keys: client}).Listen(t.Context(), ":0"); tutti.KindOf(err) != tutti.Denied {
		t.Errorf("listening with a client's key: %v", err)
	}
	// Whoever has a client's key can still not pose as the server.
	ln, err := tls.Listen("tcp", "127.0.0.1:0", client.ServerTLS(wire.RoleClient))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		if c, err := ln.Accept(); err == nil {
			_ = c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	if err := connect(client, ln.Addr().String()); tutti.KindOf(err) != tutti.Denied {
		t.Errorf("a server with a client's key: %v", err)
	}
}

// The server tells a client whose key it does not know, also when the client trusts the server.
func TestServerSaysDenied(t *testing.T) {
	noneLeft(t)
	dir, s := tcpServer(t)
	client, err := wire.LoadKeys(dir, wire.RoleClient)
	if err != nil {
		t.Fatal(err)
	}
	cfg := client.ClientTLS(wire.RoleServer)
	cfg.Certificates = nil
	for range 3 {
		c, err := tls.Dial("tcp", s.Addr(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = c.Write([]byte("hello, is anybody there?"))
		if _, err := c.Read(make([]byte, 1)); err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("a client without certificate reads %v", err)
		}
		c.Close()
	}
	until(t, func() bool { return s.Stats().Denied == 3 })
}

func TestGarbageInsteadOfTLS(t *testing.T) {
	noneLeft(t)
	_, s := tcpServer(t)
	c, err := net.Dial("tcp", s.Addr())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := c.Write([]byte("GET / HTTP/1.1\r\nHost: you\r\n\r\n")); err != nil {
		t.Fatal(err)
	}
	for buf := make([]byte, 100); err == nil; {
		_, err = c.Read(buf)
	}
	c.Close()
	until(t, func() bool { return s.Stats().Corrupt == 1 })
}
