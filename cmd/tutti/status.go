package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

type statusVerb struct {
	Name string `arg:"" optional:"" help:"The cluster to describe; without it all are listed."`
}

func (statusVerb) Teach() string {
	return `
A cluster is running, dead (its controller was killed; "tutti start" brings it back with all its
durable jobs), stopped, or silent (its process is there and does not answer). One whose
controller runs on another host is asked over the network.

Examples:
  tutti status              all my clusters
  tutti status default      one in detail
  tutti status -o json      for programs
`
}

// clusterInfo is what there is to say of one cluster.
type clusterInfo struct {
	Name    string          `json:"name"`
	State   string          `json:"state"`
	Host    string          `json:"host,omitempty"`
	Pid     int             `json:"pid,omitempty"`
	Since   *time.Time      `json:"since,omitempty"`
	Version string          `json:"version,omitempty"`
	Address string          `json:"address,omitempty"`
	Error   string          `json:"error,omitempty"`
	Status  *cluster.Status `json:"status,omitempty"`
	Config  string          `json:"config"`
	Folder  string          `json:"folder"`
}

// Run lists clusters, or describes one.
func (s *statusVerb) Run(v *invocation) error {
	if name := cmp.Or(s.Name, v.name); name != "" {
		return s.one(v, name)
	}
	profiles, err := cluster.Profiles()
	if err != nil {
		return err
	}
	infos := make([]clusterInfo, len(profiles))
	var all sync.WaitGroup
	for i, p := range profiles {
		all.Go(func() { infos[i] = look(v.ctx, p) })
	}
	all.Wait()
	infos = slices.DeleteFunc(infos, func(i clusterInfo) bool { return i.State == "" })
	rows := make([][]string, len(infos))
	for i, c := range infos {
		rows[i] = c.row()
	}
	return v.out.table([]string{"NAME", "STATE", "SINCE", "HOST", "PID", "NODES", "ENGINES", "TASKS"}, rows, infos,
		"You have no clusters. Start one: tutti start")
}

// statusTime bounds how long a list of clusters waits for one of them.
const statusTime = 3 * time.Second

// look finds out how a cluster is. The state is "" if there is no such cluster.
func look(ctx context.Context, p *cluster.Profile) clusterInfo {
	info := clusterInfo{Name: p.Name, Config: p.Config, Folder: p.State}
	r, err := p.ReadRunning("controller")
	switch {
	case tutti.KindOf(err) == tutti.NotFound:
		if exists(p.State) {
			info.State = "stopped"
		}
		return info
	case err != nil:
		info.State, info.Error = "unreadable", err.Error()
		return info
	}
	info.Host, info.Pid, info.Since, info.Version, info.Address = r.Host, r.Pid, &r.Since, r.Version, r.Addr
	if r.Here() && !r.Alive() {
		info.State = "dead"
		return info
	}
	ctx, cancel := context.WithTimeout(ctx, statusTime)
	defer cancel()
	c, err := cluster.Attach(ctx, p, cluster.Attachment{})
	if err == nil {
		defer c.Close()
		var st cluster.Status
		if st, err = c.Status(ctx); err == nil {
			info.State, info.Status = "running", &st
			return info
		}
	}
	info.State, info.Error = "silent", err.Error()
	switch {
	case !r.Here():
		info.State = "on another host"
	case !r.Alive(): // it died under our eyes
		info.State, info.Error = "dead", ""
	}
	return info
}

func (c *clusterInfo) row() []string {
	r := []string{c.Name, c.State, "-", cmp.Or(c.Host, "-"), "-", "-", "-", "-"}
	if c.Since != nil {
		r[2], r[4] = ago(*c.Since), strconv.Itoa(c.Pid)
	}
	if s := c.Status; s != nil {
		r[5], r[6], r[7] = strconv.Itoa(s.Nodes), strconv.Itoa(s.Engines), counts(s.Tasks)
	}
	return r
}

// counts writes how many tasks are in each state: "2 running, 7 done".
func counts(tasks map[string]int) string {
	var parts []string
	for s := tutti.Waiting; s <= tutti.Stopped; s++ {
		if n := tasks[s.String()]; n > 0 {
			parts = append(parts, fmt.Sprintf("%d %v", n, s))
		}
	}
	return cmp.Or(strings.Join(parts, ", "), "none")
}

// one describes one cluster.
func (s *statusVerb) one(v *invocation, name string) error {
	p, err := cluster.OpenProfile(name)
	if err != nil {
		return err
	}
	info := look(v.ctx, p)
	switch {
	case info.State == "":
		return tutti.Errorf("find cluster", tutti.NotFound, "there is no cluster %q", name).WithHint("start it: tutti start --cluster %s", name)
	case v.out.form != human:
		return v.out.answer("", info, info.State)
	}
	fmt.Fprintf(v.out.w, "cluster   %s\nstate     %s\n", info.Name, v.out.tint(info.State))
	for _, f := range info.facts() {
		fmt.Fprintf(v.out.w, "%-9s %s\n", f[0], f[1])
	}
	return nil
}

// facts are the lines of a description that are there for this cluster.
func (c *clusterInfo) facts() [][2]string {
	var list [][2]string
	add := func(name, text string) {
		if text != "" {
			list = append(list, [2]string{name, text})
		}
	}
	if c.Since != nil {
		add("host", fmt.Sprintf("%s, process %d", c.Host, c.Pid))
		add("since", fmt.Sprintf("%s (%s)", c.Since.Format(time.DateTime), ago(*c.Since)))
	}
	add("version", c.Version)
	add("listens", c.Address)
	if s := c.Status; s != nil {
		add("starts", strconv.Itoa(int(s.Epoch)))
		add("nodes", strconv.Itoa(s.Nodes))
		add("engines", strconv.Itoa(s.Engines))
		add("clients", strconv.Itoa(s.Clients))
		add("tasks", counts(s.Tasks))
		add("journal", s.Journal)
	}
	add("problem", c.Error)
	if c.State == "dead" {
		add("problem", "its controller has died; `tutti start --cluster "+c.Name+"` brings it back")
	}
	add("keys", c.Config)
	add("folder", c.Folder)
	return list
}
