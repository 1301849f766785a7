package main

import (
	"context"
	"fmt"
	"sync"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type stopVerb struct {
	Name  string `arg:"" optional:"" help:"The cluster to stop."`
	Drain bool   `help:"Let the tasks that are running end first; start no others."`
	Now   bool   `help:"Kill everything at once."`
}

func (stopVerb) Teach() string {
	return `
The controller ends in order: its journal is complete, and its agents on all machines end their
commands and engines (commands get SIGINT, then SIGTERM, then SIGKILL). Interactive work ends with
an error in its program. Durable jobs that are not done go on at the next "tutti start": what was
running then begins anew.

Examples:
  tutti stop
  tutti stop --drain        when what runs has ended
  tutti stop night          another cluster
  tutti cancel all && tutti stop      so that nothing goes on later
`
}

// How long processes get to end by themselves before they are made to.
const (
	orderly = 30 * time.Second // the controller's links deliver what they have, commands get their signals
	atOnce  = 0
)

// Run stops a cluster.
func (s *stopVerb) Run(v *invocation) error {
	if s.Name != "" {
		v.name = s.Name
	}
	p, err := v.profile()
	if err != nil {
		return err
	}
	r, err := p.ReadRunning("controller")
	if err != nil {
		return err
	}
	grace := orderly
	if s.Now {
		grace = atOnce
	}
	if r.Here() && !r.Alive() {
		return s.dead(v, p, grace)
	}
	left := -1
	if !s.Now || !r.Here() {
		if left, err = s.ask(v, p); err != nil && !r.Here() {
			return err
		}
	}
	if r.Here() {
		if err := endProcess(v.ctx, r, grace, s.Now || err != nil); err != nil {
			return err
		}
	}
	endAgents(v.ctx, p, grace)
	tidy(v.ctx, p)
	text := "Cluster " + p.Name + " has stopped."
	if left > 0 {
		text += fmt.Sprintf(" %d tasks are not done; the durable ones go on at the next start.", left)
	}
	return v.out.answer(text, map[string]any{"cluster": p.Name, "unfinished": max(left, 0)}, p.Name)
}

// ask tells the controller to stop, and gives the number of tasks that have not ended, -1 where it
// does not answer.
func (s *stopVerb) ask(v *invocation, p *cluster.Profile) (left int, err error) {
	ctx, cancel := context.WithTimeout(v.ctx, orderly)
	defer cancel()
	c, err := cluster.Attach(ctx, p, cluster.Attachment{})
	if err != nil {
		return -1, err
	}
	defer c.Close()
	if s.Drain {
		if err := s.drain(v, c); err != nil {
			return -1, err
		}
	}
	st, err := c.Status(ctx)
	if err == nil {
		err = c.StopCluster(ctx)
	}
	for state := tutti.Waiting; !state.Final(); state++ {
		left += st.Tasks[state.String()]
	}
	return left, err
}

// drain waits until no task runs any more.
func (s *stopVerb) drain(v *invocation, c *cluster.Client) error {
	nodes, err := c.Nodes(v.ctx)
	for i := 0; err == nil && i < len(nodes); i++ {
		err = c.Drain(v.ctx, nodes[i].Node, false)
	}
	tick := time.NewTicker(200 * time.Millisecond) // there is no question that waits for it
	defer tick.Stop()
	for err == nil {
		var st cluster.Status
		if st, err = c.Status(v.ctx); err == nil && st.Tasks[tutti.Running.String()]+st.Tasks[tutti.Assigned.String()] == 0 {
			return nil
		}
		select {
		case <-tick.C:
		case <-v.ctx.Done():
			return tutti.Errorf("stop", tutti.KindOf(v.ctx.Err()), "waiting for running tasks to end: %w", v.ctx.Err()).
				WithHint("the nodes are drained now: `tutti undrain NODE` gives them work again")
		}
	}
	return err
}

// dead ends what is left of a cluster whose controller has died.
func (s *stopVerb) dead(v *invocation, p *cluster.Profile, grace time.Duration) error {
	n := endAgents(v.ctx, p, grace)
	tidy(v.ctx, p)
	return v.out.answer(fmt.Sprintf("The controller of cluster %s had died; %d agents of this machine were ended. Durable jobs go on at the next start.", p.Name, n),
		map[string]any{"cluster": p.Name, "died": true, "agents": n}, p.Name)
}

// endProcess waits for a process that was asked to end, or ends it.
func endProcess(ctx context.Context, r *cluster.Running, grace time.Duration, signal bool) error {
	if grace == atOnce {
		_ = r.Signal(syscall.SIGKILL) // it may be gone already
		return r.Gone(ctx)
	}
	if !signal {
		patience, cancel := context.WithTimeout(ctx, grace)
		defer cancel()
		if err := r.Gone(patience); err == nil || ctx.Err() != nil {
			return err
		}
	}
	return r.End(ctx, grace)
}

// endAgents ends the cluster's agents on this machine, and says how many there were. Those that
// have lost their controller in order are ending already; a signal does them no harm.
func endAgents(ctx context.Context, p *cluster.Profile, grace time.Duration) (n int) {
	var all sync.WaitGroup
	for _, a := range p.Agents() {
		if !a.Alive() {
			continue
		}
		n++
		all.Go(func() { _ = endProcess(ctx, a, grace, true) }) // the next start or clean finds one that stays
	}
	all.Wait()
	return n
}

// tidy removes what processes that were killed could not remove themselves.
func tidy(ctx context.Context, p *cluster.Profile) {
	for _, l := range p.Leftovers() {
		if !l.Ask {
			_ = l.Remove(ctx) // what stays does not harm the next start, and clean finds it
		}
	}
}
