package gateway

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// A client that does not read holds up nobody else, also when what he is owed is large.
func TestDeafClient(t *testing.T) {
	p := start(t, 2, nil)
	deaf := p.dial(t)
	if _, err := deaf.Write(appendJSON(nil, kindHello, hello)); err != nil {
		t.Fatal(err)
	}
	work, at := beginFrame(nil, kindWork)
	text := `{"func":"gw.echo"}`
	work = le.AppendUint32(work, 1)
	work = le.AppendUint32(work, uint32(len(text)))
	work = endFrame(append(work, text...), at)
	payload := bytes.Repeat([]byte{7}, 60_000)
	go func() { // blocks when nobody takes what comes of it
		_, _ = deaf.Write(work)
		for first := uint64(1); ; first += 10 {
			payloads := [][]byte{payload, payload, payload, payload, payload, payload, payload, payload, payload, payload}
			if _, err := deaf.Write(tasksFrame(1, first, payloads...)); err != nil {
				return
			}
			if first > 10_000 {
				return
			}
		}
	}()
	u := p.client(t)
	u.work(1, text, nil)
	for i := range 200 {
		if e := u.end(u.tasks(1, []byte{byte(i)})); e.state != tutti.Done {
			t.Fatalf("%+v", e)
		}
	}
	deaf.Close()
	if _, fail := u.ask("status", nil, nil); fail != nil {
		t.Errorf("%+v", fail)
	}
}

// Several clients share a gateway; each hears of his own tasks.
func TestManyClients(t *testing.T) {
	p := start(t, 2, nil)
	var users []*user
	for range 8 {
		users = append(users, p.client(t))
	}
	for i, u := range users {
		u.work(1, `{"func":"gw.echo"}`, nil)
		for j := range 20 {
			u.tasks(1, []byte{byte(i), byte(j)})
		}
	}
	for i, u := range users {
		for j := range 20 {
			if e := u.end(uint64(j + 1)); !bytes.Equal(e.value, []byte{byte(i), byte(j)}) {
				t.Errorf("client %d, task %d: %+v", i, j, e)
			}
		}
	}
}

