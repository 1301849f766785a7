package main

import (
	"fmt"
	"io"
	"strings"

	"github.com/alecthomas/kong"
)

// teacher is a verb with something to say beyond its flags: what it is for, and examples.
type teacher interface{ Teach() string }

// printHelp prints what kong knows, and, of one verb, what it teaches. kong would reflow the
// examples.
func printHelp(options kong.HelpOptions, ctx *kong.Context) error {
	if err := kong.DefaultHelpPrinter(options, ctx); err != nil {
		return err
	}
	node := ctx.Selected()
	if node == nil {
		_, err := fmt.Fprintf(ctx.Stdout, "\n%s", exitHelp)
		return err
	}
	if t, ok := node.Target.Addr().Interface().(teacher); ok {
		return teach(ctx.Stdout, t.Teach())
	}
	return nil
}

func teach(w io.Writer, text string) error {
	_, err := fmt.Fprintf(w, "\n%s\n", strings.TrimSpace(text))
	return err
}

const exitHelp = `Exit status: 0 well, 1 failed, 2 wrong usage, 130 interrupted. "tutti wait" and "tutti submit
--wait" end with the status of the job: its own, 128+N if signal N killed it, 124 if its time
limit passed, 130 if it was cancelled.

Jobs are named by number ("7"), tasks by job and number ("7.2"); "last" is the newest job, "all"
are all. Sizes: 512MiB, 4GB. Times: 90s, 1h30m, 02:30:00.
`
