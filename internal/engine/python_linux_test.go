package engine

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
