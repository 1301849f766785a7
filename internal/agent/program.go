package agent

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/fxamacker/cbor/v2"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/internal/blob"
	"github.com/tutti-hpc/tutti/internal/wire"
)

// program is a kind of engine, as this node can start it. It is the loop's.
type program struct {
	name    string
	asking  bool // its spec is on its way
	spec    *wire.ProgramSpec
	wait    []*engineState // to be started when spec is here
	tempDir string         // made for its file, to be removed at the end
	setup   []string       // what its engines run at their start, if that has changed since it was asked for
}

// program finds or makes the entry of a program.
func (a *Agent) program(name string) *program {
	p := a.programs[name]
	if p == nil {
		p = &program{name: name}
		a.programs[name] = p
	}
	return p
}

// whenReady starts an engine as soon as it is known how.
func (p *program) whenReady(a *Agent, e *engineState) {
	if p.spec != nil && fileThere(p.spec.Path) {
		e.launch(*p.spec)
		return
	}
	p.spec = nil
	p.wait = append(p.wait, e)
	if !p.asking {
		p.asking = true
		a.askProgram(p)
	}
}

func fileThere(path string) bool {
	if path == "" {
		return true // a runtime without a file
	}
	st, err := os.Stat(path)
	return err == nil && st.Mode().IsRegular()
}

func (p *program) notWaiting(e *engineState) {
	p.wait = slices.DeleteFunc(p.wait, func(x *engineState) bool { return x == e })
}

// askProgram asks the controller how engines of a program are started. Without a controller the
// next session asks again.
func (a *Agent) askProgram(p *program) {
	if a.up.link == nil {
		return
	}
	a.ask("program", wire.ProgramSpec{Name: p.name}, func(body []byte, err error) {
		if tutti.KindOf(err) == tutti.Lost {
			return
		}
		var spec wire.ProgramSpec
		if err == nil {
			err = cbor.Unmarshal(body, &spec)
		}
		if err != nil {
			p.settle(nil, tutti.Errorf("find program", tutti.KindOf(err), "%s: %w", p.name, err))
			return
		}
		a.provide(p, spec)
	})
}

// provide sees to it that the program's file is on this host: at its own place, in the cache, or
// fetched. It takes time, and is done beside the loop.
func (a *Agent) provide(p *program, spec wire.ProgramSpec) {
	node := spec.Bin.Blob.Node
	if _, known := a.peers[node]; !spec.Bin.IsZero() && node != a.node && !known {
		a.ask("nodes", nil, func(body []byte, err error) {
			var rows []wire.NodeRow
			if err == nil {
				err = cbor.Unmarshal(body, &rows)
			}
			if err != nil {
				return // the next session asks for the program again
			}
			for _, row := range rows {
				a.peers[row.Node] = row.Blobs
			}
			if _, ok := a.peers[node]; !ok {
				a.peers[node] = nil
			}
			a.provide(p, spec)
		})
		return
	}
	s := supply{cfg: &a.cfg, blobs: a.blobs, fetch: a.blobs.fetch, store: a.blobs.store, peers: a.doorsOf(node), tempDir: p.tempDir}
	a.aside(func() {
		path, err := s.find(a.ctx, spec)
		a.do(func() {
			p.tempDir = s.tempDir
			if err != nil {
				p.settle(nil, err)
				return
			}
			spec.Path = path
			p.settle(&spec, nil)
		})
	})
}

// settle starts the engines that waited, or says why they cannot be.
func (p *program) settle(spec *wire.ProgramSpec, err error) {
	if p.asking, p.spec = false, spec; spec != nil && p.setup != nil {
		spec.Setup = p.setup
	}
	wait := p.wait
	p.wait = nil
	for _, e := range wait {
		if err != nil {
			e.failed(err)
		} else {
			e.launch(*spec)
		}
	}
}

// remove deletes what was fetched into a folder of its own.
func (p *program) remove() {
	if p.tempDir != "" {
		_ = os.RemoveAll(p.tempDir)
	}
}

// supply brings a program's file to this host.
type supply struct {
	cfg     *Config
	blobs   *blobs
	fetch   *blob.Fetcher // nil: there is no store
	store   *blob.Store
	peers   []string
	tempDir string
}

// find gives the path of the file. One that has another content than the program's name says is
// not used: somebody has built it anew.
func (s *supply) find(ctx context.Context, spec wire.ProgramSpec) (string, error) {
	if spec.Path == "" && spec.Bin.IsZero() {
		return "", nil
	}
	_, sum, _ := strings.Cut(spec.Name, ":")
	if len(sum) != 2*sha256.Size {
		sum = ""
	}
	if spec.Path != "" && (spec.Host == s.cfg.Host || spec.Bin.IsZero()) {
		err := checkFile(spec.Path, sum)
		if err == nil {
			return spec.Path, nil
		}
		if spec.Bin.IsZero() {
			return "", err
		}
	}
	if s.fetch == nil {
		return "", tutti.Errorf("find program", tutti.Unsupported, "%s is not on this host, and there is no blob store to fetch it through", spec.Name)
	}
	dir, err := s.folder()
	if err != nil {
		return "", err
	}
	name := sum
	if name == "" {
		name = "blob-" + spec.Bin.Blob.String()
	}
	path := filepath.Join(dir, name)
	if sum != "" && checkFile(path, sum) == nil {
		return path, nil
	}
	return path, s.download(ctx, spec.Bin, path, sum)
}

// folder is where fetched programs lie.
func (s *supply) folder() (string, error) {
	dir := s.cfg.Cache
	var err error
	if dir == "" {
		if s.tempDir == "" {
			s.tempDir, err = os.MkdirTemp("", "tutti-programs-")
		}
		dir = s.tempDir
	} else {
		err = os.MkdirAll(dir, 0o700)
	}
	if err != nil {
		return "", tutti.E("keep program", tutti.KindOf(err), err)
	}
	return dir, nil
}

// checkFile reports why a file is not the program of that SHA-256 ("": any).
func checkFile(path, sum string) error {
	f, err := os.Open(path)
	if err != nil {
		return tutti.E("find program", tutti.KindOf(err), err)
	}
	defer f.Close()
	if sum == "" {
		return nil
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return tutti.E("find program", tutti.KindOf(err), err)
	}
	if hex.EncodeToString(h.Sum(nil)) != sum {
		return tutti.Errorf("find program", tutti.Invalid, "%s has changed since the client started", path).
			WithHint("start the client again")
	}
	return nil
}

// download fetches the program and puts it in its place at once, complete.
func (s *supply) download(ctx context.Context, ref tutti.Ref, path, sum string) error {
	l, err := s.blobs.bring(ctx, s.fetch, ref, s.peers)
	if err != nil {
		return tutti.Errorf("fetch program", tutti.KindOf(err), "%w", err)
	}
	defer s.store.As(staged).Drop(ref)
	defer l.Release()
	got := sha256.Sum256(l.Bytes())
	if sum != "" && hex.EncodeToString(got[:]) != sum {
		return tutti.Errorf("fetch program", tutti.Corrupt, "what came is not what was asked for")
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".coming-*")
	if err != nil {
		return tutti.E("keep program", tutti.KindOf(err), err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(l.Bytes())
	if err == nil {
		err = f.Chmod(0o700)
	}
	if e := f.Close(); err == nil {
		err = e
	}
	if err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return tutti.E("keep program", tutti.KindOf(err), err)
	}
	return nil
}
