package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// step is one line of a script with what is expected of it.
type step struct {
	line     int
	command  string
	out, err []string
	status   int
}

// readScript parses a script: "$" begins a line for the shell, "|" a line that it has to print, "!"
// one on stderr, "=" its exit status if that is not 0. Expected lines are regular expressions for
// whole lines; "..." stands for any number of lines. "#" begins a comment.
func readScript(t *testing.T, text string) []step {
	var steps []step
	for i, l := range strings.Split(text, "\n") {
		mark, rest, _ := strings.Cut(l, " ")
		if l == "" || mark == "#" {
			continue
		}
		if mark == "$" {
			steps = append(steps, step{line: i + 1, command: rest})
			continue
		}
		if len(steps) == 0 {
			t.Fatalf("line %d: before the first command", i+1)
		}
		s := &steps[len(steps)-1]
		switch mark {
		case "|":
			s.out = append(s.out, rest)
		case "!":
			s.err = append(s.err, rest)
		case "=":
			s.status, _ = strconv.Atoi(rest)
		default:
			t.Fatalf("line %d: %q", i+1, l)
		}
	}
	return steps
}

// matches holds lines against expected ones.
func matches(want, got []string) bool {
	for len(want) > 0 {
		if want[0] == "..." {
			for skip := 0; skip <= len(got); skip++ {
				if matches(want[1:], got[skip:]) {
					return true
				}
			}
			return false
		}
		if len(got) == 0 || !regexp.MustCompile("^(?:"+want[0]+")$").MatchString(got[0]) {
			return false
		}
		want, got = want[1:], got[1:]
	}
	return len(got) == 0
}

func splitLines(s string) []string {
	if s = strings.TrimSuffix(s, "\n"); s == "" {
		return nil
	}
	return strings.Split(s, "\n")
}

// TestScripts executes every script of testdata against the real program, in a world of its own.
func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no scripts: %v", err)
	}
	for _, f := range files {
		text, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		t.Run(strings.TrimSuffix(filepath.Base(f), ".txt"), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			for _, s := range readScript(t, string(text)) {
				r := w.sh(s.command)
				if r.status != s.status || !matches(s.out, splitLines(r.out)) || !matches(s.err, splitLines(r.err)) {
					t.Fatalf("%s:%d: %s\nstatus %d, want %d\nstdout:\n%s\nwant: %q\nstderr:\n%s\nwant: %q",
						f, s.line, s.command, r.status, s.status, r.out, s.out, r.err, s.err)
				}
			}
		})
	}
}

// The runner itself must see what is wrong.
func TestMatches(t *testing.T) {
	for _, c := range []struct {
		want, got string
		ok        bool
	}{
		{"", "", true}, {"", "a", false}, {"a", "", false}, {"a\nb", "a\nb", true}, {"a", "a\nb", false}, {"a", "ab", false},
		{"...", "", true}, {"...", "a\nb", true}, {"...\nb", "a\nb", true}, {"...\nc\n...", "a\nb", false}, {"a.*", "abc", true},
	} {
		if matches(splitLines(c.want), splitLines(c.got)) != c.ok {
			t.Errorf("%q against %q: not %v", c.want, c.got, c.ok)
		}
	}
}
