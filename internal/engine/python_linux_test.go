package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// interpreters are the Python interpreters of this machine, by name; a test that needs one is
// skipped where there is none.
func interpreters(t testing.TB) map[string]string {
	t.Helper()
	found := map[string]string{}
	for _, name := range []string{"python3", "/usr/bin/python3"} {
		path, err := exec.LookPath(name)
		if err != nil {
			continue
		}
		if real, err := filepath.EvalSymlinks(path); err == nil {
			found[filepath.Base(filepath.Dir(filepath.Dir(path)))+"-"+filepath.Base(real)] = path
		}
	}
	if len(found) == 0 {
		t.Skip("there is no Python here")
	}
	return found
}

// eachPython runs a test with every interpreter.
func eachPython(t *testing.T, test func(t *testing.T, g *rig)) {
	for name, path := range interpreters(t) {
		t.Run(name, func(t *testing.T) { test(t, startPython(t, path, nil)) })
	}
}

func startPython(t testing.TB, path string, edit func(*Spec)) *rig {
	t.Setenv("TUTTI_PYTHON", filepath.Join("..", "..", "python"))
	return start(t, &Python{}, func(s *Spec) {
		s.Program = wire.ProgramSpec{Name: "python:test", Path: path}
		if edit != nil {
			edit(s)
		}
	})
}

// anyPython starts the first interpreter there is.
func anyPython(t testing.TB, edit func(*Spec)) *rig {
	t.Helper()
	for _, path := range interpreters(t) {
		return startPython(t, path, edit)
	}
	return nil
}

// pickles in the few opcodes that tests need
func pyStr(s string) string {
	return "X" + string(binary.LittleEndian.AppendUint32(nil, uint32(len(s)))) + s
}
func pyInt(n int) string                  { return fmt.Sprintf("I%d\n", n) }
func pyTuple(items ...string) string      { return "(" + strings.Join(items, "") + "t" }
func pyList(items ...string) string       { return "(" + strings.Join(items, "") + "l" }
func pyDict(pairs ...string) string       { return "(" + strings.Join(pairs, "") + "d" }
func pyGlobal(module, name string) string { return "c" + module + "\n" + name + "\n" }

func pyPacked(pickle string) []byte {
	pickle = "\x80\x05" + pickle + "."
	b := binary.LittleEndian.AppendUint32(nil, packMagic)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint64(b, uint64(len(pickle)))
	return append(b, pickle...)
}

func packedArg(pickle string) []byte {
	return packArgs(tutti.Arg{Value: tutti.Value{Codec: tutti.Pickle, Data: pyPacked(pickle)}})
}

// py makes a run of one argument.
func (g *rig) py(n uint64, name, code, arg string) Run {
	r := g.run(n, name)
	r.Args = packedArg(arg)
	if code != "" {
		r.Code = pyPacked(code)
	}
	return r
}

// cell makes a run that executes Python code.
func (g *rig) cell(n uint64, code string) Run {
	return g.py(n, "py.execute", "", pyDict(pyStr("code"), pyStr(code)))
}

// cellValue executes code, whose last line is an expression, and gives its repr.
func (g *rig) cellValue(n uint64, code string) string {
	g.t.Helper()
	g.p.Send([]Run{g.cell(n, code)})
	res := g.result(n)
	if res.Ending != Succeeded {
		g.t.Fatalf("%s: ending %d: %v", code, res.Ending, res.Fail.Error())
	}
	return plainOf(res)
}

// plainOf is the text/plain of a cell's result.
func plainOf(res wire.Result) string {
	_, rest, ok := bytes.Cut(res.Value.Data, []byte("text/plain"))
	if !ok {
		return ""
	}
	rest = rest[1:] // the mark that it is remembered
	if rest[0] == 0x8c {
		return string(rest[2 : 2+int(rest[1])])
	}
	return string(rest[5 : 5+binary.LittleEndian.Uint32(rest[1:])])
}

