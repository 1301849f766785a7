package gateway

import (
	"context"
	"encoding/json"
	"errors"
	"sync"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

// signalText is a signal as clients write it: its number, or its name, "SIGINT".
type signalText syscall.Signal

// UnmarshalJSON reads either.
func (s *signalText) UnmarshalJSON(data []byte) error {
	var name string
	if json.Unmarshal(data, &name) != nil {
		return json.Unmarshal(data, (*int)(s))
	}
	if *s = signalText(unix.SignalNum(name)); *s == 0 {
		return tutti.Errorf("signal engine", tutti.Invalid, "%q is not the name of a signal", name)
	}
	return nil
}

// signalEngine asks for a signal to an engine.
type signalEngine struct {
	Engine tutti.EngineID
	Sig    signalText
}

func askSignal(ctx context.Context, c *conn, q signalEngine) (any, error) {
	return nil, c.client.SignalEngine(ctx, q.Engine, syscall.Signal(q.Sig))
}

func askRestart(ctx context.Context, c *conn, q engineOf) (any, error) {
	c.settled(ctx)
	return nil, c.client.RestartEngine(ctx, q.Engine)
}

func askStopEngine(ctx context.Context, c *conn, q engineOf) (any, error) {
	c.settled(ctx)
	return nil, c.client.StopEngine(ctx, q.Engine)
}

func askMore(ctx context.Context, c *conn, q struct{ N int }) (any, error) {
	return nil, c.client.MoreEngines(ctx, c.program, q.N)
}

// queueText is what an engine has to do, as IPython Parallel words it.
type queueText struct {
	Queue     int `json:"queue"`     // meant for it, and not begun
	Completed int `json:"completed"` // ended there
	Tasks     int `json:"tasks"`     // running there
}

// askQueue tells how many tasks each engine has, and how many have none.
func askQueue(ctx context.Context, c *conn, _ nothing) (any, error) {
	c.settled(ctx)
	set, err := c.client.WatchEngines(ctx, "", 0)
	if err != nil {
		return nil, err
	}
	status, err := c.client.Status(ctx)
	if err != nil {
		return nil, err
	}
	engines := map[tutti.EngineID]queueText{}
	waiting := status.Tasks[tutti.Waiting.String()] + status.Tasks[tutti.Ready.String()]
	for _, r := range set.Rows {
		waiting -= r.Waiting
		if r.Program != c.program {
			continue
		}
		q := queueText{Queue: r.Queued, Completed: r.Ended}
		if r.Running != 0 {
			q.Tasks = 1
		}
		engines[r.Engine] = q
	}
	return map[string]any{"engines": engines, "unassigned": max(waiting, 0)}, nil
}

// askSetup has code run on all engines of the client's program, now and whenever one is started.
func askSetup(ctx context.Context, c *conn, q struct{ Code string }) (any, error) {
	without, err := c.client.AddSetup(ctx, c.program, q.Code)
	if err != nil {
		return nil, err
	}
	hand, err := c.g.hand(ctx)
	if err != nil {
		return nil, err
	}
	work := &tutti.Work{Program: c.program, Func: "py.execute", Label: "start-up code"}
	errs := make([]error, len(without))
	var all sync.WaitGroup
	for i, id := range without {
		p := hand.Direct(id).SubmitTask(ctx, &tutti.Task{Work: work, Args: []tutti.Arg{{Value: executeArg(q.Code)}}})
		all.Go(func() {
			_, err := tutti.FutureOf[tutti.Value](p).Get(ctx)
			if k := tutti.KindOf(err); err != nil && k != tutti.Lost { // one that has died runs it when it comes back
				errs[i] = err
			}
		})
	}
	all.Wait()
	return map[string]any{"engines": without}, errors.Join(errs...)
}

// hand is the gateway as a client of its own.
func (g *Gateway) hand(ctx context.Context) (*cluster.Client, error) {
	g.choosing.Lock()
	defer g.choosing.Unlock()
	if g.self != nil {
		return g.self, nil
	}
	door := g.cfg.Door
	door.Name = "gateway"
	c, err := cluster.Join(ctx, door)
	if err == nil {
		g.self = c
		g.anchors = append(g.anchors, c)
	}
	return c, err
}

// executeArg is the argument of py.execute: a pickled dict, in the form in which Python values
// travel (see python/tutti/_pack.py).
func executeArg(code string) tutti.Value {
	text := func(b []byte, s string) []byte {
		b = append(b, 'X') // BINUNICODE
		return append(le.AppendUint32(b, uint32(len(s))), s...)
	}
	p := []byte("\x80\x02}(") // PROTO 2, EMPTY_DICT, MARK
	p = text(text(p, "code"), code)
	p = append(text(p, "silent"), 0x88) // NEWTRUE
	p = append(text(p, "filename"), 'N')
	p = append(p, "u."...) // SETITEMS, STOP
	b := le.AppendUint32(nil, packMagic)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, uint64(len(p)))
	return tutti.Value{Codec: tutti.Pickle, Data: append(b, p...)}
}

// packMagic begins every packed value: "TTPK".
const packMagic = 0x4b505454
