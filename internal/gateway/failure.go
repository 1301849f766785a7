package gateway

import (
	"errors"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Failure is the form in which an error goes to a client. Kinds go by name.
type Failure struct {
	Kind   string `json:"kind"`
	Text   string `json:"text"`           // what happened, without the operation
	Op     string `json:"op"`             // what was being done
	Hint   string `json:"hint,omitempty"` // what a person can do about it
	Task   string `json:"task,omitempty"`
	Host   string `json:"host,omitempty"`
	Engine *int   `json:"engine,omitempty"` // null or missing: none
	Rank   *int   `json:"rank,omitempty"`
	Stack  string `json:"stack,omitempty"` // the traceback, as rendered where it happened
}

// FailureOf describes an error: the outermost says what, and what it lacks is taken from those
// within.
func FailureOf(err error) *Failure {
	f := &Failure{Kind: tutti.KindOf(err).String(), Text: err.Error(), Op: "tutti", Hint: tutti.HintOf(err)}
	var e *tutti.Error
	if errors.As(err, &e) {
		f.Op = e.Op
		f.Text = e.Kind.String()
		if e.Err != nil {
			f.Text = e.Err.Error()
		}
	}
	for errors.As(err, &e) {
		if f.Task == "" && e.Task != 0 {
			f.Task = e.Task.String()
		}
		if f.Host == "" {
			f.Host = e.Host
		}
		if f.Stack == "" {
			f.Stack = e.Stack
		}
		if f.Engine == nil && e.Engine != tutti.NoEngine {
			n := int(e.Engine)
			f.Engine = &n
		}
		if f.Rank == nil && e.Rank >= 0 {
			f.Rank = &e.Rank
		}
		err = e.Err
	}
	return f
}

// failureOfEnd describes the end of a task that is not good. It names the task, and the engine if
// there was one.
func failureOfEnd(o *wire.Outcome) *Failure {
	err := o.Fail.Error()
	if err == nil {
		err = tutti.E("run task", tutti.Canceled, nil)
		if o.State == tutti.Errored {
			err = tutti.Errorf("run task", tutti.Other, "it failed, and nothing says why")
		}
	}
	f := FailureOf(err)
	if f.Task == "" {
		f.Task = o.Task.String()
	}
	if f.Engine == nil && o.Engine != tutti.NoEngine {
		n := int(o.Engine)
		f.Engine = &n
	}
	return f
}
