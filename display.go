package tutti

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Sink receives what is displayed: a figure, a table, with its MIME type. data belongs to the
// caller again when Sink returns.
type Sink func(ctx context.Context, mime string, data []byte) error

type sinkKey struct{}

// WithSink gives ctx a sink of its own.
func WithSink(ctx context.Context, s Sink) context.Context {
	return context.WithValue(ctx, sinkKey{}, s)
}

// process is the sink of the whole process, set by what runs it (an engine, `tutti run`).
var process struct {
	sync.Mutex
	sink   Sink
	serial int
}

// SetSink gives the process a sink, and returns the one it had.
func SetSink(s Sink) Sink {
	process.Lock()
	defer process.Unlock()
	old := process.sink
	process.sink = s
	return old
}

// extensions of the types that people display.
var extensions = map[string]string{
	"image/svg+xml": ".svg", "image/png": ".png", "text/html": ".html", "text/plain": ".txt",
	"application/json": ".json",
}

// Display shows data where the user is looking: it goes to the context's sink, else to the
// process's, else into a file tutti-N.EXT in the working directory, whose name is printed to
// stderr. It may be called from any goroutine.
func Display(ctx context.Context, mime string, data []byte) error {
	if s, ok := ctx.Value(sinkKey{}).(Sink); ok {
		return s(ctx, mime, data)
	}
	process.Lock()
	s := process.sink
	process.serial++
	serial := process.serial
	process.Unlock()
	if s != nil {
		return s(ctx, mime, data)
	}
	kind, _, _ := strings.Cut(mime, ";")
	ext := extensions[strings.TrimSpace(kind)]
	if ext == "" {
		ext = ".bin"
	}
	name := filepath.Join(".", fmt.Sprintf("tutti-%d%s", serial, ext))
	if err := os.WriteFile(name, data, 0o644); err != nil {
		return E("display", KindOf(err), err)
	}
	fmt.Fprintln(os.Stderr, "tutti: wrote", name)
	return nil
}
