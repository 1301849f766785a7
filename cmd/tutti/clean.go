package main

import (
	"bufio"
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/shm"
)

type cleanVerb struct {
	Yes    bool `short:"y" help:"Remove without asking, also what may be of value."`
	State  bool `help:"Also the state of clusters that do not run: their jobs, results, output, logs."`
	DryRun bool `short:"n" help:"Only show what there is."`
}

func (cleanVerb) Teach() string {
	return `
Finds, of all your clusters on this machine: descriptions of processes that have died, sockets at
which nobody listens, shared memory whose owner is gone, agents without a controller. What belongs
to a cluster that runs is left alone, here and on other hosts. What may be of value (an agent that
still has results, with --state the durable jobs of a cluster) is removed only after a question.
Keys are never removed.

Examples:
  tutti clean --dry-run
  tutti clean
  tutti clean --state --cluster old     forget the cluster "old"
`
}

// Run finds and removes leftovers.
func (k *cleanVerb) Run(v *invocation) error {
	found, err := k.find(v)
	if err != nil {
		return err
	}
	var left, gone []cluster.Leftover
	for _, l := range found {
		if k.DryRun || l.Ask && !k.Yes && !v.confirm(l) {
			left = append(left, l)
			continue
		}
		if err := l.Remove(v.ctx); err != nil {
			return err
		}
		gone = append(gone, l)
	}
	if v.out.form == asJSON {
		return v.out.json(map[string]any{"removed": orEmpty(gone), "left": orEmpty(left)})
	}
	for _, l := range gone {
		_ = v.out.answer("removed: "+describe(l), nil, l.Path)
	}
	for _, l := range left {
		_ = v.out.answer("left: "+describe(l), nil, "")
	}
	if len(found) == 0 {
		return v.out.answer("Nothing to clean.", nil, "")
	}
	return nil
}

func orEmpty(l []cluster.Leftover) []cluster.Leftover {
	return append([]cluster.Leftover{}, l...)
}

// find lists leftovers, of the cluster that is meant, or of all and of the machine.
func (k *cleanVerb) find(v *invocation) ([]cluster.Leftover, error) {
	profiles, err := cluster.Profiles()
	if v.name != "" {
		var p *cluster.Profile
		p, err = cluster.OpenProfile(v.name)
		profiles = []*cluster.Profile{p}
	}
	if err != nil {
		return nil, err
	}
	var list []cluster.Leftover
	for _, p := range profiles {
		if old, ok := p.OldState(); k.State && ok {
			list = append(list, old) // all else that it has left is in there
			continue
		}
		list = append(list, p.Leftovers()...)
	}
	if v.name != "" {
		return list, nil
	}
	list = append(list, cluster.StaleRunFolders()...)
	segments, err := shm.Stale("", "")
	if err != nil {
		return nil, tutti.E("clean", tutti.KindOf(err), err)
	}
	for _, s := range segments {
		list = append(list, cluster.Leftover{
			What: "shared memory of process " + strconv.Itoa(s.PID) + ", which is gone", Path: s.Path, Bytes: s.Size,
			Remove: func(context.Context) error { return shm.Remove(s.Path) },
		})
	}
	return list, nil
}

func describe(l cluster.Leftover) string {
	var b strings.Builder
	if l.Cluster != "" {
		b.WriteString(l.Cluster + ": ")
	}
	b.WriteString(l.What)
	if l.Path != "" {
		b.WriteString(": " + l.Path)
	}
	if l.Bytes > 0 {
		b.WriteString(" (" + tutti.FormatBytes(l.Bytes) + ")")
	}
	return b.String()
}

// confirm asks the person at the terminal; without one the answer is no.
func (v *invocation) confirm(l cluster.Leftover) bool {
	if v.out.form != human || !isTerminal(v.in) {
		return false
	}
	fmt.Fprintf(v.err, "%s\nRemove it? [y/N] ", describe(l))
	answer, _ := bufio.NewReader(v.in).ReadString('\n')
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