func TestPythonCalls(t *testing.T) {
	eachPython(t, func(t *testing.T, g *rig) {
		const n = 1000
		var runs []Run
		for i := range uint64(n) {
			runs = append(runs, g.py(i+1, "py.apply", pyGlobal("builtins", "abs"), pyTuple(pyTuple(pyInt(-int(i))), pyDict())))
		}
		g.p.Send(runs)
		var all []wire.Result
		for len(all) < n {
			all = append(all, wait[Results](g).Results...)
		}
		for i, res := range all {
			if res.Run != id(uint64(i+1)) || res.Ending != Succeeded || res.Value.Codec != tutti.Pickle {
				t.Fatalf("result %d is of %v: ending %d, %v", i, res.Run, res.Ending, res.Fail.Error())
			}
			if res.Engine != 3 || res.Started == 0 || res.Took < 0 {
				t.Fatalf("engine %d, started %d, took %d", res.Engine, res.Started, res.Took)
			}
		}
		g.p.Send([]Run{g.py(2001, "py.push", "", pyDict(pyStr("x"), pyInt(5)))})
		if r := g.result(2001); r.Ending != Succeeded {
			t.Fatal(r.Fail.Error())
		}
		if s := g.cellValue(2002, "y = x + 1\ny * 7"); s != "42" {
			t.Errorf("the cell gives %q", s)
		}
		g.p.Send([]Run{g.py(2003, "py.pull", "", pyStr("z"))})
		if r := g.result(2003); r.Ending != UserFailed || !strings.Contains(r.Fail.Error().Error(), "NameError: name 'z'") {
			t.Errorf("ending %d: %v", r.Ending, r.Fail.Error())
		}
	})
}

// What goes wrong in a cell or a function is told with its source lines, and the engine lives on.
func TestPythonFailures(t *testing.T) {
	table := []struct {
		name, code, text string
		stack            []string
	}{
		{"error", "def f(x):\n    return 1 // x\nf(0)", "ZeroDivisionError", []string{"return 1 // x", "in f", "<tutti-1>"}},
		{"chained", "try:\n    {}['a']\nexcept KeyError as e:\n    raise ValueError('no star') from e", "ValueError: no star", []string{"KeyError: 'a'", "direct cause"}},
		{"syntax", "a b", "SyntaxError", []string{"a b"}},
		{"exit", "import sys\nsys.exit(4)", "SystemExit: 4", nil},
		{"recursion", "def g(): return g()\ng()", "RecursionError", []string{"Previous line repeated"}},
		{"own interrupt", "raise KeyboardInterrupt", "KeyboardInterrupt", nil},
		{"bad text", "class E(Exception):\n    def __str__(self): raise ValueError('x')\nraise E", "E", nil},
		{"cannot travel", "class F(Exception):\n    def __init__(self): self.lock = __import__('_thread').allocate_lock()\nraise F", "F", nil},
		{"surrogates", "raise ValueError('\\udc80')", "ValueError", nil},
	}
	eachPython(t, func(t *testing.T, g *rig) {
		for i, c := range table {
			n := uint64(i + 1)
			g.p.Send([]Run{g.cell(n, c.code)})
			res := g.result(n)
			err := res.Fail.Error()
			e, ok := err.(*tutti.Error)
			if res.Ending != UserFailed || !ok || e.Kind != tutti.Failed || !strings.Contains(err.Error(), c.text) {
				t.Errorf("%s: ending %d: %v", c.name, res.Ending, err)
				continue
			}
			if e.Engine != 3 || e.Host != "here" || e.Task != id(n).Task || res.Value.Codec != tutti.Pickle {
				t.Errorf("%s: the error does not say where: %+v", c.name, e)
			}
			for _, line := range c.stack {
				if !strings.Contains(e.Stack, line) {
					t.Errorf("%s: the stack has no %q:\n%s", c.name, line, e.Stack)
				}
			}
			if strings.Contains(e.Stack, "driver.py") || strings.Contains(e.Stack, "calls.py") {
				t.Errorf("%s: the stack shows ours:\n%s", c.name, e.Stack)
			}
		}
		if s := g.cellValue(99, "def g(x: int): pass\ng.__annotations__['x'] is int"); s != "True" {
			t.Errorf("our own future statements reach the user's code: %s", s)
		}
		if s := g.cellValue(100, "6 * 7"); s != "42" {
			t.Errorf("afterwards %q", s)
		}
		g.p.Send([]Run{g.cell(101, "import threading\nlock = threading.Lock()"), g.py(102, "py.pull", "", pyStr("lock"))})
		g.result(101)
		if e := g.result(102).Fail.Error(); e == nil || !strings.Contains(e.Error(), "_thread.lock") || !strings.Contains(e.Error(), "cannot be pickled") {
			t.Errorf("a result that cannot travel: %v", e)
		}
		g.p.Send([]Run{g.py(103, "py.apply", pyGlobal("nowhere", "f"), pyTuple(pyTuple(), pyDict()))})
		if e := g.result(103).Fail.Error(); e == nil || !strings.Contains(e.Error(), "No module named 'nowhere'") {
			t.Errorf("a function that is not there: %v", e)
		}
		g.p.Send([]Run{g.run(104, "py.nothing")})
		if r := g.result(104); r.Ending != Rejected || tutti.KindOf(r.Fail.Error()) != tutti.NotFound {
			t.Errorf("a call that is not there: ending %d, %v", r.Ending, r.Fail.Error())
		}
		bad := g.run(105, "py.pull")
		bad.Args = []byte{0x91, 0x93, 0xc0, 0xc0, 0xc0}
		g.p.Send([]Run{bad})
		if r := g.result(105); r.Ending != Rejected || tutti.KindOf(r.Fail.Error()) != tutti.Corrupt {
			t.Errorf("bytes that are no arguments: ending %d, %v", r.Ending, r.Fail.Error())
		}
	})
}

