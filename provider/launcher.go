package provider

import (
	"strings"

	"github.com/tutti-hpc/tutti"
)

// Launcher is a way to start a command once on each node of a job: a row of a table.
type Launcher struct {
	Name string
	// Wrap makes of the command that is to run on each node the one that the job executes once.
	Wrap func(argv []string, nodes int) []string
	Many bool // it reaches more than one node
}

// launchers is the table.
var launchers = []Launcher{
	{Name: "none", Wrap: func(argv []string, _ int) []string { return argv }},
}

// LauncherNamed finds a row; "" is "none". An unknown name is an error of kind Invalid.
func LauncherNamed(name string) (Launcher, error) {
	if name == "" {
		name = "none"
	}
	var known []string
	for _, l := range launchers {
		if l.Name == name {
			return l, nil
		}
		known = append(known, l.Name)
	}
	return Launcher{}, tutti.Errorf("open provider", tutti.Invalid, "there is no launcher %q", name).
		WithHint("there are: %s", strings.Join(known, ", "))
}
