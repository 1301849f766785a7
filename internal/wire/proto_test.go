package wire

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/tinylib/msgp/msgp"

	"github.com/tutti-hpc/tutti"
)

// samples holds one of each header, with something in every field that matters.
func samples() map[uint16]interface {
	msgp.Marshaler
	msgp.Unmarshaler
} {
	run := tutti.RunID{Task: tutti.MakeTaskID(7, 12), Attempt: 2, Epoch: 3}
	ref := tutti.Ref{Blob: tutti.BlobID{Node: 1, Life: 2, N: 3}, Size: 4, Sum: 5}
	value := tutti.Value{Codec: tutti.RawFloat64, Data: []byte("12345678")}
	target := tutti.EngineID(4)
	work := Work{No: 9, Work: tutti.Work{
		Program: "go:x", Func: "f", Env: []string{"A=1"}, Label: "l", Priority: -3, Limit: time.Second, Target: &target,
		Need:  tutti.Resources{Cores: 0.5, Memory: 1 << 30, Custom: map[string]float64{"licence": 1}},
		Retry: tutti.Retry{Lost: -1, Failed: 2, Delay: time.Second}, Durable: true,
		Inputs: []tutti.File{{URL: "u", As: "a"}}, Refs: []tutti.Ref{ref},
	}}
	ids := []tutti.TaskID{1, 2}
	return map[uint16]interface {
		msgp.Marshaler
		msgp.Unmarshaler
	}{
		KindSubmit: &Submit{Reset: true, Works: []Work{work}, Tasks: []Task{{
			N: 1, Work: 9, Args: []byte{0x90}, Blobs: []tutti.Ref{ref}, Deps: ids, After: ids, Follow: ids,
		}}},
		KindCancel:      &Cancel{Tasks: ids, All: true},
		KindForget:      &Forget{Tasks: ids},
		KindOutcomes:    &Outcomes{Ends: []Outcome{{Task: 1, State: tutti.Errored, Value: value, Fail: PackError(tutti.E("x", tutti.Lost, nil)), Engine: 2, Node: 3, Attempt: 4, Started: 5, Finished: 6}}},
		KindThrottle:    &Throttle{On: true},
		KindNotice:      &Notice{Task: 1, Text: "t"},
		KindOutput:      &Output{Run: run, Stream: 1, Offset: 2, Data: []byte("d"), End: true},
		KindAsk:         &Ask{Seq: 1, Verb: "v", Body: []byte("b")},
		KindAnswer:      &Answer{Seq: 1, Body: []byte("b"), Fail: PackError(errors.New("x"))},
		KindAssign:      &Assign{Reset: true, Works: []Work{work}, Runs: []Run{{Run: run, Work: 9, Engines: []tutti.EngineID{1, 2}, Args: []byte{0x90}, Deps: []DepValue{{Task: 1, Value: value}}}}},
		KindAbort:       &Runs{Runs: []tutti.RunID{run}, Timeout: true, Force: true},
		KindStartEngine: &StartEngine{Engine: 1, Life: 2, Program: "p"},
		KindStopEngine:  &StopEngine{Engine: 1, Life: 2},
		KindDropBlobs:   &DropBlobs{Blobs: []tutti.BlobID{ref.Blob}},
		KindStarted:     &Started{Runs: []RunStart{{Run: run, At: 1}}},
		KindDone:        &Done{Results: []Result{{Run: run, Ending: 1, Value: value, Engine: 1, Started: 2, Took: 3}}},
		KindEngineUp:    &EngineUp{Engine: 1, Life: 2, Program: "p", Pid: 3},
		KindEngineDown:  &EngineDown{Engine: 1, Life: 2, Why: "w"},
		KindDisplay:     &Display{Run: run, Engine: 1, MIME: "m", Value: value},
		1000:            &AgentHello{Node: 1, Life: "l", Host: "h", BlobAddr: []string{"a"}, Engines: []HeldEngine{{Engine: 1}}, Runs: []HeldRun{{Run: run, Ended: true}}},
		1001:            &ClientHello{Client: 1, Secret: "s", Keep: true},
		1002:            &AgentWelcome{Node: 1, Epoch: 2},
		1003:            &ClientWelcome{Client: 1, Epoch: 2},
	}
}

