package blob

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// publish serves h for the length of the test and returns its address.
func publish(t testing.TB, h http.Handler) string {
	t.Helper()
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	return strings.TrimPrefix(srv.URL, "http://")
}

// fetcher makes one with small pieces, so that a test's blob has several.
func fetcher(t testing.TB, s *Store, cfg FetchConfig) *Fetcher {
	t.Helper()
	if cfg.Piece == 0 {
		cfg.Piece = 256 << 10
	}
	f := NewFetcher(s, cfg)
	t.Cleanup(f.Close)
	return f
}

func mustFetch(t testing.TB, f *Fetcher, r tutti.Ref, peers []string, want []byte) {
	t.Helper()
	l, err := f.Fetch(ctx, "x", r, peers, View)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Release()
	if !bytes.Equal(l.Bytes(), want) {
		t.Fatal("other bytes came")
	}
}

// nowhere is an address where nobody listens.
func nowhere(t testing.TB) string {
	l := must(net.Listen("tcp", "127.0.0.1:0"))
	defer l.Close()
	return l.Addr().String()
}

func TestFetch(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2, Memory: 4 << 20})
	addr := publish(t, Handler(from, nil))
	f := fetcher(t, to, FetchConfig{})
	for i, size := range []int{0, 1, 256 << 10, 256<<10 + 1, 3_000_000, 9_000_000} {
		want := content(uint64(i), size)
		r := mustPut(t, from.As("a"), want)
		if i%2 == 1 {
			r = must(from.Sum(ctx, r))
		}
		mustFetch(t, f, r, []string{addr}, want)
		mustFetch(t, f, r, nil, want) // it is here
		check(t, to)
		if sum := crc32.Checksum(want, castagnoli); size > 0 && must(to.Sum(ctx, r)).Sum != sum {
			t.Fatal("the joined sum is wrong")
		}
		for range 2 { // a reference for each
			to.As("x").Drop(r)
		}
		if n := to.Stats().Blobs; n != 0 {
			t.Fatal(n, "blobs left")
		}
	}
	check(t, from)
}

func TestFetchErrors(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2, Memory: 1 << 20, Disk: 1 << 20})
	addr := publish(t, Handler(from, nil))
	closed := publish(t, Handler(from, func(*http.Request) error { return errors.New("no key") }))
	f := fetcher(t, to, FetchConfig{})
	r := mustPut(t, from.As("a"), content(1, 500_000))
	bad := r
	bad.Blob.N = 99
	long := r
	long.Size++
	wrong := r
	wrong.Sum = 12345
	big := mustPut(t, from.As("a"), content(1, 3_000_000))
	for name, c := range map[string]struct {
		ref   tutti.Ref
		peers []string
		kind  tutti.Kind
	}{
		"no such blob":   {bad, []string{addr, addr}, tutti.NotFound},
		"nobody has it":  {r, nil, tutti.NotFound},
		"no peer":        {r, []string{nowhere(t)}, tutti.Lost},
		"one of two":     {bad, []string{addr, nowhere(t)}, tutti.Lost},
		"not let in":     {r, []string{closed}, tutti.Denied},
		"another size":   {long, []string{addr}, tutti.Invalid},
		"another sum":    {wrong, []string{addr}, tutti.Corrupt},
		"no room":        {big, []string{addr}, tutti.Full},
		"a bad address":  {r, []string{"%%%"}, tutti.Invalid},
		"nothing at all": {tutti.Ref{}, []string{addr}, tutti.Invalid},
	} {
		_, err := f.Fetch(ctx, "x", c.ref, c.peers, View)
		if tutti.KindOf(err) != c.kind {
			t.Errorf("%s: %v, want kind %v", name, err, c.kind)
		}
		check(t, to)
	}
	if st := to.Stats(); st.Blobs != 0 || st.Leased != 0 {
		t.Fatalf("%+v", st)
	}
}

