package agent

import (
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// crash ends the controller as a crash would, and waits until the agent knows.
func (b *boss) crash() {
	b.t.Helper()
	b.srv.Abort()
	hear[left](b)
}

// returns is the controller's next life, which knows its past.
func (b *boss) returns() wire.AgentHello {
	b.t.Helper()
	b.epoch++
	b.open()
	hear[joined](b)
	return b.hello
}

// Engines and runs live on while there is no controller; what ended meanwhile is told to the next.
func TestControllerRestarts(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, a *Agent) {
		b.engine(1)
		b.engine(2)
		before := b.assign(call("test.double", 1, 4))
		b.result(before[0]) // told, not acknowledged
		ids := b.assign(call("test.sleep", 1, 5000), call("test.sleep", 1, 60_000), call("test.double", 1, 1), call("test.sleep", 2, 3600_000))
		hear[*wire.Started](b)
		hear[*wire.Started](b)
		b.crash()
		time.Sleep(10 * time.Second) // the first of them ends
		a.call(func() { a.engines[2].proc.Kill() })
		time.Sleep(2 * dialFor) // so that the hello is of after that
		h := b.returns()
		if h.Node != 0 || h.Life != "first" || len(h.Engines) != 1 || h.Engines[0].Engine != 1 || h.Engines[0].Program != "mem:test" {
			t.Errorf("%+v", h)
		}
		held := map[tutti.RunID]wire.HeldRun{}
		for _, r := range h.Runs {
			held[r.Run] = r
		}
		if len(held) != 5 || !held[before[0]].Ended || !held[ids[0]].Ended || held[ids[1]].Ended || !held[ids[1]].Started ||
			held[ids[2]].Started || !held[ids[3]].Ended || !slices.Equal(held[ids[1]].Engines, []tutti.EngineID{1}) {
			t.Errorf("%+v", held)
		}
		all := b.results(3)
		if value[int](t, all[before[0]]) != 8 || value[int](t, all[ids[0]]) != 5000 || all[ids[3]].Ending != engine.MachineFailed {
			t.Errorf("%+v", all)
		}
		all = b.results(2)
		if v := value[int](t, all[ids[1]]); v != 60_000 {
			t.Errorf("a run that went through it all: %v", v)
		}
		if v := value[int](t, all[ids[2]]); v != 2 {
			t.Errorf("the one behind: %v", v)
		}
	})
}

// Output that a controller may have missed is told to the next, from where it is kept.
func TestOutputIsToldAgain(t *testing.T) {
	cmds := engine.MemoryCommands{"chatter": engine.Words["echo"]}
	inBubble(t, func(c *Config) { c.Commands = cmds }, func(t *testing.T, b *boss, _ *Agent) {
		id := b.assign(command("chatter", "hello"))[0]
		b.result(id)
		b.crash()
		b.returns()
		if o := hear[*wire.Output](b); o.Run != id || o.Offset != 0 || string(o.Data) != "hello\n" {
			t.Errorf("%+v", o)
		}
		if r := b.result(id); r.Ending != engine.Succeeded {
			t.Errorf("%+v", r)
		}
	})
}

// What changes between the hello and the welcome is told after it.
func TestChangesWhileJoining(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, a *Agent) {
		b.engine(1)
		ids := b.assign(call("test.sleep", 1, 3600_000), call("test.double", 1, 1))
		hear[*wire.Started](b)
		b.crash()
		time.Sleep(quick.LostAfter + time.Second) // the link has given up, and the first attempt goes on
		a.call(func() { a.engines[1].proc.Kill() })
		synctest.Wait()
		h := b.returns()
		if len(h.Engines) != 1 || len(h.Runs) != 2 {
			t.Fatalf("the hello is not of before: %+v", h)
		}
		down, done, back := false, false, false
		for !down || !done || !back {
			switch m := b.next().(type) {
			case *wire.EngineDown:
				down = m.Engine == 1 && m.Life == 1
			case *wire.Done:
				done = m.Results[0].Run == ids[0] && m.Results[0].Ending == engine.MachineFailed
			case *wire.Runs:
				back = m.Runs[0] == ids[1]
			}
		}
	})
}

// A cluster that does not know the node takes it as a new one, without what it had.
func TestNewCluster(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, a *Agent) {
		b.engine(1)
		b.assign(call("test.wait", 1, 0), command("sleep", "1h"))
		hear[*wire.Started](b)
		b.crash()
		b.life, b.node = "second", 5
		b.returns()
		synctest.Wait()
		if a.Node() != 5 {
			t.Errorf("it is node %d", a.Node())
		}
		a.call(func() {
			if len(a.engines)+len(a.runs)+len(a.dying)+a.jobs != 0 {
				t.Errorf("%d engines, %d runs, %d dying, %d commands are left", len(a.engines), len(a.runs), len(a.dying), a.jobs)
			}
		})
		b.engine(1)
		if v := value[int](t, b.result(b.assign(call("test.double", 1, 2))[0])); v != 4 {
			t.Error(v)
		}
	})
}

// Without a controller for too long everything ends.
func TestOrphan(t *testing.T) {
	inBubble(t, func(c *Config) { c.Orphan = time.Minute }, func(t *testing.T, b *boss, a *Agent) {
		b.engine(1)
		b.assign(call("test.wait", 1, 0), command("sleep", "1h"))
		hear[*wire.Started](b)
		b.crash()
		began := time.Now()
		<-a.Done()
		if took := time.Since(began); took < time.Minute-5*time.Second || took > time.Minute+5*time.Second {
			t.Errorf("it ended after %v", took)
		}
		if err := a.Err(); tutti.KindOf(err) != tutti.Lost || !strings.Contains(err.Error(), "no controller") {
			t.Error(err)
		}
	})
}

// A controller that closes the link in order needs no agent any more.
func TestControllerCloses(t *testing.T) {
	inBubble(t, nil, func(t *testing.T, b *boss, a *Agent) {
		b.srv.Close()
		<-a.Done()
		if tutti.KindOf(a.Err()) != tutti.Closed {
			t.Error(a.Err())
		}
	})
}

// A node that was given up comes back with what it has, or ends, as it was told to.
func TestFenced(t *testing.T) {
	for _, quit := range []bool{false, true} {
		inBubble(t, func(c *Config) { c.QuitIfFenced = quit }, func(t *testing.T, b *boss, a *Agent) {
			b.engine(1)
			ids := b.assign(call("test.sleep", 1, 60_000))
			hear[*wire.Started](b)
			b.link.Abort("the node was given up")
			if quit {
				<-a.Done()
				if a.Err() == nil {
					t.Error("it ended without a reason")
				}
				return
			}
			hear[joined](b)
			if len(b.hello.Engines) != 1 || len(b.hello.Runs) != 1 {
				t.Errorf("%+v", b.hello)
			}
			if v := value[int](t, b.result(ids[0])); v != 60_000 {
				t.Error(v)
			}
		})
	}
}

// A wrong version is no matter of patience.
func TestRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := wire.NewMemory(1)
		ln, err := net.Listen(t.Context(), "controller")
		if err != nil {
			t.Fatal(err)
		}
		srv := wire.Serve(ln, wire.ServerConfig{Link: quick, Admit: func(wire.Peer) ([]byte, error) {
			return nil, tutti.Errorf("join cluster", tutti.Version, "another version")
		}})
		defer srv.Close()
		_, err = Start(t.Context(), bubbleConfig(&boss{net: net, addr: "controller"}))
		if tutti.KindOf(err) != tutti.Version || !strings.Contains(err.Error(), "another version") {
			t.Error(err)
		}
	})
}
