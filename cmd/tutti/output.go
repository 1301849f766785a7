package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"

	"github.com/tutti-hpc/tutti"
)

// The forms of output.
const (
	human  = "human" // tables and sentences
	asJSON = "json"  // one value, or one a line where there is no end
	quiet  = "quiet" // ids only, one a line
)

// printer prints what a verb has found out, in the form that was asked for.
type printer struct {
	w      io.Writer
	form   string
	colour bool
}

func newPrinter(w io.Writer, form string) *printer {
	return &printer{w: w, form: form, colour: form == human && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb" && isTerminal(w)}
}

func isTerminal(w any) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	_, err := unix.IoctlGetWinsize(int(f.Fd()), unix.TIOCGWINSZ)
	return err == nil
}

// answer prints one thing: a sentence for people, a value for JSON, an id for the quiet form
// (nothing if that is empty).
func (p *printer) answer(sentence string, value any, id string) error {
	switch p.form {
	case asJSON:
		return p.json(value)
	case quiet:
		sentence = id
	}
	if sentence == "" {
		return nil
	}
	_, err := fmt.Fprintln(p.w, sentence)
	return err
}

// json prints one value, indented.
func (p *printer) json(value any) error {
	e := json.NewEncoder(p.w)
	e.SetIndent("", "  ")
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// line prints one value as one line of JSON, at once.
func (p *printer) line(value any) error {
	e := json.NewEncoder(p.w)
	e.SetEscapeHTML(false)
	return e.Encode(value)
}

// table prints rows under headings, aligned; the first column is what the quiet form shows. value
// is what JSON shows. Without rows people read empty, on a line.
func (p *printer) table(headings []string, rows [][]string, value any, empty string) error {
	switch {
	case p.form == asJSON:
		return p.json(value)
	case p.form == quiet:
		for _, r := range rows {
			fmt.Fprintln(p.w, r[0])
		}
		return nil
	case len(rows) == 0:
		_, err := fmt.Fprintln(p.w, empty)
		return err
	}
	widths := make([]int, len(headings))
	for _, r := range append([][]string{headings}, rows...) {
		for i, cell := range r {
			widths[i] = max(widths[i], utf8.RuneCountInString(cell))
		}
	}
	buf := bufio.NewWriter(p.w)
	p.row(buf, widths, headings)
	for _, r := range rows {
		p.row(buf, widths, r)
	}
	return buf.Flush()
}

// row writes one line of a table.
func (p *printer) row(buf *bufio.Writer, widths []int, cells []string) {
	for i, cell := range cells {
		buf.WriteString(p.tint(cell))
		if i < len(cells)-1 {
			buf.WriteString(strings.Repeat(" ", widths[i]-utf8.RuneCountInString(cell)+2))
		}
	}
	buf.WriteByte('\n')
}

// colours of the words for states.
var colours = map[string]string{
	"done": "32", "ok": "32", "running": "36", "failed": "31", "wrong": "31", "dead": "31", "careful": "33", "cancelled": "33",
}

// tint gives a word its colour on a terminal.
func (p *printer) tint(word string) string {
	if c := colours[word]; c != "" && p.colour {
		return "\x1b[" + c + "m" + word + "\x1b[0m"
	}
	return word
}

// fail reports an error in the one form there is, and gives the exit status.
func (v *invocation) fail(err error) int {
	var s status
	if errors.As(err, &s) {
		return int(s)
	}
	code := statusFailed
	var u usage
	switch {
	case errors.As(err, &u):
		code, err = statusUsage, u.err
	case v.ctx.Err() != nil:
		code = statusInterrupted
	}
	if v.out.form == asJSON {
		_ = json.NewEncoder(v.err).Encode(map[string]any{"error": failureOf(err)}) // there is nobody left to tell
		return code
	}
	fmt.Fprintf(v.err, "tutti: %v\n", err)
	if hint := tutti.HintOf(err); hint != "" {
		fmt.Fprintf(v.err, "hint: %s\n", hint)
	}
	return code
}

// failure is an error as JSON shows it.
type failure struct {
	Kind   string          `json:"kind"`
	Op     string          `json:"op,omitempty"`
	Text   string          `json:"text"`
	Hint   string          `json:"hint,omitempty"`
	Task   string          `json:"task,omitempty"`
	Engine *tutti.EngineID `json:"engine,omitempty"`
}

func failureOf(err error) *failure {
	f := &failure{Kind: tutti.KindOf(err).String(), Text: err.Error(), Hint: tutti.HintOf(err)}
	var e *tutti.Error
	if !errors.As(err, &e) {
		return f
	}
	f.Op, f.Text = e.Op, strings.TrimPrefix(f.Text, e.Op+": ")
	if e.Task != 0 {
		f.Task = e.Task.String()
	}
	if e.Engine != tutti.NoEngine {
		f.Engine = &e.Engine
	}
	return f
}

// shorten cuts a text for a table.
func shorten(s string, n int) string {
	s = strings.Join(strings.Fields(s), " ")
	if utf8.RuneCountInString(s) <= n {
		return s
	}
	return string([]rune(s)[:n-1]) + "…"
}

// ago writes how long ago something was, for people.
func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	return period(time.Since(t)) + " ago"
}

// period writes a duration for people: two units at most.
func period(d time.Duration) string {
	switch {
	case d < 0:
		return "0s"
	case d < time.Second:
		return d.Round(time.Millisecond).String()
	case d < time.Minute:
		return fmt.Sprintf("%.1fs", d.Seconds())
	case d < time.Hour:
		return fmt.Sprintf("%dm %02ds", int(d.Minutes()), int(d.Seconds())%60)
	case d < 24*time.Hour:
		return fmt.Sprintf("%dh %02dm", int(d.Hours()), int(d.Minutes())%60)
	}
	return fmt.Sprintf("%dd %02dh", int(d.Hours())/24, int(d.Hours())%24)
}
