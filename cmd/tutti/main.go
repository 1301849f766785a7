// Command tutti runs clusters from a shell: it starts and stops them, submits commands to them,
// and shows and explains what they do.
//
// Each verb is one file with its flags, its help and what it does; this one has the table of verbs
// and the way from arguments to an exit status. Everything that a verb prints goes through a
// [printer], so that each has a form for people, one in JSON, and a quiet one; every error leaves
// through one function. Verbs stand on package cluster and hold no state of their own.
//
// Exit statuses: 0 well, 1 failed, 2 wrong usage, 130 interrupted; `wait` and `submit --wait` end
// with the status of what they waited for.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

// verbs is the command line. A new verb is a line here and a file.
type verbs struct {
	Cluster string `short:"c" env:"TUTTI_CLUSTER" placeholder:"NAME" help:"The cluster that is meant (default: default)."`
	Output  string `short:"o" env:"TUTTI_OUTPUT" enum:"human,json,quiet" default:"human" placeholder:"FORM" help:"human, json, or quiet: only ids."`
	Quiet   bool   `short:"q" help:"The same as --output quiet."`

	Start   startVerb   `cmd:"" group:"clusters" help:"Start a cluster, or bring back one whose controller died."`
	Stop    stopVerb    `cmd:"" group:"clusters" help:"Stop a cluster, its agents and its engines."`
	Status  statusVerb  `cmd:"" group:"clusters" help:"List my clusters, or describe one."`
	Nodes   nodesVerb   `cmd:"" group:"clusters" help:"List the nodes of a cluster."`
	Engines enginesVerb `cmd:"" group:"clusters" help:"List the engines of a cluster."`
	Agent   agentVerb   `cmd:"" group:"clusters" help:"Add the machine this runs on to a cluster."`
	Drain   drainVerb   `cmd:"" group:"clusters" help:"Stop giving work to a node."`
	Undrain undrainVerb `cmd:"" group:"clusters" help:"Give work to a drained node again."`

	Run     runVerb     `cmd:"" group:"work" help:"Run the ranks of a parallel program on this machine."`
	Submit  submitVerb  `cmd:"" group:"work" help:"Submit a command as a durable job."`
	Jobs    jobsVerb    `cmd:"" group:"work" help:"List jobs, or the tasks of one."`
	Wait    waitVerb    `cmd:"" group:"work" help:"Wait until jobs have ended."`
	Cat     catVerb     `cmd:"" group:"work" help:"Show what a job has printed."`
	Cancel  cancelVerb  `cmd:"" group:"work" help:"Stop jobs or tasks."`
	Explain explainVerb `cmd:"" group:"work" help:"Say why a job does not run, or how it ended."`

	Config configVerb `cmd:"" group:"work" help:"Print the flags that build C and Fortran programs."`

	Doctor  doctorVerb  `cmd:"" group:"trouble" help:"Look for what is wrong on this machine or with a cluster."`
	Stacks  stacksVerb  `cmd:"" group:"trouble" help:"Show where the code of an engine is."`
	Events  eventsVerb  `cmd:"" group:"trouble" help:"Show what happens in a cluster, as it happens."`
	Clean   cleanVerb   `cmd:"" group:"trouble" help:"Find and remove what crashes have left behind."`
	Version versionVerb `cmd:"" group:"trouble" help:"Show the version."`

	Repl    replVerb    `cmd:"" group:"python" help:"A Python prompt whose input runs on all engines at once."`
	Python  pythonVerb  `cmd:"" group:"python" help:"Show or install the Python packages."`
	Gateway gatewayVerb `cmd:"" group:"python" hidden:"" help:"Speak for Python programs: what the Python package starts."`
}

// groups are the headings of the list of verbs.
var groups = []kong.Group{
	{Key: "clusters", Title: "Clusters:"},
	{Key: "work", Title: "Work:"},
	{Key: "trouble", Title: "When something is wrong:"},
	{Key: "python", Title: "Python:"},
}

// guide is what `tutti` alone prints.
const guide = `tutti runs work in parallel, on this machine or on many.

  tutti start                      a cluster in the background, on this machine
  tutti submit -- CMD ARGS...      a command as a job; prints the job's number
  tutti jobs                       what there is, and how it goes
  tutti wait last                  until the newest job has ended, with its exit status
  tutti cat last                   what it printed
  tutti stop                       the end; jobs that are not done go on at the next start

If something does not run: tutti explain last. If nothing runs: tutti doctor.
All verbs: tutti --help. One of them, with examples: tutti submit --help.
`

// invocation is one call of the command, as its verb sees it.
type invocation struct {
	ctx  context.Context // ends with SIGINT or SIGTERM
	name string          // of the cluster; "" if none was named
	out  *printer
	err  io.Writer
	in   *os.File
}

