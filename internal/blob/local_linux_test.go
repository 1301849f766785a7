package blob

import (
	"bufio"
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"sync"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/shm"
)

// connect serves the store to a Local in this process.
func connect(t testing.TB, s *Store, h Holder) (*Local, func()) {
	t.Helper()
	here, f, err := shm.Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve(ctx, here, h) }()
	l := Connect(must(shm.ConnFromFile(f)))
	var once sync.Once
	end := func() {
		once.Do(func() {
			l.Close()
			if err := <-served; err != nil {
				t.Error("serve:", err)
			}
		})
	}
	t.Cleanup(end)
	return l, end
}

func TestLocal(t *testing.T) {
	s := open(t, Config{Memory: 4 << 20})
	a, end := connect(t, s, "a")
	b := s.As("b")
	var refs []tutti.Ref
	sizes := []int{0, 1, 4096, 70000, 1 << 20, 1<<20 + 1, 2 << 20, 3 << 20, 9 << 20}
	for i, size := range sizes { // more than there is memory: some go by files
		refs = append(refs, mustPut(t, a, content(uint64(i), size)))
		check(t, s)
	}
	for i, size := range sizes {
		mustRead(t, a, refs[i], content(uint64(i), size))
		mustRead(t, b, refs[i], content(uint64(i), size))
		l, err := a.Open(ctx, refs[i], Private)
		if err != nil {
			t.Fatal(err)
		}
		clear(l.Bytes())
		mustRead(t, a, refs[i], content(uint64(i), size))
		l.Release()
		check(t, s)
	}
	if err := b.Hold(ctx, refs[1]); err != nil {
		t.Fatal(err)
	}
	for _, r := range refs {
		a.Drop(r)
	}
	if err := a.Hold(ctx, refs[2]); tutti.KindOf(err) != tutti.NotFound { // asked after the drops
		t.Fatal(err)
	}
	if err := a.Hold(ctx, refs[1]); err != nil {
		t.Fatal(err)
	}
	if n := s.Stats().Blobs; n != 1 {
		t.Fatal(n, "blobs left")
	}
	end()
	check(t, s)
	_, err := a.Open(ctx, refs[1], View)
	wantKind(t, err, tutti.Lost)
	wantKind(t, a.Hold(ctx, refs[1]), tutti.Lost)
}

func TestLocalErrors(t *testing.T) {
	s := open(t, Config{Memory: 1 << 20, Disk: 1 << 20})
	a, _ := connect(t, s, "a")
	_, err := a.Open(ctx, tutti.Ref{Blob: tutti.BlobID{N: 77}, Size: 5}, View)
	wantKind(t, err, tutti.NotFound)
	_, err = a.Open(ctx, tutti.Ref{Size: -5}, View)
	wantKind(t, err, tutti.Invalid)
	_, err = a.New(ctx, -1)
	wantKind(t, err, tutti.Invalid)
	_, err = a.New(ctx, 5<<20)
	wantKind(t, err, tutti.Full)
	if tutti.HintOf(err) == "" {
		t.Fatal("the hint was lost on the way")
	}
	r := mustPut(t, a, content(1, 10))
	_, err = a.Open(ctx, r, 9)
	wantKind(t, err, tutti.Invalid)
	stopped, cancel := context.WithCancel(ctx)
	cancel()
	for range 100 { // the answer comes, or it does not: nothing may stay behind
		if l, err := a.Open(stopped, r, View); err == nil {
			l.Release()
		}
		if w, err := a.New(stopped, 100); err == nil {
			w.Abort()
		}
		if err := a.Hold(stopped, r); err == nil {
			a.Drop(r)
		}
	}
	mustRead(t, a, r, content(1, 10)) // after all of them
	a.Drop(r)
	if err := a.Hold(ctx, r); tutti.KindOf(err) != tutti.NotFound {
		t.Fatal(err)
	}
	if st := s.Stats(); st.Blobs != 0 || st.Leased != 0 {
		t.Fatalf("%+v", st)
	}
}

// mappings counts how often this process maps blobs' memory.
func mappings() int {
	return bytes.Count(must(os.ReadFile("/proc/self/maps")), []byte("tutti-"+label))
}

