package provider

import (
	"context"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Config says which provider to open, and how. It is data that a person may write.
type Config struct {
	Kind     string        `json:"kind"`               // a row of the table: "local"
	Launcher string        `json:"launcher,omitempty"` // "" or "none": the job's command is started once
	State    string        `json:"state,omitempty"`    // folder in which the provider remembers its jobs, where the system does not
	Grace    time.Duration `json:"grace,omitempty"`    // between asking a job to end and killing it; 0: 5 s
}

// ID names a job at its provider.
type ID string

// Job is a command that wants nodes.
type Job struct {
	Name   string        // to be found by; need not be unique
	Argv   []string      // executed as it stands, no shell
	Env    []string      // KEY=value, on top of this process's
	Nodes  int           // 0 means 1
	Dir    string        // working directory, "" for this process's
	Output string        // file for stdout and stderr, "" for none
	Time   time.Duration // after which the job is ended, 0 for no limit
}

// Check reports what cannot be right about a job as an error of kind Invalid.
func (j *Job) Check() error {
	if len(j.Argv) == 0 || j.Argv[0] == "" {
		return tutti.Errorf("submit job", tutti.Invalid, "no command")
	}
	for _, s := range slices.Concat([]string{j.Name, j.Dir, j.Output}, j.Argv, j.Env) {
		if strings.ContainsRune(s, 0) {
			return tutti.Errorf("submit job", tutti.Invalid, "a zero byte in %q", s)
		}
	}
	for _, s := range j.Env {
		if name, _, ok := strings.Cut(s, "="); !ok || name == "" {
			return tutti.Errorf("submit job", tutti.Invalid, "%q is no KEY=value", s)
		}
	}
	if j.Nodes < 0 || j.Time < 0 {
		return tutti.Errorf("submit job", tutti.Invalid, "%d nodes for %v", j.Nodes, j.Time)
	}
	return nil
}

// State is how far a job has come. Progress is a greater state.
type State uint8

// The states, in order.
const (
	Unknown   State = iota // the provider has never heard of it, or has forgotten it
	Pending                // waits for nodes
	Running                // left by its own end, its time limit, or Cancel
	Succeeded              // ended with status 0; final
	Failed                 // ended otherwise; final
	Cancelled              // ended because Cancel asked for it; final
)

var stateNames = [...]string{"unknown", "pending", "running", "succeeded", "failed", "cancelled"}

// String is the word that commands print.
func (s State) String() string {
	if int(s) < len(stateNames) {
		return stateNames[s]
	}
	return stateNames[Unknown]
}

// Final reports whether nothing can happen to the job any more.
func (s State) Final() bool { return s >= Succeeded }

// Status is what a provider knows of a job.
type Status struct {
	State State
	Code  int    // exit status of a job that has failed, -1 if it is not known
	Why   string // of one that failed or waits, for people
}

// Provider submits jobs and knows what became of them. All methods may be called concurrently; each
// asks the system once, however many jobs it is about, and waits until ctx ends at most.
type Provider interface {
	// Submit hands a job over; it may start long after, and lives on when this process ends.
	// Kinds: Invalid, NotFound and Denied for what is wrong with the job, Unsatisfiable where it
	// wants more than there is, Full where the system takes no more.
	Submit(ctx context.Context, j Job) (ID, error)
	// Status tells about jobs; those that the provider does not know are Unknown, with or without ids
	// that it knows beside them.
	Status(ctx context.Context, ids ...ID) (map[ID]Status, error)
	// Cancel ends jobs, and returns when they have ended or the system has taken that over. Jobs
	// that have ended or are unknown do not matter.
	Cancel(ctx context.Context, ids ...ID) error
	// Find lists the jobs of that name which this user has submitted, oldest first: those that
	// have not ended, and, as long as the system remembers, those that have.
	Find(ctx context.Context, name string) ([]ID, error)
}

// kinds is the table of providers.
var kinds = map[string]func(Config) (Provider, error){
	"local": openLocal,
}

// Open opens the provider of a configuration. Kinds: Invalid for a configuration that cannot be
// right, and what the provider's system says.
func Open(cfg Config) (Provider, error) {
	open := kinds[cfg.Kind]
	if open == nil {
		return nil, tutti.Errorf("open provider", tutti.Invalid, "there is no kind of provider %q", cfg.Kind).
			WithHint("there are: %s", strings.Join(slices.Sorted(maps.Keys(kinds)), ", "))
	}
	if _, err := LauncherNamed(cfg.Launcher); err != nil {
		return nil, err
	}
	return open(cfg)
}
