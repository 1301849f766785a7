package wire

import (
	"errors"

	"github.com/tutti-hpc/tutti"
)

//msgp:limit arrays:1024 maps:1024

// Failure is the form in which an error travels: the chain of [tutti.Error] values from the
// outermost inwards, flat, the innermost cause as text.
type Failure struct {
	Chain []FailureLink `msg:"c"`
	Text  string        `msg:"t"` // of the innermost cause
}

// FailureLink is one tutti.Error of a chain. Kinds travel by name.
type FailureLink struct {
	Op     string         `msg:"o,omitempty"`
	Kind   string         `msg:"k"`
	Task   tutti.TaskID   `msg:"t,omitempty"`
	Engine tutti.EngineID `msg:"e"`
	Rank   int            `msg:"r"`
	Host   string         `msg:"h,omitempty"`
	Hint   string         `msg:"i,omitempty"`
	Stack  string         `msg:"s,omitempty"`
}

// OpMissing is the operation of the link that names the task whose result cannot be read although its
// node is there, in the failure of a run that needs it.
const OpMissing = "read result"

// Missing is that task, 0 if the failure has no such link.
func (f *Failure) Missing() tutti.TaskID {
	if f != nil {
		for _, l := range f.Chain {
			if l.Op == OpMissing && l.Kind == tutti.NotFound.String() {
				return l.Task
			}
		}
	}
	return 0
}

// maxChain bounds how deep a chain of errors travels.
const maxChain = 32

// PackError makes the travelling form of err, nil of nil. An err with no tutti.Error in its chain
// becomes one link of its kind.
func PackError(err error) *Failure {
	if err == nil {
		return nil
	}
	f := &Failure{}
	for e := (*tutti.Error)(nil); len(f.Chain) < maxChain && errors.As(err, &e); err = e.Err {
		f.Chain = append(f.Chain, FailureLink{
			Op: e.Op, Kind: e.Kind.String(), Task: e.Task, Engine: e.Engine,
			Rank: e.Rank, Host: e.Host, Hint: e.Hint, Stack: e.Stack,
		})
		if e.Err == nil {
			return f
		}
	}
	f.Text = err.Error()
	if len(f.Chain) == 0 {
		f.Chain = []FailureLink{{Kind: tutti.KindOf(err).String(), Engine: tutti.NoEngine, Rank: -1}}
	}
	return f
}

// Error is the error that was packed, nil for a nil Failure.
func (f *Failure) Error() error {
	if f == nil {
		return nil
	}
	var err error
	if f.Text != "" {
		err = errors.New(f.Text)
	}
	for i := len(f.Chain) - 1; i >= 0; i-- {
		l := f.Chain[i]
		err = &tutti.Error{
			Op: l.Op, Kind: tutti.KindNamed(l.Kind), Task: l.Task, Engine: l.Engine,
			Rank: l.Rank, Host: l.Host, Hint: l.Hint, Stack: l.Stack, Err: err,
		}
	}
	return err
}