// What one call of a batch raises, or returns that cannot travel, is its result alone.
func TestPythonBatch(t *testing.T) {
	eachPython(t, func(t *testing.T, g *rig) {
		g.good(g.cell(1, "import threading\ndef f(x, *more, **kw):\n    if x == 1: raise ValueError('one')\n    if x == 2: return threading.Lock()\n    if x == 3: raise SystemExit(3)\n    return kw or x"))
		item := func(n int, kw string) string { return pyTuple(pyTuple(pyInt(n)), kw) }
		r := g.good(g.py(2, "py.batch", pyGlobal("__main__", "f"), pyList(item(0, "N"), item(1, "N"), item(2, "N"), item(3, "N"), item(4, pyDict(pyStr("k"), pyStr("five"))))))
		for _, want := range []string{"ValueError", "one", "cannot be pickled", "_thread.lock", "SystemExit", "five"} {
			if !strings.Contains(string(r.Value.Data), want) {
				t.Errorf("no %q in %q", want, r.Value.Data)
			}
		}
	})
}

// A run that is cancelled ends, whether it waits, sleeps or computes; what was behind it goes on.
func TestPythonCancel(t *testing.T) {
	eachPython(t, func(t *testing.T, g *rig) {
		for i, code := range []string{"import time\ntime.sleep(1000)", "while True: pass", "import subprocess\nsubprocess.run(['sleep', '1000'])", "import os\nos.system('sleep 1000')\nwhile True: pass"} {
			n := uint64(10 * i)
			g.p.Send([]Run{g.cell(n+1, code), g.cell(n+2, "1"), g.cell(n+3, "2")})
			if s := wait[Started](g); s.Run.Run != id(n+1) || s.Run.At == 0 {
				t.Fatalf("started %+v", s)
			}
			g.p.Cancel(id(n+2), false)
			if res := g.result(n + 2); res.Ending != WasCanceled || tutti.KindOf(res.Fail.Error()) != tutti.Canceled {
				t.Fatalf("one that waited: ending %d, %v", res.Ending, res.Fail.Error())
			}
			g.p.Cancel(id(n+1), true)
			var all []wire.Result
			for len(all) < 2 {
				all = append(all, wait[Results](g).Results...)
			}
			if all[0].Run != id(n+1) || all[0].Ending != WasCanceled || tutti.KindOf(all[0].Fail.Error()) != tutti.Timeout {
				t.Errorf("%q: %+v, %v", code, all[0], all[0].Fail.Error())
			}
			if all[1].Run != id(n+3) || all[1].Ending != Succeeded {
				t.Errorf("the one behind: %+v", all[1])
			}
			g.p.Cancel(id(n+1), false) // over already: nothing
		}
		g.cellValue(100, "1")
	})
}

// Runs that have not begun can be taken back, also those that the interpreter has been given.
func TestPythonTakeBack(t *testing.T) {
	eachPython(t, func(t *testing.T, g *rig) {
		runs := []Run{g.cell(1, "import time")}
		for i := range uint64(40) {
			runs = append(runs, g.py(i+2, "py.apply", pyGlobal("builtins", "abs"), pyTuple(pyTuple(pyInt(1)), pyDict())))
		}
		g.p.Send(runs)
		ended := map[tutti.RunID]bool{}
		for len(ended) < len(runs) {
			for _, res := range wait[Results](g).Results {
				ended[res.Run] = true
			}
		}
		// Functions of which the last call was short are given ahead: the second of these lasts.
		sleep := pyGlobal("time", "sleep")
		g.p.Send([]Run{g.py(100, "py.apply", sleep, pyTuple(pyTuple(pyInt(0)), pyDict()))})
		g.result(100)
		runs = nil
		for i := range uint64(10) {
			s := 0
			if i == 1 {
				s = 1000
			}
			runs = append(runs, g.py(101+i, "py.apply", sleep, pyTuple(pyTuple(pyInt(s)), pyDict())))
		}
		g.p.Send(runs)
		if r := g.result(101); r.Ending != Succeeded { // it is told although the next one lasts
			t.Fatalf("%+v", r)
		}
		if s := wait[Started](g); s.Run.Run != id(102) {
			t.Fatalf("started %+v", s)
		}
		g.p.TakeBack([]tutti.RunID{id(102), id(103), id(105), id(999)})
		if b := wait[GivenBack](g).Runs; len(b) != 2 || b[0] != id(103) || b[1] != id(105) {
			t.Fatalf("given back %v", b)
		}
		g.p.TakeBack([]tutti.RunID{id(103)})
		if b := wait[GivenBack](g).Runs; len(b) != 0 {
			t.Fatalf("given back twice: %v", b)
		}
		g.p.Cancel(id(102), false)
		var got []tutti.RunID
		for len(got) < 7 {
			for _, res := range wait[Results](g).Results {
				got = append(got, res.Run)
			}
		}
		if fmt.Sprint(got) != fmt.Sprint([]tutti.RunID{id(102), id(104), id(106), id(107), id(108), id(109), id(110)}) {
			t.Errorf("ended: %v", got)
		}
	})
}

