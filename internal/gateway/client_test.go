package gateway

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/engine"
)

// testTime bounds every wait of these tests.
const testTime = 30 * time.Second

// What engines of the tests can do. Arguments and results are bytes that Go does not read.
var (
	_ = tutti.Func("gw.echo", func(_ context.Context, v tutti.Value) (tutti.Value, error) { return v, nil })
	_ = tutti.Func("gw.fail", func(_ context.Context, v tutti.Value) (tutti.Value, error) {
		return tutti.Value{}, tutti.Errorf("think", tutti.Failed, "no idea").WithHint("ask somebody")
	})
	_ = tutti.Func("gw.hang", func(ctx context.Context, v tutti.Value) (tutti.Value, error) {
		<-ctx.Done()
		return tutti.Value{}, ctx.Err()
	})
	_ = tutti.Func("gw.join", func(_ context.Context, p tutti.Pair[tutti.Value, tutti.Value]) (tutti.Value, error) {
		return tutti.Value{Codec: tutti.Pickle, Data: append(append([]byte{}, p.First.Data...), p.Second.Data...)}, nil
	})
)

func TestMain(m *testing.M) {
	engine.Main() // the test binary is the guard of its engines
	os.Exit(m.Run())
}

// place is a gateway in this process with a cluster of its own, whose engines are goroutines.
type place struct {
	socket string
	over   chan struct{} // closed when the gateway has ended
	err    error
}

// start starts a gateway, which ends with the test.
func start(t testing.TB, engines int, change func(*Config)) *place {
	t.Helper()
	dir, err := os.MkdirTemp("", "gw")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	p := &place{socket: filepath.Join(dir, "gateway.sock"), over: make(chan struct{})}
	blobs := filepath.Join(dir, "blobs.sock")
	ctx, stop := context.WithCancel(context.Background())
	ready := make(chan struct{})
	cfg := Config{
		Socket: p.socket, Own: true, Name: "embedded", Blobs: blobs, Engines: engines, Linger: -1,
		Ready: func() { close(ready) }, Python: "-",
	}
	cfg.spec = func(h *Hello) (spec programSpec) { spec.Name = h.program(); return spec }
	if change != nil {
		change(&cfg)
	}
	e := cluster.Embedded{Engines: engines, Socket: blobs}
	if cfg.spec != nil {
		e.Runtimes = engine.Table{programKind: &engine.Memory{}}
	}
	host, err := e.Host(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	cfg.Door = host.Door()
	go func() {
		defer close(p.over)
		defer host.Close()
		p.err = Serve(ctx, cfg)
	}()
	t.Cleanup(func() { stop(); <-p.over })
	select {
	case <-ready:
	case <-p.over:
		t.Fatal(p.err)
	}
	return p
}

// user is a client of the gateway, as a Python program is one.
type user struct {
	t       testing.TB
	sock    net.Conn
	welcome Welcome

	mu      sync.Mutex // guards what follows
	more    sync.Cond
	ends    map[uint64]end
	count   int // of ends, each of which comes once
	answers map[uint64]answer
	told    []frame // everything else, in order
	err     error
	asked   uint64
	last    uint64
	works   uint32
}

type frame struct {
	kind uint16
	body []byte
}

// end is an end of a task, decoded.
type end struct {
	n                 uint64
	state             tutti.State
	codec             tutti.Codec
	flags             uint16
	engine            int32
	attempt           uint32
	started, finished int64
	fail              *Failure
	value             []byte
	ref               tutti.Ref
}

type answer struct {
	ok   bool
	text []byte
	data []byte
}

// dial connects without a word.
func (p *place) dial(t testing.TB) net.Conn {
	t.Helper()
	sock, err := net.Dial("unix", p.socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { sock.Close() })
	return sock
}

var hello = usualHello

var usualHello = Hello{Protocol: Protocol, Python: "3.11", Executable: "/usr/bin/python3", Pid: 1, Name: "test"}

// client connects and is welcomed.
func (p *place) client(t testing.TB) *user {
	t.Helper()
	u := &user{t: t, sock: p.dial(t), ends: map[uint64]end{}, answers: map[uint64]answer{}}
	u.more.L = &u.mu
	u.send(appendJSON(nil, kindHello, hello))
	r := bufio.NewReaderSize(u.sock, 1<<20)
	f, err := readFrame(r)
	if err != nil || f.kind != kindWelcome {
		t.Fatalf("no welcome: %d %s %v", f.kind, f.body, err)
	}
	if err := json.Unmarshal(f.body, &u.welcome); err != nil {
		t.Fatal(err)
	}
	go u.read(r)
	return u
}

func readFrame(r io.Reader) (frame, error) {
	var head [frameHead]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return frame{}, err
	}
	f := frame{le.Uint16(head[4:]), make([]byte, le.Uint32(head[:]))}
	_, err := io.ReadFull(r, f.body)
	return f, err
}

func (u *user) send(b []byte) {
	u.t.Helper()
	if _, err := u.sock.Write(b); err != nil {
		u.t.Fatal(err)
	}
}

// read takes in all frames until the end.
func (u *user) read(r io.Reader) {
	for {
		f, err := readFrame(r)
		u.mu.Lock()
		switch {
		case err != nil:
			u.err = err
		case f.kind == kindOutcomes:
			for _, e := range decodeEnds(u.t, f.body) {
				u.ends[e.n] = e
				u.count++
			}
		case f.kind == kindAnswer:
			c := cursor{b: f.body}
			seq, ok := c.u64(), c.bytes(1)
			a := answer{ok: ok[0] == 1, text: c.bytes(uint64(c.u32()))}
			a.data = c.b
			u.answers[seq] = a
		default:
			u.told = append(u.told, f)
		}
		u.more.Broadcast()
		u.mu.Unlock()
		if err != nil {
			return
		}
	}
}

