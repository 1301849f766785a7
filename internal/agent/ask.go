package agent

import (
	"context"
	"time"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// ask puts a question to the controller; f is called by the loop with its answer, or with why
// there will be none.
func (a *Agent) ask(verb string, body any, f func([]byte, error)) {
	var data []byte
	if body != nil {
		var err error
		if data, err = cbor.Marshal(body); err != nil {
			f(nil, tutti.E("ask controller", tutti.Internal, err))
			return
		}
	}
	if a.up.link == nil {
		f(nil, tutti.Errorf("ask controller", tutti.Lost, "there is none at the moment"))
		return
	}
	a.up.asked++
	a.up.asks[a.up.asked] = f
	a.tell(wire.KindAsk, &wire.Ask{Seq: a.up.asked, Verb: verb, Body: data})
}

func (a *Agent) answered(m *wire.Answer) {
	f := a.up.asks[m.Seq]
	if f == nil {
		return
	}
	delete(a.up.asks, m.Seq)
	f(m.Body, m.Fail.Error())
}

// verbs are the questions that an agent answers. Each calls reply once, now or later.
var verbs = map[string]func(a *Agent, body []byte, reply func(any, error)){
	"stacks":     (*Agent).askedStacks,
	"signal":     (*Agent).askedSignal,
	"end-engine": (*Agent).askedEnd,
	"setup":      (*Agent).askedSetup,
	"logs":       func(a *Agent, _ []byte, reply func(any, error)) { reply([]byte(a.log.text()), nil) },
	"usage":      (*Agent).askedUsage,
	"output":     (*Agent).askedOutput,
	"blob":       (*Agent).askedBlob,
}

// asked answers a question of the controller.
func (a *Agent) asked(m *wire.Ask) {
	number := a.up.number
	reply := func(body any, err error) {
		if a.up.number != number {
			return // another controller would not know the question
		}
		ans := wire.Answer{Seq: m.Seq, Fail: wire.PackError(err)}
		switch b := body.(type) {
		case nil:
		case []byte:
			ans.Body = b
		default:
			data, err := cbor.Marshal(b)
			if err != nil {
				ans.Fail = wire.PackError(tutti.E("answer", tutti.Internal, err))
			}
			ans.Body = data
		}
		a.tell(wire.KindAnswer, &ans)
	}
	if f := verbs[m.Verb]; f != nil {
		f(a, m.Body, reply)
		return
	}
	reply(nil, tutti.Errorf("ask agent", tutti.Unsupported, "agents do not answer %q", m.Verb))
}

func question[Q any](body []byte) (q Q, err error) {
	if err = cbor.Unmarshal(body, &q); err != nil {
		return q, tutti.E("ask agent", tutti.Corrupt, err)
	}
	return q, nil
}

// stackPatience is how long an engine may take to say what it does.
const stackPatience = 5 * time.Second

func (a *Agent) askedStacks(body []byte, reply func(any, error)) {
	q, err := question[wire.EngineName](body)
	if err != nil {
		reply(nil, err)
		return
	}
	e := a.engines[q.Engine]
	if e == nil || e.proc == nil {
		reply(nil, tutti.Errorf("read stacks", tutti.NotFound, "engine %d is not on this node", q.Engine))
		return
	}
	p := e.proc
	a.aside(func() {
		ctx, cancel := context.WithTimeout(a.ctx, stackPatience)
		defer cancel()
		text, err := p.Stacks(ctx)
		a.do(func() { reply([]byte(text), err) })
	})
}

// Usage is what an engine or a command uses at the moment.
type Usage struct {
	Engine tutti.EngineID `cbor:"engine"` // NoEngine for a command
	Run    tutti.RunID    `cbor:"run"`    // in progress, zero if none
	Pid    int            `cbor:"pid"`
	CPU    time.Duration  `cbor:"cpu"`    // since it started, with what its finished children used
	Memory int64          `cbor:"memory"` // resident bytes
}

// askedUsage is answered by a list of Usage.
func (a *Agent) askedUsage(_ []byte, reply func(any, error)) {
	list := []Usage{}
	for _, e := range a.engines {
		if e.proc == nil {
			continue
		}
		u := Usage{Engine: e.id, Pid: e.pid}
		if len(e.sent) > 0 {
			u.Run = e.sent[0].run.id
		}
		list = append(list, u)
	}
	for _, r := range a.runs {
		if r.job != nil && r.state == sent {
			list = append(list, Usage{Engine: tutti.NoEngine, Run: r.id, Pid: r.job.Pid()})
		}
	}
	a.aside(func() {
		for i := range list {
			list[i].CPU, list[i].Memory = usageOf(list[i].Pid)
		}
		a.do(func() { reply(list, nil) })
	})
}

// askedOutput is answered by what is kept of the output of a task's newest run here.
func (a *Agent) askedOutput(body []byte, reply func(any, error)) {
	q, err := question[wire.ReadOutput](body)
	if err != nil {
		reply(nil, err)
		return
	}
	var newest *run
	for _, r := range a.runs {
		if r.id.Task == q.Task && (newest == nil || r.id.Attempt > newest.id.Attempt) {
			newest = r
		}
	}
	if newest == nil || q.Stream != 1 && q.Stream != 2 {
		reply(nil, tutti.Errorf("read output", tutti.NotFound, "nothing is kept here of task %v", q.Task))
		return
	}
	s := &newest.printed[q.Stream-1]
	data, at := s.from(q.Offset)
	n := len(data)
	if q.Most > 0 {
		n = min(n, q.Most)
	}
	reply(wire.OutputPart{Data: data[:n], From: at, End: n == len(data) && (s.over || newest.state == ended)}, nil)
}
