package engine

import (
	"os"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// remainder reads one of an engine's pipes on the agent's side, while the engine does not: before
// it is ready, while it crashes, after its end. It keeps the last of what comes.
type remainder struct {
	file *os.File

	mu   sync.Mutex
	done chan struct{} // closed when nobody reads here, nil before
	busy bool          // somebody reads here
	text []byte
}

// keepText is how much of a stream is kept.
const keepText = 64 << 10

func (r *remainder) begin(f *os.File) {
	r.file = f
	r.resume()
}

// resume starts reading, unless it has.
func (r *remainder) resume() {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.busy {
		return
	}
	done := make(chan struct{})
	r.busy, r.done = true, done
	_ = r.file.SetReadDeadline(time.Time{})
	go func() {
		defer close(done)
		b := make([]byte, 16<<10)
		for {
			n, err := r.file.Read(b)
			r.keep(b[:n])
			if err != nil {
				return
			}
		}
	}()
}

func (r *remainder) keep(b []byte) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.text = append(r.text, b...)
	if more := len(r.text) - keepText; more > 0 {
		r.text = append(r.text[:0], r.text[more:]...)
	}
}

// finish stops reading, takes what still lies in the pipe, and gives all that was kept.
func (r *remainder) finish() []byte {
	r.mu.Lock()
	done := r.done
	_ = r.file.SetReadDeadline(time.Unix(1, 0))
	r.mu.Unlock()
	<-done
	if raw, err := r.file.SyscallConn(); err == nil {
		_ = raw.Control(func(fd uintptr) {
			b := make([]byte, 16<<10)
			for {
				n, err := unix.Read(int(fd), b)
				if n <= 0 && err != unix.EINTR {
					return
				}
				r.keep(b[:max(0, n)])
			}
		})
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	text := r.text
	r.text, r.busy = nil, false
	return text
}
