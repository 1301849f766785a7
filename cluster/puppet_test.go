package cluster

import (
	"context"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/controller"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// stage is a controller on a memory network, with puppets for agents.
type stage struct {
	t   testing.TB
	net *wire.Memory
	ctl *controller.Controller
	srv *wire.Server
}

func newStage(t testing.TB, cfg controller.Config) *stage {
	s := &stage{t: t, net: wire.NewMemory(1)}
	s.start(cfg)
	return s
}

func (s *stage) start(cfg controller.Config) {
	cfg.Version = tutti.Release
	ctl, err := controller.Start(context.Background(), cfg)
	if err != nil {
		s.t.Fatal(err)
	}
	ln, err := s.net.Listen(context.Background(), "controller")
	if err != nil {
		s.t.Fatal(err)
	}
	s.ctl = ctl
	s.srv = wire.Serve(ln, wire.ServerConfig{Hello: wire.Hello{Role: wire.RoleServer, Name: "controller"}, Admit: ctl.Admit})
	srv := s.srv
	go func() {
		for {
			l, err := srv.Accept(context.Background())
			if err != nil {
				return
			}
			ctl.Serve(l)
		}
	}()
}

func (s *stage) stop() {
	s.ctl.Close()
	s.srv.Close()
}

func (s *stage) client() *Client {
	c, err := Join(context.Background(), Door{
		Network: s.net, Addr: "controller", Again: true,
		Want: wire.Want{Spec: wire.ProgramSpec{Name: "go:test"}, PerNode: 2},
		Warn: func(string) {},
	})
	if err != nil {
		s.t.Fatal(err)
	}
	return c
}

// puppet is an agent that calls the functions of this process itself.
type puppet struct {
	link  *wire.Link
	works map[uint32]tutti.Work
	done  chan struct{}
}

func (s *stage) puppet(cores float64) *puppet {
	h := wire.AgentHello{Node: tutti.NoNode, Host: "puppet", Has: tutti.Resources{Cores: cores}, Version: tutti.Release}
	info, err := h.MarshalMsg(nil)
	if err != nil {
		s.t.Fatal(err)
	}
	l, err := wire.Connect(context.Background(), s.net, "controller", wire.Hello{Role: wire.RoleAgent, Name: "puppet", Info: info}, wire.LinkConfig{})
	if err != nil {
		s.t.Fatal(err)
	}
	p := &puppet{link: l, works: map[uint32]tutti.Work{}, done: make(chan struct{})}
	go p.run(s.t)
	return p
}

func (p *puppet) post(t testing.TB, kind uint16, m interface {
	MarshalMsg([]byte) ([]byte, error)
}) {
	b, err := m.MarshalMsg(nil)
	if err != nil {
		t.Error(err)
	}
	p.link.Post(wire.Message{Kind: kind, Header: b})
}

func (p *puppet) run(t testing.TB) {
	defer close(p.done)
	for {
		m, err := p.link.Recv(context.Background())
		if err != nil {
			return
		}
		switch m.Kind {
		case wire.KindStartEngine:
			var s wire.StartEngine
			wire.Unpack(m, &s)
			p.post(t, wire.KindEngineUp, &wire.EngineUp{Engine: s.Engine, Life: s.Life, Program: s.Program})
		case wire.KindAssign:
			var a wire.Assign
			if err := wire.Unpack(m, &a); err != nil {
				t.Error(err)
			}
			p.assign(t, &a)
		}
	}
}

func (p *puppet) assign(t testing.TB, a *wire.Assign) {
	for _, w := range a.Works {
		p.works[w.No] = w.Work
	}
	var d wire.Done
	for i := range a.Runs {
		r := &a.Runs[i]
		res := wire.Result{Run: r.Run, Engine: r.Engines[0], Started: time.Now().UnixNano(), Took: 1000}
		args, err := wire.UnpackArgs(r.Args, nil)
		if err == nil {
			for i := range args {
				for _, dep := range r.Deps {
					if args[i].From == dep.Task {
						args[i] = tutti.Arg{Value: dep.Value}
					}
				}
			}
			var h tutti.Handler
			if h, err = tutti.LookupFunc(p.works[r.Work].Func); err == nil {
				var v any
				if v, err = h(context.Background(), args); err == nil {
					res.Value, err = tutti.Encode(v)
				}
			}
		}
		if err != nil {
			res.Ending, res.Fail = 1, wire.PackError(err)
		}
		d.Results = append(d.Results, res)
	}
	p.post(t, wire.KindDone, &d)
}
