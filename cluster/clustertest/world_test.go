package clustertest_test

import (
	"errors"
	"strings"
	"testing"
	"testing/synctest"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/cluster/clustertest"
)

// Nodes share no memory: a world across them is refused, and the error says where its engines are.
func TestWorldAcrossNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Spec{Nodes: 2, Engines: 2})
		client := c.Client()
		infos, err := client.WaitForEngines(t.Context(), 4)
		if err != nil {
			t.Fatal(err)
		}
		on := map[tutti.NodeID][]tutti.EngineID{}
		for _, e := range infos {
			on[e.Node] = append(on[e.Node], e.ID)
		}
		var apart []tutti.EngineID
		for _, ids := range on {
			apart = append(apart, ids[0])
			if got, err := cluster.CallRanksOn(t.Context(), client.Direct(ids[1], ids[0]), square, 3).Get(t.Context()); err != nil || len(got) != 2 || got[1] != 9 {
				t.Error(got, err)
			}
		}
		_, err = cluster.CallRanksOn(t.Context(), client.Direct(apart...), square, 3).Get(t.Context())
		if !errors.Is(err, tutti.Unsupported) || !strings.Contains(err.Error(), "must be on one node") {
			t.Error(err)
		}
	})
}
