package engine

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// executed is what became of a command.
type executed struct {
	job         Job
	out, errOut string
	result      wire.Result
	started     bool
}

// execute runs a command to its end; during, if not nil, is called for each piece of output.
func execute(t testing.TB, c Command, during func(Job, wire.Output)) executed {
	t.Helper()
	c.Run, c.Host = id(1), "here"
	events := make(chan Event, 64)
	j, err := Commands{}.Start(c, func(e Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	x := executed{job: j}
	var text [3]strings.Builder
	for {
		select {
		case e := <-events:
			switch e := e.(type) {
			case Started:
				x.started = true
			case Output:
				if e.Run != id(1) || e.Offset != int64(text[e.Stream].Len()) {
					t.Errorf("piece at %d of run %v after %d bytes", e.Offset, e.Run, text[e.Stream].Len())
				}
				text[e.Stream].Write(e.Data)
				j.Credit(len(e.Data))
				if during != nil {
					during(j, e.Output)
				}
			case Results:
				x.out, x.errOut, x.result = text[1].String(), text[2].String(), e.Results[0]
				return x
			}
		case <-time.After(patience):
			t.Fatal("the command does not end")
		}
	}
}

// Commands get their arguments, input, folder and environment; the shell sees scripts only.
func TestCommand(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		Command
		out string
	}{
		{Command{Argv: []string{"echo", "a  b", "$HOME"}}, "a  b $HOME\n"},
		{Command{Script: "echo one | tr a-z A-Z; echo two"}, "ONE\ntwo\n"},
		{Command{Argv: []string{"cat"}, Stdin: []byte("input\n")}, "input\n"},
		{Command{Argv: []string{"cat"}}, ""},
		{Command{Script: "pwd", Dir: dir}, dir + "\n"},
		{Command{Script: "echo $X $OMP_NUM_THREADS $CUDA_VISIBLE_DEVICES", Env: []string{"X=y"}, Threads: 3, GPUs: []string{"0", "2"}}, "y 3 0,2\n"},
		{Command{Script: `echo "[$CUDA_VISIBLE_DEVICES]"`, NoGPUs: true}, "[]\n"},
		{Command{Script: "echo $OMP_NUM_THREADS", Env: []string{"OMP_NUM_THREADS=7"}, Threads: 3}, "7\n"},
	} {
		x := execute(t, c.Command, nil)
		var e Exit
		if err := tutti.Decode(x.result.Value, &e); err != nil || x.result.Ending != Succeeded || e != (Exit{}) {
			t.Errorf("%v: %+v, %v", c.Command, x.result, x.result.Fail.Error())
		}
		if x.out != c.out {
			t.Errorf("%v printed %q", c.Command, x.out)
		}
		if x.result.Engine != tutti.NoEngine || x.result.Started == 0 || x.result.Took <= 0 {
			t.Errorf("%+v", x.result)
		}
	}
}

// A command that fails says how, with its last words.
func TestCommandFails(t *testing.T) {
	x := execute(t, Command{Script: "echo first >&2; echo no such star >&2; exit 3"}, nil)
	err := x.result.Fail.Error()
	if x.result.Ending != UserFailed || tutti.KindOf(err) != tutti.Failed ||
		!strings.Contains(err.Error(), "exit status 3") || !strings.Contains(err.Error(), "no such star") {
		t.Errorf("%+v: %v", x.result, err)
	}
	if x.errOut != "first\nno such star\n" {
		t.Errorf("stderr %q", x.errOut)
	}
	x = execute(t, Command{Script: "kill -SEGV $$"}, nil)
	if err := x.result.Fail.Error(); x.result.Ending != UserFailed || !strings.Contains(err.Error(), "signal SEGV") {
		t.Errorf("%+v: %v", x.result, err)
	}
}

// What cannot be started says which thing is the matter.
func TestCommandCannotStart(t *testing.T) {
	dir := t.TempDir()
	write := func(name string, mode os.FileMode) string {
		if err := os.WriteFile(dir+"/"+name, []byte("text"), mode); err != nil {
			t.Fatal(err)
		}
		return dir + "/" + name
	}
	plain, garbage := write("plain", 0o644), write("garbage", 0o755)
	for _, c := range []struct {
		Command
		kind tutti.Kind
		text string
	}{
		{Command{Argv: []string{"no-such-program"}}, tutti.NotFound, "no-such-program"},
		{Command{Argv: []string{"/no/such/program"}}, tutti.NotFound, "/no/such/program"},
		{Command{Argv: []string{"plain"}, Env: []string{"PATH=" + dir}}, tutti.Denied, "plain"},
		{Command{Argv: []string{plain}}, tutti.Denied, "plain"},
		{Command{Argv: []string{garbage}}, tutti.Invalid, "garbage"},
		{Command{Argv: []string{"true"}, Dir: "/no/such/folder"}, tutti.NotFound, "working directory"},
		{Command{Argv: []string{"true"}, Dir: plain}, tutti.Invalid, "is a file"},
		{Command{Argv: []string{"true", strings.Repeat("x", 1<<20)}}, tutti.Invalid, "too long"},
	} {
		_, err := Commands{}.Start(c.Command, func(Event) { t.Error("something was said") })
		if tutti.KindOf(err) != c.kind || !strings.Contains(err.Error(), c.text) || EndingOf(err) != Rejected {
			t.Errorf("%.80v: %v", c.Command, err)
		}
	}
}

// Cancel goes from polite to certain, and reaches children that do not listen.
func TestCommandCancel(t *testing.T) {
	for name, script := range map[string]string{
		"polite":  "trap 'exit 9' INT; echo $$; while :; do sleep 0.01; done",
		"term":    "trap '' INT; echo $$; while :; do sleep 0.01; done",
		"deaf":    "trap '' INT TERM; echo $$; while :; do sleep 0.01; done",
		"tree":    "trap '' INT TERM; (trap '' INT TERM; (trap '' INT TERM; echo $$; sleep 1000); :) & wait; sleep 1000",
		"stopped": "echo $$; kill -STOP $$; :",
	} {
		var pids []int
		x := execute(t, Command{Script: script, Grace: 30 * time.Millisecond}, func(j Job, o wire.Output) {
			if pid, err := strconv.Atoi(strings.TrimSpace(string(o.Data))); err == nil {
				pids = append(pids, pid)
				j.Cancel(true)
				j.Cancel(false) // the first word counts
			}
		})
		if x.result.Ending != WasCanceled || tutti.KindOf(x.result.Fail.Error()) != tutti.Timeout || len(pids) == 0 {
			t.Errorf("%s: %+v %v %v", name, x.result, x.result.Fail.Error(), pids)
		}
		for _, pid := range pids {
			waitGone(t, pid)
		}
	}
}

// What a command leaves running in its group goes when it ends, and does not hold its result up;
// neither does what has left the group with the pipe in its hands.
func TestCommandLeftovers(t *testing.T) {
	x := execute(t, Command{Script: "sleep 1000 & echo $!; exit 0"}, nil)
	pid, err := strconv.Atoi(strings.TrimSpace(x.out))
	if err != nil || x.result.Ending != Succeeded {
		t.Fatalf("%q %+v", x.out, x.result)
	}
	waitGone(t, pid)
	x = execute(t, Command{Script: "setsid sh -c 'echo $$; exec sleep 1000' & sleep 0.1"}, nil)
	if pid, err = strconv.Atoi(strings.TrimSpace(x.out)); err != nil || x.result.Ending != Succeeded {
		t.Fatalf("%q %+v", x.out, x.result)
	}
	if err := syscall.Kill(pid, syscall.SIGKILL); err != nil {
		t.Error("what left the group was not spared:", err)
	}
	waitGone(t, pid)
}

// A command that prints without end fills no memory: it waits for credit.
func TestCommandOutputIsBounded(t *testing.T) {
	events := make(chan Event, 1<<16)
	var held atomic.Int64
	full := make(chan struct{})
	j, err := Commands{}.Start(Command{Run: id(1), Argv: []string{"yes"}}, func(e Event) {
		if o, ok := e.(Output); ok && held.Add(int64(len(o.Data))) >= OutputWindow {
			close(full)
		}
		events <- e
	})
	if err != nil {
		t.Fatal(err)
	}
	<-full
	if n := held.Load(); n > OutputWindow+readPiece {
		t.Errorf("%d bytes came with credit for %d", n, OutputWindow)
	}
	j.Kill()
	for e := range events {
		if r, ok := e.(Results); ok {
			if r.Results[0].Ending != UserFailed {
				t.Errorf("%+v", r)
			}
			break
		}
	}
}

// 100 MB arrive complete.
func TestCommandMuchOutput(t *testing.T) {
	events := make(chan Event, 64)
	j, err := Commands{}.Start(Command{Run: id(1), Script: "head -c 100000000 /dev/zero"}, func(e Event) { events <- e })
	if err != nil {
		t.Fatal(err)
	}
	total := 0
	for e := range events {
		switch e := e.(type) {
		case Output:
			total += len(e.Data)
			j.Credit(len(e.Data))
		case Results:
			if total != 100_000_000 || e.Results[0].Ending != Succeeded {
				t.Errorf("%d bytes, %+v", total, e)
			}
			return
		}
	}
}

// A long command is told of before it ends.
func TestCommandStarted(t *testing.T) {
	if x := execute(t, Command{Script: "sleep 0.05"}, nil); !x.started {
		t.Error("nothing was said of its start")
	}
}

// BenchmarkCommands measures `bash -c :`, two at a time: compare with `xargs -P2`.
func BenchmarkCommands(b *testing.B) {
	done := make(chan struct{}, 2)
	one := func() {
		_, err := Commands{}.Start(Command{Run: id(1), Argv: []string{"bash", "-c", ":"}}, func(e Event) {
			if _, ok := e.(Results); ok {
				done <- struct{}{}
			}
		})
		if err != nil {
			b.Error(err)
			done <- struct{}{}
		}
	}
	b.ResetTimer()
	for i := 0; i < b.N; i++ {
		if i >= 2 {
			<-done
		}
		one()
	}
	for i := 0; i < min(2, b.N); i++ {
		<-done
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "commands/s")
	runtime.GC()
}