// What is printed is told apart by run and stream, by whomever it is printed.
func TestPythonOutput(t *testing.T) {
	eachPython(t, func(t *testing.T, g *rig) {
		for i := uint64(1); i <= 20; i++ {
			text := fmt.Sprintf("run %d", i)
			g.p.Send([]Run{g.cell(i, "import sys\nprint('"+text+"')\nsys.stderr.write('err:"+text+"')\nNone")})
			if out, errOut := g.printed(i); out != text+"\n" || errOut != "err:"+text {
				t.Fatalf("run %d printed %q and %q", i, out, errOut)
			}
		}
		for i, c := range []struct{ code, out string }{
			{"import os\nos.system('echo from a child')\nNone", "from a child\n"},
			{"import ctypes\nlibc = ctypes.CDLL(None)\nlibc.printf(b'from C')\nNone", "from C"},
			{"import os\nn = os.write(1, b'from the system')", "from the system"},
			{"import sys\nsys.stdout.write('no line')\nNone", "no line"},
			{"import subprocess\np = subprocess.run(['sh', '-c', 'echo a; echo b'])", "a\nb\n"},
		} {
			n := uint64(30 + i)
			g.p.Send([]Run{g.cell(n, c.code)})
			if out, _ := g.printed(n); out != c.out {
				t.Errorf("%s printed %q", c.code, out)
			}
		}
	})
}

// 100 MB of output pass in bounded pieces; without credit the printing run waits.
func TestPythonMuchOutput(t *testing.T) {
	g := anyPython(t, nil)
	g.p.Send([]Run{g.cell(1, "line = 'x' * 99999\nfor i in range(1000): print(line)")})
	held, total := 0, 0
	for held < OutputWindow { // no credit is given
		held += len(wait[Output](g).Data)
		g.seen = nil
	}
	if held > OutputWindow {
		t.Fatalf("%d bytes came with credit for %d", held, OutputWindow)
	}
	total = held
	g.p.Credit(held)
	for total < 100e6 {
		o := wait[Output](g)
		total += len(o.Data)
		g.p.Credit(len(o.Data))
		g.seen = nil
	}
	if r := g.result(1); r.Ending != Succeeded || total != 100e6 {
		t.Errorf("%d bytes, %+v", total, r)
	}
}

// An interpreter that dies of its own code says of what.
func TestPythonDeaths(t *testing.T) {
	for _, c := range []struct {
		code       string
		status     int
		signal     string
		stack, why string
	}{
		{"import os\nos._exit(3)", 3, "", "", "os._exit"},
		{"import ctypes\ndef deep():\n    ctypes.string_at(0)\ndeep()", 0, "SEGV", "in deep", "signal SEGV"},
		{"import os\nos.abort()", 0, "ABRT", "Current thread", "signal ABRT"},
		{"import os, signal\nprint('last words')\nos.kill(os.getpid(), signal.SIGKILL)", 0, "KILL", "", "signal KILL"},
		{"import os, sys\nprint('why', file=sys.stderr)\nos._exit(5)", 5, "", "", "why"},
	} {
		g := anyPython(t, nil)
		g.p.Send([]Run{g.cell(1, c.code), g.cell(2, "1")})
		x := g.exited()
		if x.Status != c.status || x.Signal != c.signal || !strings.Contains(x.Stack, c.stack) || !strings.Contains(x.Why, c.why) || x.Begun != 1 || x.Ended != 0 {
			t.Errorf("%s: %+v", c.code, x)
		}
	}
}

