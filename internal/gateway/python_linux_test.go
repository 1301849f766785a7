package gateway

import (
	"bytes"
	"fmt"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// pack makes the travelling form of a pickle.
func pack(pickle string) []byte {
	b := le.AppendUint32(nil, packMagic)
	b = le.AppendUint32(b, 0)
	b = le.AppendUint64(b, uint64(len(pickle)))
	return append(b, pickle...)
}

// pythonPlace is a gateway whose engines are Python interpreters.
func pythonPlace(t testing.TB, engines int, change func(*Config)) *place {
	t.Helper()
	exe, err := exec.LookPath("/usr/bin/python3")
	if err != nil {
		t.Skip("no Python here")
	}
	out, err := exec.Command(exe, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").Output()
	if err != nil {
		t.Fatal(err)
	}
	hello.Python, hello.Executable, hello.Cwd = strings.TrimSpace(string(out)), exe, t.TempDir()
	t.Cleanup(func() { hello = usualHello })
	return start(t, engines, func(cfg *Config) {
		cfg.Python, cfg.spec = "", nil
		if change != nil {
			change(cfg)
		}
	})
}

// execute runs code on an engine, and gives its end.
func (u *user) execute(engine int32, code string) uint64 {
	u.t.Helper()
	u.works++
	u.work(u.works, fmt.Sprintf(`{"func":"py.execute","target":%d,"echo":true,"retries_lost":-1}`, engine), nil)
	return u.tasks(u.works, executeArg(code).Data)
}

// printed is what a task's stream has said so far, as it was echoed.
func (u *user) printed(n uint64, stream byte) string {
	u.mu.Lock()
	defer u.mu.Unlock()
	var b bytes.Buffer
	for _, f := range u.told {
		if f.kind == kindOutput && le.Uint64(f.body) == n && f.body[8] == stream {
			b.Write(f.body[9:])
		}
	}
	return b.String()
}

func TestPython(t *testing.T) {
	u := pythonPlace(t, 2, nil).client(t)
	ids := u.waitEngines(2)
	u.work(1000, `{"func":"py.apply","label":"len"}`, pack("cbuiltins\nlen\n."))
	e := u.end(u.tasks(1000, pack("\x80\x02X\x03\x00\x00\x00abc\x85}\x86.")))
	if e.state != tutti.Done || !bytes.Contains(e.value, []byte("K\x03")) {
		t.Fatalf("len('abc'): %+v %+v %q", e, e.fail, e.value)
	}
	n := u.execute(ids[0], "import sys\nprint('said'); print('moaned', file=sys.stderr)\nx = 1")
	if e := u.end(n); e.state != tutti.Done {
		t.Fatalf("%+v %+v", e, e.fail)
	}
	if out, errs := u.printed(n, 1), u.printed(n, 2); out != "said\n" || errs != "moaned\n" {
		t.Errorf("printed %q and %q before its end", out, errs)
	}
	e = u.end(u.execute(ids[0], "1/0"))
	if e.fail == nil || !strings.Contains(e.fail.Text, "ZeroDivisionError") || !strings.Contains(e.fail.Stack, "1/0") || len(e.value) == 0 {
		t.Errorf("%+v %+v", e, e.fail)
	}
}

func TestPythonEngines(t *testing.T) {
	u := pythonPlace(t, 2, nil).client(t)
	ids := u.waitEngines(2)
	// Start-up code runs on the engines that are there, on those that come, and again.
	if _, fail := u.ask("setup", map[string]any{"code": "wisdom = 42"}, nil); fail != nil {
		t.Fatalf("%+v", fail)
	}
	if _, fail := u.ask("start_engines", map[string]any{"n": 1}, nil); fail != nil {
		t.Fatalf("%+v", fail)
	}
	all := u.waitEngines(3)
	for _, id := range all {
		if e := u.end(u.execute(id, "assert wisdom == 42; mine = 1")); e.fail != nil {
			t.Errorf("engine %d: %+v", id, e.fail)
		}
	}
	if _, fail := u.ask("restart_engine", map[string]any{"engine": ids[1]}, nil); fail != nil {
		t.Fatalf("%+v", fail)
	}
	if e := u.end(u.execute(ids[1], "assert wisdom == 42 and 'mine' not in globals()")); e.fail != nil {
		t.Errorf("after its restart: %+v", e.fail)
	}
	if _, fail := u.ask("setup", map[string]any{"code": "raise KeyError('nothing')"}, nil); fail == nil || !strings.Contains(fail.Text, "KeyError") {
		t.Errorf("start-up code that fails: %+v", fail)
	}
	var q struct {
		Engines    map[string]queueText
		Unassigned int
	}
	n := u.execute(ids[0], "import time; print('here', flush=True)\nwhile True: time.sleep(60)")
	u.until("the beginning", func() bool { return len(u.told) > 0 && u.told[len(u.told)-1].kind == kindOutput })
	if _, fail := u.ask("queue_status", nil, &q); fail != nil || q.Engines["0"].Tasks != 1 || q.Engines["0"].Completed == 0 || q.Unassigned != 0 {
		t.Errorf("%+v %+v", q, fail)
	}
	if _, fail := u.ask("signal", map[string]any{"engine": ids[0], "sig": "SIGINT"}, nil); fail != nil {
		t.Fatalf("%+v", fail)
	}
	if e := u.end(n); e.fail == nil || !strings.Contains(e.fail.Text, "KeyboardInterrupt") {
		t.Errorf("%+v %+v", e, e.fail)
	}
	n = u.execute(ids[0], "import time\nwhile True: time.sleep(60)")
	if _, fail := u.ask("stop_engine", map[string]any{"engine": ids[0]}, nil); fail != nil {
		t.Fatalf("%+v", fail)
	}
	if e := u.end(n); e.fail == nil || e.fail.Kind != "lost" {
		t.Errorf("%+v %+v", e, e.fail)
	}
	if left := u.waitEngines(2); left[0] != ids[1] {
		t.Errorf("the engines are %v", left)
	}
	if _, fail := u.ask("stop_engine", map[string]any{"engine": ids[0]}, nil); fail == nil || fail.Kind != "not found" {
		t.Errorf("%+v", fail)
	}
}

// An engine that dies is told of, and comes back with its number.
func TestPythonDeath(t *testing.T) {
	u := pythonPlace(t, 1, nil).client(t)
	id := u.waitEngines(1)[0]
	var list struct{ Engines []engineText }
	if _, fail := u.ask("engines", nil, &list); fail != nil || len(list.Engines) != 1 {
		t.Fatalf("%+v %+v", list, fail)
	}
	n := u.execute(id, "import os, signal\nos.kill(os.getpid(), signal.SIGKILL)")
	if e := u.end(n); e.state != tutti.Errored || e.fail.Kind != "lost" {
		t.Errorf("%+v %+v", e, e.fail)
	}
	if err := syscall.Kill(list.Engines[0].Pid, 0); err == nil {
		late := time.Now().Add(testTime)
		for syscall.Kill(list.Engines[0].Pid, 0) == nil && time.Now().Before(late) {
			u.waitEngines(1)
		}
	}
	if again := u.waitEngines(1)[0]; again != id {
		t.Errorf("engine %d came back as %d", id, again)
	}
}

// A task may print as much as it likes: all of it comes, before its end, at the speed of the reader.
func TestFlood(t *testing.T) {
	u := pythonPlace(t, 1, nil).client(t)
	id := u.waitEngines(1)[0]
	const size = 100 << 20
	n := u.execute(id, fmt.Sprintf("import sys\nb = 'x' * 65535 + '\\n'\nfor i in range(%d): sys.stdout.write(b)", size>>16))
	e := u.end(n)
	if e.fail != nil {
		t.Fatalf("%+v", e.fail)
	}
	if got := len(u.printed(n, 1)); got != size {
		t.Errorf("%d bytes of %d came", got, size)
	}
}

// A call that runs is stopped by CANCEL, and its engine keeps its variables.
func TestPythonCancel(t *testing.T) {
	u := pythonPlace(t, 1, nil).client(t)
	id := u.waitEngines(1)[0]
	u.end(u.execute(id, "kept = 5"))
	n := u.execute(id, "print('here', flush=True)\nwhile True: pass")
	u.until("the beginning", func() bool { return len(u.told) > 0 && u.told[len(u.told)-1].kind == kindOutput })
	b, at := beginFrame(nil, kindCancel)
	u.send(endFrame(le.AppendUint64(b, n), at))
	if e := u.end(n); e.state != tutti.Stopped || e.fail == nil || e.fail.Kind != "canceled" {
		t.Errorf("%+v %+v", e, e.fail)
	}
	if e := u.end(u.execute(id, "assert kept == 5")); e.fail != nil {
		t.Errorf("%+v", e.fail)
	}
}
