package agent

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fxamacker/cbor/v2"
	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// boss plays the controller: it lets one agent in, answers its questions, and keeps what it says.
type boss struct {
	t     testing.TB
	net   wire.Network
	addr  string
	srv   *wire.Server
	link  *wire.Link
	hello wire.AgentHello // of the newest session
	spec  wire.ProgramSpec
	nodes []wire.NodeRow
	blob  func(wire.ReadBlob) ([]byte, error) // of other nodes
	node  tutti.NodeID
	life  string
	epoch uint32

	heard   []any // messages, in order
	arrived chan any
	works   uint32
	n       uint64 // of tasks
	asked   uint64
}

// quick is a link that does not linger, for tests in which peers die.
var quick = wire.LinkConfig{Heartbeat: 200 * time.Millisecond, LostAfter: 2 * time.Second, Linger: time.Second}

func newBoss(t testing.TB, net wire.Network, addr string) *boss {
	b := &boss{
		t: t, net: net, addr: addr, life: "first", epoch: 1,
		spec: wire.ProgramSpec{Name: "mem:test"}, arrived: make(chan any, 1<<16),
	}
	b.open()
	return b
}

// open begins to listen.
func (b *boss) open() {
	b.t.Helper()
	ln, err := b.net.Listen(context.Background(), b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.srv = wire.Serve(ln, wire.ServerConfig{Link: quick})
	b.addr = b.srv.Addr()
	go b.accept(b.srv)
}

func (b *boss) accept(srv *wire.Server) {
	for {
		l, err := srv.Accept(context.Background())
		if err != nil {
			return
		}
		var h wire.AgentHello
		if err := wire.Unpack(wire.Message{Header: l.Peer().Info}, &h); err != nil {
			b.t.Error(err)
		}
		post(b.t, l, wire.KindWelcome, &wire.AgentWelcome{Node: b.node, Cluster: "test", Life: b.life, Epoch: b.epoch})
		b.arrived <- joined{l, h}
		go b.read(l)
	}
}

// joined is a new session; left is its end.
type joined struct {
	link  *wire.Link
	hello wire.AgentHello
}

type left struct{ err error }

func (b *boss) read(l *wire.Link) {
	make := map[uint16]func() msgp.Unmarshaler{
		wire.KindStarted:    func() msgp.Unmarshaler { return new(wire.Started) },
		wire.KindDone:       func() msgp.Unmarshaler { return new(wire.Done) },
		wire.KindReturned:   func() msgp.Unmarshaler { return new(wire.Runs) },
		wire.KindEngineUp:   func() msgp.Unmarshaler { return new(wire.EngineUp) },
		wire.KindEngineDown: func() msgp.Unmarshaler { return new(wire.EngineDown) },
		wire.KindOutput:     func() msgp.Unmarshaler { return new(wire.Output) },
		wire.KindDisplay:    func() msgp.Unmarshaler { return new(wire.Display) },
		wire.KindAsk:        func() msgp.Unmarshaler { return new(wire.Ask) },
		wire.KindAnswer:     func() msgp.Unmarshaler { return new(wire.Answer) },
	}
	for {
		m, err := l.Recv(context.Background())
		if err != nil {
			b.arrived <- left{err}
			return
		}
		msg := make[m.Kind]()
		if err := wire.Unpack(m, msg); err != nil {
			b.t.Error(err)
		}
		if q, ok := msg.(*wire.Ask); ok {
			b.answer(l, q)
			continue
		}
		b.arrived <- msg
	}
}

func (b *boss) answer(l *wire.Link, q *wire.Ask) {
	ans := wire.Answer{Seq: q.Seq}
	switch q.Verb {
	case "program":
		var w wire.ProgramSpec
		if cbor.Unmarshal(q.Body, &w) != nil || w.Name != b.spec.Name {
			ans.Fail = wire.PackError(tutti.Errorf("find program", tutti.NotFound, "no program %q", w.Name))
		}
		ans.Body, _ = cbor.Marshal(b.spec)
	case "nodes":
		ans.Body, _ = cbor.Marshal(b.nodes)
	case "blob":
		var r wire.ReadBlob
		err := cbor.Unmarshal(q.Body, &r)
		if err == nil {
			ans.Body, err = b.blob(r)
		}
		ans.Fail = wire.PackError(err)
	}
	post(b.t, l, wire.KindAnswer, &ans)
}

func post(t testing.TB, l *wire.Link, kind uint16, header msgp.Marshaler) {
	t.Helper()
	m, err := wire.Pack(kind, header)
	if err == nil {
		err = l.Post(m)
	}
	if err != nil && tutti.KindOf(err) != tutti.Closed && tutti.KindOf(err) != tutti.Lost {
		t.Error(err)
	}
}

func (b *boss) post(kind uint16, header msgp.Marshaler) {
	b.t.Helper()
	post(b.t, b.link, kind, header)
}

const patience = 10 * time.Minute

// next gives the next thing that was heard.
func (b *boss) next() any {
	b.t.Helper()
	select {
	case m := <-b.arrived:
		if j, ok := m.(joined); ok {
			b.link, b.hello = j.link, j.hello
		}
		b.heard = append(b.heard, m)
		return m
	case <-time.After(patience):
		var last []string
		for _, m := range b.heard[max(0, len(b.heard)-10):] {
			last = append(last, fmt.Sprintf("%T %+v", m, m))
		}
		b.t.Fatalf("nothing was heard of the agent; the last was %v", last)
		return nil
	}
}

// hear waits for a message of a kind, and skips others.
func hear[M any](b *boss) M {
	b.t.Helper()
	for {
		if m, ok := b.next().(M); ok {
			return m
		}
	}
}

// result waits for the end of a run.
func (b *boss) result(id tutti.RunID) wire.Result {
	b.t.Helper()
	for {
		d := hear[*wire.Done](b)
		if i := slices.IndexFunc(d.Results, func(r wire.Result) bool { return r.Run == id }); i >= 0 {
			return d.Results[i]
		}
	}
}

// results waits for the ends of n runs.
func (b *boss) results(n int) map[tutti.RunID]wire.Result {
	b.t.Helper()
	all := map[tutti.RunID]wire.Result{}
	for len(all) < n {
		for _, r := range hear[*wire.Done](b).Results {
			if _, twice := all[r.Run]; twice {
				b.t.Fatalf("%v ended twice", r.Run)
			}
			all[r.Run] = r
		}
	}
	return all
}

func (b *boss) ack(ids ...tutti.RunID) { b.t.Helper(); b.post(wire.KindAck, &wire.Runs{Runs: ids}) }

// engine starts an engine and waits until it is up.
func (b *boss) engine(id tutti.EngineID) {
	b.t.Helper()
	b.post(wire.KindStartEngine, &wire.StartEngine{Engine: id, Life: 1, Program: b.spec.Name})
	switch m := b.next().(type) {
	case *wire.EngineUp:
		if m.Engine != id || m.Life != 1 || m.Program != b.spec.Name {
			b.t.Fatalf("%+v", m)
		}
	default:
		b.t.Fatalf("%T %+v instead of an engine", m, m)
	}
}

// work is one task to be assigned.
type work struct {
	tutti.Work
	engines []tutti.EngineID
	args    []any
	deps    []wire.DepValue
}

// call is a function's work on an engine.
func call(fn string, on tutti.EngineID, args ...any) work {
	return work{Work: tutti.Work{Program: "any", Func: fn}, engines: []tutti.EngineID{on}, args: args}
}

// command is a command's work.
func command(argv ...string) work { return work{Work: tutti.Work{Argv: argv}} }

// assign gives the agent runs, in one message.
func (b *boss) assign(list ...work) []tutti.RunID {
	b.t.Helper()
	m := wire.Assign{}
	var ids []tutti.RunID
	for _, w := range list {
		b.works++
		b.n++
		m.Works = append(m.Works, wire.Work{No: b.works, Work: w.Work})
		args := make([]tutti.Arg, len(w.args))
		for i, v := range w.args {
			if a, ok := v.(tutti.Arg); ok {
				args[i] = a
				continue
			}
			val, err := tutti.Encode(v)
			if err != nil {
				b.t.Fatal(err)
			}
			args[i].Value = val
		}
		packed, err := wire.PackArgs(nil, args)
		if err != nil {
			b.t.Fatal(err)
		}
		id := tutti.RunID{Task: tutti.MakeTaskID(1, b.n), Attempt: 1, Epoch: b.epoch}
		m.Runs = append(m.Runs, wire.Run{Run: id, Work: b.works, Engines: w.engines, Args: packed, Deps: w.deps})
		ids = append(ids, id)
	}
	b.post(wire.KindAssign, &m)
	return ids
}

// ask puts a question to the agent.
func (b *boss) ask(verb string, body any) (*wire.Answer, error) {
	b.t.Helper()
	b.asked++
	data, _ := cbor.Marshal(body)
	b.post(wire.KindAsk, &wire.Ask{Seq: b.asked, Verb: verb, Body: data})
	for {
		if a := hear[*wire.Answer](b); a.Seq == b.asked {
			return a, a.Fail.Error()
		}
	}
}

func errorOf(r wire.Result) error { return r.Fail.Error() }

// inBubble runs a test with an agent in virtual time: memory network, engines that are
// goroutines, commands that are functions.
func inBubble(t *testing.T, edit func(*Config), test func(t *testing.T, b *boss, a *Agent)) {
	synctest.Test(t, func(t *testing.T) {
		b := newBoss(t, wire.NewMemory(1), "controller")
		cfg := bubbleConfig(b)
		if edit != nil {
			edit(&cfg)
		}
		a, err := Start(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		defer func() {
			a.Close()
			b.srv.Abort()
			time.Sleep(time.Hour) // for functions that do not listen
		}()
		hear[joined](b)
		test(t, b, a)
	})
}

func bubbleConfig(b *boss) Config {
	return Config{
		Network: b.net, Addr: b.addr, Link: quick, Host: "node7", Has: tutti.Resources{Cores: 4, Memory: 1 << 30},
		GPUs: []string{}, Runtimes: engine.Table{"mem:": &engine.Memory{}}, Commands: engine.MemoryCommands{},
		Blobs: Blobs{Off: true}, Grace: time.Second,
	}
}