func TestMappingsEnd(t *testing.T) {
	before := mappings()
	s := must(Open(Config{Memory: 4 << 20, Spill: t.TempDir()}))
	a, end := connect(t, s, "a")
	var refs []tutti.Ref
	for i := range 6 {
		refs = append(refs, mustPut(t, a, content(uint64(i), 1<<20)))
	}
	for i := range 50 { // in memory and in files, in both modes, here and there
		for _, space := range []Space{a, s.As("b")} {
			l, err := space.Open(ctx, refs[i%6], Mode(i%2))
			if err != nil {
				t.Fatal(err)
			}
			l.Release()
		}
	}
	if n := mappings() - before; n > 2*2*s.Stats().Segments {
		t.Fatalf("%d mappings of %d segments", n, s.Stats().Segments)
	}
	end()
	s.Close()
	if n := mappings() - before; n > 0 {
		t.Fatalf("%d mappings left behind", n)
	}
}

// What a segment's owner trims, its peer forgets.
func TestLocalForgets(t *testing.T) {
	s := open(t, Config{Memory: 4 << 20})
	a, _ := connect(t, s, "a")
	for i := range 30 { // each of another class
		r := mustPut(t, a, content(uint64(i), (1+i%3)<<20+1))
		mustRead(t, a, r, content(uint64(i), (1+i%3)<<20+1))
		a.Drop(r)
	}
	if err := a.Hold(ctx, tutti.Ref{Blob: tutti.BlobID{N: 1}}); tutti.KindOf(err) != tutti.NotFound {
		t.Fatal(err)
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if n := len(a.segs); n != s.Stats().Segments {
		t.Fatalf("the peer keeps %d segments of %d", n, s.Stats().Segments)
	}
}

func TestServeRefusesNonsense(t *testing.T) {
	for name, c := range map[string]struct {
		bytes []byte
		kind  tutti.Kind
	}{
		"noise":      {bytes.Repeat([]byte{1, 0, 1, 0, 0xff, 0xff, 0xff, 0xff}, 20), tutti.Corrupt},
		"version":    {bytes.Repeat([]byte{1, 0, 9, 0, 0, 0, 0, 0}, 20), tutti.Version},
		"an answer":  {(&message{kind: kindResult}).appendTo(nil), tutti.Corrupt},
		"announced":  {(&message{kind: kindDrop, file: os.Stdin}).appendTo(nil), tutti.Corrupt},
		"half a one": {(&message{kind: kindOpen}).appendTo(nil)[:20], tutti.Other},
	} {
		t.Run(name, func(t *testing.T) {
			s := open(t, Config{})
			here, f, err := shm.Socketpair()
			if err != nil {
				t.Fatal(err)
			}
			there := must(shm.ConnFromFile(f))
			there.Write(c.bytes)
			there.CloseWrite()
			if err := s.Serve(ctx, here, "x"); tutti.KindOf(err) != c.kind {
				t.Fatal(err)
			}
			there.Close()
		})
	}
}

func TestServeEndsByContext(t *testing.T) {
	s := open(t, Config{})
	here, f, _ := shm.Socketpair()
	l := Connect(must(shm.ConnFromFile(f)))
	c, cancel := context.WithCancel(ctx)
	served := make(chan error)
	go func() { served <- s.Serve(c, here, "x") }()
	r := mustPut(t, l, content(1, 5))
	lease := must(l.Open(ctx, r, View))
	cancel()
	wantKind(t, <-served, tutti.Canceled)
	<-l.Done()
	if !bytes.Equal(lease.Bytes(), content(1, 5)) { // its mapping outlives the connection
		t.Fatal("other bytes")
	}
	if st := s.Stats(); st.Leased != 0 || st.Blobs != 1 {
		t.Fatalf("%+v", st)
	}
	lease.Release()
	l.Close()
}

// A store that lies must not harm its peer.
func TestLocalRefusesNonsense(t *testing.T) {
	small := must(shm.Anonymous("test", 4096))
	defer small.Close()
	for name, answer := range map[string]*message{
		"outside the segment": {kind: kindResult, call: 1, seg: 1, off: 4096, ref: tutti.Ref{Size: 10}, file: small.File()},
		"wrong size":          {kind: kindResult, call: 1, seg: 1, ref: tutti.Ref{Size: 11}, file: small.File()},
		"no bytes":            {kind: kindResult, call: 1, ref: tutti.Ref{Size: 10}},
		"unknown segment":     {kind: kindResult, call: 1, seg: 7, ref: tutti.Ref{Size: 10}},
		"unknown call":        {kind: kindResult, call: 9},
		"a question":          {kind: kindOpen, call: 1},
		"not a file":          {kind: kindResult, call: 1, seg: 1, ref: tutti.Ref{Size: 10}, file: os.Stdin},
	} {
		t.Run(name, func(t *testing.T) {
			here, f, _ := shm.Socketpair()
			store := newMessages(here)
			l := Connect(must(shm.ConnFromFile(f)))
			go func() {
				store.next()
				store.send(answer)
			}()
			_, err := l.Open(ctx, tutti.Ref{Size: 10, Blob: tutti.BlobID{N: 1}}, View)
			if err == nil {
				t.Fatal("believed it")
			}
			<-l.Done()
			l.Close()
			here.Close()
		})
	}
}

// Another process, which obeys orders that come on its standard input.
type peer struct {
	cmd *exec.Cmd
	in  io.WriteCloser
	out *bufio.Reader
	err chan error // what Serve returned
}

type order struct {
	Do   string // "sum", "put", "hoard", "storm"
	Ref  tutti.Ref
	Refs []tutti.Ref
	Seed uint64
	Size int
	Mode Mode
}

type outcome struct {
	Ref           tutti.Ref
	Good          bool
	Error         string
	Opened, Nanos int64 // since the order came: until the bytes could be read, until all was done
}

func startPeer(t testing.TB, s *Store, h Holder) *peer {
	t.Helper()
	here, there, err := shm.Socketpair()
	if err != nil {
		t.Fatal(err)
	}
	p := &peer{cmd: exec.Command(os.Args[0]), err: make(chan error, 1)}
	p.cmd.Env = append(os.Environ(), "BLOB_TEST_ROLE=peer")
	p.cmd.ExtraFiles = []*os.File{there}
	p.cmd.Stderr = os.Stderr
	p.in = must(p.cmd.StdinPipe())
	p.out = bufio.NewReader(must(p.cmd.StdoutPipe()))
	if err := p.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	there.Close()
	go func() { p.err <- s.Serve(ctx, here, h) }()
	t.Cleanup(func() { p.kill(t) })
	return p
}

// kill ends the peer by SIGKILL and waits until the store has noticed.
func (p *peer) kill(t testing.TB) {
	if p.err == nil {
		return
	}
	p.cmd.Process.Kill()
	p.cmd.Wait()
	if err := <-p.err; err != nil {
		t.Error("serve:", err)
	}
	p.err = nil
}

func (p *peer) tell(t testing.TB, o order) {
	t.Helper()
	if _, err := p.in.Write(append(must(json.Marshal(o)), '\n')); err != nil {
		t.Fatal(err)
	}
}

func (p *peer) hear(t testing.TB) (o outcome) {
	t.Helper()
	line, err := p.out.ReadBytes('\n')
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	if err != nil || o.Error != "" {
		t.Fatal("the other process:", err, o.Error)
	}
	return o
}

func (p *peer) do(t testing.TB, o order) outcome {
	t.Helper()
	p.tell(t, o)
	return p.hear(t)
}

// child is the other process's main.
func child(role string) int {
	if role == "owner" {
		return owner()
	}
	conn, err := shm.ConnFromFile(os.NewFile(3, "socket"))
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	l := Connect(conn)
	in := bufio.NewReader(os.Stdin)
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			l.Close()
			return 0
		}
		var o order
		err = json.Unmarshal(line, &o)
		var res outcome
		if err == nil {
			res, err = obey(l, o)
		}
		if err != nil {
			res.Error = err.Error()
		}
		os.Stdout.Write(append(must(json.Marshal(res)), '\n'))
	}
}

