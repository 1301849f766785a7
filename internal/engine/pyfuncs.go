package engine

import (
	"crypto/sha256"
	"time"
	"unsafe"
)

// pyFunc is a function as the interpreter knows it.
type pyFunc struct {
	number uint32
	name   string
	code   []byte
	told   bool          // the interpreter has it
	took   time.Duration // what a call of it takes, 0 if not known
	uses   uint64        // when it was last called, in calls
	calls  int           // on their way
}

// learn takes in how long a call took: at once if it was longer than thought, slowly if shorter.
func (f *pyFunc) learn(took time.Duration) {
	took = max(took, 1)
	if took > f.took {
		f.took = took
	} else {
		f.took -= (f.took - took) / 8
	}
}

// pyFuncs are the functions that an interpreter has been asked for. It is plain data; its owner is the
// process.
type pyFuncs struct {
	bySum  map[[sha256.Size]byte]*pyFunc
	byCode map[pyCodeKey]*pyFunc // a way round the hash
	last   uint32
	calls  uint64
}

// pyCodeKey is the identity of code in this process's memory, which it keeps from being used again.
type pyCodeKey struct {
	name string
	code *byte
	size int
}

// pyFunctions is about how many functions an interpreter is made to remember.
const pyFunctions = 1024

func newPyFuncs() pyFuncs {
	return pyFuncs{bySum: map[[sha256.Size]byte]*pyFunc{}, byCode: map[pyCodeKey]*pyFunc{}}
}

// find gives a function its number, and names those that the interpreter may forget.
func (t *pyFuncs) find(name string, code []byte) (f *pyFunc, forgotten []uint32) {
	t.calls++
	key := pyCodeKey{name: name, code: unsafe.SliceData(code), size: len(code)}
	if f = t.byCode[key]; f == nil {
		h := sha256.New()
		h.Write([]byte(name))
		h.Write([]byte{0})
		h.Write(code)
		sum := [sha256.Size]byte(h.Sum(nil))
		if f = t.bySum[sum]; f == nil {
			forgotten = t.forget()
			t.last++
			f = &pyFunc{number: t.last, name: name, code: code}
			t.bySum[sum] = f
		}
		if len(t.byCode) >= 2*pyFunctions {
			clear(t.byCode)
		}
		t.byCode[key] = f
	}
	f.uses = t.calls
	return f, forgotten
}

// forget lets go of functions that were not called for long, when there are many.
func (t *pyFuncs) forget() (numbers []uint32) {
	if len(t.bySum) < pyFunctions {
		return nil
	}
	for sum, f := range t.bySum {
		if f.calls == 0 && f.uses+pyFunctions/2 < t.calls {
			delete(t.bySum, sum)
			if f.told {
				numbers = append(numbers, f.number)
			}
		}
	}
	clear(t.byCode)
	return numbers
}
