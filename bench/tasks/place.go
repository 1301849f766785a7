package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/agent"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// clusterName is the name of the detached clusters, each in folders of its own.
const clusterName = "bench"

// opened is a client of a running cluster.
type opened struct {
	*cluster.Client
	controller int // pid of the controller's process, which is this one if it is embedded
	ends       []func()
}

// open starts a cluster at the run's place, joins it, and waits for its engines.
func (r *run) open(ctx context.Context) (*opened, error) {
	o := &opened{controller: os.Getpid()}
	err := r.start(ctx, o)
	if err == nil {
		_, err = o.WaitForEngines(ctx, r.engines)
	}
	if err == nil {
		err = warm(ctx, o.Client)
	}
	if err != nil {
		o.close()
		return nil, err
	}
	return o, nil
}

func (r *run) start(ctx context.Context, o *opened) (err error) {
	if r.place == "embedded" {
		o.Client, err = cluster.Open(ctx, cluster.Engines(r.engines))
		return err
	}
	addr, err := o.detach(r.engines)
	if err != nil {
		return err
	}
	if r.place == "unix" {
		o.Client, err = cluster.Dial(ctx, clusterName, cluster.Engines(r.engines))
		return err
	}
	o.Client, err = joinTLS(ctx, addr, r.engines)
	return err
}

// close ends the cluster.
func (o *opened) close() {
	if o.Client != nil {
		o.Client.Close()
	}
	for i := len(o.ends) - 1; i >= 0; i-- {
		o.ends[i]()
	}
}

// joinTLS joins over the network, as a client on another machine would.
func joinTLS(ctx context.Context, addr string, engines int) (*cluster.Client, error) {
	p, err := cluster.OpenProfile(clusterName)
	if err != nil {
		return nil, err
	}
	keys, err := wire.LoadKeys(p.Keys(), wire.RoleClient)
	if err != nil {
		return nil, err
	}
	exe, err := os.Executable()
	if err != nil {
		return nil, err
	}
	return cluster.Join(ctx, cluster.Door{
		Network: wire.TCP{Keys: keys}, Addr: addr,
		Want: wire.Want{PerNode: engines, Spec: wire.ProgramSpec{Name: "go:bench", Path: exe}},
	})
}

// detach starts controller and agent as processes, in private folders on a disk.
func (o *opened) detach(engines int) (addr string, err error) {
	dir, err := os.MkdirTemp("", "tutti-bench-")
	if err != nil {
		return "", err
	}
	o.ends = append(o.ends, func() { os.RemoveAll(dir) })
	for variable, name := range map[string]string{"XDG_CONFIG_HOME": "config", "XDG_STATE_HOME": "state", "XDG_RUNTIME_DIR": "run"} {
		if err := os.Mkdir(filepath.Join(dir, name), 0o700); err != nil {
			return "", err
		}
		os.Setenv(variable, filepath.Join(dir, name))
	}
	if o.controller, addr, err = o.startPart("controller", engines); err != nil {
		return "", err
	}
	_, _, err = o.startPart("agent", engines)
	return addr, err
}

// startPart starts this program once more as a part of the cluster, and waits for the line that
// says that it is ready. The part ends when its standard input does, so none outlives this process.
func (o *opened) startPart(part string, engines int) (pid int, said string, err error) {
	exe, err := os.Executable()
	if err != nil {
		return 0, "", err
	}
	cmd := exec.Command(exe, "-part", part, "-engines", fmt.Sprint(engines))
	cmd.Stderr = os.Stderr
	hold, err := cmd.StdinPipe()
	if err != nil {
		return 0, "", err
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, "", err
	}
	if err := cmd.Start(); err != nil {
		return 0, "", err
	}
	o.ends = append(o.ends, func() {
		hold.Close()
		last := time.AfterFunc(10*time.Second, func() { cmd.Process.Kill() })
		defer last.Stop()
		cmd.Wait()
	})
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return 0, "", fmt.Errorf("the %s did not start: %w", part, err)
	}
	return cmd.Process.Pid, strings.TrimSpace(line), nil
}

// bePart is such a process.
func bePart(ctx context.Context, part string, engines int) error {
	ctx, stop := context.WithCancel(ctx)
	defer stop()
	go func() {
		io.Copy(io.Discard, os.Stdin)
		stop()
	}()
	p, err := cluster.OpenProfile(clusterName)
	if err != nil {
		return err
	}
	switch part {
	case "controller":
		return cluster.Serve(ctx, cluster.ServeConfig{Profile: p, Listen: "127.0.0.1:0", Ready: func(addr string) { fmt.Println(addr) }})
	case "agent":
		err := beAgent(ctx, p, engines)
		if errors.Is(err, context.Canceled) || ctx.Err() != nil {
			return nil
		}
		return err
	}
	return fmt.Errorf("no part %q", part)
}

// beAgent joins over the network too, whatever way the client takes.
func beAgent(ctx context.Context, p *cluster.Profile, engines int) error {
	r, err := p.ReadRunning("controller")
	if err != nil {
		return err
	}
	keys, err := wire.LoadKeys(p.Keys(), wire.RoleAgent)
	if err != nil {
		return err
	}
	a, err := agent.Start(ctx, agent.Config{
		Network: wire.TCP{Keys: keys}, Addr: r.Addr,
		Has:   tutti.Resources{Cores: float64(engines)},
		Blobs: agent.Blobs{Socket: p.AgentSocket()},
	})
	if err != nil {
		return err
	}
	defer a.Close()
	fmt.Println("ready")
	select {
	case <-ctx.Done():
		return nil
	case <-a.Done():
		return a.Err()
	}
}