func obey(l *Local, o order) (res outcome, err error) {
	begin := time.Now()
	defer func() { res.Nanos = int64(time.Since(begin)) }()
	switch o.Do {
	case "put":
		res.Ref, err = Put(ctx, l, content(o.Seed, o.Size))
	case "read":
		var lease *Lease
		if lease, err = l.Open(ctx, o.Ref, o.Mode); err != nil {
			return res, err
		}
		defer lease.Release()
		res.Good = bytes.Equal(lease.Bytes(), content(o.Seed, o.Size))
	case "sum": // the least that a consumer does
		var lease *Lease
		if lease, err = l.Open(ctx, o.Ref, o.Mode); err != nil {
			return res, err
		}
		res.Opened = int64(time.Since(begin))
		res.Good = sum(lease.Bytes()) != 0
		lease.Release()
	case "small": // put, open, release and drop many
		for range o.Size {
			w, err := l.New(ctx, int64(o.Seed))
			if err != nil {
				return res, err
			}
			w.Bytes()[0] = 1
			if res.Ref, err = w.Seal(ctx); err != nil {
				return res, err
			}
			lease, err := l.Open(ctx, res.Ref, View)
			if err != nil {
				return res, err
			}
			lease.Release()
			l.Drop(res.Ref)
		}
	case "hoard": // leases and builders for ever
		for _, r := range o.Refs {
			if _, err = l.Open(ctx, r, View); err != nil {
				return res, err
			}
			w, err := l.New(ctx, r.Size)
			if err != nil {
				return res, err
			}
			clear(w.Bytes())
		}
	case "storm": // until killed
		for i := uint64(0); ; i++ {
			r := o.Refs[rand.N(len(o.Refs))]
			if lease, err := l.Open(ctx, r, Mode(i%2)); err == nil {
				sum(lease.Bytes())
				lease.Release()
			}
			if w, err := l.New(ctx, rand.Int64N(1<<20)+1); err == nil {
				clear(w.Bytes())
				if r, err := w.Seal(ctx); err == nil && i%4 != 0 {
					l.Drop(r)
				}
			}
			if i == 3 {
				fmt.Println("{}") // at work
			}
		}
	}
	return res, err
}