// An interpreter that is asked to stop finishes what it has, and what its modules have registered.
func TestPythonStop(t *testing.T) {
	eachPython(t, func(t *testing.T, g *rig) {
		file := filepath.Join(t.TempDir(), "said")
		g.p.Send([]Run{g.cell(1, "import atexit, threading, time\natexit.register(lambda: open('"+file+"', 'w').write('bye'))\nthreading.Thread(target=time.sleep, args=(1000,)).start()\ntime.sleep(1000)"), g.cell(2, "1")})
		wait[Started](g)
		g.p.Stop()
		g.p.Cancel(id(1), false)
		n := 0
		for n < 2 {
			n += len(wait[Results](g).Results)
		}
		if x := g.exited(); x.Status != 0 || x.Signal != "" || x.Begun != 2 || x.Ended != 2 {
			t.Errorf("%+v", x)
		}
		if b, err := os.ReadFile(file); string(b) != "bye" {
			t.Errorf("%q, %v", b, err)
		}
	})
}

// A stopped interpreter is found out and killed; its stacks can be seen while it is busy.
func TestPythonHung(t *testing.T) {
	g := anyPython(t, func(s *Spec) { s.Hang = 100 * time.Millisecond })
	g.p.Send([]Run{g.cell(1, "import time\ndef dozing():\n    time.sleep(1000)\ndozing()")})
	wait[Started](g)
	for range 2 {
		if text, err := g.p.Stacks(t.Context()); err != nil || !strings.Contains(text, "in dozing") {
			t.Fatalf("%v: %s", err, text)
		}
	}
	if err := syscall.Kill(g.p.Pid(), syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	if x := g.exited(); !x.Hung || x.Signal != "KILL" || !strings.Contains(x.Why, "stopped") {
		t.Errorf("%+v", x)
	}
	if _, err := g.p.Stacks(t.Context()); tutti.KindOf(err) != tutti.Closed {
		t.Errorf("stacks of a dead engine: %v", err)
	}
}

// Start-up code is run again in the engine's later lives; one that fails is reported.
func TestPythonSetup(t *testing.T) {
	for _, path := range interpreters(t) {
		py := &Python{}
		flag := filepath.Join(t.TempDir(), "flag")
		life := func() *rig {
			t.Setenv("TUTTI_PYTHON", filepath.Join("..", "..", "python"))
			return start(t, py, func(s *Spec) { s.Program = wire.ProgramSpec{Name: "python:any", Path: path} })
		}
		g := life()
		g.p.Send([]Run{g.py(1, "py.setup", "", pyDict(pyStr("code"), pyStr("import os\nready = 7\nif os.path.exists('"+flag+"'): raise OSError('no more')")))})
		if r := g.result(1); r.Ending != Succeeded {
			t.Fatal(r.Fail.Error())
		}
		g.p.Send([]Run{g.py(2, "py.clear", "", "N")})
		g.result(2)
		if s := g.cellValue(3, "ready"); s != "7" {
			t.Errorf("ready is %q", s)
		}
		g.p.Kill()
		g.exited()
		g = life()
		if s := g.cellValue(4, "ready"); s != "7" {
			t.Errorf("in its second life ready is %q", s)
		}
		if err := os.WriteFile(flag, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		events := make(chan Event, 16)
		if _, err := py.Start(t.Context(), Spec{Engine: 3, Program: wire.ProgramSpec{Name: "python:any", Path: path}}, func(e Event) { events <- e }); err != nil {
			t.Fatal(err)
		}
		if x := (<-events).(Exited); x.Status == 0 || !strings.Contains(x.Why, "start-up code failed: OSError: no more") {
			t.Errorf("%+v", x)
		}
		return
	}
}

// What cannot be an engine says why.
func TestPythonStartErrors(t *testing.T) {
	t.Setenv("TUTTI_PYTHON", filepath.Join("..", "..", "python"))
	for _, c := range []struct {
		spec wire.ProgramSpec
		kind tutti.Kind
		text string
	}{
		{wire.ProgramSpec{Name: "python:3.11", Path: "/nowhere/python"}, tutti.NotFound, "/nowhere/python"},
		{wire.ProgramSpec{Name: "python:3.11", Path: "/usr/bin/python3", Dir: "/nowhere"}, tutti.NotFound, "working directory"},
	} {
		_, err := (&Python{}).Start(t.Context(), Spec{Program: c.spec}, func(Event) {})
		if tutti.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) {
			t.Errorf("%+v: %v", c.spec, err)
		}
	}
	for _, path := range interpreters(t) {
		events := make(chan Event, 16)
		if _, err := (&Python{}).Start(t.Context(), Spec{Program: wire.ProgramSpec{Name: "python:3.2", Path: path}}, func(e Event) { events <- e }); err != nil {
			t.Fatal(err)
		}
		if x := (<-events).(Exited); x.Status == 0 || !strings.Contains(x.Why, "not 3.2 as the client's") {
			t.Errorf("%+v", x)
		}
	}
}

// What is shown arrives before the result of the run that shows it.
func TestPythonDisplay(t *testing.T) {
	eachPython(t, func(t *testing.T, g *rig) {
		g.p.Send([]Run{g.cell(1, "from tutti._display import display\ndisplay('<svg/>', mime='image/svg+xml')")})
		d := wait[Display](g)
		if d.Run != id(1) || d.Engine != 3 || d.MIME != "image/svg+xml" || string(d.Value.Data) != "<svg/>" {
			t.Errorf("%+v", d)
		}
		if r := g.result(1); r.Ending != Succeeded {
			t.Error(r.Fail.Error())
		}
	})
}

// What user code leaves behind does not hold the engine's connections: neither threads nor forks.
func TestPythonForks(t *testing.T) {
	eachPython(t, func(t *testing.T, g *rig) {
		code := `import os, multiprocessing
mp = multiprocessing.get_context('fork')
def square(x): return x * x
with mp.Pool(2) as pool:
    got = pool.map(square, range(10))
pid = os.fork()
if pid == 0:
    os.setsid()
    import time
    r, w = os.pipe()
    os.close(1); os.close(2)
    time.sleep(30)
    os._exit(0)
pid`
		g.p.Send([]Run{g.cell(1, code)})
		res := g.result(1)
		if res.Ending != Succeeded {
			t.Fatal(res.Fail.Error())
		}
		child, err := strconv.Atoi(plainOf(res))
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = syscall.Kill(child, syscall.SIGKILL) })
		if s := g.cellValue(2, "got[3]"); s != "9" {
			t.Error(s)
		}
		// A child that comes back from the run is not a second engine.
		g.p.Send([]Run{g.cell(3, "child = os.fork()\nchild == 0")})
		if r := g.result(3); plainOf(r) != "False" {
			t.Errorf("%+v", r)
		}
		g.cellValue(4, "os.waitpid(child, 0)")
		g.p.Stop()
		if x := g.exited(); x.Status != 0 || x.Signal != "" {
			t.Errorf("%+v", x)
		}
	})
}

