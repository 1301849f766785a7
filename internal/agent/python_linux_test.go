package agent

import (
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/engine"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// pack is a Python value: a pickle, in few opcodes.
func pack(pickle string) tutti.Value {
	pickle = "\x80\x05" + pickle + "."
	b := binary.LittleEndian.AppendUint32(nil, 0x4b505454)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(pickle)))
	return tutti.Value{Codec: tutti.Pickle, Data: append(b, pickle...)}
}

// cell is Python code as work.
func cell(code string) work {
	str := func(s string) string { return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s }
	return call("py.execute", 1, pack("("+str("code")+str(code)+"d"))
}

// withPython runs a test with an agent and an engine that is a Python interpreter.
func withPython(t *testing.T, test func(b *boss)) {
	path, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("there is no Python here")
	}
	t.Setenv("TUTTI_PYTHON", filepath.Join("..", "..", "python"))
	withProcesses(t, nil, func(b *boss, _ *Agent) {
		b.spec = wire.ProgramSpec{Name: "python:any", Path: path}
		b.engine(1)
		test(b)
	})
}

// A Python function travels with its work; a failure brings its value; a run that does not stop when asked costs its
// engine.
func TestPythonRuns(t *testing.T) {
	withPython(t, func(b *boss) {
		f := call("py.apply", 1, pack("((I-7\nt}t"))
		f.Code = pack("cbuiltins\nabs\n").Data
		if r := b.result(b.assign(f)[0]); r.Ending != engine.Succeeded || !strings.Contains(string(r.Value.Data), "K\x07.") {
			t.Errorf("%+v", r)
		}
		r := b.result(b.assign(cell("1/0"))[0])
		if e, ok := errorOf(r).(*tutti.Error); !ok || r.Ending != engine.UserFailed || !strings.Contains(e.Stack, "1/0") || !strings.Contains(string(r.Value.Data), "ZeroDivisionError") {
			t.Errorf("%+v", r)
		}
		ids := b.assign(cell("import time\ntime.sleep(1000)"))
		hear[*wire.Started](b)
		b.post(wire.KindAbort, &wire.Runs{Runs: ids})
		if r := b.result(ids[0]); r.Ending != engine.WasCanceled || tutti.KindOf(errorOf(r)) != tutti.Canceled {
			t.Errorf("%+v", r)
		}
		ids = b.assign(cell("import time\nwhile True:\n    try:\n        time.sleep(1000)\n    except KeyboardInterrupt: pass"))
		hear[*wire.Started](b)
		b.post(wire.KindAbort, &wire.Runs{Runs: ids, Timeout: true})
		if r := b.result(ids[0]); r.Ending != engine.WasCanceled || tutti.KindOf(errorOf(r)) != tutti.Timeout {
			t.Errorf("%+v", r)
		}
		hear[*wire.EngineDown](b)
	})
}

// Whatever an interpreter dies of, the run that it was in is told why; if it was killed from outside, it may be tried again elsewhere.
func TestPythonEngineDeaths(t *testing.T) {
	for _, c := range []struct {
		code, text, stack string
		ending            engine.Ending
	}{
		{"import os\nos._exit(3)", "status 3: the code that it ran called os._exit", "", engine.UserFailed},
		{"import ctypes\nctypes.string_at(0)", "signal SEGV", "string_at", engine.UserFailed},
		{"import os, signal\nos.kill(os.getpid(), signal.SIGKILL)", "signal KILL", "", engine.MachineFailed},
	} {
		withPython(t, func(b *boss) {
			ids := b.assign(cell("print('before')"), cell(c.code), cell("2"))
			r := b.result(ids[1])
			e, ok := errorOf(r).(*tutti.Error)
			if !ok || r.Ending != c.ending || e.Kind != tutti.Lost || !strings.Contains(e.Error(), c.text) || !strings.Contains(e.Stack, c.stack) {
				t.Errorf("%s: ending %d: %v\n%s", c.code, r.Ending, errorOf(r), e.Stack)
			}
			if back := hear[*wire.Runs](b).Runs; len(back) != 1 || back[0] != ids[2] {
				t.Errorf("given back %v", back)
			}
			hear[*wire.EngineDown](b)
			b.post(wire.KindStartEngine, &wire.StartEngine{Engine: 1, Life: 2, Program: b.spec.Name})
			hear[*wire.EngineUp](b)
			b.result(b.assign(cell("2"))[0])
		})
	}
}

// An agent that ends leaves no interpreter behind, nor what it has started.
func TestPythonLeavesNothing(t *testing.T) {
	var pids []int
	withPython(t, func(b *boss) {
		b.assign(cell("import os, subprocess, sys\np = subprocess.Popen(['sleep', '1000'])\nprint(os.getpid(), p.pid)\np.wait()"))
		var self, child int
		for said := ""; !strings.HasSuffix(said, "\n"); {
			said += string(hear[*wire.Output](b).Data)
			_, _ = fmt.Sscan(said, &self, &child)
		}
		if self == 0 || child == 0 {
			t.Fatalf("processes %d and %d", self, child)
		}
		pids = []int{self, child}
	})
	for _, pid := range pids {
		for end := time.Now().Add(20 * time.Second); lives(pid); time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("process %d lives on", pid)
			}
		}
	}
}
