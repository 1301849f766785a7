package launch

import (
	"bufio"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"
)

// foldWait is how long a line waits for other ranks to write the same.
const foldWait = 200 * time.Millisecond

// tailLines is how much of a rank's standard error is kept, to be shown last if it fails.
const tailLines = 60

// carrier carries lines from ranks to the launcher's output. One mutex guards it all.
type carrier struct {
	style Style
	size  int
	out   [2]io.Writer // standard output and error

	mu     sync.Mutex
	folds  [2]folder
	timer  *time.Timer
	last   int // the rank that wrote last
	tails  []tail
	broken bool // nobody reads our output any more
}

type tail struct {
	lines   []string
	dropped bool
}

// folder holds the lines of one stream that still wait for ranks.
type folder struct{ waiting []*fold }

type fold struct {
	text  string
	ranks []bool
	count int
	since time.Time
}

func newCarrier(s *Spec, size int) *carrier {
	c := &carrier{style: s.Style, size: size, out: [2]io.Writer{s.Stdout, s.Stderr}, tails: make([]tail, size), last: -1}
	for i, w := range c.out {
		if w == nil {
			c.out[i] = io.Discard
		}
	}
	return c
}

// carry reads the lines of a rank's stream until it ends. A line that never ends is passed on in parts.
func (c *carrier) carry(rank, stream int, r io.Reader) {
	b := bufio.NewReaderSize(r, 64<<10)
	for {
		line, err := b.ReadSlice('\n')
		if len(line) > 0 {
			c.line(rank, stream, string(line))
		}
		if err != nil && err != bufio.ErrBufferFull {
			return
		}
	}
}

func (c *carrier) line(rank, stream int, text string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if stream == 1 {
		c.tails[rank].add(text)
	}
	switch {
	case c.style == Fold:
		c.fold(rank, stream, text)
		return
	case c.style == Zero && stream == 0 && rank != 0:
		return
	case c.style == Label:
		text = fmt.Sprintf("[%d] %s", rank, text)
	}
	c.last = rank
	c.write(stream, text)
}

// write passes text on; where that fails (a closed pipe) the rest is read and dropped, so that
// ranks do not hang on their own output.
func (c *carrier) write(stream int, text string) {
	if c.broken {
		return
	}
	if _, err := io.WriteString(c.out[stream], text); err != nil {
		c.broken = true
	}
}

func (t *tail) add(text string) {
	if len(t.lines) == tailLines {
		t.lines, t.dropped = append(t.lines[:0:0], t.lines[1:]...), true
	}
	t.lines = append(t.lines, text)
}

// fold joins a line to an equal one of other ranks, or lets it wait for them. A rank's own lines
// keep their order: a line that others still lack is passed on when its time is over.
func (c *carrier) fold(rank, stream int, text string) {
	f := &c.folds[stream]
	for _, l := range f.waiting {
		if l.text == text && !l.ranks[rank] {
			l.ranks[rank] = true
			if l.count++; l.count == c.size {
				c.flush(time.Now().Add(-foldWait))
			}
			return
		}
	}
	l := &fold{text: text, ranks: make([]bool, c.size), count: 1, since: time.Now()}
	l.ranks[rank] = true
	f.waiting = append(f.waiting, l)
	if c.size == 1 {
		c.flush(time.Now())
		return
	}
	if c.timer == nil {
		c.timer = time.AfterFunc(foldWait, c.expire)
	}
}

func (c *carrier) expire() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.timer = nil
	c.flush(time.Now().Add(-foldWait))
	if len(c.folds[0].waiting)+len(c.folds[1].waiting) > 0 {
		c.timer = time.AfterFunc(foldWait, c.expire)
	}
}

// flush writes the lines at the front that all ranks have, or that came before limit.
func (c *carrier) flush(limit time.Time) {
	for i := range c.folds {
		f := &c.folds[i]
		for len(f.waiting) > 0 && (f.waiting[0].count == c.size || f.waiting[0].since.Before(limit)) {
			l := f.waiting[0]
			f.waiting = f.waiting[1:]
			c.last = -1
			c.write(i, fmt.Sprintf("[%s] %s", ranges(l.ranks), l.text))
		}
	}
}

// finish writes what still waits.
func (c *carrier) finish() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.timer != nil {
		c.timer.Stop()
	}
	c.flush(time.Now().Add(time.Hour))
}

// lastWords says how a rank failed, after what it wrote to standard error last, which is shown
// again if other output has come since.
func (c *carrier) lastWords(e Exit) {
	c.mu.Lock()
	defer c.mu.Unlock()
	t := &c.tails[e.Rank]
	if c.last != e.Rank && len(t.lines) > 0 {
		c.write(1, fmt.Sprintf("tutti run: rank %d wrote last:\n", e.Rank))
		if t.dropped {
			c.write(1, "  ...\n")
		}
		for _, l := range t.lines {
			c.write(1, "  "+strings.TrimSuffix(l, "\n")+"\n")
		}
	}
	c.write(1, fmt.Sprintf("tutti run: rank %d of %d: %s\n", e.Rank, c.size, e.Reason))
}

// ranges is the short form of a set of ranks: "0-2,5".
func ranges(set []bool) string {
	var parts []string
	for i := 0; i < len(set); i++ {
		if !set[i] {
			continue
		}
		j := i
		for j+1 < len(set) && set[j+1] {
			j++
		}
		if i == j {
			parts = append(parts, fmt.Sprint(i))
		} else {
			parts = append(parts, fmt.Sprintf("%d-%d", i, j))
		}
		i = j
	}
	return strings.Join(parts, ",")
}