// sum adds up eight bytes at a time, four times.
func sum(b []byte) (n uint64) {
	var v [4]uint64
	for len(b) >= 32 {
		for i := range v {
			v[i] += binary.LittleEndian.Uint64(b[8*i:])
		}
		b = b[32:]
	}
	return v[0] + v[1] + v[2] + v[3] + 1
}

func TestOtherProcess(t *testing.T) {
	s := open(t, Config{Memory: 4 << 20})
	me := s.As("me")
	p, q := startPeer(t, s, "p"), startPeer(t, s, "q")
	for i, size := range []int{1, 5000, 1 << 20, 2 << 20, 3 << 20, 100, 0} {
		seed := uint64(i)
		r := p.do(t, order{Do: "put", Seed: seed, Size: size}).Ref
		mustRead(t, me, r, content(seed, size))
		for mode := range Mode(2) {
			if o := q.do(t, order{Do: "read", Ref: r, Seed: seed, Size: size, Mode: mode}); !o.Good {
				t.Fatal("the third process read other bytes")
			}
		}
		check(t, s)
	}
	p.kill(t)
	if st := s.Stats(); st.Blobs != 7 || st.Leased != 0 {
		t.Fatalf("blobs go by DropHolder, not with the connection: %+v", st)
	}
	s.DropHolder("p")
	if st := s.Stats(); st.Blobs != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestKilledPeerLosesLeases(t *testing.T) {
	s := open(t, Config{Memory: 8 << 20})
	me := s.As("me")
	var refs []tutti.Ref
	for i := range 12 { // some in memory, some in files
		refs = append(refs, mustPut(t, me, content(uint64(i), 1<<20)))
	}
	p := startPeer(t, s, "p")
	p.do(t, order{Do: "hoard", Refs: refs})
	if st := s.Stats(); st.Leased != 12 {
		t.Fatalf("%+v", st)
	}
	check(t, s)
	p.kill(t)
	if st := s.Stats(); st.Leased != 0 {
		t.Fatalf("%+v", st)
	}
	check(t, s)
	for i, r := range refs {
		mustRead(t, me, r, content(uint64(i), 1<<20))
	}
	s.DropHolder("me")
	if st := s.Stats(); st.Blobs != 0 || st.Disk != 0 {
		t.Fatalf("%+v", st)
	}
}

func TestKillInMidTransfer(t *testing.T) {
	s := open(t, Config{Memory: 4 << 20})
	me := s.As("me")
	var refs []tutti.Ref
	for i := range 6 {
		refs = append(refs, mustPut(t, me, content(uint64(i), 300_000)))
	}
	for round := range 4 {
		a, b := startPeer(t, s, "a"), startPeer(t, s, "b")
		a.tell(t, order{Do: "storm", Refs: refs})
		b.tell(t, order{Do: "storm", Refs: refs})
		a.hear(t)
		b.hear(t)
		a.kill(t)
		check(t, s)
		for i, r := range refs { // while the other storms on
			mustRead(t, me, r, content(uint64(i), 300_000))
		}
		b.kill(t)
		s.DropHolder("a")
		s.DropHolder("b")
		check(t, s)
		if st := s.Stats(); st.Blobs != len(refs) || st.Leased != 0 {
			t.Fatalf("round %d: %+v", round, st)
		}
	}
}

// owner is a process with a store of its own, which will be killed.
func owner() int {
	cfg := Config{Memory: 1 << 20, Spill: os.Getenv("BLOB_TEST_SPILL"), Dir: os.Getenv("BLOB_TEST_DIR")}
	s, err := Open(cfg)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for i := range 5 {
		if _, err := Put(ctx, s.As("x"), content(uint64(i), 1<<20)); err != nil {
			fmt.Println(err)
			return 1
		}
	}
	fmt.Println("ready")
	select {}
}

// After kill -9 of the owner nothing stays in shared memory, and the next start removes its files.
func TestKilledOwnerIsCleanedUp(t *testing.T) {
	spill := t.TempDir()
	for _, dir := range []string{"", shm.DefaultDir} {
		cmd := exec.Command(os.Args[0])
		cmd.Env = append(os.Environ(), "BLOB_TEST_ROLE=owner", "BLOB_TEST_SPILL="+spill, "BLOB_TEST_DIR="+dir)
		out := must(cmd.StdoutPipe())
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		line, _ := bufio.NewReader(out).ReadString('\n')
		cmd.Process.Kill()
		cmd.Wait()
		if line != "ready\n" {
			t.Fatal(line)
		}
		if left := must(shm.Stale(spill, label)); len(left) != 4 {
			t.Fatal("spilled files:", left)
		}
		if left := must(shm.Stale("", label)); len(left) != 0 {
			t.Fatal("in shared memory:", left)
		}
		open(t, Config{Spill: spill})
		if left := must(os.ReadDir(spill)); len(left) != 0 {
			t.Fatal("after the next start:", left)
		}
	}
}

func FuzzMessage(f *testing.F) {
	f.Add((&message{kind: kindOpen, call: 3, ref: tutti.Ref{Size: 5, Blob: tutti.BlobID{Node: 1, Life: 2, N: 3}}}).appendTo(nil))
	f.Add(failure(7, tutti.Errorf("make blob", tutti.Full, "no").WithHint("buy")).appendTo(nil))
	f.Add((&message{kind: kindForget, seg: 1 << 63, file: os.Stdin}).appendTo(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		m, hasFile, n, err := parseMessage(b)
		if err != nil || n == 0 {
			return
		}
		if hasFile {
			m.file = os.Stdin
		}
		if again := m.appendTo(nil); !bytes.Equal(again, b[:n]) {
			t.Fatalf("% x became % x", b[:n], again)
		}
		if m.kind == kindFailure && m.failed() == nil {
			t.Fatal("no error")
		}
	})
}

func TestFailureTravels(t *testing.T) {
	long := string(bytes.Repeat([]byte("x"), 2*maxText))
	for _, err := range []error{
		tutti.Errorf("open blob", tutti.NotFound, "no such"), tutti.E("x", tutti.Full, nil).WithHint("a hint"),
		io.ErrShortWrite, tutti.Errorf("y", tutti.Corrupt, "%s", long).WithHint("kept"),
	} {
		m, _, n, perr := parseMessage(failure(1, err).appendTo(nil))
		got := m.failed()
		if perr != nil || n == 0 || tutti.KindOf(got) != tutti.KindOf(err) || tutti.HintOf(got) != tutti.HintOf(err) {
			t.Errorf("%v became %v (%v)", err, got, perr)
		}
	}
}

// Whatever a peer sends, the store's books stay right and the session ends with the connection.
func FuzzServe(f *testing.F) {
	add := func(ms ...*message) {
		var b []byte
		for _, m := range ms {
			b = m.appendTo(b)
		}
		f.Add(b)
	}
	blob := tutti.Ref{Blob: tutti.BlobID{N: 1}, Size: 5000}
	add(&message{kind: kindOpen, call: 1, ref: blob}, &message{kind: kindRelease, handle: 1}, &message{kind: kindRelease, handle: 1})
	add(&message{kind: kindCreate, call: 1, ref: blob}, &message{kind: kindSeal, call: 2, handle: 1}, &message{kind: kindAbort, handle: 1})
	add(&message{kind: kindHold, call: 1, ref: blob}, &message{kind: kindDrop, ref: blob}, &message{kind: kindDrop, ref: blob})
	add(&message{kind: kindCreate, call: 1, ref: tutti.Ref{Size: 1 << 62}}, &message{kind: kindSeal, handle: 77})
	spill := f.TempDir()
	f.Fuzz(func(t *testing.T, b []byte) {
		s := must(Open(Config{Memory: 1 << 20, Disk: 1 << 20, Spill: spill, Poison: true}))
		defer s.Close()
		mustPut(t, s.As("a"), content(1, 5000))
		here, there, err := shm.Socketpair()
		if err != nil {
			t.Fatal(err)
		}
		peer := must(shm.ConnFromFile(there))
		var wg sync.WaitGroup
		wg.Go(func() { io.Copy(io.Discard, peer) })
		peer.Write(b) // it may be hung up on before the end
		peer.CloseWrite()
		s.Serve(ctx, here, "x")
		wg.Wait()
		peer.Close()
		check(t, s)
		if st := s.Stats(); st.Leased != 0 {
			t.Fatalf("%+v", st)
		}
	})
}
