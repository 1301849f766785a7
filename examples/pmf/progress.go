package main

import (
	"fmt"
	"io"
	"os"
	"sync"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/cwriter"
	"github.com/vbauerster/mpb/v8/decor"
)

// progressOn tells a person how far the work is: by a bar with an estimate of the time left where
// w is a terminal, by a line for each tenth elsewhere. The functions it hands out may be called by
// several goroutines at once; done leaves nothing running.
func progressOn(w io.Writer) func(what string, total int) (tick, done func()) {
	if f, ok := w.(*os.File); ok && hasRoom(int(f.Fd())) {
		return func(what string, total int) (tick, done func()) { return bar(w, what, total) }
	}
	return func(what string, total int) (tick, done func()) { return lines(w, what, total) }
}

// hasRoom says whether a bar can be drawn on fd: on a terminal that knows its size. Some recorders
// and editors offer one of no size, on which a bar would not be seen.
func hasRoom(fd int) bool {
	width, height, err := cwriter.GetSize(fd)
	return cwriter.IsTerminal(fd) && err == nil && width > 0 && height > 0
}

func bar(w io.Writer, what string, total int) (tick, done func()) {
	bars := mpb.New(mpb.WithOutput(w), mpb.WithWidth(48))
	b := bars.AddBar(int64(total),
		mpb.PrependDecorators(decor.Name(what, decor.WC{W: 12, C: decor.DindentRight}), decor.CountersNoUnit("%d of %d ")),
		mpb.AppendDecorators(decor.Percentage(decor.WC{W: 5}),
			decor.OnComplete(decor.AverageETA(decor.ET_STYLE_GO, decor.WC{W: 8}), " done")))
	return b.Increment, func() {
		b.Abort(false) // of a bar that is full already this does nothing
		bars.Wait()
	}
}

func lines(w io.Writer, what string, total int) (tick, done func()) {
	var mu sync.Mutex
	n := 0
	tick = func() {
		mu.Lock()
		defer mu.Unlock()
		n++
		if n*10/total > (n-1)*10/total {
			fmt.Fprintf(w, "%s: %d of %d\n", what, n, total)
		}
	}
	return tick, func() {}
}
