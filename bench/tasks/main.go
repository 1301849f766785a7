// Command tasks measures tutti, one figure at a time, and prints each number as a line of JSON.
// It is ours in the side-by-side run that bench/run makes; see docs/benchmarks.md.
//
//	tasks [-on PLACE] [-n N] [-engines N] FIGURE
//
// A place is where the cluster is: "embedded" in this process, "tls" for a controller and an agent
// in processes of their own that everybody reaches over TCP with TLS, "unix" for the same over
// the sockets of this host. What a figure starts, it ends; a time limit ends all of it.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime/pprof"
	"slices"
	"syscall"
	"time"

	"github.com/tutti-hpc/tutti/cluster"
)

// figure is one thing to measure. It is given an open cluster, or opens its own.
type figure struct {
	name    string
	n       int // how many tasks, unless told otherwise
	measure func(ctx context.Context, r *run) error
}

// figures is the table of what can be measured.
var figures = []figure{
	{"map", 200_000, measureMap},
	{"durable", 50_000, measureDurable},
	{"submit", 50_000, measureSubmit},
	{"trip", 2_000, measureTrip},
	{"sleep", 10_000, measureSleep},
	{"command", 1_000, measureCommands},
	{"data", 6, measureData},
	{"memory", 100_000, measureMemory},
	{"startup", 1, measureStartup},
	{"first", 1, measureFirst},
}

// run is one measurement under way.
type run struct {
	place   string
	engines int
	n       int
}

func main() {
	cluster.Init()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := measure(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "tasks:", err)
		os.Exit(1)
	}
}

func measure(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("tasks", flag.ContinueOnError)
	r := new(run)
	flags.StringVar(&r.place, "on", "embedded", "`place` of the cluster: embedded, tls, unix")
	flags.IntVar(&r.engines, "engines", 2, "engines")
	flags.IntVar(&r.n, "n", 0, "tasks, instead of the figure's own number")
	limit := flags.Duration("limit", 5*time.Minute, "time after which it is given up")
	profile := flags.String("cpuprofile", "", "`file` for a profile of this process")
	part := flags.String("part", "", "be a part of a detached cluster: controller, agent")
	if err := flags.Parse(args); err != nil {
		return err
	}
	if *part != "" {
		return bePart(ctx, *part, r.engines)
	}
	i := slices.IndexFunc(figures, func(f figure) bool { return f.name == flags.Arg(0) })
	if i < 0 {
		return fmt.Errorf("no figure %q", flags.Arg(0))
	}
	if r.n == 0 {
		r.n = figures[i].n
	}
	if *profile != "" {
		f, err := os.Create(*profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	ctx, cancel := context.WithTimeout(ctx, *limit)
	defer cancel()
	return figures[i].measure(ctx, r)
}

// emit prints one number.
func (r *run) emit(metric string, value float64, unit string) {
	r.emitAs("tutti "+r.place, metric, value, unit)
}

func (r *run) emitAs(who, metric string, value float64, unit string) {
	line, err := json.Marshal(map[string]any{"who": who, "metric": metric, "value": value, "unit": unit, "n": r.n})
	if err != nil {
		panic(err) // strings and finite numbers
	}
	fmt.Println(string(line))
}