// Peers that are dead, know nothing, break off and lie, beside a good one.
func TestFetchAmongBadPeers(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	good := Handler(from, nil)
	var served atomic.Int64
	cutter := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		good.ServeHTTP(&cut{ResponseWriter: w, left: 100_000, served: &served}, r)
	})
	empty := open(t, Config{Node: 3})
	want := content(5, 4_000_000)
	r := mustPut(t, from.As("a"), want)
	peers := []string{nowhere(t), publish(t, cutter), publish(t, Handler(empty, nil)), publish(t, good)}
	mustFetch(t, fetcher(t, to, FetchConfig{Streams: 2}), r, peers, want)
}

// cut breaks the connection after so many bytes.
type cut struct {
	http.ResponseWriter
	left   int
	served *atomic.Int64
}

func (c *cut) Write(b []byte) (int, error) {
	n := min(len(b), c.left)
	c.left -= n
	c.served.Add(int64(n))
	if _, err := c.ResponseWriter.Write(b[:n]); err != nil {
		return 0, err
	}
	if n < len(b) {
		http.NewResponseController(c.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
	return n, nil
}

func TestFetchResumesAfterCut(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	good := Handler(from, nil)
	var served atomic.Int64
	addr := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		good.ServeHTTP(&cut{ResponseWriter: w, left: 300_000, served: &served}, r)
	}))
	want := content(5, 2_000_000)
	r := mustPut(t, from.As("a"), want)
	mustFetch(t, fetcher(t, to, FetchConfig{Piece: 1 << 20}), r, []string{addr}, want)
	if n := served.Load(); n != r.Size {
		t.Fatalf("%d bytes were sent for a blob of %d: what had come was not used", n, r.Size)
	}
}

func TestFetchVerifies(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	good := Handler(from, nil)
	var lies atomic.Int64
	addr := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lies.Add(-1) >= 0 {
			w = spoiled{w}
		}
		good.ServeHTTP(w, r)
	}))
	want := content(5, 1_000_000)
	r := mustPut(t, from.As("a"), want)
	f := fetcher(t, to, FetchConfig{})
	lies.Store(2)
	mustFetch(t, f, r, []string{addr}, want)
	to.DropHolder("x")
	lies.Store(1 << 40)
	_, err := f.Fetch(ctx, "x", r, []string{addr}, View)
	wantKind(t, err, tutti.Corrupt)
	check(t, to)
}

// spoiled changes one bit.
type spoiled struct{ http.ResponseWriter }

func (s spoiled) Write(b []byte) (int, error) {
	b = bytes.Clone(b)
	b[len(b)/2] ^= 4
	return s.ResponseWriter.Write(b)
}

func TestFetchOnceForAll(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	good := Handler(from, nil)
	var asked atomic.Int64
	gate := make(chan struct{})
	addr := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked.Add(1)
		<-gate
		good.ServeHTTP(w, r)
	}))
	want := content(5, 200_000)
	r := mustPut(t, from.As("a"), want)
	f := fetcher(t, to, FetchConfig{})
	impatient, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	wg.Go(func() {
		_, err := f.Fetch(impatient, "y", r, []string{addr}, View)
		if tutti.KindOf(err) != tutti.Canceled {
			t.Error(err)
		}
		close(gate) // he who began it has left; the others still get it
	})
	for f.waiting(r) < 1 {
		runtime.Gosched()
	}
	for range 5 {
		wg.Go(func() { mustFetch(t, f, r, []string{addr}, want) })
	}
	for f.waiting(r) < 6 {
		runtime.Gosched()
	}
	cancel()
	wg.Wait()
	if n := asked.Load(); n != 1 {
		t.Fatalf("asked %d times", n)
	}
	to.DropHolder("x")
	if st := to.Stats(); st.Blobs != 0 {
		t.Fatalf("%+v", st)
	}
	check(t, to)
}

func (f *Fetcher) waiting(r tutti.Ref) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	if fl := f.flights[r.Blob]; fl != nil {
		return fl.waiting
	}
	return 0
}

