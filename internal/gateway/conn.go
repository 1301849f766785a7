package gateway

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"slices"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// conn is one client's connection. Its goroutine reads; the cluster client's reads ends and output
// and writes them; questions have one each.
type conn struct {
	g       *Gateway
	in      *frames
	out     out
	ctx     context.Context
	cancel  context.CancelFunc
	client  *cluster.Client
	name    string
	program string
	asking  sync.WaitGroup
	places  chan struct{} // for questions that wait

	works map[uint32]*work // the reader's
	raw   []cluster.RawTask

	engines []int64 // as told last; guarded by the gateway's mutex
}

// linkWindow is what may be on its way from the cluster to a client: much less than usual, since
// the way is short, and what is on it for a client that does not read is held in memory.
var linkWindow = wire.Window{Messages: 8192, Bytes: 8 << 20}

const (
	// helloTime is how long a client may take to say who it is.
	helloTime = 10 * time.Second
	// maxAsks is how many of a client's questions may wait at a time.
	maxAsks = 64 << 10
	// partTime is how long what a client has sent may take to reach the cluster when it has gone.
	partTime = 10 * time.Minute
)

// bye ends the connection when the gateway ends: with a word about it.
func (c *conn) bye() {
	if c.g.ctx.Err() != nil {
		c.out.json(kindEvent, map[string]any{"kind": "ended", "text": context.Cause(c.g.ctx).Error()})
		c.out.finish()
	}
	c.leave()
}

// leave breaks the connection; its reader notices.
func (c *conn) leave() {
	c.out.mu.Lock()
	defer c.out.mu.Unlock()
	c.out.end()
}

// meet makes whoever has connected a client of the cluster, unless he leaves before he has said who
// he is. The error is what he is told before he is refused.
func (c *conn) meet(sock *net.UnixConn) error {
	if err := wire.SameUser(sock); err != nil {
		return err
	}
	h, err := c.hello(sock)
	if err != nil || h == nil {
		return err
	}
	if c.program, err = c.g.choose(c.ctx, h); err != nil {
		return err
	}
	door := c.g.cfg.Door
	door.Keep, door.Name, door.Ear = true, h.called(), c
	door.Warn = func(text string) { c.Notice(0, text) }
	door.Link.Window = linkWindow
	if c.client, err = cluster.Join(c.ctx, door); err != nil {
		c.client = nil
		return err
	}
	c.places = make(chan struct{}, maxAsks)
	c.g.enter(c)
	return nil
}

// hello reads the first frame; nil if none came.
func (c *conn) hello(sock *net.UnixConn) (*Hello, error) {
	_ = sock.SetReadDeadline(time.Now().Add(helloTime))
	kind, body, err := c.in.next()
	if err == io.EOF {
		return nil, nil
	}
	h := new(Hello)
	if err == nil && kind != kindHello {
		err = tutti.Errorf("connect", tutti.Corrupt, "the first frame is of kind %d, not HELLO", kind)
	}
	if err == nil {
		err = parse(body, h)
	}
	if err == nil {
		err = h.check()
	}
	if err != nil {
		return nil, err
	}
	_ = sock.SetReadDeadline(time.Time{})
	c.in.limit, c.name = maxFrame, h.called()
	return h, nil
}

// part ends the client's membership. What it has submitted goes on.
func (c *conn) part() {
	c.leave()
	c.cancel()
	c.asking.Wait()
	ctx, cancel := context.WithTimeout(c.g.ctx, partTime)
	defer cancel()
	c.client.Sent(ctx)
	c.client.Close()
	c.g.left(c)
}

// handlers take the frames of a client that has been welcomed. Bodies are theirs until they return.
var handlers = map[uint16]func(c *conn, body []byte) error{
	kindWork:     (*conn).work,
	kindDropWork: (*conn).dropWork,
	kindTasks:    (*conn).tasks,
	kindTask:     (*conn).task,
	kindCancel: func(c *conn, body []byte) error {
		ns, err := numbers(body)
		c.client.CancelNumbers(ns...)
		return err
	},
	kindForget: func(c *conn, body []byte) error {
		ns, err := numbers(body)
		c.client.ForgetNumbers(ns...)
		return err
	},
}

// read takes in frames until the client leaves, or sends what cannot be right.
func (c *conn) read() error {
	for {
		kind, body, err := c.in.next()
		switch {
		case err == io.EOF || c.ctx.Err() != nil:
			return nil
		case err != nil:
			return err
		case kind == kindBye:
			return nil
		case kind == kindAsk: // not in the table: verbs refer back to it
			err = c.ask(body)
		case handlers[kind] == nil:
			err = tutti.Errorf("read frame", tutti.Corrupt, "frames of kind %d are not known", kind)
		default:
			err = handlers[kind](c, body)
		}
		if err != nil {
			return err
		}
	}
}

// Settle implements cluster.Sink.
func (c *conn) Settle(n uint64, o *wire.Outcome) { c.out.settle(n, o) }

// Heard implements cluster.Ear.
func (c *conn) Heard() { c.out.flush() }

// Output implements cluster.Ear.
func (c *conn) Output(o *wire.Output) {
	if len(o.Data) == 0 {
		return
	}
	c.out.frame(true, func(b []byte) []byte {
		b, at := beginFrame(b, kindOutput)
		b = le.AppendUint64(b, o.Run.Task.N())
		b = append(b, o.Stream)
		return endFrame(append(b, o.Data...), at)
	})
}

// Display implements cluster.Ear. What lies in a blob is fetched.
func (c *conn) Display(d *wire.Display) {
	data, release, err := c.client.FetchValue(c.ctx, d.Value)
	if err != nil {
		c.Notice(d.Run.Task, fmt.Sprintf("a display of %s (%s) cannot be shown: %v", tutti.FormatBytes(d.Value.Size()), d.MIME, err))
		return
	}
	defer release()
	text, _ := json.Marshal(map[string]any{"mime": d.MIME, "engine": d.Engine})
	c.out.frame(true, func(b []byte) []byte {
		b, at := beginFrame(b, kindDisplay)
		b = le.AppendUint64(b, d.Run.Task.N())
		b = le.AppendUint32(b, uint32(len(text)))
		b = append(b, text...)
		return endFrame(append(b, data...), at)
	})
}

// Notice implements cluster.Ear.
func (c *conn) Notice(task tutti.TaskID, text string) {
	c.out.json(kindNotice, map[string]any{"n": task.N(), "text": text}) // n 0: about no task
}

// tellEngines tells which engines there are, if they have changed; the gateway's mutex is held.
func (c *conn) tellEngines(rows []wire.EngineRow) {
	ids := engineIDs(rows, c.program)
	if slices.Equal(ids, c.engines) {
		return
	}
	c.engines = ids
	c.out.json(kindEvent, map[string]any{"kind": "engines", "ids": ids})
}