// Engines are ranks of a world and themselves again: a rank that raises lets the others go, and all keep their
// variables for the next world. It needs the built extension.
func TestPythonWorld(t *testing.T) {
	dist := os.Getenv("TUTTI_DIST")
	if dist == "" {
		dist = filepath.Join("..", "..", "dist")
	}
	dist, _ = filepath.Abs(dist)
	if _, err := os.Stat(filepath.Join(dist, "python", "tutti", "_mpi.abi3.so")); err != nil {
		t.Skip("the extension is not built: make lib")
	}
	t.Setenv("TUTTI_DIST", dist)
	const size = 2
	var rigs [size]*rig
	for i := range rigs {
		rigs[i] = anyPython(t, nil)
		rigs[i].good(rigs[i].cell(1, `count = 0
def total(comm, x):
    global count
    count += 1
    return comm.allreduce(x + comm.Get_rank())
def fall(comm, x):
    if comm.Get_rank() == 1: raise ValueError('rank 1 falls')
    comm.recv(source=1)`))
	}
	world := func(n uint64, name string) (ends [size]wire.Result) {
		memory, err := NewSegment()
		if err != nil {
			t.Fatal(err)
		}
		defer memory.Close()
		path := fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), memory.Fd())
		for i, g := range rigs {
			r := g.py(n, "py.apply", pyGlobal("__main__", name), pyTuple(pyTuple(pyInt(10)), pyDict(), pyDict(pyStr("comm"), pyInt(1))))
			r.World = &World{Name: name, Rank: i, Engines: []tutti.EngineID{3, 4}, Segment: path}
			g.p.Send([]Run{r})
		}
		for i, g := range rigs {
			ends[i] = g.result(n)
		}
		return ends
	}
	for n := range uint64(3) {
		for _, r := range world(10+2*n, "total") {
			if r.Ending != Succeeded || !strings.HasSuffix(string(r.Value.Data), "K\x15.") {
				t.Fatalf("%+v: %v", r, r.Fail.Error())
			}
		}
		ends := world(11+2*n, "fall")
		if e := ends[1].Fail.Error(); tutti.KindOf(e) != tutti.Failed || !strings.Contains(e.Error(), "rank 1 falls") || !strings.Contains(e.Error(), "on rank 1") {
			t.Errorf("%v", e)
		}
		if e := ends[0].Fail.Error(); tutti.KindOf(e) != tutti.Revoked {
			t.Errorf("%v", e)
		}
	}
	// A rank that never comes, because its process has died before: the other is told by the agent, while it has
	// not begun, or waits.
	for n := range uint64(8) {
		memory, err := NewSegment()
		if err != nil {
			t.Fatal(err)
		}
		g := rigs[0]
		r := g.py(50+n, "py.apply", pyGlobal("__main__", "total"), pyTuple(pyTuple(pyInt(10)), pyDict(), pyDict(pyStr("comm"), pyInt(1))))
		r.World = &World{Name: "alone", Engines: []tutti.EngineID{3, 4}, Segment: fmt.Sprintf("/proc/%d/fd/%d", os.Getpid(), memory.Fd())}
		g.p.Send([]Run{r})
		g.p.(Mourner).Lost(r.ID, 1)
		if e := g.result(50 + n).Fail.Error(); tutti.KindOf(e) != tutti.Revoked {
			t.Errorf("%v", e)
		}
		memory.Close()
		g.p.(Mourner).Lost(r.ID, 1) // too late: does nothing
	}
	if s := rigs[0].cellValue(100, "count"); s != "11" {
		t.Errorf("count is %s", s)
	}
	// A task without ranks has no communicator, and says so.
	rigs[0].p.Send([]Run{rigs[0].py(101, "py.apply", pyGlobal("builtins", "len"), pyTuple(pyTuple(), pyDict(), pyDict(pyStr("comm"), pyInt(1))))})
	if e := rigs[0].result(101).Fail.Error(); e == nil || !strings.Contains(e.Error(), "asks for no ranks") {
		t.Errorf("%v", e)
	}
}

