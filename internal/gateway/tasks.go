package gateway

import (
	"bytes"
	"encoding/json"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// work is what a client calls by a number: what many of its tasks have in common.
type work struct {
	work tutti.Work
	err  error // why tasks of it cannot be submitted
}

// workText is the JSON of a work.
type workText struct {
	Func     string            `json:"func"`
	Label    string            `json:"label"`
	Target   *tutti.EngineID   `json:"target"`
	Engines  []tutti.EngineID  `json:"engines"`
	Need     tutti.Resources   `json:"need"` // its time in ns
	Lost     int               `json:"retries_lost"`
	Failed   int               `json:"retries_failed"`
	Limit    float64           `json:"limit"` // s
	Priority int               `json:"priority"`
	Durable  bool              `json:"durable"`
	Echo     bool              `json:"echo"`
	Argv     []string          `json:"argv"`   // a command, in place of a function
	Script   string            `json:"script"` // likewise
	Env      map[string]string `json:"env"`
	Dir      string            `json:"dir"`
}

const (
	// smallShare is what a call needs of a node's cores in a cluster of the gateway's own, where nothing
	// is said: engines bound what runs at once there, and more of them may be started than there are
	// cores.
	smallShare = 1.0 / 64
	// maxWorks bounds how many works a client may have at a time.
	maxWorks = 1 << 20
	// maxLimit is the longest time limit, in seconds: what is longer is none.
	maxLimit = 100 * 365 * 24 * 3600
)

// work takes in a WORK.
func (c *conn) work(body []byte) error {
	cur := cursor{b: body}
	no := cur.u32()
	var t workText
	if err := cur.text(&t); err != nil {
		return err
	}
	if len(c.works) >= maxWorks {
		return tutti.Errorf("describe work", tutti.Full, "there are %d works", len(c.works)).WithHint("drop those that are not used any more")
	}
	w := &work{work: tutti.Work{
		Program: c.program, Func: t.Func, Code: bytes.Clone(cur.b), Label: t.Label, Target: t.Target, Engines: t.Engines,
		Need: t.Need, Retry: tutti.Retry{Lost: t.Lost, Failed: t.Failed}, Priority: t.Priority, Durable: t.Durable, Echo: t.Echo,
		Argv: t.Argv, Script: t.Script, Dir: t.Dir,
	}}
	if t.Func == "" {
		w.work.Program = ""
	} else if c.g.cfg.Own && t.Target == nil && t.Need.Cores == 0 && t.Need.Ranks == 0 && len(t.Engines) == 0 {
		w.work.Need.Cores = smallShare
	}
	for name, value := range t.Env {
		w.work.Env = append(w.work.Env, name+"="+value)
	}
	if t.Limit > 0 && t.Limit < maxLimit {
		w.work.Limit = time.Duration(t.Limit * float64(time.Second))
	}
	if t.Limit < 0 {
		w.work.Limit = -1
	}
	w.err = (&tutti.Task{Work: &w.work}).Check()
	c.works[no] = w
	return nil
}

func (c *conn) dropWork(body []byte) error {
	cur := cursor{b: body}
	no := cur.u32()
	if cur.bad || len(cur.b) > 0 {
		return errShort
	}
	delete(c.works, no)
	return nil
}

// find finds a work by its number.
func (c *conn) find(no uint32) (*work, error) {
	w := c.works[no]
	if w == nil {
		return nil, tutti.Errorf("submit", tutti.Corrupt, "work %d was not described", no)
	}
	return w, nil
}

// batchTasks is how many tasks share their memory: it is free when all of them have ended.
const batchTasks = 256

// tasks takes in a TASKS: tasks with one argument each, in one pass over the bytes and with one
// copy of them.
func (c *conn) tasks(body []byte) error {
	cur := cursor{b: body}
	no, n, first := cur.u32(), cur.u32(), cur.u64()
	lengths := cur.bytes(4 * uint64(n))
	if cur.bad {
		return errShort
	}
	w, err := c.find(no)
	if err != nil {
		return err
	}
	for n > 0 {
		k := min(n, batchTasks)
		sum := uint64(0)
		for i := range k {
			sum += uint64(le.Uint32(lengths[4*i:]))
		}
		payloads := cur.bytes(sum)
		if cur.bad {
			return errShort
		}
		if err := c.batch(w, first, lengths[:4*k], payloads); err != nil {
			return err
		}
		n, first, lengths = n-k, first+uint64(k), lengths[4*k:]
	}
	if len(cur.b) > 0 {
		return tutti.Errorf("read frame", tutti.Corrupt, "%d bytes belong to no task", len(cur.b))
	}
	return nil
}

// The travelling form of one argument that is a short pickle: its bytes, with their length, stand
// between these.
var argsBefore, argsAfter = func() (before, after []byte) {
	const mark = "\xc4\x04mark" // as msgpack: a binary of four bytes
	whole, err := wire.PackArgs(nil, []tutti.Arg{{Value: tutti.Value{Codec: tutti.Pickle, Data: []byte(mark[2:])}}})
	before, after, ok := bytes.Cut(whole, []byte(mark))
	if err != nil || !ok {
		panic("gateway: arguments are not encoded as they were")
	}
	return before, after
}()

// appendArgs appends the travelling form of one argument that is a pickle.
func appendArgs(b, payload []byte) []byte {
	b = append(b, argsBefore...)
	switch n := len(payload); {
	case n < 1<<8:
		b = append(b, 0xc4, byte(n))
	case n < 1<<16:
		b = append(b, 0xc5, byte(n>>8), byte(n))
	default:
		b = append(b, 0xc6, byte(n>>24), byte(n>>16), byte(n>>8), byte(n))
	}
	b = append(b, payload...)
	return append(b, argsAfter...)
}

// batch submits tasks of one work.
func (c *conn) batch(w *work, first uint64, lengths, payloads []byte) error {
	k := len(lengths) / 4
	arena := make([]byte, 0, len(payloads)+k*(len(argsBefore)+len(argsAfter)+5))
	c.raw = c.raw[:0]
	for i := range k {
		var p []byte
		n := le.Uint32(lengths[4*i:])
		p, payloads = payloads[:n], payloads[n:]
		if n > tutti.InlineLimit {
			t, err := c.client.RawTaskOf(c.ctx, &tutti.Task{Work: &w.work, Args: []tutti.Arg{{Value: tutti.Value{Codec: tutti.Pickle, Data: bytes.Clone(p)}}}})
			if err != nil {
				c.give(w, first, c.raw)
				c.fail(first+uint64(i), err)
				c.raw, first = c.raw[:0], first+uint64(i)+1
				continue
			}
			c.raw = append(c.raw, t)
			continue
		}
		from := len(arena)
		arena = appendArgs(arena, p)
		c.raw = append(c.raw, cluster.RawTask{Args: arena[from:len(arena):len(arena)]})
	}
	return c.give(w, first, c.raw)
}

// give submits tasks, and tells their ends where that cannot be. The error is of what cannot come
// from a client that keeps to the protocol.
func (c *conn) give(w *work, first uint64, tasks []cluster.RawTask) error {
	if len(tasks) == 0 {
		return nil
	}
	err := w.err
	if err == nil {
		err = c.client.SubmitBatch(c.ctx, &w.work, first, tasks, c)
	}
	clear(tasks)
	switch {
	case err == nil:
		return nil
	case tutti.KindOf(err) == tutti.Invalid && w.err == nil:
		return err
	}
	for i := range tasks {
		c.fail(first+uint64(i), err)
	}
	return nil
}

// fail tells the end of a task that never became one.
func (c *conn) fail(n uint64, err error) {
	c.out.settle(n, &wire.Outcome{
		Task: tutti.MakeTaskID(c.client.ID(), n), State: tutti.Errored, Fail: wire.PackError(err),
		Engine: tutti.NoEngine, Node: tutti.NoNode,
	})
	c.out.flush()
}

// taskText is the JSON of a single task.
type taskText struct {
	Work   uint32     `json:"work"`
	N      uint64     `json:"n"`
	After  []taskName `json:"after"`
	Follow []taskName `json:"follow"`
	Deps   []taskName `json:"deps"`
	Args   []argText  `json:"args"`
}

// argText is the JSON of an argument: one of its fields is there.
type argText struct {
	Len   *uint64     `json:"len"`  // so many bytes of the payload
	Ref   *tutti.Ref  `json:"ref"`  // a blob
	From  *taskName   `json:"from"` // the result of a task
	Items *[]argText  `json:"items"`
	Codec tutti.Codec `json:"codec"` // of bytes and blobs; 0: a pickle
}

// taskName is a task's id as clients write it: "7.12", or the number alone of one of its own.
type taskName struct {
	id tutti.TaskID
	n  uint64 // where id is zero
}

// UnmarshalJSON reads either form.
func (t *taskName) UnmarshalJSON(data []byte) error {
	if len(data) > 0 && data[0] != '"' {
		return json.Unmarshal(data, &t.n)
	}
	var s string
	err := json.Unmarshal(data, &s)
	if err == nil {
		t.id, err = tutti.ParseTaskID(s)
	}
	return err
}

// of gives the id, for a client.
func (t taskName) of(c *conn) tutti.TaskID {
	if t.id != 0 {
		return t.id
	}
	return tutti.MakeTaskID(c.client.ID(), t.n)
}

func (c *conn) idsOf(names []taskName) []tutti.TaskID {
	if len(names) == 0 {
		return nil
	}
	ids := make([]tutti.TaskID, len(names))
	for i, n := range names {
		ids[i] = n.of(c)
	}
	return ids
}

// task takes in a TASK: one with dependencies, or several arguments.
func (c *conn) task(body []byte) error {
	cur := cursor{b: body}
	var t taskText
	if err := cur.text(&t); err != nil {
		return err
	}
	w, err := c.find(t.Work)
	if err != nil {
		return err
	}
	payload := cursor{b: bytes.Clone(cur.b)}
	if countArgs(t.Args) > maxArgs {
		return tutti.Errorf("submit", tutti.Corrupt, "task %d has more than %d arguments", t.N, maxArgs)
	}
	args := c.argsOf(t.Args, &payload, 0)
	if payload.bad || len(payload.b) > 0 {
		return tutti.Errorf("submit", tutti.Corrupt, "the arguments of task %d are not the bytes that came with it", t.N)
	}
	full := &tutti.Task{Work: &w.work, Args: args, Deps: c.idsOf(t.Deps), After: c.idsOf(t.After), Follow: c.idsOf(t.Follow)}
	full.ID = tutti.MakeTaskID(c.client.ID(), t.N)
	err = full.Check()
	var raw cluster.RawTask
	if err == nil {
		raw, err = c.client.RawTaskOf(c.ctx, full)
	}
	if err != nil {
		c.fail(t.N, err)
		return nil
	}
	return c.give(w, t.N, []cluster.RawTask{raw})
}

const (
	// maxArgs bounds how many arguments a task has, those in lists counted.
	maxArgs = 64 << 10
	// maxDepth bounds how deep lists of arguments lie in each other.
	maxDepth = 16
)

func countArgs(texts []argText) int {
	n := len(texts)
	for _, t := range texts {
		if t.Items != nil {
			n += countArgs(*t.Items)
		}
	}
	return n
}

// argsOf makes arguments of their JSON and the bytes that came with it.
func (c *conn) argsOf(texts []argText, payload *cursor, depth int) []tutti.Arg {
	args := make([]tutti.Arg, len(texts))
	for i, t := range texts {
		a, codec := &args[i], t.Codec
		if codec == tutti.None {
			codec = tutti.Pickle
		}
		switch {
		case t.Len != nil:
			a.Value = tutti.Value{Codec: codec, Data: payload.bytes(*t.Len)}
		case t.Ref != nil:
			a.Value = tutti.Value{Codec: codec, Ref: *t.Ref}
		case t.From != nil:
			a.From = t.From.of(c)
		case t.Items != nil && depth < maxDepth:
			a.Items = c.argsOf(*t.Items, payload, depth+1)
		default:
			payload.bad = true
		}
	}
	return args
}
