package main

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

// measureStartup is the time from the start of a process to the first result of its embedded
// cluster, as whoever started it sees it.
func measureStartup(ctx context.Context, r *run) error {
	exe, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, exe, "-engines", fmt.Sprint(r.engines), "first")
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	begin := time.Now()
	if err := cmd.Start(); err != nil {
		return err
	}
	_, err = bufio.NewReader(out).ReadString('\n')
	took := time.Since(begin)
	if end := cmd.Wait(); err != nil || end != nil {
		return fmt.Errorf("the first result: %v, %v", err, end)
	}
	r.emit("startup", took.Seconds(), "s")
	return nil
}

// measureFirst is that process.
func measureFirst(ctx context.Context, r *run) error {
	c, err := cluster.Open(ctx, cluster.Engines(r.engines))
	if err != nil {
		return err
	}
	defer c.Close()
	if _, err := tutti.Submit(ctx, c.Balanced(), noop, 1).Get(ctx); err != nil {
		return err
	}
	fmt.Println("first")
	return nil
}
