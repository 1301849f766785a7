package shmdev

import (
	"fmt"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// running is a plan under way. The engine's lock guards it.
type running struct {
	req     *request
	c       *comm
	plan    *device.Plan
	at      int
	tag     int
	pending []*request
}

// Do implements device.Comm.
func (c *comm) Do(call device.Call) error {
	if c.e.opt.Check {
		if err := c.compare(&call); err != nil {
			return err
		}
	}
	done, err := c.together(call)
	if !done {
		err = c.perform(call)
	}
	if err == errGivenUp {
		c.e.lock()
		c.broken = device.Errorf(tutti.Canceled, "a collective call on it was interrupted on this rank")
		c.e.unlock()
	}
	return err
}

// perform goes through the plan of a call.
func (c *comm) perform(call device.Call) error {
	r, err := c.begin(call)
	if err != nil {
		return err
	}
	_, err = r.Wait()
	return err
}

// Start implements device.Comm.
func (c *comm) Start(call device.Call) (device.Request, error) {
	if c.e.opt.Check {
		if err := c.compare(&call); err != nil {
			return nil, err
		}
	}
	return c.begin(call)
}

func (c *comm) begin(call device.Call) (*request, error) {
	plan := device.PlanFor(call, c.rank, len(c.members))
	e := c.e
	if err := e.enter(c); err != nil {
		return nil, err
	}
	defer e.unlock()
	c.count++
	run := &running{c: c, plan: plan, tag: c.count & device.MaxTag, req: &request{e: e, c: c, dst: -1, tag: int(call.Kind)}}
	run.req.run = run
	if !e.step(run) {
		e.runs = append(e.runs, run)
	}
	return run.req, nil
}

// advance goes on with every plan that can.
func (e *engine) advance() bool {
	moved := false
	keep := e.runs[:0]
	for _, r := range e.runs {
		if at := r.at; !e.step(r) {
			keep = append(keep, r)
			moved = moved || r.at != at
		} else {
			moved = true
		}
	}
	clear(e.runs[len(keep):])
	e.runs = keep
	return moved
}

// step goes on with one plan; true when it is through.
func (e *engine) step(r *running) bool {
	for ; r.at < len(r.plan.Steps) && !r.req.done; r.at++ {
		s := &r.plan.Steps[r.at]
		switch s.Kind {
		case device.StepWait:
			if !r.settled() {
				return false
			}
		case device.StepDo:
			s.Do()
		default:
			r.start(s)
		}
	}
	e.complete(r.req, nil)
	return true
}

// settled says whether all that was begun is complete; an error ends the plan.
func (r *running) settled() bool {
	e := r.c.e
	for len(r.pending) > 0 {
		q := r.pending[len(r.pending)-1]
		if !q.done {
			return false
		}
		if q.err != nil {
			e.complete(r.req, q.err)
		} else {
			e.give(q)
		}
		r.pending = r.pending[:len(r.pending)-1]
	}
	return true
}

func (r *running) start(s *device.Step) {
	c, e := r.c, r.c.e
	q := e.take(c, s.Buf)
	q.plane, q.tag = 1, r.tag
	if s.Kind == device.StepRecv {
		e.post(q, s.Peer, r.tag)
	} else {
		q.dst = c.members[s.Peer]
		if err := e.launch(q); err != nil {
			e.complete(q, err)
		}
	}
	r.pending = append(r.pending, q)
}

// compare finds collective calls that do not fit each other before they hang: all ranks show all
// what they are about to do.
func (c *comm) compare(call *device.Call) error {
	mine := call.Sign().Encode()
	all := make([]byte, len(mine)*len(c.members))
	if err := c.perform(device.Call{Kind: device.Allgather, Type: device.Uint8, Send: mine, Recv: all}); err != nil {
		return err
	}
	return call.Sign().Against(all)
}

// String is for the report of who waits for what.
func (r *running) String() string {
	return fmt.Sprintf("%v, step %d of %d", device.Kind(r.req.tag), r.at, len(r.plan.Steps))
}
