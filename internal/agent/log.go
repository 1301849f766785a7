package agent

import (
	"bytes"
	"log/slog"
	"sync"
)

// logRing writes to the agent's logger and keeps the last of it, for who asks over the link.
type logRing struct {
	*slog.Logger
	mu   sync.Mutex
	last []byte
}

// logKept is how much of the log is kept.
const logKept = 64 << 10

func newLogRing(to *slog.Logger) *logRing {
	r := &logRing{}
	r.Logger = slog.New(slog.NewMultiHandler(to.Handler(), slog.NewTextHandler(r, nil)))
	return r
}

// Write is the text handler's way into the ring.
func (r *logRing) Write(b []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.last = append(r.last, b...)
	if more := len(r.last) - logKept; more > 0 {
		r.last = append(r.last[:0], r.last[more:]...)
	}
	return len(b), nil
}

// text is what is kept, from the beginning of a line.
func (r *logRing) text() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	b := r.last
	if len(b) >= logKept {
		if i := bytes.IndexByte(b, '\n'); i >= 0 {
			b = b[i+1:]
		}
	}
	return string(b)
}
