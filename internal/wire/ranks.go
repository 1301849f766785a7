package wire

import (
	"errors"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
)

// RankEnd is how one rank of a world ended. When any of its ranks fails, the Value of the whole
// task's end is a CBOR array of these, by rank, each an array of four: codec, bytes, whether it
// failed, and a map that says how, or null. The bytes are what the rank returned, or, of one that
// failed, what its runtime had to say beside the error: a pickled exception. Large results of ranks
// that ended well are left out (codec 0).
type RankEnd struct {
	_       struct{} `cbor:",toarray"`
	Codec   uint8
	Data    []byte
	Failed  bool
	Failure *RankFailure
}

// RankFailure says why a rank failed. The fields are those of the outermost error, with the
// innermost hint and the first stack, for whoever does not need more; Chain has all of it.
type RankFailure struct {
	Kind   string         `cbor:"kind"`
	Text   string         `cbor:"text"` // of the innermost cause
	Op     string         `cbor:"op"`
	Hint   string         `cbor:"hint"`
	Host   string         `cbor:"host"`
	Engine tutti.EngineID `cbor:"engine"`
	Rank   int            `cbor:"rank"`
	Stack  string         `cbor:"stack"`
	Chain  []chainLink    `cbor:"chain"`
}

// chainLink is a FailureLink under the names that maps have here.
type chainLink struct {
	Op     string         `cbor:"op"`
	Kind   string         `cbor:"kind"`
	Task   tutti.TaskID   `cbor:"task"`
	Engine tutti.EngineID `cbor:"engine"`
	Rank   int            `cbor:"rank"`
	Host   string         `cbor:"host"`
	Hint   string         `cbor:"hint"`
	Stack  string         `cbor:"stack"`
}

// NewRankEnd describes the end of a rank; f is nil if it ended well.
func NewRankEnd(codec tutti.Codec, data []byte, f *Failure) RankEnd {
	end := RankEnd{Codec: uint8(codec), Data: data, Failed: f != nil}
	if f == nil || len(f.Chain) == 0 {
		return end
	}
	top := f.Chain[0]
	r := &RankFailure{Kind: top.Kind, Text: f.Text, Op: top.Op, Host: top.Host, Engine: top.Engine, Rank: top.Rank}
	for _, l := range f.Chain {
		if l.Hint != "" {
			r.Hint = l.Hint
		}
		if r.Stack == "" {
			r.Stack = l.Stack
		}
		r.Chain = append(r.Chain, chainLink(l))
	}
	end.Failure = r
	return end
}

// Error is the rank's error, nil if it ended well.
func (e *RankEnd) Error() error {
	switch {
	case !e.Failed:
		return nil
	case e.Failure == nil:
		return errors.New("a rank failed and nothing says why")
	}
	f := &Failure{Text: e.Failure.Text}
	for _, l := range e.Failure.Chain {
		f.Chain = append(f.Chain, FailureLink(l))
	}
	return f.Error()
}

// UnpackRankEnds reads the Value of a world that failed; false if it is none.
func UnpackRankEnds(v tutti.Value) ([]RankEnd, bool) {
	var ends []RankEnd
	if v.Codec != tutti.CBOR || len(v.Data) == 0 || cbor.Unmarshal(v.Data, &ends) != nil {
		return nil, false
	}
	return ends, true
}
