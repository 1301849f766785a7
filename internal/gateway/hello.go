package gateway

import (
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// Hello is what a client says of itself.
type Hello struct {
	Protocol   int      `json:"protocol"`
	Python     string   `json:"python"`     // "3.11"
	Executable string   `json:"executable"` // of its interpreter
	Cwd        string   `json:"cwd"`
	Path       []string `json:"path"` // where it finds modules
	Pid        int      `json:"pid"`
	Name       string   `json:"name"`    // for people
	Version    string   `json:"version"` // of its side of tutti
	// Importable says that it will only send names of functions that engines can import, so that
	// engines of another version of Python will do.
	Importable bool `json:"importable,omitempty"`
}

// Welcome answers it.
type Welcome struct {
	Protocol int     `json:"protocol"`
	Client   int64   `json:"client"`  // tasks are called by it: "7.12"
	Cluster  string  `json:"cluster"` // its name
	Own      bool    `json:"own"`     // the cluster ends with its gateway
	Version  string  `json:"version"`
	Blobs    string  `json:"blobs"` // the socket of the node's blob store, "" if there is none here
	Program  string  `json:"program"`
	Engines  []int64 `json:"engines"`
	Host     string  `json:"host"`
	Pid      int     `json:"pid"` // of the gateway
}

var minorVersion = regexp.MustCompile(`^[0-9]{1,2}\.[0-9]{1,3}$`)

// check reports what cannot be right about a hello.
func (h *Hello) check() error {
	if h.Protocol != Protocol {
		return tutti.Errorf("connect", tutti.Version, "the client speaks version %d of the protocol, this gateway %d", h.Protocol, Protocol).
			WithHint("the Python package and the tutti binary must be of one release: `tutti python --install`")
	}
	if !minorVersion.MatchString(h.Python) {
		return tutti.Errorf("connect", tutti.Invalid, "%q is not a version of Python such as 3.11", h.Python)
	}
	return nil
}

// program is the name of the engines that run the client's functions.
func (h *Hello) program() string { return programKind + h.Python }

const programKind = "python:"

// called is what people see of the client.
func (h *Hello) called() string {
	name := h.Name
	if name == "" {
		name = "python"
	}
	return fmt.Sprintf("%s (%d)", name, h.Pid)
}

// Spec says how engines for the client are started: by its interpreter, in its folder, finding the
// modules that it finds.
func (h *Hello) Spec(python string) wire.ProgramSpec {
	if python == "" {
		python = h.Executable
	}
	host, _ := os.Hostname()
	s := wire.ProgramSpec{Name: h.program(), Path: python, Host: host, Dir: h.Cwd}
	if path := h.modules(); len(path) > 0 {
		s.Env = append(s.Env, "PYTHONPATH="+strings.Join(path, string(os.PathListSeparator)))
	}
	return s
}

// modules are the folders of the client's search path that an interpreter does not find by itself.
func (h *Hello) modules() []string {
	var out []string
	add := func(dir string) {
		if dir != "" && !slices.Contains(out, dir) {
			out = append(out, dir)
		}
	}
	for _, dir := range h.Path {
		if dir == "" {
			dir = h.Cwd
		}
		if filepath.IsAbs(dir) && !strings.ContainsRune(dir, os.PathListSeparator) && !standard(dir) {
			add(dir)
		}
	}
	for _, dir := range filepath.SplitList(os.Getenv("PYTHONPATH")) {
		add(dir)
	}
	return out
}

// standard reports whether a folder is one of an interpreter's own.
func standard(dir string) bool {
	base := filepath.Base(dir)
	return base == "site-packages" || base == "dist-packages" || base == "lib-dynload" || interpreterFolder.MatchString(base)
}

var interpreterFolder = regexp.MustCompile(`^python[0-9]+(\.[0-9]+)?(\.zip)?$`)
