package engine

import (
	"context"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// MemoryCommands executes commands that are Go functions, for tests in virtual time; the key is
// Argv[0]. It has those of [Words] besides. A script is split at blanks.
type MemoryCommands map[string]MemoryCommand

// MemoryCommand does what a program of that name would, and returns its exit status. print is its
// stdout (1) and stderr (2).
type MemoryCommand func(ctx context.Context, c Command, print func(stream uint8, text string)) int

// Words are the commands that every MemoryCommands has.
var Words = MemoryCommands{
	"true":  func(context.Context, Command, func(uint8, string)) int { return 0 },
	"false": func(context.Context, Command, func(uint8, string)) int { return 1 },
	"echo": func(_ context.Context, c Command, print func(uint8, string)) int {
		print(1, strings.Join(c.Argv[1:], " ")+"\n")
		return 0
	},
	"sleep": func(ctx context.Context, c Command, _ func(uint8, string)) int {
		d, err := time.ParseDuration(c.Argv[1])
		if err != nil {
			return 2
		}
		t := time.NewTimer(d)
		defer t.Stop()
		select {
		case <-t.C:
			return 0
		case <-ctx.Done():
			return 130
		}
	},
	"exit": func(_ context.Context, c Command, print func(uint8, string)) int {
		n, _ := strconv.Atoi(c.Argv[1])
		print(2, "exit with "+c.Argv[1]+"\n")
		return n
	},
}

// Start begins a command; see [Commander].
func (m MemoryCommands) Start(c Command, sink func(Event)) (Job, error) {
	if c.Script != "" {
		c.Argv = strings.Fields(c.Script)
	}
	f := m[c.Argv[0]]
	if f == nil {
		f = Words[c.Argv[0]]
	}
	if f == nil {
		return nil, tutti.Errorf("run "+c.Argv[0], tutti.NotFound, "there is no program %q in PATH", c.Argv[0])
	}
	j := &memoryJob{Command: c, sink: sink}
	j.ctx, j.cancel = context.WithCancel(context.Background())
	go j.run(f)
	return j, nil
}

type memoryJob struct {
	Command
	ctx    context.Context
	cancel context.CancelFunc
	sink   func(Event)

	telling sync.Mutex

	mu     sync.Mutex
	end    commandEnd
	killed bool
}

func (j *memoryJob) Pid() int   { return 0 }
func (j *memoryJob) Credit(int) {}

func (j *memoryJob) tell(e Event) {
	j.telling.Lock()
	defer j.telling.Unlock()
	j.sink(e)
}

func (j *memoryJob) Cancel(timeout bool) {
	j.mu.Lock()
	j.end.asked, j.end.timeout = true, timeout
	j.mu.Unlock()
	j.cancel()
}

func (j *memoryJob) Kill() {
	j.mu.Lock()
	j.killed = true
	j.mu.Unlock()
	j.cancel()
}

func (j *memoryJob) run(f MemoryCommand) {
	defer j.cancel()
	began := time.Now()
	over := make(chan struct{})
	var watch sync.WaitGroup
	watch.Go(func() {
		t := time.NewTimer(startedTicks * tick)
		defer t.Stop()
		select {
		case <-t.C:
			j.tell(Started{wire.RunStart{Run: j.Run, At: began.UnixNano()}})
		case <-over:
		}
	})
	var offset [3]int64
	var last tail
	code := f(j.ctx, j.Command, func(stream uint8, text string) {
		j.tell(Output{wire.Output{Run: j.Run, Stream: stream, Offset: offset[stream], Data: []byte(text)}})
		offset[stream] += int64(len(text))
		if stream == 2 {
			last.add([]byte(text))
		}
	})
	close(over)
	watch.Wait()
	j.mu.Lock()
	e := j.end
	if j.killed && code != 0 {
		e.exit.Signal, code = "KILL", 0
	}
	j.mu.Unlock()
	e.began, e.ended, e.exit.Code, e.stderr = began, time.Now(), code, slices.Clone(last)
	j.tell(Results{[]wire.Result{j.result(&e)}})
}