func TestHeadersRoundTrip(t *testing.T) {
	for kind, h := range samples() {
		m, err := Pack(kind, h)
		if err != nil {
			t.Fatal(err)
		}
		got := reflect.New(reflect.TypeOf(h).Elem()).Interface().(msgp.Unmarshaler)
		if err := Unpack(m, got); err != nil || !reflect.DeepEqual(got, h) {
			t.Errorf("%T: %v\n got %+v\nwant %+v", h, err, got, h)
		}
		if err := Unpack(Message{Kind: kind, Header: append(m.Header, 0)}, got); !errors.Is(err, tutti.Corrupt) {
			t.Errorf("%T with a byte too many: %v", h, err)
		}
		if err := Unpack(Message{Kind: kind, Header: m.Header[:len(m.Header)-1]}, got); !errors.Is(err, tutti.Corrupt) {
			t.Errorf("%T with a byte too few: %v", h, err)
		}
	}
}

func TestErrorsTravel(t *testing.T) {
	inner := tutti.Errorf("read", tutti.NotFound, "no %s", "file").WithHint("look elsewhere")
	outer := &tutti.Error{Op: "call f", Kind: tutti.Failed, Task: 7, Engine: 2, Rank: 1, Host: "h", Stack: "s", Err: fmt.Errorf("wrapped: %w", inner)}
	got := PackError(outer).Error()
	for _, k := range []tutti.Kind{tutti.Failed, tutti.NotFound} {
		if !errors.Is(got, k) {
			t.Errorf("%v is not of kind %v any more", got, k)
		}
	}
	var e *tutti.Error
	if !errors.As(got, &e) || e.Task != 7 || e.Engine != 2 || e.Rank != 1 || e.Host != "h" || e.Stack != "s" || tutti.HintOf(got) != "look elsewhere" {
		t.Errorf("%+v", e)
	}
	if PackError(nil).Error() != nil {
		t.Error("no error became one")
	}
	if err := PackError(context.Canceled).Error(); !errors.Is(err, tutti.Canceled) || err.Error() != "context canceled" {
		t.Error(err)
	}
	deep := error(inner)
	for range 100 {
		deep = tutti.E("again", tutti.Lost, deep)
	}
	if f := PackError(deep); len(f.Chain) != maxChain {
		t.Errorf("a chain of %d", len(f.Chain))
	}
}

func TestArgsTravel(t *testing.T) {
	args := []tutti.Arg{
		{Value: tutti.Value{Codec: tutti.CBOR, Data: []byte{1}}},
		{From: 7},
		{Items: []tutti.Arg{{From: 8}, {Items: []tutti.Arg{{From: 9}}}}},
	}
	data, err := PackArgs(nil, args)
	if err != nil {
		t.Fatal(err)
	}
	got, err := UnpackArgs(data, nil)
	if err != nil || len(got) != 3 || got[2].Items[1].Items[0].From != 9 {
		t.Error(got, err)
	}
	for _, bad := range [][]byte{nil, data[:len(data)-1], append(data[:len(data):len(data)], 0), {0xdd, 0xff, 0xff, 0xff, 0xff}} {
		if _, err := UnpackArgs(bad, nil); !errors.Is(err, tutti.Corrupt) {
			t.Errorf("%x: %v", bad, err)
		}
	}
}

func FuzzUnpack(f *testing.F) {
	all := samples()
	for kind, h := range all {
		m, err := Pack(kind, h)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(kind, m.Header)
	}
	f.Fuzz(func(t *testing.T, kind uint16, data []byte) {
		if h := all[kind]; h != nil {
			got := reflect.New(reflect.TypeOf(h).Elem()).Interface().(msgp.Unmarshaler)
			if err := Unpack(Message{Kind: kind, Header: data}, got); err != nil && !errors.Is(err, tutti.Corrupt) {
				t.Errorf("%T: %v", h, err)
			}
			if f, ok := got.(*Answer); ok {
				_ = f.Fail.Error()
			}
		}
		_, _ = UnpackArgs(data, nil)
	})
}
