// Command pmf finds the sources behind air-pollution measurements: positive matrix factorization
// by LS-NMF, the best of many random starts, and a thousand block bootstrap replicates that tell
// how sure its factors are. It writes a report: one web page, figures as PNG and SVG, and tables.
//
// A run is a list of independent calls of two named functions: pmf.start fits one random start,
// pmf.replicate one bootstrap sample. Their arguments name the data set instead of carrying it,
// each has a random stream of its own, and each result is a function of its argument alone: so
// the report is the same, byte for byte, whoever makes the calls and in whatever order.
//
//	go run ./examples/pmf                           # Baton Rouge, 4 factors, 1,000 replicates
//	go run ./examples/pmf -engines 0                # the same report, by a plain loop
//	TUTTI_CLUSTER=default go run ./examples/pmf     # on the engines of a running cluster
//	go run ./examples/pmf -dataset sl -factors 6
//	go run ./examples/pmf -dataset my-con.csv,my-unc.csv -factors 5 -o my-report
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/cluster"
)

func main() {
	cluster.Init() // in the process of an engine this never returns
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt)
	defer stop()
	err := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	if errors.Is(err, flag.ErrHelp) {
		return
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "pmf:", err)
		if hint := tutti.HintOf(err); hint != "" {
			fmt.Fprintln(os.Stderr, "hint:", hint)
		}
		os.Exit(1)
	}
}

// options is the command line.
type options struct {
	Config
	engines int
	out     string
}

func parseFlags(args []string, stderr io.Writer) (o options, err error) {
	flags := flag.NewFlagSet("pmf", flag.ContinueOnError)
	flags.SetOutput(stderr)
	set := flags.String("dataset", "br", "`data`: br (Baton Rouge), sl (St. Louis), ba (Baltimore), or two files CON,UNC")
	flags.IntVar(&o.Factors, "factors", 4, "factors to look for")
	flags.IntVar(&o.Seeds, "seeds", 100, "random starts of the base run")
	flags.IntVar(&o.Reps, "reps", 1000, "bootstrap replicates, 0 for none")
	flags.IntVar(&o.Block, "block", 0, "block length of the bootstrap, 0 to have it chosen from the data")
	flags.Uint64Var(&o.Seed, "seed", 1, "seed of all random numbers")
	flags.IntVar(&o.engines, "engines", runtime.NumCPU(), "engines that share the work, 0 for a plain loop")
	flags.StringVar(&o.out, "o", "pmf-report", "`folder` for the report")
	if err := flags.Parse(args); err != nil {
		return o, err
	}
	if flags.NArg() > 0 {
		return o, tutti.Errorf("read flags", tutti.Invalid, "what is %q for?", flags.Arg(0))
	}
	if o.engines < 0 {
		return o, tutti.Errorf("read flags", tutti.Invalid, "%d engines", o.engines)
	}
	o.Data = Source{Name: *set}
	if con, unc, ok := strings.Cut(*set, ","); ok {
		o.Data = Source{Con: con, Unc: unc}
	}
	return o, nil
}

// run does one study. What differs from run to run (times, engines) is written to out, never
// into the report.
func run(ctx context.Context, args []string, out, stderr io.Writer) error {
	o, err := parseFlags(args, stderr)
	if err != nil {
		return err
	}
	begin := time.Now()
	crew := &team{progress: progressOn(stderr)}
	if o.engines > 0 {
		c, err := cluster.Open(ctx, cluster.Engines(o.engines))
		if err != nil {
			return err
		}
		defer c.Close()
		crew.view = c.Balanced()
	}
	r, err := analyse(ctx, o.Config, crew)
	if err != nil {
		return err
	}
	fitted := time.Now()
	files, err := r.write(o.out)
	if err != nil {
		return err
	}
	r.print(out)
	fmt.Fprintf(out, "\n%.1f s for %d starts and %d replicates on %d engines, %.1f s for the report\n",
		fitted.Sub(begin).Seconds(), o.Seeds, o.Reps, o.engines, time.Since(fitted).Seconds())
	fmt.Fprintf(out, "%s and %d more files\n", filepath.Join(o.out, files[0]), len(files)-1)
	return nil
}

// print gives the essence of the report on a screen.
func (r *Result) print(out io.Writer) {
	fmt.Fprintf(out, "%s: %d samples of %d species, %d factors\n", r.Data.Title, r.Data.Samples(), r.Data.Species(), r.Base.P)
	fmt.Fprintf(out, "Q(true) %.2f, Q(robust) %.2f, expected %.0f; best of %d starts\n",
		r.Base.Q, r.Base.Robust, r.expectedQ(), len(r.Starts))
	if b := r.Bootstrap; b.Reps > 0 {
		fmt.Fprintf(out, "bootstrap: %d replicates of blocks of %d, Q %.0f ± %.0f, %d factors unmapped\n",
			b.Reps, r.Config.Block, b.Mean, b.SD, b.Unmapped)
	}
	for k := range r.Factors {
		f := &r.Factors[k]
		found := ""
		if r.Bootstrap.Reps > 0 {
			found = fmt.Sprintf("found in %d, ", f.Once+f.Several)
		}
		fmt.Fprintf(out, "  factor %d: %4.1f %% of all, %smost of %s\n", k+1, f.Share, found, f.markers(r.Data.Names))
	}
}