// decodeEnds takes an OUTCOMES apart.
func decodeEnds(t testing.TB, body []byte) []end {
	c := cursor{b: body}
	list := make([]end, c.u32())
	sizes := make([]uint64, len(list))
	for i := range list {
		b := c.bytes(EndSize)
		if c.bad {
			t.Error("OUTCOMES: too short")
			return nil
		}
		list[i] = end{
			n: le.Uint64(b), state: tutti.State(b[8]), codec: tutti.Codec(b[9]), flags: le.Uint16(b[10:]), engine: int32(le.Uint32(b[12:])),
			attempt: le.Uint32(b[16:]), started: int64(le.Uint64(b[20:])), finished: int64(le.Uint64(b[28:])),
		}
		sizes[i] = uint64(le.Uint32(b[36:]))
	}
	for i := range list {
		p := cursor{b: c.bytes(sizes[i])}
		if list[i].flags&endHasFail != 0 {
			list[i].fail = new(Failure)
			if err := p.text(list[i].fail); err != nil {
				t.Error(err)
			}
		}
		if list[i].value = p.b; list[i].flags&endHasRef != 0 {
			if err := json.Unmarshal(p.b, &list[i].ref); err != nil {
				t.Error(err)
			}
		}
	}
	if c.bad || len(c.b) > 0 {
		t.Errorf("OUTCOMES: %d bytes over", len(c.b))
	}
	return list
}

// until waits until f holds; the connection may have ended.
func (u *user) until(what string, f func() bool) {
	u.t.Helper()
	late := time.AfterFunc(testTime, func() {
		u.mu.Lock()
		defer u.mu.Unlock()
		u.err = errors.Join(u.err, errors.New("it took too long"))
		u.more.Broadcast()
	})
	defer late.Stop()
	u.mu.Lock()
	defer u.mu.Unlock()
	for !f() {
		if u.err != nil {
			u.t.Fatalf("waiting for %s: %v", what, u.err)
		}
		u.more.Wait()
	}
}

// work describes a work; code may be nil.
func (u *user) work(no uint32, text string, code []byte) {
	u.t.Helper()
	b, at := beginFrame(nil, kindWork)
	b = le.AppendUint32(b, no)
	b = le.AppendUint32(b, uint32(len(text)))
	b = append(b, text...)
	u.send(endFrame(append(b, code...), at))
}

// tasks submits tasks by the batch, and gives the number of the first.
func (u *user) tasks(work uint32, payloads ...[]byte) uint64 {
	u.t.Helper()
	first := u.last + 1
	u.last += uint64(len(payloads))
	u.send(tasksFrame(work, first, payloads...))
	return first
}

func tasksFrame(work uint32, first uint64, payloads ...[]byte) []byte {
	b, at := beginFrame(nil, kindTasks)
	b = le.AppendUint32(b, work)
	b = le.AppendUint32(b, uint32(len(payloads)))
	b = le.AppendUint64(b, first)
	for _, p := range payloads {
		b = le.AppendUint32(b, uint32(len(p)))
	}
	for _, p := range payloads {
		b = append(b, p...)
	}
	return endFrame(b, at)
}

// task submits one with all that can be said of it.
func (u *user) task(text map[string]any, payload []byte) uint64 {
	u.t.Helper()
	u.last++
	text["n"] = u.last
	data, _ := json.Marshal(text)
	b, at := beginFrame(nil, kindTask)
	b = le.AppendUint32(b, uint32(len(data)))
	b = append(b, data...)
	u.send(endFrame(append(b, payload...), at))
	return u.last
}

// end waits for the end of a task.
func (u *user) end(n uint64) (e end) {
	u.t.Helper()
	u.until("the end of a task", func() (ok bool) { e, ok = u.ends[n]; return ok })
	return e
}

// ask asks, and waits for the answer, which is decoded into into unless that is nil.
func (u *user) ask(verb string, question map[string]any, into any) (data []byte, fail *Failure) {
	u.t.Helper()
	seq := u.question(verb, question)
	var a answer
	u.until("the answer to "+verb, func() (ok bool) { a, ok = u.answers[seq]; return ok })
	if !a.ok {
		fail, into = new(Failure), fail
		into = fail
	}
	if into != nil {
		if err := json.Unmarshal(a.text, into); err != nil {
			u.t.Fatalf("%s: %s: %v", verb, a.text, err)
		}
	}
	return a.data, fail
}

// question asks without waiting.
func (u *user) question(verb string, question map[string]any) uint64 {
	u.t.Helper()
	q := map[string]any{"verb": verb}
	for k, v := range question {
		q[k] = v
	}
	u.asked++
	text, _ := json.Marshal(q)
	b, at := beginFrame(nil, kindAsk)
	b = le.AppendUint64(b, u.asked)
	u.send(endFrame(append(b, text...), at))
	return u.asked
}

// ids are the engines of a welcome, waited for.
func (u *user) waitEngines(n int) (ids []int32) {
	u.t.Helper()
	var a struct{ IDs []int32 }
	if _, fail := u.ask("wait_engines", map[string]any{"n": n, "timeout": 20.0}, &a); fail != nil {
		u.t.Fatalf("%+v", fail)
	}
	if len(a.IDs) < n {
		u.t.Fatalf("%d engines of %d came", len(a.IDs), n)
	}
	return a.IDs
}
