package main

import (
	"context"
	"fmt"
	"log/slog"
	"net"
	"os"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/agent"
	"github.com/tutti-hpc/tutti/internal/wire"
)

type agentVerb struct {
	Connect string  `placeholder:"HOST:PORT" help:"Where the controller listens, for machines that do not share your home folder."`
	Key     string  `placeholder:"FILE" help:"A copy of the cluster's agent.pem, to go with --connect."`
	Cores   float64 `placeholder:"N" help:"Processor cores that tasks may use here (default: all)."`
	Memory  size    `placeholder:"SIZE" help:"Memory that tasks may use here (default: what is free)."`
	GPUs    float64 `name:"gpus" placeholder:"N" help:"GPUs that tasks may use here (default: all)."`
	Until   span    `placeholder:"TIME" help:"How long this machine is ours: longer tasks are not started here."`
	Blobs   string  `placeholder:"HOST:PORT" help:"Where other nodes fetch large values from this one (default: this host's address, if the controller is on another host)."`
	Detach  bool    `short:"d" help:"Run in the background; the log is in the cluster's folder."`

	First   bool `hidden:"" help:"The agent that start starts."`
	ReadyFD int  `name:"ready-fd" hidden:""`
}

func (agentVerb) Teach() string {
	return `
Makes this machine a node of a cluster, until interrupted, or until the cluster stops. Connections
go from here to the controller, never the other way. If the controller dies, what runs here goes on
for ten minutes while the agent looks for it.

Examples:
  tutti agent --detach                                on a machine with the same home folder
  tutti agent --connect login1:7700 --key agent.pem   on any other; the file must be yours alone
  srun --ntasks-per-node=1 tutti agent                in a batch job
`
}

// Run joins a cluster.
func (a *agentVerb) Run(v *invocation) error {
	cluster.HoldReady(a.ReadyFD)
	if a.Connect != "" && a.Key == "" {
		return badUsage("copy KEYS/agent.pem of the cluster to this machine; `tutti status NAME` there shows the folder", "--connect needs --key")
	}
	p, err := v.profile()
	if err != nil {
		return err
	}
	if a.Detach {
		return a.detach(v, p)
	}
	err = a.serve(v, p)
	if err != nil {
		cluster.ReportReady(a.ReadyFD, "", err)
	}
	return err
}

// part is what this agent calls itself among the files of a cluster, which several hosts may share.
func (a *agentVerb) part() string {
	if a.First {
		return "agent"
	}
	host, _ := os.Hostname()
	return fmt.Sprintf("agent-%s-%d", host, os.Getpid())
}

// serve is the agent, until the end.
func (a *agentVerb) serve(v *invocation, p *cluster.Profile) error {
	cfg, err := a.config(v, p)
	if err != nil {
		return err
	}
	joining, cancel := context.WithTimeout(v.ctx, joinTime)
	defer cancel()
	ag, err := agent.Start(joining, cfg)
	if err != nil {
		return err
	}
	defer ag.Close()
	if err := p.WriteRunning(a.part(), ""); err != nil {
		return err
	}
	defer p.RemoveRunning(a.part())
	cluster.ReportReady(a.ReadyFD, "", nil)
	select {
	case <-v.ctx.Done():
		return ag.Close()
	case <-ag.Done():
	}
	if err := ag.Err(); tutti.KindOf(err) != tutti.Closed {
		return err
	}
	return nil // the cluster has stopped
}

// joinTime bounds how long an agent looks for its controller at first.
const joinTime = time.Minute

// config describes this node.
func (a *agentVerb) config(v *invocation, p *cluster.Profile) (agent.Config, error) {
	cfg := agent.Config{
		Has: tutti.Resources{Cores: a.Cores, Memory: int64(a.Memory), GPUs: a.GPUs},
		Log: slog.New(slog.NewTextHandler(v.err, nil)),
	}
	if a.Until > 0 {
		cfg.Until = time.Now().Add(time.Duration(a.Until))
	}
	if a.First {
		cfg.Blobs.Socket = p.AgentSocket()
	}
	var err error
	if cfg.Network, cfg.Addr, err = a.door(p); err != nil {
		return cfg, err
	}
	return cfg, a.blobs(p, &cfg)
}

