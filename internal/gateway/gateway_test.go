package gateway

import (
	"bytes"
	"fmt"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

func TestTasks(t *testing.T) {
	u := start(t, 2, nil).client(t)
	if u.welcome.Client == 0 || u.welcome.Program != "python:3.11" || !u.welcome.Own || u.welcome.Blobs == "" {
		t.Fatalf("welcome %+v", u.welcome)
	}
	u.waitEngines(2)
	u.work(1, `{"func":"gw.echo","label":"echo"}`, []byte("code"))
	var payloads [][]byte
	for i := range 1000 {
		payloads = append(payloads, bytes.Repeat([]byte{byte(i)}, i%700))
	}
	first := u.tasks(1, payloads...)
	for i := range payloads {
		e := u.end(first + uint64(i))
		if e.state != tutti.Done || e.codec != tutti.Pickle || !bytes.Equal(e.value, payloads[i]) || e.engine < 0 || e.attempt != 1 || e.started == 0 {
			t.Fatalf("task %d: %+v", i, e)
		}
	}
	if u.count != len(payloads) {
		t.Errorf("%d ends", u.count)
	}
}

func TestFailure(t *testing.T) {
	u := start(t, 1, nil).client(t)
	u.work(7, `{"func":"gw.fail"}`, nil)
	e := u.end(u.tasks(7, []byte("x")))
	name := fmt.Sprintf("%d.1", u.welcome.Client)
	if f := e.fail; e.state != tutti.Errored || f == nil || f.Kind != "failed" || f.Hint != "ask somebody" || f.Task != name || f.Engine == nil || *f.Engine != int(e.engine) {
		t.Fatalf("%+v %+v", e, e.fail)
	}
}

// Dependencies, results as arguments, several arguments, and large ones.
func TestGraph(t *testing.T) {
	u := start(t, 2, nil).client(t)
	u.work(1, `{"func":"gw.echo"}`, nil)
	u.work(2, `{"func":"gw.join"}`, nil)
	large := bytes.Repeat([]byte("large"), 40_000)
	a := u.tasks(1, []byte("first"), large)
	name := fmt.Sprintf("%d.%d", u.welcome.Client, a)
	pair := []map[string]any{{"items": []map[string]any{{"from": name}, {"len": 6}}}}
	n := u.task(map[string]any{"work": 2, "args": pair}, []byte("second"))
	if e := u.end(n); string(e.value) != "firstsecond" {
		t.Errorf("%+v %+v", e, e.fail)
	}
	e := u.end(a + 1)
	if e.flags&endHasRef == 0 || e.ref.Size != int64(len(large)) {
		t.Fatalf("a large result is no blob: %+v", e)
	}
	data, fail := u.ask("blob", map[string]any{"ref": e.ref}, nil)
	if fail != nil || !bytes.Equal(data, large) {
		t.Errorf("its blob has %d bytes: %+v", len(data), fail)
	}
	n = u.task(map[string]any{"work": 1, "args": []map[string]any{{"ref": e.ref}}}, nil)
	if again := u.end(n); again.state != tutti.Done || again.ref.Size != e.ref.Size {
		t.Errorf("a blob as an argument: %+v %+v", again, again.fail)
	}
	n = u.task(map[string]any{"work": 1, "deps": []any{n + 5}, "args": []map[string]any{{"len": 0}}}, nil)
	if e := u.end(n); e.fail == nil {
		t.Error("a task that needs one which is not there has not failed")
	}
}

func TestCancelAndForget(t *testing.T) {
	u := start(t, 1, nil).client(t)
	u.work(1, `{"func":"gw.hang"}`, nil)
	n := u.tasks(1, nil, nil)
	b, at := beginFrame(nil, kindCancel)
	u.send(endFrame(le.AppendUint64(le.AppendUint64(b, n), n+1), at))
	for i := range uint64(2) {
		if e := u.end(n + i); e.state != tutti.Stopped || e.fail == nil || e.fail.Kind != "canceled" {
			t.Errorf("%+v %+v", e, e.fail)
		}
	}
	b, at = beginFrame(nil, kindForget)
	u.send(endFrame(le.AppendUint64(b, n), at))
	if _, fail := u.ask("forget_ids", map[string]any{"ids": []any{n + 1}}, nil); fail != nil {
		t.Errorf("%+v", fail)
	}
	if _, fail := u.ask("outcome", map[string]any{"id": n + 1}, nil); fail == nil || fail.Kind != "expired" {
		t.Errorf("what was forgotten is told: %+v", fail)
	}
}

// All that a client has sent is done, also if it dies before it has read a word.
func TestVanish(t *testing.T) {
	p := start(t, 2, nil)
	v := p.client(t)
	sock := p.dial(t)
	b := appendJSON(nil, kindHello, hello)
	b, at := beginFrame(b, kindWork)
	b = endFrame(append(b, "\x01\x00\x00\x00\x12\x00\x00\x00{\"func\":\"gw.echo\"}"...), at)
	const n = 20_000
	payloads := make([][]byte, 100)
	for i := range payloads {
		payloads[i] = make([]byte, 500)
	}
	for first := uint64(1); first < n; first += 100 {
		b = append(b, tasksFrame(1, first, payloads...)...)
	}
	if _, err := sock.Write(b); err != nil {
		t.Fatal(err)
	}
	sock.Close()
	for late := time.Now().Add(testTime); ; {
		var s struct{ Tasks map[string]int }
		if _, fail := v.ask("status", nil, &s); fail != nil {
			t.Fatalf("%+v", fail)
		}
		if s.Tasks["done"] == n {
			return
		}
		if time.Now().After(late) {
			t.Fatalf("of %d tasks there are %v", n, s.Tasks)
		}
	}
}

// What a client has submitted goes on when it has gone, and others ask for it by name.
func TestOutlive(t *testing.T) {
	p := start(t, 1, nil)
	u := p.client(t)
	u.work(1, `{"func":"gw.echo"}`, nil)
	n := u.tasks(1, []byte("legacy"))
	u.sock.Close()
	v := p.client(t)
	name := fmt.Sprintf("%d.%d", u.welcome.Client, n)
	var data []byte
	for { // its tasks may not have been submitted yet, and are not known then
		var fail *Failure
		if data, fail = v.ask("outcome", map[string]any{"id": name}, nil); fail == nil {
			break
		} else if fail.Kind != "expired" {
			t.Fatalf("%+v", fail)
		}
	}
	if ends := decodeEnds(t, data); len(ends) != 1 || string(ends[0].value) != "legacy" || ends[0].n != n {
		t.Errorf("%+v", ends)
	}
}