func TestFetchCanceled(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	good := Handler(from, nil)
	begun, leave := make(chan struct{}, 100), make(chan struct{})
	addr := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begun <- struct{}{}
		<-leave
	}))
	want := content(5, 2_000_000)
	r := mustPut(t, from.As("a"), want)
	f := fetcher(t, to, FetchConfig{})
	c, cancel := context.WithCancel(ctx)
	go func() { <-begun; cancel() }()
	_, err := f.Fetch(c, "x", r, []string{addr}, View)
	wantKind(t, err, tutti.Canceled)
	if !strings.Contains(err.Error(), addr) {
		t.Error("does not say whom it waited for:", err)
	}
	mustFetch(t, f, r, []string{publish(t, good)}, want)
	close(leave)
	f.wg.Wait()
	check(t, to)
}

func TestFetchFromSilentPeer(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	want := content(5, 600_000)
	r := mustPut(t, from.As("a"), want)
	over := make(chan struct{})
	silent := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		w.WriteHeader(http.StatusPartialContent)
		http.NewResponseController(w).Flush()
		select {
		case <-r.Context().Done():
		case <-over:
		}
	}))
	f := fetcher(t, to, FetchConfig{Stall: 20 * time.Millisecond})
	mustFetch(t, f, r, []string{silent, publish(t, Handler(from, nil))}, want)
	close(over)
}

func TestBusyPeerIsAskedAgain(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	good := Handler(from, nil)
	var busy atomic.Int64
	busy.Store(1)
	addr := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if busy.Add(-1) >= 0 {
			w.WriteHeader(http.StatusServiceUnavailable)
			return
		}
		good.ServeHTTP(w, r)
	}))
	want := content(5, 1000)
	mustFetch(t, fetcher(t, to, FetchConfig{}), mustPut(t, from.As("a"), want), []string{addr}, want)
}

func TestFetchesInTurn(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	good := Handler(from, nil)
	var now, most atomic.Int64
	all := make(chan struct{})
	addr := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if n := now.Add(1); n > most.Load() {
			most.Store(n)
		}
		defer now.Add(-1)
		<-all
		good.ServeHTTP(w, r)
	}))
	f := fetcher(t, to, FetchConfig{Blobs: 2, Streams: 1})
	var wg sync.WaitGroup
	var refs []tutti.Ref
	for i := range 12 {
		want := content(uint64(i), 400_000)
		r := mustPut(t, from.As("a"), want)
		refs = append(refs, r)
		wg.Go(func() { mustFetch(t, f, r, []string{addr}, want) })
	}
	for _, r := range refs { // all are under way: whoever does not wait his turn can ask now
		for f.waiting(r) == 0 {
			runtime.Gosched()
		}
	}
	for now.Load() < 2 {
		runtime.Gosched()
	}
	for range 10_000 {
		runtime.Gosched()
	}
	close(all)
	wg.Wait()
	if n := most.Load(); n != 2 {
		t.Fatalf("%d streams at a time, 2 allowed", n)
	}
}

// Where no peer can be reached directly, the request goes by a relay.
func TestFetchByRelay(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	hidden := publish(t, Handler(from, nil))
	var passed atomic.Int64
	relay := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		passed.Add(1)
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", hidden, ""
		if err := Forward(w, out, http.DefaultTransport); err != nil {
			t.Error(err)
		}
	}))
	f := fetcher(t, to, FetchConfig{Relay: via(relay)})
	want := content(9, 1_500_000)
	r := mustPut(t, from.As("a"), want)
	behind := nowhere(t)
	mustFetch(t, f, r, []string{behind}, want)
	if passed.Load() == 0 {
		t.Fatal("not by the relay")
	}
	bad := r
	bad.Blob.N = 77
	_, err := f.Fetch(ctx, "x", bad, []string{behind}, View)
	wantKind(t, err, tutti.NotFound) // said by the hidden peer, through the relay
	passed.Store(0)
	_, err = f.Fetch(ctx, "x", bad, []string{hidden}, View)
	wantKind(t, err, tutti.NotFound)
	if passed.Load() != 0 {
		t.Fatal("the relay was asked for what the peer itself has not")
	}
	to.DropHolder("x")
	mustFetch(t, f, r, []string{behind, hidden}, want)
	if passed.Load() != 0 {
		t.Fatal("the relay was used though a peer could be reached")
	}
	http.DefaultTransport.(*http.Transport).CloseIdleConnections()
}