// blobs has other nodes' agents fetch large values here, and this one there, if there can be any.
func (a *agentVerb) blobs(p *cluster.Profile, cfg *agent.Config) (err error) {
	keys, listen := (*wire.Keys)(nil), a.Blobs
	if tcp, ok := cfg.Network.(wire.TCP); ok {
		keys = tcp.Keys
		if listen == "" {
			listen, err = outward(cfg.Addr)
		}
	} else if r, rerr := p.ReadRunning("controller"); rerr == nil && r.Addr != "" {
		if keys, err = wire.LoadKeys(p.Keys(), wire.RoleAgent); err == nil && listen == "" {
			listen, err = beside(r.Addr)
		}
	}
	if err != nil || keys == nil {
		return err
	}
	cfg.Blobs.Listen = listen
	cfg.Blobs.TLS, cfg.Blobs.Fetch.TLS = keys.ServerTLS(wire.RoleAgent), keys.ClientTLS(wire.RoleAgent)
	return nil
}

// beside is where other machines can reach this one, whose controller listens at addr.
func beside(addr string) (string, error) {
	host, _, err := net.SplitHostPort(addr)
	if ip := net.ParseIP(host); err == nil && ip != nil && ip.IsUnspecified() {
		return outward("192.0.2.1:9") // an address that is nobody's: by way of the default route
	}
	return net.JoinHostPort(host, "0"), err
}

// door is how this agent comes to its controller.
func (a *agentVerb) door(p *cluster.Profile) (wire.Network, string, error) {
	if a.Connect == "" {
		return p.AgentDoor()
	}
	keys, err := wire.ReadKeys(a.Key)
	if err != nil {
		return nil, "", err
	}
	if keys.Role != wire.RoleAgent {
		return nil, "", tutti.Errorf("read keys", tutti.Denied, "%s holds a key of role %s", a.Key, keys.Role).
			WithHint("an agent needs a copy of agent.pem")
	}
	return wire.TCP{Keys: keys}, a.Connect, nil
}

// outward is this machine's address on the way to another, with any port.
func outward(addr string) (string, error) {
	c, err := net.Dial("udp", addr) // sends nothing: it only asks the routing table
	if err != nil {
		return "", tutti.Errorf("start agent", tutti.Invalid, "find the way to %s: %w", addr, err)
	}
	defer c.Close()
	host, _, err := net.SplitHostPort(c.LocalAddr().String())
	return net.JoinHostPort(host, "0"), err
}

// detach starts the same agent in the background.
func (a *agentVerb) detach(v *invocation, p *cluster.Profile) error {
	ctx, cancel := context.WithTimeout(v.ctx, 2*joinTime)
	defer cancel()
	host, _ := os.Hostname()
	d := cluster.Daemon{Name: "agent", Program: program(), Log: p.Log("agent-" + host), Args: []string{"agent", "--cluster=" + p.Name}}
	for _, f := range []struct{ name, value string }{
		{"connect", a.Connect}, {"key", a.Key}, {"blobs", a.Blobs},
		{"cores", positive(a.Cores)}, {"gpus", positive(a.GPUs)}, {"memory", positive(float64(a.Memory))},
		{"until", positive(time.Duration(a.Until).Seconds())},
	} {
		if f.value != "" {
			d.Args = append(d.Args, "--"+f.name+"="+f.value)
		}
	}
	if _, _, err := cluster.Launch(ctx, d); err != nil {
		return err
	}
	return v.out.answer("This machine is a node of cluster "+p.Name+" now.", map[string]any{"cluster": p.Name, "host": host}, p.Name)
}

// positive writes a number that was given, "" for none.
func positive(f float64) string {
	if f <= 0 {
		return ""
	}
	return fmt.Sprintf("%f", f)
}