// profile finds the cluster that is meant.
func (v *invocation) profile() (*cluster.Profile, error) { return cluster.OpenProfile(v.name) }

// attach joins the cluster that is meant.
func (v *invocation) attach(a cluster.Attachment) (*cluster.Client, error) {
	p, err := v.profile()
	if err != nil {
		return nil, err
	}
	a.Warn = func(text string) { fmt.Fprintln(v.err, "tutti: warning:", text) }
	return cluster.Attach(v.ctx, p, a)
}

// watch joins it to ask questions, has them asked, and leaves.
func (v *invocation) watch(f func(c *cluster.Client) error) error {
	c, err := v.attach(cluster.Attachment{})
	if err != nil {
		return err
	}
	defer c.Close()
	return f(c)
}

// status is an error that only sets the exit status: what there is to say has been said.
type status int

func (s status) Error() string { return fmt.Sprintf("exit status %d", int(s)) }

// The exit statuses that are not a job's own.
const (
	statusFailed      = 1
	statusUsage       = 2
	statusInterrupted = 130
)

func main() {
	os.Unsetenv("TUTTI_ENGINE") // this may be a child of an engine, but is never one itself
	cluster.Init()              // it may be the guard of one's children
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	os.Exit(run(ctx, os.Args[1:], os.Stdin, os.Stdout, os.Stderr))
}

// run is the way from arguments to an exit status.
func run(ctx context.Context, args []string, in *os.File, out, errs io.Writer) int {
	if len(args) == 0 {
		fmt.Fprint(out, guide)
		return 0
	}
	var v verbs
	ended := -1 // set when kong has printed a help and is done
	parser, err := kong.New(&v, kong.Name("tutti"), kong.Description("tutti runs work in parallel, on this machine or on many."),
		kong.ExplicitGroups(groups), kong.Help(printHelp), kong.ConfigureHelp(kong.HelpOptions{Compact: true, WrapUpperBound: 100}),
		kong.Writers(out, errs), kong.Exit(func(code int) { ended = code; panic(helpShown{}) }))
	if err != nil {
		panic(err) // the table of verbs is wrong: any test finds that
	}
	kctx, err := parse(parser, args)
	if ended >= 0 {
		return ended
	}
	if v.Quiet {
		v.Output = "quiet"
	}
	inv := &invocation{ctx: ctx, name: v.Cluster, out: newPrinter(out, v.Output), err: errs, in: in}
	if err != nil {
		inv.out.form = wantedForm(args)
		return inv.fail(usageError(err))
	}
	// kong's own way to run it would wrap the error, and hide its hint.
	if err := kctx.Selected().Target.Addr().Interface().(verb).Run(inv); err != nil {
		return inv.fail(err)
	}
	return 0
}

// verb is what every row of verbs can do.
type verb interface{ Run(v *invocation) error }

// wantedForm is the form of output that a command line which cannot be read asks for, as far as
// can be told.
func wantedForm(args []string) string {
	form := os.Getenv("TUTTI_OUTPUT")
	for i, a := range args {
		switch {
		case a == "--":
			return form
		case (a == "-o" || a == "--output") && i+1 < len(args):
			form = args[i+1]
		case strings.HasPrefix(a, "--output="):
			form = strings.TrimPrefix(a, "--output=")
		case strings.HasPrefix(a, "-o"):
			form = a[2:]
		}
	}
	return form
}

// helpShown unwinds from the middle of parsing after a help was printed.
type helpShown struct{}

func parse(p *kong.Kong, args []string) (ctx *kong.Context, err error) {
	defer func() {
		if r := recover(); r != nil && r != any(helpShown{}) {
			panic(r)
		}
	}()
	return p.Parse(args)
}

// usage is an error in how the command was called.
type usage struct{ err *tutti.Error }

func (u usage) Error() string { return u.err.Error() }
func (u usage) Unwrap() error { return u.err }

// usageError makes a parser's error ours.
func usageError(err error) error {
	text := err.Error()
	hint := "all verbs: tutti --help"
	var p *kong.ParseError
	if errors.As(err, &p) && p.Context != nil && p.Context.Selected() != nil {
		hint = "see: tutti " + p.Context.Selected().Name + " --help"
	}
	text = strings.TrimPrefix(text, "unexpected argument ")
	if text != err.Error() && !strings.Contains(hint, "see:") {
		text = "there is no verb " + text
	}
	return usage{tutti.Errorf("command line", tutti.Invalid, "%s", text).WithHint("%s", hint)}
}

// badUsage is an error in how a verb was called that the parser cannot see.
func badUsage(hint, format string, args ...any) error {
	return usage{tutti.Errorf("command line", tutti.Invalid, format, args...).WithHint("%s", hint)}
}