// via sends every request to one host.
type via string

func (v via) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = string(v)
	tr := &http.Transport{DisableKeepAlives: true}
	return tr.RoundTrip(r)
}

// A relay passes bytes on as they come: were it to wait for the end, nobody here would go on.
func TestForwardStreams(t *testing.T) {
	seen := make(chan struct{})
	source := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Write(content(1, chunk))
		http.NewResponseController(w).Flush()
		<-seen
		if r.URL.Path == "/cut" {
			panic(http.ErrAbortHandler)
		}
		w.Write(content(2, chunk))
	}))
	relay := publish(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		out := r.Clone(r.Context())
		out.URL.Scheme, out.URL.Host, out.RequestURI = "http", source, ""
		if err := Forward(w, out, &http.Transport{DisableKeepAlives: true}); err != nil {
			t.Error(err)
		}
	}))
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	resp, err := client.Get("http://" + relay + "/")
	if err != nil {
		t.Fatal(err)
	}
	first := make([]byte, chunk)
	if _, err := io.ReadFull(resp.Body, first); err != nil {
		t.Fatal(err)
	}
	close(seen)
	rest, err := io.ReadAll(resp.Body)
	resp.Body.Close()
	if err != nil || !bytes.Equal(first, content(1, chunk)) || !bytes.Equal(rest, content(2, chunk)) {
		t.Fatal("other bytes", err)
	}
	resp, err = client.Get("http://" + relay + "/cut")
	if err == nil {
		_, err = io.ReadAll(resp.Body)
		resp.Body.Close()
	}
	if err == nil {
		t.Fatal("a cut was passed on as an end")
	}
}

// authority makes certificates that trust each other.
func authority(t testing.TB) (server, client *tls.Config) {
	t.Helper()
	key := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	tmpl := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der := must(x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key))
	pool := x509.NewCertPool()
	pool.AddCert(must(x509.ParseCertificate(der)))
	certs := []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}
	server = &tls.Config{Certificates: certs, ClientCAs: pool, ClientAuth: tls.RequireAndVerifyClientCert, MinVersion: tls.VersionTLS13}
	client = &tls.Config{Certificates: certs, RootCAs: pool, MinVersion: tls.VersionTLS13}
	return server, client
}

func TestFetchWithMutualTLS(t *testing.T) {
	from, to := open(t, Config{Node: 1}), open(t, Config{Node: 2})
	server, client := authority(t)
	srv := httptest.NewUnstartedServer(Handler(from, nil))
	srv.TLS = server
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // who is turned away is no news
	srv.StartTLS()
	defer srv.Close()
	addr := srv.Listener.Addr().String()
	want := content(9, 1_500_000)
	r := mustPut(t, from.As("a"), want)
	mustFetch(t, fetcher(t, to, FetchConfig{TLS: client}), r, []string{addr}, want)
	to.DropHolder("x")

	nobody := client.Clone()
	nobody.Certificates = nil
	_, err := fetcher(t, to, FetchConfig{TLS: nobody}).Fetch(ctx, "x", r, []string{addr}, View)
	wantKind(t, err, tutti.Denied)
	stranger := client.Clone()
	stranger.RootCAs = x509.NewCertPool()
	_, err = fetcher(t, to, FetchConfig{TLS: stranger}).Fetch(ctx, "x", r, []string{addr}, View)
	wantKind(t, err, tutti.Denied)
}

