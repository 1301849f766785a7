package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/python"
)

type pythonVerb struct {
	Path      bool   `help:"Print the folder that belongs on PYTHONPATH: nothing needs to be installed."`
	Install   bool   `help:"Copy the packages tutti and mpi to where an interpreter finds them."`
	Uninstall bool   `help:"Remove what --install has copied."`
	User      bool   `help:"Into the user's own folder for packages."`
	Target    string `placeholder:"DIR" help:"Into this folder."`
	Python    string `placeholder:"EXE" default:"python3" help:"The interpreter that is meant."`
}

func (pythonVerb) Teach() string {
	return `
The Python side of tutti is in this binary. Engines and what "tutti run" starts find it by
themselves; your own interpreter does when its folder is on PYTHONPATH, or when it is installed. Both
note where this binary lies, so that the packages find it.

Examples:
  export PYTHONPATH=$(tutti python --path)
  tutti python --install                   into the environment of python3
  tutti python --install --user
  tutti python --install --python .venv/bin/python
  tutti python --uninstall
`
}

// Run prints the folder, or installs or removes.
func (p *pythonVerb) Run(v *invocation) error {
	wishes := 0
	for _, w := range []bool{p.Path, p.Install, p.Uninstall} {
		if w {
			wishes++
		}
	}
	if wishes != 1 || p.User && p.Target != "" {
		return badUsage("one of --path, --install and --uninstall; --user or --target DIR go with the last two", "it is not said what to do")
	}
	if p.Path {
		dir, err := python.Unpack()
		if err != nil {
			return tutti.E("unpack Python packages", tutti.KindOf(err), err)
		}
		if os.Getenv(python.EnvTree) == "" { // the folder is ours
			if err := noteProgram(dir); err != nil {
				return tutti.E("unpack Python packages", tutti.KindOf(err), err)
			}
		}
		return v.out.answer(dir, map[string]any{"path": dir}, dir)
	}
	where, err := p.folder(v.ctx)
	if err != nil {
		return err
	}
	if p.Uninstall {
		return p.remove(v, where)
	}
	return p.copyTo(v, where)
}

// noteProgram writes beside the folder where this binary lies, for packages that are used from there.
func noteProgram(dir string) error {
	f, err := os.CreateTemp(filepath.Dir(dir), "note-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // what was renamed is not there any more
	_, err = f.WriteString(program() + "\n")
	if err := errors.Join(err, f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), dir+".binary")
}

// interpreter is what one says of itself.
type interpreter struct {
	Version    string `json:"version"`
	Executable string `json:"executable"`
	Packages   string `json:"packages"` // its folder for packages
	User       string `json:"user"`     // the user's
	Managed    bool   `json:"managed"`  // the system's packages are not to be meddled with
}

// minor is the version that says which code it reads: "3.11".
func (in *interpreter) minor() string {
	return in.Version[:strings.LastIndexByte(in.Version, '.')]
}

const askInterpreter = `
import json, os, site, sys, sysconfig
venv = sys.prefix != sys.base_prefix
print(json.dumps({
    "version": "%d.%d.%d" % sys.version_info[:3], "executable": sys.executable, "packages": sysconfig.get_path("purelib"),
    "user": site.getusersitepackages(),
    "managed": not venv and os.path.exists(os.path.join(sysconfig.get_path("stdlib"), "EXTERNALLY-MANAGED")),
}))`

// lookAt asks an interpreter about itself.
func lookAt(ctx context.Context, exe string) (*interpreter, error) {
	ctx, cancel := context.WithTimeout(ctx, 20*time.Second)
	defer cancel()
	var errs bytes.Buffer
	cmd := exec.CommandContext(ctx, exe, "-c", askInterpreter)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		e := tutti.Errorf("ask interpreter", tutti.KindOf(err), "%s: %w", exe, err).WithHint("name another one by --python")
		if lines := strings.Split(strings.TrimSpace(errs.String()), "\n"); lines[0] != "" {
			e.Err = fmt.Errorf("%w: %s", e.Err, lines[len(lines)-1])
		}
		return nil, e
	}
	in := new(interpreter)
	if err := json.Unmarshal(out, in); err != nil {
		return nil, tutti.Errorf("ask interpreter", tutti.Corrupt, "%s: %w", exe, err)
	}
	var major, minor int
	fmt.Sscanf(in.Version, "%d.%d", &major, &minor)
	if major < 3 || major == 3 && minor < 9 {
		return nil, tutti.Errorf("ask interpreter", tutti.Version, "%s is Python %s, tutti needs 3.9 or later", exe, in.Version).WithHint("name another one by --python")
	}
	return in, nil
}