// Figures and rich objects are shown as they are in a notebook. It needs matplotlib and IPython.
func TestPythonRich(t *testing.T) {
	g := startPython(t, "/usr/bin/python3", nil)
	g.p.Send([]Run{g.cell(1, "import matplotlib, IPython")})
	if r := g.result(1); r.Ending != Succeeded {
		t.Skip(r.Fail.Error())
	}
	png := func(n uint64, code string, count int) {
		t.Helper()
		g.p.Send([]Run{g.cell(n, code)})
		for range count {
			if d := wait[Display](g); d.Run != id(n) || d.MIME != "image/png" || !bytes.HasPrefix(d.Value.Data, []byte("\x89PNG")) {
				t.Errorf("%s, %q", d.MIME, d.Value.Data[:min(20, len(d.Value.Data))])
			}
		}
		if r := g.result(n); r.Ending != Succeeded {
			t.Error(r.Fail.Error())
		}
	}
	png(2, "import matplotlib.pyplot as plt\nfor i in range(2):\n    plt.figure(); plt.plot([i, 2])", 2)
	png(3, "plt.plot([1]); plt.show()\nassert not plt.get_fignums()", 1)
	g.p.Send([]Run{g.cell(4, "from IPython.display import display, HTML\ndisplay(HTML('<b>x</b>'))")})
	if d := wait[Display](g); !strings.Contains(d.MIME, "mimebundle") || !strings.Contains(string(d.Value.Data), "<b>x</b>") {
		t.Errorf("%s, %q", d.MIME, d.Value.Data)
	}
	g.result(4)
	if r := g.good(g.cell(5, "HTML('<i>y</i>')")); !strings.Contains(string(r.Value.Data), "text/html") {
		t.Errorf("%q", r.Value.Data)
	}
}

// The environment follows what a run was given.
func TestPythonAllotment(t *testing.T) {
	g := anyPython(t, func(s *Spec) { s.Env = []string{"CUDA_VISIBLE_DEVICES=-1"}; s.Threads = 2 })
	show := "import os\nos.environ['CUDA_VISIBLE_DEVICES'] + ' ' + os.environ['OMP_NUM_THREADS']"
	run := g.cell(1, show)
	run.GPUs, run.Threads = []string{"3", "5"}, 4
	if s := plainOf(g.good(run)); s != "'3,5 4'" {
		t.Error(s)
	}
	if s := g.cellValue(2, show); s != "'-1 2'" {
		t.Error(s)
	}
}

// The parts of the driver that need no agent have tests of their own, in Python.
func TestPythonUnits(t *testing.T) {
	tree, err := filepath.Abs(filepath.Join("..", "..", "python"))
	if err != nil {
		t.Fatal(err)
	}
	for name, path := range interpreters(t) {
		t.Run(name, func(t *testing.T) {
			ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
			defer cancel()
			cmd := exec.CommandContext(ctx, path, "-m", "unittest", "discover", "-s", "tests/engine", "-t", "tests/engine")
			cmd.Dir, cmd.Env = tree, append(os.Environ(), "PYTHONPATH="+tree, "PYTHONDONTWRITEBYTECODE=1")
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
		})
	}
}

