package controller

import (
	"cmp"
	"context"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/provider"
)

// Pool is where nodes come from when work waits for them. It is plain data.
type Pool struct {
	Name     string
	Provider provider.Config
	Job      provider.Job    // starts one agent; told by its environment which pool and job it is
	Has      tutti.Resources // of one node
	First    int             // nodes asked for at once, without waiting for work
	Most     int             // nodes at the same time, 1 if 0
	Idle     time.Duration   // a node without work for so long is given back, 0 never
	Patience time.Duration   // for a node to come after its job runs, 1 min if 0
}

// The environment in which a job's agent finds whose it is.
const (
	EnvPool = "TUTTI_POOL"
	EnvJob  = "TUTTI_POOL_JOB"
)

// pool is a Pool in use.
type pool struct {
	Pool
	p    provider.Provider
	jobs map[string]*nodeJob // by the token that the agent brings along
}

// nodeJob is one job that is to become a node.
type nodeJob struct {
	id      provider.ID // "" while it is being submitted
	node    tutti.NodeID
	running time.Time // when it was first seen to run
	gone    bool      // given up while it was being submitted
}

// pollEvery is how often providers are asked about jobs whose agents have not come.
const pollEvery = 2 * time.Second

// openPools opens the providers, and asks for the first nodes.
func (c *Controller) openPools() error {
	c.pools = map[string]*pool{}
	for _, cfg := range c.cfg.Pools {
		p, err := provider.Open(cfg.Provider)
		if err != nil {
			return err
		}
		cfg.Most, cfg.Patience = max(cfg.Most, cfg.First, 1), cmp.Or(cfg.Patience, time.Minute)
		cfg.Job.Name = c.cfg.Name + "-" + cfg.Name
		pl := &pool{Pool: cfg, p: p, jobs: map[string]*nodeJob{}}
		c.pools[cfg.Name] = pl
		c.step(sched.PoolSet{Pool: cfg.Name, Has: cfg.Has, Max: cfg.Most, Idle: cfg.Idle})
		c.acquire(cfg.Name, cfg.First)
	}
	return nil
}

// aside has something done that takes time; what it gives back is done by the loop.
func (c *Controller) aside(f func(ctx context.Context) func()) {
	c.background.Go(func() {
		if then := f(c.ctx); then != nil {
			c.do(then)
		}
	})
}

// acquire submits jobs for nodes.
func (c *Controller) acquire(name string, n int) {
	pl := c.pools[name]
	if pl == nil {
		return
	}
	for range n {
		if len(pl.jobs) >= pl.Most {
			c.step(sched.AcquireFailed{Pool: name, Nodes: 1, Why: "the pool has as many nodes as it may"})
			continue
		}
		token := newSecret()
		job := &nodeJob{node: tutti.NoNode}
		pl.jobs[token] = job
		spec := pl.Job
		spec.Env = append(append([]string(nil), spec.Env...), EnvPool+"="+name, EnvJob+"="+token)
		c.publish(tutti.Event{Kind: tutti.NodesWanted, Engine: tutti.NoEngine, Node: tutti.NoNode, Count: 1, Text: name})
		c.aside(func(ctx context.Context) func() {
			id, err := pl.p.Submit(ctx, spec)
			return func() { c.submittedJob(pl, token, id, err) }
		})
	}
	c.watchPools()
}

// submittedJob notes a job's number, or that there will be none.
func (c *Controller) submittedJob(pl *pool, token string, id provider.ID, err error) {
	job := pl.jobs[token]
	switch {
	case err != nil:
		c.jobFailed(pl, token, err.Error())
	case job == nil || job.gone:
		c.cancelJob(pl, id)
	default:
		job.id = id
	}
}

// jobFailed gives up a job whose agent will not come.
func (c *Controller) jobFailed(pl *pool, token, why string) {
	job := pl.jobs[token]
	if job == nil {
		return
	}
	delete(pl.jobs, token)
	if job.node != tutti.NoNode {
		return // it was a node, which is lost by itself
	}
	c.cfg.Log.Warn("no node", "pool", pl.Name, "why", why)
	c.step(sched.AcquireFailed{Pool: pl.Name, Nodes: 1, Why: why})
}

