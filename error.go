package tutti

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
)

// Kind says what sort of thing went wrong. A Kind is itself an error, so that a program asks
// errors.Is(err, tutti.Lost). Kinds travel by name ([Kind.String]), never by number.
type Kind uint8

// The kinds, in the order of their tables. "Your code failed" ([Failed], [Panicked]) and "our
// machinery failed" ([Lost]) are different kinds, and only the second is retried by itself.
const (
	Other         Kind = iota // not classified
	Invalid                   // an argument, a file or a message that cannot be right
	NotFound                  // no such function, task, engine, blob, cluster or file
	Exists                    // something of that name is there already
	Denied                    // a wrong or missing key, or no permission
	Unsupported               // not possible on this system, device or build
	Version                   // the two sides are of versions that do not understand each other
	Canceled                  // somebody asked for it to stop
	Timeout                   // a limit set by the user has passed
	Failed                    // the user's code returned an error, or a command exited with a status
	Panicked                  // the user's code panicked
	Lost                      // an engine, an agent, a node or a link went away: retried by itself
	Closed                    // the thing was closed or finalized before
	Full                      // no space left: disk, memory, /dev/shm, a queue
	Dependency                // a task that this one needs failed; the cause is below it
	Unsatisfiable             // needs more than any node has, or a cycle of dependencies
	Corrupt                   // bytes that do not decode, or whose checksum is wrong
	Expired                   // was kept for a while and is gone
	Truncated                 // a message longer than the buffer given for it
	Revoked                   // the communicator was revoked because a peer failed
	Internal                  // a fault of tutti itself
	kinds
)

var kindNames = [kinds]string{
	Other: "error", Invalid: "invalid", NotFound: "not found", Exists: "exists already",
	Denied: "denied", Unsupported: "unsupported", Version: "version mismatch",
	Canceled: "canceled", Timeout: "timed out", Failed: "failed", Panicked: "panicked",
	Lost: "lost", Closed: "closed", Full: "no space", Dependency: "dependency failed",
	Unsatisfiable: "cannot be satisfied", Corrupt: "corrupt", Expired: "expired",
	Truncated: "truncated", Revoked: "revoked", Internal: "internal fault",
}

// String is the kind's name, the form in which it travels.
func (k Kind) String() string {
	if k < kinds {
		return kindNames[k]
	}
	return kindNames[Other]
}

// Error makes a Kind usable as the target of errors.Is.
func (k Kind) Error() string { return k.String() }

// KindNamed is the kind with that name, [Other] if there is none.
func KindNamed(name string) Kind {
	for k, n := range kindNames {
		if n == name {
			return Kind(k)
		}
	}
	return Other
}

// Error is the one form in which tutti reports what went wrong. It survives the network: what
// arrives has the same fields, its cause reduced to text and kind.
type Error struct {
	Op     string   // what was being done: "submit", "dial", "call square"
	Kind   Kind     // what sort of failure
	Task   TaskID   // the task concerned, 0 if none
	Engine EngineID // the engine it ran on, NoEngine if none
	Rank   int      // the rank in a world of several, -1 if none
	Host   string   // the host it happened on, "" if here or unknown
	Hint   string   // what a person can do about it, "" if nothing
	Stack  string   // the remote traceback of a panic, "" if none
	Err    error    // the cause, nil if the kind says all
}

// E makes an Error with neither engine nor rank.
func E(op string, kind Kind, err error) *Error {
	return &Error{Op: op, Kind: kind, Engine: NoEngine, Rank: -1, Err: err}
}

// Errorf makes an Error whose cause is formatted; %w works.
func Errorf(op string, kind Kind, format string, args ...any) *Error {
	return E(op, kind, fmt.Errorf(format, args...))
}

// WithHint returns e with a hint for the person who reads it.
func (e *Error) WithHint(format string, args ...any) *Error {
	e.Hint = fmt.Sprintf(format, args...)
	return e
}

// Error gives one line: operation, place, cause or kind. The hint is not in it; a command prints
// it on a line of its own.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(e.Op)
	if e.Task != 0 {
		fmt.Fprintf(&b, " (task %v)", e.Task)
	}
	if e.Rank >= 0 {
		fmt.Fprintf(&b, " on rank %d", e.Rank)
	}
	if e.Engine != NoEngine {
		fmt.Fprintf(&b, " on engine %d", e.Engine)
	}
	if e.Host != "" {
		fmt.Fprintf(&b, " at %s", e.Host)
	}
	if b.Len() > 0 {
		b.WriteString(": ")
	}
	if e.Err == nil {
		b.WriteString(e.Kind.String())
		return b.String()
	}
	cause := e.Err.Error() // once: a chain is as long as it is deep, and no longer
	if e.Kind != Other && e.Kind != Failed && !strings.Contains(cause, e.Kind.String()) {
		b.WriteString(e.Kind.String() + ": ")
	}
	b.WriteString(cause)
	return b.String()
}

// Unwrap gives the cause to errors.Is and errors.As.
func (e *Error) Unwrap() error { return e.Err }

// Is reports whether target is e's kind, or the standard library's word for it.
func (e *Error) Is(target error) bool {
	switch target {
	case e.Kind:
		return true
	case context.Canceled:
		return e.Kind == Canceled
	case context.DeadlineExceeded, os.ErrDeadlineExceeded:
		return e.Kind == Timeout
	case fs.ErrNotExist:
		return e.Kind == NotFound
	case fs.ErrExist:
		return e.Kind == Exists
	case fs.ErrPermission:
		return e.Kind == Denied
	}
	return false
}

// KindOf finds the kind of any error: of the outermost [Error] in its chain, else of the
// standard library's sentinels, else [Other].
func KindOf(err error) Kind {
	var e *Error
	var k Kind
	switch {
	case err == nil:
		return Other
	case errors.As(err, &e):
		return e.Kind
	case errors.As(err, &k):
		return k
	case errors.Is(err, context.Canceled):
		return Canceled
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded):
		return Timeout
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrExist):
		return Exists
	case errors.Is(err, fs.ErrPermission):
		return Denied
	}
	return Other
}

// HintOf finds the innermost hint in err's chain, "" if there is none. Of several errors that were
// joined it is that of the first which has one.
func HintOf(err error) string {
	hint := ""
	for err != nil {
		if e, ok := err.(*Error); ok && e.Hint != "" {
			hint = e.Hint
		}
		if several, ok := err.(interface{ Unwrap() []error }); ok {
			for _, one := range several.Unwrap() {
				if h := HintOf(one); h != "" {
					return h
				}
			}
			return hint
		}
		err = errors.Unwrap(err)
	}
	return hint
}
