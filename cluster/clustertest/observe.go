package clustertest

import (
	"context"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Status is what the controller says of itself.
func (c *Cluster) Status(ctx context.Context) (s wire.Status, err error) {
	body, err := c.ask(ctx, "status", nil)
	if err == nil {
		err = cbor.Unmarshal(body, &s)
	}
	return s, err
}

// End tells how a task of anybody has ended, and waits until it has.
func (c *Cluster) End(ctx context.Context, id tutti.TaskID) (o wire.Outcome, err error) {
	body, err := c.ask(ctx, "result", wire.TaskName{Task: id})
	if err == nil {
		_, err = o.UnmarshalMsg(body)
	}
	return o, err
}

// ask puts one question to the controller over a link of its own, as one that only watches.
func (c *Cluster) ask(ctx context.Context, verb string, body any) ([]byte, error) {
	info, err := (&wire.ClientHello{Name: "observer", Version: tutti.Release, Watch: true}).MarshalMsg(nil)
	if err != nil {
		return nil, err
	}
	h := wire.Hello{Role: wire.RoleClient, Name: "observer", Info: info}
	l, err := wire.Connect(ctx, c.Net.Host("observer"), Controller, h, Link)
	if err != nil {
		return nil, err
	}
	defer l.Close()
	q := wire.Ask{Seq: 1, Verb: verb}
	if body != nil {
		if q.Body, err = cbor.Marshal(body); err != nil {
			return nil, err
		}
	}
	m, err := wire.Pack(wire.KindAsk, &q)
	if err == nil {
		err = l.Post(m)
	}
	for err == nil {
		if m, err = l.Recv(ctx); err != nil || m.Kind != wire.KindAnswer {
			continue
		}
		var a wire.Answer
		if err = wire.Unpack(m, &a); err == nil {
			return a.Body, a.Fail.Error()
		}
	}
	return nil, err
}