// What a client sends that cannot be right ends its connection, with a word about it, and nobody
// else's.
func TestNonsense(t *testing.T) {
	p := start(t, 1, nil)
	good := p.client(t)
	frame := func(kind uint16, body string) []byte {
		b, at := beginFrame(nil, kind)
		return endFrame(append(b, body...), at)
	}
	first := frame(kindHello, string(must(json.Marshal(hello))))
	other := hello
	other.Protocol = 99
	old := hello
	old.Python = "2.7-rc"
	for name, c := range map[string]struct {
		bytes []byte
		kind  string
	}{
		"no hello":           {frame(kindTasks, "x"), "corrupt"},
		"no JSON":            {frame(kindHello, "{"), "corrupt"},
		"another protocol":   {appendJSON(nil, kindHello, other), "version mismatch"},
		"no version":         {appendJSON(nil, kindHello, old), "invalid"},
		"a long hello":       {[]byte{0, 0, 0, 0x10, kindHello, 0, 0, 0}, "corrupt"},
		"unknown kind":       {append(first, frame(99, "")...), "corrupt"},
		"flags":              {append(first, 0, 0, 0, 0, kindBye, 0, 1, 0), "corrupt"},
		"too long":           {append(first, 0xff, 0xff, 0xff, 0xff, kindTasks, 0, 0, 0), "corrupt"},
		"cut work":           {append(first, frame(kindWork, "\x01\x00\x00\x00\x09\x00\x00\x00{}")...), "corrupt"},
		"work of other type": {append(first, frame(kindWork, "\x01\x00\x00\x00\x0a\x00\x00\x00{\"func\":1}")...), "corrupt"},
		"unknown work":       {append(first, tasksFrame(5, 1, []byte("x"))...), "corrupt"},
		"cut tasks":          {append(first, frame(kindTasks, "\x01\x00\x00\x00")...), "corrupt"},
		"half a number":      {append(first, frame(kindCancel, "1234")...), "corrupt"},
		"no question":        {append(first, frame(kindAsk, "12345678")...), "corrupt"},
		"backwards":          {append(append(append(first, frame(kindWork, "\x01\x00\x00\x00\x12\x00\x00\x00{\"func\":\"gw.echo\"}")...), tasksFrame(1, 9, nil)...), tasksFrame(1, 9, nil)...), "invalid"},
	} {
		t.Run(name, func(t *testing.T) {
			sock := p.dial(t)
			_ = sock.SetDeadline(time.Now().Add(testTime))
			if _, err := sock.Write(c.bytes); err != nil {
				t.Fatal(err)
			}
			var fail Failure
			for {
				f, err := readFrame(sock)
				if err != nil {
					break
				}
				if f.kind == kindFail {
					if err := json.Unmarshal(f.body, &fail); err != nil {
						t.Error(err)
					}
				}
			}
			if fail.Kind != c.kind || fail.Text == "" {
				t.Errorf("refused with %+v", fail)
			}
		})
	}
	good.work(1, `{"func":"gw.echo"}`, nil)
	if e := good.end(good.tasks(1, []byte("well"))); e.state != tutti.Done {
		t.Errorf("%+v", e)
	}
	var s struct{ Gateway struct{ Refused int } }
	if _, fail := good.ask("status", nil, &s); fail != nil || s.Gateway.Refused < 15 {
		t.Errorf("%+v %+v", s, fail)
	}
	if _, fail := good.ask("dance", nil, nil); fail == nil || fail.Kind != "unsupported" {
		t.Errorf("%+v", fail)
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// A client of another version of Python is refused with both versions in one sentence, unless he
// sends names alone.
func TestOtherPython(t *testing.T) {
	p := start(t, 1, nil)
	p.client(t)
	other := hello
	other.Python = "3.9"
	sock := p.dial(t)
	if _, err := sock.Write(appendJSON(nil, kindHello, other)); err != nil {
		t.Fatal(err)
	}
	f, err := readFrame(sock)
	if err != nil || f.kind != kindFail || !strings.Contains(string(f.body), "3.11") || !strings.Contains(string(f.body), "3.9") {
		t.Errorf("%d %s %v", f.kind, f.body, err)
	}
	other.Importable = true
	sock = p.dial(t)
	if _, err := sock.Write(appendJSON(nil, kindHello, other)); err != nil {
		t.Fatal(err)
	}
	if f, err := readFrame(sock); err != nil || f.kind != kindWelcome || !strings.Contains(string(f.body), "python:3.11") {
		t.Errorf("%d %s %v", f.kind, f.body, err)
	}
}

// The gateway ends when its last client has gone and its cluster has nothing to do; before, what was
// submitted is done.
func TestLinger(t *testing.T) {
	done := t.TempDir() + "/done"
	p := start(t, 1, func(cfg *Config) { cfg.Linger = time.Millisecond })
	u := p.client(t)
	u.work(1, fmt.Sprintf(`{"argv":["/bin/sh","-c","sleep 0.3; echo > %s"]}`, done), nil)
	u.tasks(1, nil)
	if _, fail := u.ask("status", nil, nil); fail != nil {
		t.Fatalf("%+v", fail)
	}
	u.sock.Close()
	select {
	case <-p.over:
	case <-time.After(testTime):
		t.Fatal("it did not end")
	}
	if _, err := os.Stat(done); err != nil || p.err != nil {
		t.Errorf("it ended before its work was done: %v %v", err, p.err)
	}
}

func TestStopCluster(t *testing.T) {
	p := start(t, 1, nil)
	u, v := p.client(t), p.client(t)
	u.waitEngines(1)
	if _, fail := u.ask("stop_cluster", nil, nil); fail != nil {
		t.Fatalf("%+v", fail)
	}
	<-p.over
	v.until("the word about the end", func() bool {
		for _, f := range v.told {
			if f.kind == kindEvent && strings.Contains(string(f.body), `"ended"`) {
				return true
			}
		}
		return false
	})
}

// Payloads are framed as wire.PackArgs would, whatever their size.
func TestAppendArgs(t *testing.T) {
	for _, n := range []int{0, 1, 255, 256, 65535, 65536, 70000} {
		data := bytes.Repeat([]byte{0xa5}, n)
		want, err := wire.PackArgs(nil, []tutti.Arg{{Value: tutti.Value{Codec: tutti.Pickle, Data: data}}})
		if got := appendArgs(nil, data); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%d bytes: %x, want %x", n, got[:16], want[:16])
		}
	}
}

// Nothing that comes in makes a reader panic, or take memory for what did not come.
func FuzzFrames(f *testing.F) {
	f.Add(appendJSON(nil, kindHello, hello))
	f.Add(tasksFrame(1, 1, []byte("abc"), nil))
	f.Add([]byte{0xff, 0xff, 0xff, 0x0f, 4, 0, 0, 0, 1})
	f.Fuzz(func(t *testing.T, data []byte) {
		r := newFrames(bytes.NewReader(data))
		r.limit = maxFrame
		for {
			kind, body, err := r.next()
			if err == io.EOF {
				return
			}
			if err != nil {
				if k := tutti.KindOf(err); k != tutti.Corrupt && k != tutti.Lost {
					t.Fatalf("%v", err)
				}
				return
			}
			if cap(r.room) > 2*len(data)+fillStep {
				t.Fatalf("%d bytes for %d", cap(r.room), len(data))
			}
			c := cursor{b: body}
			switch kind {
			case kindWork:
				c.u32()
				var w workText
				_ = c.text(&w)
			case kindTask:
				var w taskText
				_ = c.text(&w)
			case kindTasks:
				c.u32()
				n := c.u32()
				c.u64()
				c.bytes(4 * uint64(n))
			default:
				_, _ = numbers(body)
			}
		}
	})
}

// Nothing that a client may send after its hello makes the gateway panic, hang, or stop serving
// others.
func FuzzClient(f *testing.F) {
	p := start(f, 1, nil)
	good := p.client(f)
	good.work(1, `{"func":"gw.echo"}`, nil)
	f.Add(uint16(kindWork), []byte("\x01\x00\x00\x00\x02\x00\x00\x00{}code"))
	f.Add(uint16(kindTask), []byte("\x30\x00\x00\x00{\"work\":1,\"n\":1,\"args\":[{\"items\":[{\"from\":\"1.1\"}]}]}"))
	f.Add(uint16(kindAsk), []byte("\x01\x00\x00\x00\x00\x00\x00\x00{\"verb\":\"tasks\"}"))
	f.Add(uint16(kindTasks), tasksFrame(1, 1, []byte("x"))[frameHead:])
	f.Fuzz(func(t *testing.T, kind uint16, body []byte) {
		if bytes.Contains(body, []byte("argv")) || bytes.Contains(body, []byte("script")) || bytes.Contains(body, []byte("_engine")) || bytes.Contains(body, []byte("stop_")) {
			return // it would do as it is told
		}
		sock := p.dial(t)
		defer sock.Close()
		b := appendJSON(nil, kindHello, hello)
		work := "\x01\x00\x00\x00\x12\x00\x00\x00{\"func\":\"gw.echo\"}"
		b, at := beginFrame(b, kindWork)
		b = endFrame(append(b, work...), at)
		b, at = beginFrame(b, kind)
		b = endFrame(append(b, body...), at)
		b, at = beginFrame(b, kindBye)
		b = endFrame(b, at)
		_ = sock.SetDeadline(time.Now().Add(testTime))
		_, _ = sock.Write(b)
		for {
			if _, err := readFrame(sock); err != nil {
				if e, ok := err.(interface{ Timeout() bool }); ok && e.Timeout() {
					t.Fatal("the connection hangs")
				}
				break
			}
		}
		good.t = t
		if e := good.end(good.tasks(1, []byte("well"))); e.state != tutti.Done {
			t.Fatalf("%+v", e)
		}
	})
}
