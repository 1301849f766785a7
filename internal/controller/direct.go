package controller

import (
	"slices"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// What people who use engines directly ask of the controller, besides running something on them.

// forAgents are the questions about an engine that its agent answers, and what is done by them.
var forAgents = map[string]string{"stacks": "read stacks", "signal": "signal engine"}

// askAgent passes a question on to the engine's agent.
func (c *Controller) askAgent(s asker, m *wire.Ask) {
	q, err := question[wire.EngineName](m.Body) // all of these questions name it so
	var a *agent
	if err == nil {
		_, a, err = c.engineNamed(forAgents[m.Verb], q.Engine)
	}
	if err != nil {
		s.answer(m.Seq, nil, err)
		return
	}
	a.ask(m.Verb, m.Body, func(body []byte, err error) { s.answer(m.Seq, body, err) })
}

// engineNamed finds an engine that lives or is to live, and its agent.
func (c *Controller) engineNamed(op string, id tutti.EngineID) (sched.EngineInfo, *agent, error) {
	for info := range c.mind.Engines() {
		if info.Engine != id {
			continue
		}
		if a := c.agents[info.Node]; a != nil {
			return info, a, nil
		}
		return info, nil, tutti.Errorf(op, tutti.Lost, "the agent of engine %d is away", id)
	}
	return sched.EngineInfo{}, nil, tutti.Errorf(op, tutti.NotFound, "there is no engine %d", id)
}

// askEnd ends an engine, for good or to start it again. It is answered when that has happened.
func (c *Controller) askEnd(s asker, m *wire.Ask) {
	again := m.Verb == "restart-engine"
	q, err := question[wire.EndEngine](m.Body)
	var info sched.EngineInfo
	var a *agent
	if err == nil {
		info, a, err = c.engineNamed("stop engine", q.Engine)
	}
	if err != nil {
		s.answer(m.Seq, nil, err)
		return
	}
	body, err := cbor.Marshal(wire.EndEngine{Engine: q.Engine, Life: info.Life, Why: q.Why})
	if err != nil {
		s.answer(m.Seq, nil, tutti.E("stop engine", tutti.Internal, err))
		return
	}
	if again {
		c.step(sched.EngineAgain{Engine: q.Engine})
	} else {
		c.step(sched.EngineLeave{Engine: q.Engine})
	}
	a.ask("end-engine", body, func(_ []byte, err error) {
		if err != nil && tutti.KindOf(err) != tutti.NotFound { // it may just have died
			s.answer(m.Seq, nil, err)
			return
		}
		c.waits = append(c.waits, &wait{from: s, seq: m.Seq, try: func() (any, bool, error) {
			e := c.engines[q.Engine]
			if again {
				return nil, e != nil && e.life > info.Life, nil
			}
			return nil, e == nil || e.life > info.Life, nil
		}})
	})
}

func (c *Controller) askMore(_ asker, q wire.MoreEngines) (any, error) {
	if c.programs[q.Program] == nil {
		return nil, tutti.Errorf("start engines", tutti.NotFound, "the cluster has no program %s", q.Program)
	}
	if q.N < 1 || q.N > maxMore {
		return nil, tutti.Errorf("start engines", tutti.Invalid, "%d engines: at least one, and at most %d at once", q.N, maxMore)
	}
	c.step(sched.EnginesMore{Program: q.Program, N: q.N})
	return nil, nil
}

// maxMore bounds how many engines are asked for at once.
const maxMore = 4096

// askSetup adds start-up code to a program. It is answered when all agents know.
func (c *Controller) askSetup(s asker, m *wire.Ask) {
	q, err := question[wire.SetUp](m.Body)
	p := c.programs[q.Program]
	if err == nil && p == nil {
		err = tutti.Errorf("set up engines", tutti.NotFound, "the cluster has no program %s", q.Program)
	}
	if err != nil {
		s.answer(m.Seq, nil, err)
		return
	}
	setup := slices.Clone(p.spec.Setup)
	for _, code := range q.Code {
		if !slices.Contains(setup, code) {
			setup = append(setup, code)
		}
	}
	p.spec.Setup = setup
	c.rec.program(p, false)
	body, err := cbor.Marshal(wire.SetUp{Program: q.Program, Code: setup})
	if err != nil {
		s.answer(m.Seq, nil, tutti.E("set up engines", tutti.Internal, err))
		return
	}
	left, without := len(c.agents), []tutti.EngineID{}
	done := func() {
		if left--; left <= 0 {
			slices.Sort(without)
			s.answer(m.Seq, without, nil)
		}
	}
	if left == 0 {
		done()
	}
	for _, a := range c.agents {
		a.ask("setup", body, func(body []byte, err error) {
			var ids []tutti.EngineID
			if err == nil && cbor.Unmarshal(body, &ids) == nil { // an agent that is lost asks again when it comes back
				without = append(without, ids...)
			}
			done()
		})
	}
}

// endedOn counts the tasks that have ended on each engine.
type endedOn []int

func (n *endedOn) add(id tutti.EngineID) {
	if id < 0 {
		return
	}
	for int(id) >= len(*n) {
		*n = append(*n, 0)
	}
	(*n)[id]++
}

func (n endedOn) of(id tutti.EngineID) int {
	if int(id) >= len(n) {
		return 0
	}
	return n[id]
}
