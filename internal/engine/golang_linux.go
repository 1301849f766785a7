package engine

import (
	"context"
	"encoding/json"
	"path/filepath"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Go is the runtime of the user's own binary, started again as an engine: programs "go:...".
type Go struct{}

// Start begins an engine process; see [Runtime]. Kinds: NotFound and Denied for the program's
// file, Full where there are no descriptors or processes left.
func (Go) Start(_ context.Context, s Spec, sink func(Event)) (Process, error) {
	e, err := newEnds(s, boardSize)
	if err != nil {
		return nil, tutti.E("start engine", kindOfErrno(err), err)
	}
	defer e.closeTheirs()
	p := &process{child: newChild(e)}
	p.session = newSession(s, e.conn, sink)
	p.session.onReady = p.handOver
	path, err := programPath(s.Program)
	if err == nil {
		err = p.start(path)
	}
	if err != nil {
		e.closeOurs()
		return nil, startError("start engine", s.Program.Path, s.Program.Dir, err)
	}
	p.rest[0].begin(e.stdout)
	p.rest[1].begin(e.stderr)
	go p.write()
	go p.ping(p.Kill)
	go p.carry()
	go p.wait()
	if s.ServeBlobs != nil {
		go s.ServeBlobs(e.blobs)
	}
	return p, nil
}

// programPath is the file to execute; no PATH is searched for a program of ours.
func programPath(p wire.ProgramSpec) (string, error) {
	if p.Path == "" {
		return "", tutti.Errorf("", tutti.NotFound, "the program %q has no file", p.Name)
	}
	return filepath.Abs(p.Path)
}

// process is an engine in a process of its own.
type process struct {
	*session
	*child
	rest [2]remainder // of stdout and stderr
}

func (p *process) start(path string) error {
	id, err := json.Marshal(identity{
		Engine: p.spec.Engine, Life: p.spec.Life, Host: p.spec.Host, Threads: max(1, p.spec.Threads), Blobs: p.spec.ServeBlobs != nil,
	})
	if err != nil {
		return err
	}
	return p.child.start(p.spec, path, append([]string{path}, p.spec.Program.Args...), engineEnv+"="+string(id))
}

// handOver leaves the pipes to the engine, which reads them from now on, and passes on what came
// before.
func (p *process) handOver() {
	for i := range p.rest {
		if early := p.rest[i].finish(); len(early) > 0 {
			p.sink(Output{wire.Output{Stream: uint8(i + 1), Data: early}})
		}
	}
}

// carry is the process's life as its agent sees it: what it says, then how it ended.
func (p *process) carry() {
	crash := make(chan []byte, 1)
	go func() { crash <- p.readCrash() }()
	readErr := p.session.read(p.conn)
	x := p.collect(readErr)
	x.Stack, x.Begun, x.Ended = string(<-crash), p.board.begun.Load(), p.board.ended.Load()
	p.describe(&x, readErr)
	x.Stdout, x.Stderr = p.rest[0].finish(), p.rest[1].finish()
	if last := lastLines(x.Stderr); !p.isReady() && last != "" {
		x.Why += ": " + last
	}
	p.closeOurs()
	p.sink(x)
}

// readCrash reads what the Go runtime writes when the process dies of a panic or a fault. The
// same goes to its stderr, which nobody in the process reads any more: that is done here, lest it
// hang in its last words.
func (p *process) readCrash() []byte {
	head := make([]byte, 4<<10)
	n, _ := p.crash.Read(head)
	if n == 0 {
		return nil
	}
	p.rest[1].resume()
	text := append([]byte(nil), head[:n]...)
	for err := error(nil); err == nil; {
		n, err = p.crash.Read(head)
		if len(text) < maxText {
			text = append(text, head[:n]...)
		}
	}
	return text
}

// lastLines shortens what a program said before it died to what fits in an error.
func lastLines(b []byte) string {
	const most = 600
	s := strings.TrimSpace(string(b))
	if len(s) > most {
		s = "..." + s[len(s)-most:]
	}
	return s
}
