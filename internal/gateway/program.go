package gateway

import (
	"context"
	"slices"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/wire"
)

type programSpec = wire.ProgramSpec

// choose finds the engines for a client: those of its version of Python if the cluster has any, else
// some are started. Where there are only others it is refused, since what one version of Python
// pickles another does not read, unless it sends nothing but names.
func (g *Gateway) choose(ctx context.Context, h *Hello) (string, error) {
	g.choosing.Lock()
	defer g.choosing.Unlock()
	rows, err := g.watch.Programs(ctx)
	if err != nil {
		return "", err
	}
	var others []string
	for _, r := range rows {
		if r.Spec.Name == h.program() {
			return h.program(), nil
		}
		if strings.HasPrefix(r.Spec.Name, programKind) {
			others = append(others, strings.TrimPrefix(r.Spec.Name, programKind))
		}
	}
	slices.Sort(others)
	switch {
	case len(others) == 0:
		return h.program(), g.want(ctx, h)
	case h.Importable:
		return programKind + others[len(others)-1], nil
	}
	return "", tutti.Errorf("connect", tutti.Version, "the engines of cluster %q run Python %s and this is Python %s: functions that are made in one cannot run in the other",
		g.cfg.Name, strings.Join(others, " and "), h.Python).
		WithHint("run this program with Python %s, or start a cluster of its own", others[len(others)-1])
}

// want has engines started for a client. They live as long as the cluster.
func (g *Gateway) want(ctx context.Context, h *Hello) error {
	door := g.cfg.Door
	door.Keep, door.Name = true, "engines for Python "+h.Python
	spec := h.Spec(g.cfg.Python)
	if g.cfg.spec != nil {
		spec = g.cfg.spec(h)
	}
	door.Want = wire.Want{Spec: spec, PerNode: g.cfg.Engines}
	a, err := cluster.Join(ctx, door)
	if err == nil {
		g.anchors = append(g.anchors, a)
	}
	return err
}
