package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

type versionVerb struct{}

func (versionVerb) Teach() string {
	return `
The client, the controller and the agents of one cluster have the same version; others are
refused and told so.

Examples:
  tutti version
  tutti version -q      the number alone
`
}

// Run shows the version.
func (versionVerb) Run(v *invocation) error {
	commit := ""
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "vcs.revision" {
				commit = s.Value
			}
		}
	}
	text := fmt.Sprintf("tutti %s, link protocol %v, %s %s/%s", tutti.Release, wire.Protocol, runtime.Version(), runtime.GOOS, runtime.GOARCH)
	return v.out.answer(text, map[string]any{
		"version": tutti.Release, "commit": commit, "protocol": wire.Protocol.Max, "go": runtime.Version(), "system": runtime.GOOS + "/" + runtime.GOARCH,
	}, tutti.Release)
}