func TestHandlerAnswers(t *testing.T) {
	s := open(t, Config{Node: 4, Life: 5})
	want := content(1, 10_000)
	mustPut(t, s.As("a"), want)
	h := Handler(s, nil)
	for _, c := range []struct {
		method, path, ranged string
		status               int
		body                 []byte
	}{
		{"GET", "/blob/4-5-1", "", 200, want},
		{"GET", "/blob/4-5-1", "bytes=0-9999", 206, want},
		{"GET", "/blob/4-5-1", "bytes=5000-", 206, want[5000:]},
		{"GET", "/blob/4-5-1", "bytes=9999-9999", 206, want[9999:]},
		{"HEAD", "/blob/4-5-1", "", 200, nil},
		{"GET", "/blob/4-5-1", "bytes=0-10000", 416, nil},
		{"GET", "/blob/4-5-1", "bytes=10000-", 416, nil},
		{"GET", "/blob/4-5-1", "bytes=9-8", 400, nil},
		{"GET", "/blob/4-5-1", "bytes=-5", 400, nil},
		{"GET", "/blob/4-5-1", "bytes=0-1,3-4", 400, nil},
		{"GET", "/blob/4-5-1", "bytes=+1-4", 400, nil},
		{"GET", "/blob/4-5-2", "", 404, nil},
		{"GET", "/blob/4-6-1", "", 404, nil},
		{"GET", "/blob/../x", "", 400, nil},
		{"GET", "/blob/", "", 400, nil},
		{"GET", "/", "", 400, nil},
		{"POST", "/blob/4-5-1", "", 405, nil},
	} {
		r := httptest.NewRequest(c.method, "http://x"+c.path, nil)
		if c.ranged != "" {
			r.Header.Set("Range", c.ranged)
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != c.status || c.body != nil && !bytes.Equal(w.Body.Bytes(), c.body) {
			t.Errorf("%s %s %s: %d, %d bytes, %s", c.method, c.path, c.ranged, w.Code, w.Body.Len(), w.Header().Get(kindHeader))
		}
		if c.body != nil && w.Header().Get(sumHeader) != fmt.Sprintf("%08x", crc32.Checksum(c.body, castagnoli)) {
			t.Errorf("%s %s %s: checksum %s", c.method, c.path, c.ranged, w.Header().Get(sumHeader))
		}
		check(t, s)
	}
	if st := s.Stats(); st.Leased != 0 {
		t.Fatalf("%+v", st)
	}
}

func FuzzHTTP(f *testing.F) {
	f.Add("/blob/0-0-1", "bytes=0-4")
	f.Add("/blob/0-0-1", "bytes=-")
	f.Add("/blob/-1-0-1", "bytes=18446744073709551616-")
	f.Add("/blob/0-0-01", "bytes= 1-2")
	s, err := Open(Config{Memory: 1 << 20, Spill: f.TempDir()})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { s.Close() })
	want := content(1, 100)
	mustPut(f, s.As("a"), want)
	h := Handler(s, nil)
	f.Fuzz(func(t *testing.T, path, ranged string) {
		r := httptest.NewRequest("GET", "http://x/", nil)
		r.URL.Path = path
		r.Header.Set("Range", ranged)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code < 300 && !bytes.Contains(want, w.Body.Bytes()) || w.Code >= 500 {
			t.Fatal(w.Code, w.Body)
		}
		if from, to, err := parseRange(ranged, 100); err == nil && (from < 0 || from > to || to > 100) {
			t.Fatal(from, to)
		}
	})
}

func TestJoinSums(t *testing.T) {
	b := content(3, 100_000)
	for _, n := range []int{0, 1, 7, 4096, 99_999, 100_000} {
		got := joinSums(crc32.Checksum(b[:n], castagnoli), crc32.Checksum(b[n:], castagnoli), int64(len(b)-n))
		if want := crc32.Checksum(b, castagnoli); got != want {
			t.Errorf("cut at %d: %08x, want %08x", n, got, want)
		}
	}
}
