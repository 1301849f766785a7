package engine

import (
	"context"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
	"github.com/tutti-hpc/tutti/python"
)

// Python is the runtime of Python interpreters: programs "python:3.11". The program's Path is the
// interpreter, found on PATH where it is empty; its Args stand before our own, its Env and Dir are
// those of the client, so that engines find the modules that the client finds. What engines were
// told to run at their start is kept here, and run again in their later lives. Use one for an agent.
type Python struct {
	mu    sync.Mutex
	setup map[tutti.EngineID][]string
	all   []string // of engines that are started from now on
}

// pythonBoot is what the interpreter is told to execute: it must make sense to versions that are
// too old for anything else. Our own modules are compiled once for all engines even where the
// environment forbids that for others: they lie in a cache of ours. Those of Python are imported
// before, so that they stay as they are.
const pythonBoot = `import sys
if sys.version_info < (3, 9): sys.exit("tutti needs Python 3.9 or later; %s is %d.%d" % ((sys.executable,) + tuple(sys.version_info[:2])))
import gc
gc.disable()
if sys.dont_write_bytecode and "TUTTI_PYTHON" not in sys.modules["os"].environ:
    import ctypes, faulthandler, fcntl, json, mmap, pickle, select, signal, socket, threading, typing, weakref
    sys.dont_write_bytecode = False
    from tutti._engine import driver
    sys.dont_write_bytecode = True
    del driver
from tutti._engine import __main__`

// Start begins an interpreter; see [Runtime]. Kinds: NotFound and Denied for the interpreter's
// file, Full where there are no descriptors or processes left.
func (py *Python) Start(_ context.Context, s Spec, sink func(Event)) (Process, error) {
	path, err := pythonPath(s.Program)
	if err != nil {
		return nil, tutti.E("start engine", tutti.KindOf(err), err)
	}
	env, err := pythonEnv(s)
	if err != nil {
		return nil, tutti.Errorf("start engine", tutti.KindOf(err), "unpack the Python package: %w", err)
	}
	e, err := newEnds(s, pyShared)
	if err != nil {
		return nil, tutti.E("start engine", kindOfErrno(err), err)
	}
	defer e.closeTheirs()
	p, err := newPyProcess(py, s, e, sink)
	if err == nil {
		err = p.start(s, path, slices.Concat([]string{path}, s.Program.Args, []string{"-c", pythonBoot}), env...)
	}
	if err != nil {
		e.closeOurs()
		return nil, startError("start engine", path, s.Program.Dir, err)
	}
	p.begin(slices.Concat(s.Program.Setup, py.setupOf(s.Engine)))
	if s.ServeBlobs != nil {
		go s.ServeBlobs(e.blobs)
	}
	return p, nil
}

// pythonPath finds the interpreter. Links are not followed: an environment is known by them.
func pythonPath(p wire.ProgramSpec) (string, error) {
	if p.Path != "" {
		return filepath.Abs(p.Path)
	}
	_, version, _ := strings.Cut(p.Name, ":")
	path, err := exec.LookPath("python" + version)
	if err != nil {
		path, err = exec.LookPath("python3")
	}
	return path, err
}

// pythonEnv puts our packages in front of what the client's interpreter searches.
func pythonEnv(s Spec) ([]string, error) {
	env, err := python.Environ()
	if err != nil {
		return nil, err
	}
	given := func(name, usual string) string {
		for _, kv := range slices.Concat(s.Program.Env, s.Env) {
			if v, ok := strings.CutPrefix(kv, name+"="); ok {
				usual = v
			}
		}
		return usual
	}
	dir, err := python.Unpack()
	if err != nil {
		return nil, err
	}
	path := []string{dir}
	for _, d := range filepath.SplitList(given("PYTHONPATH", os.Getenv("PYTHONPATH"))) {
		if d != dir {
			path = append(path, d)
		}
	}
	return append(env, "PYTHONPATH="+strings.Join(path, string(os.PathListSeparator))), nil
}

// remember keeps start-up code for the lives to come.
func (py *Python) remember(engine tutti.EngineID, body []byte) {
	var c pyCode
	if json.Unmarshal(body, &c) != nil {
		return
	}
	py.mu.Lock()
	defer py.mu.Unlock()
	switch {
	case slices.Contains(py.all, c.Code):
	case c.All:
		py.all = append(py.all, c.Code)
	case !slices.Contains(py.setup[engine], c.Code):
		if py.setup == nil {
			py.setup = map[tutti.EngineID][]string{}
		}
		py.setup[engine] = append(py.setup[engine], c.Code)
	}
}

// setupOf is what an engine runs at its start.
func (py *Python) setupOf(engine tutti.EngineID) []string {
	py.mu.Lock()
	defer py.mu.Unlock()
	return slices.Concat(py.all, py.setup[engine])
}
