package controller

import (
	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/sched"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// record is what the controller keeps of a task beside what the scheduler does. There may be
// millions: what only a started or ended task needs lies behind last.
type record struct {
	work  *work
	args  []byte // msgpack of []tutti.Arg, part of the message in which it came
	blobs []tutti.Ref
	last  *wire.Result // what the newest run reported, nil before
	state tutti.State  // as told to the client; Waiting until the end
	node  tutti.NodeID // where last ran
	kept  int32        // what it weighs among the results that are kept
	edges *edges       // of a durable task that has any, for the journal's snapshots
}

// record finds a task's record, nil if there is none. The scheduler keeps it with the task.
func (c *Controller) record(id tutti.TaskID) *record {
	r, _ := c.mind.Tag(id).(*record)
	return r
}

// edges are what a task depends on.
type edges struct{ deps, after, follow []tutti.TaskID }

// work is one tutti.Work with all that was derived from it, shared by its tasks.
type work struct {
	no    uint32 // by which agents name it
	key   string // its encoded form
	work  tutti.Work
	class *sched.Class
	tasks int // records that use it
}

// works interns the Works of all clients by their content.
type works struct {
	byKey map[string]*work
	last  uint32
}

func (w *works) init() { w.byKey = map[string]*work{} }

// intern finds the work with that content, or makes it.
func (w *works) intern(tw tutti.Work) (*work, error) {
	key, err := tw.MarshalMsg(nil)
	if err != nil {
		return nil, tutti.E("submit", tutti.Invalid, err)
	}
	if known := w.byKey[string(key)]; known != nil {
		return known, nil
	}
	w.last++
	n := &work{no: w.last, key: string(key), work: tw, class: classOf(tw)}
	w.byKey[n.key] = n
	return n, nil
}

// classOf is the part of a Work that the scheduler looks at.
func classOf(tw tutti.Work) *sched.Class {
	name := tw.Func
	switch { // commands of one name take about as long, if any do
	case name != "":
	case tw.Label != "":
		name = tw.Label
	case len(tw.Argv) > 0:
		name = tw.Argv[0]
	}
	c := &sched.Class{
		Program: tw.Program, Func: name, Label: tw.Label, Need: tw.Need,
		Priority: tw.Priority, Retry: tw.Retry, Limit: tw.Limit, Target: tutti.NoEngine, Engines: tw.Engines, Durable: tw.Durable,
	}
	if tw.Target != nil {
		c.Target = *tw.Target
	}
	return c
}

// release gives up one task's use of a work.
func (w *works) release(x *work) {
	if x.tasks--; x.tasks == 0 {
		delete(w.byKey, x.key)
	}
}

// blobCount counts who refers to each blob: arguments and results of the records. Blobs that
// nobody refers to are dropped at the node that has them.
type blobCount struct {
	refs map[tutti.BlobID]int
}

func (b *blobCount) init() { b.refs = map[tutti.BlobID]int{} }

func (b *blobCount) add(refs ...tutti.Ref) {
	for _, r := range refs {
		if !r.IsZero() {
			b.refs[r.Blob]++
		}
	}
}

// drop gives up references, and returns the blobs that had their last one.
func (b *blobCount) drop(refs ...tutti.Ref) (free []tutti.BlobID) {
	for _, r := range refs {
		if r.IsZero() {
			continue
		}
		if b.refs[r.Blob]--; b.refs[r.Blob] <= 0 {
			delete(b.refs, r.Blob)
			free = append(free, r.Blob)
		}
	}
	return free
}

// dropRefs gives up a record's references and tells the nodes what is free.
func (c *Controller) dropRefs(refs ...tutti.Ref) {
	for _, id := range c.blobs.drop(refs...) {
		if a := c.agents[id.Node]; a != nil {
			a.dropBlob(id)
		}
	}
}

// dropRecord forgets a task altogether.
func (c *Controller) dropRecord(id tutti.TaskID, r *record) {
	c.dropRefs(r.blobs...)
	if r.last != nil {
		c.dropRefs(r.last.Value.Ref)
	}
	c.kept.remove(r)
	c.outputs.drop(id)
	c.works.release(r.work)
	if r.work.work.Durable {
		c.rec.dropped(id)
	}
}

// outcome is the form in which a task's end travels to its client.
func (c *Controller) outcome(id tutti.TaskID, r *record) wire.Outcome {
	o := wire.Outcome{Task: id, State: r.state, Engine: tutti.NoEngine, Node: tutti.NoNode}
	if l := r.last; l != nil {
		o.Value, o.Fail, o.Engine, o.Node = l.Value, l.Fail, l.Engine, r.node
		o.Attempt, o.Started, o.Finished = l.Run.Attempt, l.Started, l.Started+l.Took
	}
	return o
}
