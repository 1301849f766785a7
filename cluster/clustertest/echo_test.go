package clustertest_test

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/cluster/clustertest"
	"github.com/tutti-hpc/tutti/internal/wire"
)

const showSize = 32 << 10

var _ = tutti.Func("echo.show", func(ctx context.Context, n int) (int, error) {
	for i := range n {
		piece := make([]byte, showSize)
		copy(piece, fmt.Sprint(i))
		if err := tutti.Display(ctx, "text/plain", piece); err != nil {
			return i, err
		}
	}
	return n, nil
})

// listener is a client that hears what its tasks show, and reads when it is let.
type listener struct {
	gate    chan struct{} // closed: it reads
	shown   chan int      // how many pieces had come when its task ended
	pieces  int
	order   bool
	notices []string
}

func (l *listener) Output(*wire.Output) {}
func (l *listener) Display(d *wire.Display) {
	<-l.gate
	l.order = l.order && strings.HasPrefix(string(d.Value.Data), fmt.Sprint(l.pieces)+"\x00")
	l.pieces++
}
func (l *listener) Notice(_ tutti.TaskID, text string) { l.notices = append(l.notices, text) }
func (l *listener) Heard()                             {}
func (l *listener) Settle(uint64, *wire.Outcome)       { l.shown <- l.pieces }

// listening submits a task that shows n pieces, for a client that hears them.
func listening(t *testing.T, c *clustertest.Cluster, l *listener, n int) *cluster.Client {
	me, err := c.Join(func(d *cluster.Door) {
		d.Ear, d.Link.Window = l, wire.Window{Messages: 8192, Bytes: 1 << 20}
	})
	if err != nil {
		t.Fatal(err)
	}
	arg, _ := tutti.Encode(n)
	args, err := wire.PackArgs(nil, []tutti.Arg{{Value: arg}})
	if err != nil {
		t.Fatal(err)
	}
	work := &tutti.Work{Program: clustertest.Program, Func: "echo.show", Echo: true}
	if err := me.SubmitBatch(t.Context(), work, 1, []cluster.RawTask{{Args: args}}, l); err != nil {
		t.Fatal(err)
	}
	return me
}

// What a task shows comes to its client in order and before its end, however much it is.
func TestEcho(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Spec{Nodes: 1})
		l := &listener{gate: make(chan struct{}), shown: make(chan int, 1), order: true}
		close(l.gate)
		listening(t, c, l, 2000)
		if n := <-l.shown; n != 2000 || !l.order || len(l.notices) > 0 {
			t.Errorf("%d pieces of 2000 came before the end, in order: %v; %q", n, l.order, l.notices)
		}
	})
}

// A client that does not read holds its engine back for a while, and nobody else ever; then what
// comes is cut, and it is told so when it reads again.
func TestEchoDeaf(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := clustertest.Start(t, clustertest.Spec{Nodes: 1})
		l := &listener{gate: make(chan struct{}), shown: make(chan int, 1), order: true}
		me := listening(t, c, l, 2000)
		other := c.Client()
		begun := time.Now()
		for i := range 20 {
			if got, err := tutti.Submit(t.Context(), other.Balanced(), square, i).Get(t.Context()); err != nil || got != i*i {
				t.Fatalf("%d, %v", got, err)
			}
		}
		if took := time.Since(begun); took > time.Second {
			t.Errorf("another client waited for %v", took)
		}
		id := tutti.MakeTaskID(me.ID(), 1)
		if _, err := other.Outcome(t.Context(), id); err != nil { // it ends although nobody reads
			t.Error(err)
		}
		if took := time.Since(begun); took < 5*time.Second {
			t.Errorf("its engine was not held back: %v", took)
		}
		close(l.gate)
		n := <-l.shown
		if n < 10 || n > 1000 || !l.order || len(l.notices) != 1 || !strings.Contains(l.notices[0], "not shown") {
			t.Errorf("%d pieces came, in order: %v; notices %q", n, l.order, l.notices)
		}
	})
}
