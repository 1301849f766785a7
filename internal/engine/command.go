package engine

import (
	"bytes"
	"strconv"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Command is a program that is executed for one run. Exactly one of Argv and Script is set.
type Command struct {
	Run     tutti.RunID
	Argv    []string // executed as it stands; Argv[0] is looked up in the command's PATH
	Script  string   // given to /bin/sh -c
	Env     []string // on top of the agent's and of what Threads and GPUs say
	Dir     string
	Stdin   []byte
	Threads int      // OMP_NUM_THREADS; 0 leaves it
	GPUs    []string // CUDA_VISIBLE_DEVICES
	NoGPUs  bool     // the node has accelerators and this command none of them
	Grace   time.Duration
	Host    string // for its error
}

// DefaultGrace is the time between SIGINT, SIGTERM and SIGKILL, and between asking a function to
// stop and ending its engine.
const DefaultGrace = 2 * time.Second

// Commander executes commands.
type Commander interface {
	// Start begins a command and returns. sink hears [Output], [Started] if it lasts, and at last
	// one [Results] with one result; it is called by one goroutine at a time, and while it blocks
	// the command's output waits. An error means that nothing was started: kinds NotFound,
	// Denied and Invalid for what is wrong with the command, Full for what the node lacks.
	Start(c Command, sink func(Event)) (Job, error)
}

// Job is a command that was started. Its methods may be called concurrently and never block.
type Job interface {
	Pid() int
	// Cancel ends the command's group: SIGINT, after a grace SIGTERM, after another SIGKILL.
	Cancel(timeout bool)
	Kill()
	// Credit returns n bytes of Output that were dealt with: see [OutputWindow].
	Credit(n int)
}

// Exit is the value of a command's run, as CBOR, also of one that did not end well.
type Exit struct {
	Code   int
	Signal string
}

// tailSize is how much of a command's last words is kept for its error.
const tailSize = 2 << 10

// tail keeps the last of what is written to it.
type tail []byte

func (t *tail) add(b []byte) {
	*t = append(*t, b...)
	if more := len(*t) - tailSize; more > 0 {
		*t = append((*t)[:0], (*t)[more:]...)
	}
}

// tailLines is how many last lines an error shows.
const tailLines = 5

func (t tail) lines() string {
	lines := bytes.Split(bytes.TrimSpace(t), []byte("\n"))
	if len(lines) > tailLines {
		lines = lines[len(lines)-tailLines:]
	}
	return string(bytes.Join(lines, []byte("\n")))
}

// commandEnd is what is known of a command that has ended.
type commandEnd struct {
	exit           Exit
	oom            bool
	asked, timeout bool
	began, ended   time.Time
	stderr         tail
}

// result makes the run's result: the exit status 0 is success, whatever was asked meanwhile.
func (c *Command) result(e *commandEnd) wire.Result {
	r := wire.Result{
		Run: c.Run, Engine: tutti.NoEngine, Started: e.began.UnixNano(), Took: int64(e.ended.Sub(e.began)),
	}
	r.Value, _ = tutti.Encode(e.exit) // a number and text: cannot fail
	if e.exit == (Exit{}) {
		return r
	}
	var err *tutti.Error
	switch {
	case e.asked:
		r.Ending, err = WasCanceled, stopped(e.timeout)
	case e.oom && e.exit.Signal == "KILL":
		r.Ending = MachineFailed
		err = tutti.Errorf("run "+c.name(), tutti.Lost, "it was killed because the node had no memory left").
			WithHint("say how much memory it needs, and it will not share the node with too many others")
	default:
		r.Ending = UserFailed
		err = tutti.Errorf("run "+c.name(), tutti.Failed, "%s", e.sentence())
	}
	err.Task, err.Host = c.Run.Task, c.Host
	r.Fail = pack(err)
	return r
}

// sentence is how it ended, with its last words.
func (e *commandEnd) sentence() string {
	s := "exit status " + strconv.Itoa(e.exit.Code)
	if e.exit.Signal != "" {
		s = "killed by signal " + e.exit.Signal
	}
	if last := e.stderr.lines(); last != "" {
		s += ": " + last
	}
	return s
}

// name is the command for people.
func (c *Command) name() string {
	if c.Script != "" {
		return "script"
	}
	return c.Argv[0]
}

// EndingOf sorts an error of [Commander.Start] or [Runtime.Start]: what the node lacks passes,
// what is wrong with the program does not.
func EndingOf(err error) Ending {
	switch tutti.KindOf(err) {
	case tutti.Full, tutti.Lost, tutti.Closed:
		return MachineFailed
	}
	return Rejected
}