// Runs that are sent, taken back and cancelled at random end once each; what was taken back was never
// begun, and nothing runs twice.
func TestPythonWalk(t *testing.T) {
	for seed := range uint64(4) {
		g := anyPython(t, nil)
		g.good(g.cell(1, "import time\nhits = {}\ndef hit(n, ms):\n    hits[n] = hits.get(n, 0) + 1\n    if ms: time.sleep(ms / 1000)"))
		rnd := rand.New(rand.NewPCG(seed, 1))
		const first, runs = 10, 3000
		fate := map[tutti.RunID]string{}
		next, asked := uint64(first), 0
		open := func() (list []tutti.RunID) {
			for n := max(first, next-min(next, 60)); n < next; n++ {
				if fate[id(n)] == "" {
					list = append(list, id(n))
				}
			}
			return list
		}
		end := func(r tutti.RunID, how string) {
			if fate[r] != "" {
				t.Fatalf("seed %d: %v ended as %s, then as %s", seed, r, fate[r], how)
			}
			fate[r] = how
		}
		for len(fate) < runs || asked > 0 {
			if outstanding := int(next-first) - len(fate); next < first+runs && outstanding < 100 {
				var batch []Run
				for range 1 + rnd.IntN(20) {
					ms := 0
					if rnd.IntN(200) == 0 {
						ms = 10
					}
					batch = append(batch, g.py(next, "py.apply", pyGlobal("__main__", "hit"), pyTuple(pyTuple(pyInt(int(next)), pyInt(ms)), pyDict())))
					if next++; next == first+runs {
						break
					}
				}
				g.p.Send(batch)
			}
			if list := open(); len(list) > 0 && rnd.IntN(4) == 0 {
				if rnd.IntN(4) == 0 {
					g.p.Cancel(list[rnd.IntN(len(list))], false)
				} else {
					var some []tutti.RunID
					for _, r := range list {
						if rnd.IntN(3) == 0 {
							some = append(some, r)
						}
					}
					asked++
					g.p.TakeBack(some)
				}
			}
			switch e := g.next().(type) {
			case Results:
				for _, r := range e.Results {
					how := "done"
					if r.Ending == WasCanceled {
						how = "canceled"
					} else if r.Ending != Succeeded {
						t.Fatalf("%v: %v", r.Run, r.Fail.Error())
					}
					end(r.Run, how)
				}
			case GivenBack:
				asked--
				for _, r := range e.Runs {
					end(r, "given back")
				}
			case Exited:
				t.Fatalf("seed %d: %+v", seed, e)
			}
			g.seen = nil
		}
		var gone []string
		done := 0
		for n := uint64(first); n < first+runs; n++ {
			switch fate[id(n)] {
			case "done":
				done++
			case "given back":
				gone = append(gone, strconv.Itoa(int(n)))
			}
		}
		check := fmt.Sprintf("gone = [%s]\n(max(hits.values()), [n for n in gone if n in hits], len(hits) >= %d)", strings.Join(gone, ","), done)
		if s := g.cellValue(first+runs, check); s != "(1, [], True)" {
			t.Errorf("seed %d: %s; %d done, %d given back", seed, s, done, len(gone))
		}
		t.Logf("seed %d: %d done, %d given back", seed, done, len(gone))
	}
}

// An interpreter is made to forget functions that were not called for long, and none that waits.
func TestPythonFunctionsForgotten(t *testing.T) {
	funcs := newPyFuncs()
	known := map[uint32]bool{}
	held, _ := funcs.find("held", []byte("code"))
	held.told, held.calls = true, 1
	for i := range 10 * pyFunctions {
		f, forgotten := funcs.find("py.apply", fmt.Appendf(nil, "code %d", i))
		if again, _ := funcs.find("py.apply", fmt.Appendf(nil, "code %d", i)); again != f {
			t.Fatal("one function has two numbers")
		}
		f.told, known[f.number] = true, true
		for _, n := range forgotten {
			if !known[n] {
				t.Fatalf("function %d is forgotten, and was not known", n)
			}
			delete(known, n)
		}
	}
	if len(known) > 2*pyFunctions {
		t.Errorf("%d functions are remembered", len(known))
	}
	if f, _ := funcs.find("held", []byte("code")); f != held {
		t.Error("a function was forgotten while a call of it waited")
	}
}
