package tutti_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

const module = "github.com/tutti-hpc/tutti"

// floorPlan says which of our packages each folder may import ("" is the root package). It is
// the table of docs/architecture.md: change both when the design changes, never work round it.
var floorPlan = map[string]string{
	// floor 0
	"":             "",
	"internal/shm": "",
	// floor 1
	"internal/wire":          "tutti",
	"internal/wire/wiretest": "tutti internal/wire",
	"internal/journal":       "tutti",
	"internal/sched":         "tutti",
	"provider":               "tutti",
	"flow":                   "tutti",
	"plot":                   "tutti",
	"sky":                    "tutti",
	"mpi":                    "tutti internal/shm mpi/internal/device mpi/internal/shmdev mpi/internal/libmpi",
	"mpi/internal/device":    "tutti internal/shm",
	"mpi/internal/shmdev":    "tutti internal/shm mpi/internal/device",
	"mpi/internal/libmpi":    "tutti internal/shm mpi/internal/device",
	"internal/launch":        "tutti internal/shm",
	"internal/dist":          "tutti",
	// floor 2
	"python":                "tutti internal/dist",
	"internal/wire/nats":    "internal/wire",
	"internal/blob":         "tutti internal/wire internal/shm",
	"linalg":                "mpi",
	"h5":                    "mpi",
	"provider/providertest": "tutti provider",
	"internal/dash":         "tutti internal/journal plot",
	// floor 3
	"internal/engine": "tutti internal/wire internal/shm internal/blob mpi python",
	"lib":             "tutti mpi linalg h5",
	// floor 4
	"internal/agent":      "tutti internal/wire internal/shm internal/blob internal/engine internal/launch",
	"internal/controller": "tutti internal/wire internal/sched internal/journal internal/blob provider",
	// floor 5
	"cluster": "tutti internal/wire internal/blob provider internal/controller internal/agent internal/engine",
	// floor 6
	"cluster/clustertest": "tutti internal/wire internal/blob cluster flow internal/controller internal/agent internal/engine",
	"internal/gateway":    "tutti internal/wire internal/blob internal/engine cluster",
	// the roof: anything below, and public packages only
	"cmd/tutti":  "*",
	"bench":      "*",
	"examples/*": "public",
}

// mayImport looks dir up in the plan; ok is false where the folder has no place in it.
func mayImport(dir string) (allowed string, ok bool) {
	if strings.HasPrefix(dir, "examples/") {
		return floorPlan["examples/*"], true
	}
	if strings.HasPrefix(dir, "bench/") {
		return floorPlan["bench"], true
	}
	allowed, ok = floorPlan[dir]
	return allowed, ok
}

// permits reports whether a folder with that row may import dep.
func permits(allowed, dir, dep string) bool {
	switch allowed {
	case "*":
		return true
	case "public":
		return !strings.Contains(dep, "internal") || strings.HasPrefix(dep, dir)
	}
	if dep == "" {
		dep = "tutti"
	}
	return slices.Contains(strings.Fields(allowed), dep)
}

// The sources are parsed here, in this process: the test cache cannot see what a child read.
func TestFloorPlan(t *testing.T) {
	comments := map[string]bool{} // folder: has it a package comment
	err := filepath.WalkDir(".", func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && path != "." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "out") {
			return filepath.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(path, ".go") {
			return nil
		}
		f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.ImportsOnly|parser.ParseComments)
		if err != nil {
			return err
		}
		dir := filepath.ToSlash(filepath.Dir(path))
		if dir == "." {
			dir = ""
		}
		checkImports(t, dir, path, f)
		if !strings.HasSuffix(path, "_test.go") {
			comments[dir] = comments[dir] || f.Doc != nil
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	if len(comments) == 0 {
		t.Fatal("no Go package found")
	}
	for dir, has := range comments {
		if !has {
			t.Errorf("package in %q has no package comment", dir)
		}
	}
}

// checkImports holds one file against the plan. A test file may import in addition what stands
// on its own package to test it from above.
func checkImports(t *testing.T, dir, path string, f *ast.File) {
	t.Helper()
	allowed, ok := mayImport(dir)
	if !ok {
		t.Errorf("%s: folder %q has no place in the floor plan", path, dir)
		return
	}
	for _, imp := range f.Imports {
		dep, err := strconv.Unquote(imp.Path.Value)
		if err != nil {
			t.Fatal(err)
		}
		if dep != module && !strings.HasPrefix(dep, module+"/") {
			continue
		}
		dep = strings.TrimPrefix(strings.TrimPrefix(dep, module), "/")
		external := strings.HasSuffix(path, "_test.go") && strings.HasSuffix(f.Name.Name, "_test")
		if external || dep == dir || permits(allowed, dir, dep) {
			continue
		}
		t.Errorf("%s: package %q may not import %q", path, dir, dep)
	}
}