// cancelJob ends a job at its provider.
func (c *Controller) cancelJob(pl *pool, id provider.ID) {
	if id == "" {
		return
	}
	c.aside(func(ctx context.Context) func() {
		if err := pl.p.Cancel(ctx, id); err != nil {
			c.cfg.Log.Warn("job not cancelled", "pool", pl.Name, "job", id, "err", err)
		}
		return nil
	})
}

// watchPools asks providers, now and then, about jobs whose agents have not come.
func (c *Controller) watchPools() {
	if c.watching || !c.expecting() {
		return
	}
	c.watching = true
	time.AfterFunc(pollEvery, func() {
		c.do(func() {
			c.watching = false
			for _, pl := range c.pools {
				c.poll(pl)
			}
			c.watchPools()
		})
	})
}

// expecting reports whether some job's agent has not come.
func (c *Controller) expecting() bool {
	for _, pl := range c.pools {
		for _, j := range pl.jobs {
			if j.node == tutti.NoNode {
				return true
			}
		}
	}
	return false
}

func (c *Controller) poll(pl *pool) {
	tokens := map[provider.ID]string{}
	var ids []provider.ID
	for token, j := range pl.jobs {
		if j.node == tutti.NoNode && j.id != "" {
			tokens[j.id] = token
			ids = append(ids, j.id)
		}
	}
	if len(ids) == 0 {
		return
	}
	c.aside(func(ctx context.Context) func() {
		found, err := pl.p.Status(ctx, ids...)
		return func() {
			if err != nil {
				c.cfg.Log.Warn("provider does not answer", "pool", pl.Name, "err", err)
				return
			}
			for id, s := range found {
				c.jobIs(pl, tokens[id], s)
			}
		}
	})
}

// jobIs takes in what a provider says of a job whose agent had not come.
func (c *Controller) jobIs(pl *pool, token string, s provider.Status) {
	j := pl.jobs[token]
	switch {
	case j == nil || j.node != tutti.NoNode:
	case s.State.Final() || s.State == provider.Unknown:
		c.jobFailed(pl, token, "its job has ended ("+s.State.String()+") before the agent came: "+s.Why)
	case s.State == provider.Running && j.running.IsZero():
		j.running = c.now
	case s.State == provider.Running && c.now.Sub(j.running) > pl.Patience:
		c.cancelJob(pl, j.id)
		c.jobFailed(pl, token, "its job runs, but the agent has not come for "+pl.Patience.String())
	}
}

// nodeOfJob notes that the agent of a job has come; an agent of a job that was given up, or of a
// former life, is taken as it is.
func (c *Controller) nodeOfJob(a *agent) {
	if pl := c.pools[a.hello.Pool]; pl != nil {
		if j := pl.jobs[a.hello.Job]; j != nil {
			j.node = a.node
		}
	}
}

// giveBack ends the job of a node that has nothing to do.
func (c *Controller) giveBack(node tutti.NodeID) {
	c.publish(tutti.Event{Kind: tutti.NodeDrained, Engine: tutti.NoEngine, Node: node})
	a := c.agents[node]
	if a == nil {
		return
	}
	pl := c.pools[a.hello.Pool]
	if pl == nil || pl.jobs[a.hello.Job] == nil {
		return // a node that somebody added by hand is his to take away
	}
	link := a.link
	c.aside(func(context.Context) func() { // in order: the agent ends its engines, and itself
		link.Close()
		return nil
	})
	c.jobOver(a)
}

// jobOver ends the job of a node that is lost or given back.
func (c *Controller) jobOver(a *agent) {
	if pl := c.pools[a.hello.Pool]; pl != nil {
		if j := pl.jobs[a.hello.Job]; j != nil && j.node == a.node {
			delete(pl.jobs, a.hello.Job)
			c.cancelJob(pl, j.id)
		}
	}
}

// closePools ends all jobs, when the controller ends in order.
func (c *Controller) closePools() {
	for _, pl := range c.pools {
		var ids []provider.ID
		for _, j := range pl.jobs {
			if j.gone = true; j.id != "" {
				ids = append(ids, j.id)
			}
		}
		if len(ids) == 0 {
			continue
		}
		if err := pl.p.Cancel(context.Background(), ids...); err != nil {
			c.cfg.Log.Warn("jobs not cancelled", "pool", pl.Name, "err", err)
		}
	}
}