// folder is where the packages belong.
func (p *pythonVerb) folder(ctx context.Context) (string, error) {
	if p.Target != "" {
		return filepath.Abs(p.Target)
	}
	in, err := lookAt(ctx, p.Python)
	if err != nil {
		return "", err
	}
	if p.User {
		return in.User, nil
	}
	if in.Managed && p.Install {
		return "", tutti.Errorf("install", tutti.Denied, "the packages of %s are managed by the system", in.Executable).
			WithHint("use a virtual environment (--python .venv/bin/python), or --user, or only PYTHONPATH=$(tutti python --path)")
	}
	return in.Packages, nil
}

// ourPackages are what is installed.
var ourPackages = []string{"tutti", "mpi"}

// mark is a file in each installed package: by it an earlier copy of ours is told from somebody
// else's package of the same name.
const mark = "_installed_by_tutti.txt"

// ours reports whether a package that is there was copied there by us; there is false if it is not.
func ours(dir string) (is, there bool) {
	if _, err := os.Lstat(dir); errors.Is(err, fs.ErrNotExist) {
		return true, false
	}
	_, err := os.Stat(filepath.Join(dir, mark))
	return err == nil, true
}

// copyTo installs the packages, each at once and complete.
func (p *pythonVerb) copyTo(v *invocation, where string) error {
	for _, name := range ourPackages {
		if is, _ := ours(filepath.Join(where, name)); !is {
			return tutti.Errorf("install", tutti.Exists, "there is another package %s in %s", name, where).
				WithHint("install into a folder of its own (--target DIR, or a virtual environment)")
		}
	}
	if err := os.MkdirAll(where, 0o755); err != nil {
		return installError(where, err)
	}
	tree, err := python.Unpack()
	if err != nil {
		return tutti.E("install", tutti.KindOf(err), err)
	}
	replaced := false
	for _, name := range ourPackages {
		had, err := swapIn(filepath.Join(tree, name), filepath.Join(where, name))
		if err != nil {
			return installError(where, err)
		}
		replaced = replaced || had
	}
	word := "Installed"
	if replaced {
		word = "Replaced an earlier copy of"
	}
	text := fmt.Sprintf("%s the Python packages %s of tutti %s in %s.\nRemove them by: tutti python --uninstall%s", word,
		strings.Join(ourPackages, " and "), tutti.Release, where, p.again())
	return v.out.answer(text, map[string]any{"folder": where, "packages": ourPackages, "replaced": replaced}, where)
}

// again repeats the options that say where.
func (p *pythonVerb) again() string {
	switch {
	case p.Target != "":
		return " --target " + p.Target
	case p.Python != "python3" && p.User:
		return " --user --python " + p.Python
	case p.Python != "python3":
		return " --python " + p.Python
	case p.User:
		return " --user"
	}
	return ""
}

func installError(where string, err error) error {
	e := tutti.E("install", tutti.KindOf(err), err)
	if e.Kind == tutti.Denied {
		e.Hint = where + " is not yours: use --user, --target DIR or a virtual environment"
	}
	return e
}

// swapIn copies a package next to its place and puts it there in one step.
func swapIn(from, to string) (replaced bool, err error) {
	fresh, err := os.MkdirTemp(filepath.Dir(to), ".tutti-new-")
	if err != nil {
		return false, err
	}
	defer os.RemoveAll(fresh) // what was renamed is not there any more
	if err := copyPackage(from, filepath.Join(fresh, "new")); err != nil {
		return false, err
	}
	if _, there := ours(to); there {
		replaced = true
		if err := os.Rename(to, filepath.Join(fresh, "old")); err != nil {
			return false, err
		}
	}
	return replaced, os.Rename(filepath.Join(fresh, "new"), to)
}

// copyPackage copies a package's files, and adds where this binary lies and that it is ours.
func copyPackage(from, to string) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		if d.IsDir() {
			if d.Name() == "__pycache__" {
				return filepath.SkipDir
			}
			return os.MkdirAll(filepath.Join(to, rel), 0o755)
		}
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(filepath.Join(to, rel), data, 0o644)
	})
	if err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(to, "_binary.txt"), []byte(program()+"\n"), 0o644); err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(to, mark), []byte("tutti "+tutti.Release+"\nremoved by: tutti python --uninstall\n"), 0o644)
}

// remove removes what copyTo has copied, and nothing else.
func (p *pythonVerb) remove(v *invocation, where string) error {
	removed := []string{}
	for _, name := range ourPackages {
		dir := filepath.Join(where, name)
		is, there := ours(dir)
		if !there {
			continue
		}
		if !is {
			return tutti.Errorf("uninstall", tutti.Denied, "%s was not installed by tutti python", dir)
		}
		if err := os.RemoveAll(dir); err != nil {
			return installError(where, err)
		}
		removed = append(removed, name)
	}
	if len(removed) == 0 {
		return tutti.Errorf("uninstall", tutti.NotFound, "nothing of tutti is in %s", where)
	}
	return v.out.answer(fmt.Sprintf("Removed the Python packages %s from %s.", strings.Join(removed, " and "), where),
		map[string]any{"folder": where, "packages": removed}, where)
}
