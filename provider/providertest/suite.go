// Package providertest is the suite that every provider passes. A provider's own test says how to
// open it and calls [Run].
package providertest

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/provider"
)

// Subject is what is tested.
type Subject struct {
	Config   provider.Config
	Patience time.Duration // how long a job of no work may take from Submit to its end; 0: a minute
	Shared   string        // a folder that jobs see too
	Outputs  bool          // a job's output is a file that can be read here
}

// run is a subject in one test.
type run struct {
	*testing.T
	Subject
	p provider.Provider
}

// tests is the suite.
var tests = []struct {
	name string
	test func(r *run)
}{
	{"runs to its end", succeeds},
	{"fails with its status", fails},
	{"gets arguments, environment and folder", given},
	{"is cancelled", cancelled},
	{"is cancelled although it does not listen", deaf},
	{"takes its children along", family},
	{"is found after a restart", found},
	{"has any name", odd},
	{"cannot start", cannotStart},
	{"has a time limit", limited},
	{"is unknown", unknown},
	{"several at once", several},
	{"gives up when the context ends", contexts},
}

// Run tests a provider.
func Run(t *testing.T, s Subject) {
	if s.Patience == 0 {
		s.Patience = time.Minute
	}
	for _, c := range tests {
		t.Run(c.name, func(t *testing.T) {
			p, err := provider.Open(s.Config)
			if err != nil {
				t.Fatal(err)
			}
			c.test(&run{T: t, Subject: s, p: p})
		})
	}
}

// shell is a job that is a script.
func (r *run) shell(script string) provider.Job {
	return provider.Job{Name: r.Name(), Argv: []string{"/bin/sh", "-c", script}}
}

// submit submits a job that is cancelled at the end of the test at the latest.
func (r *run) submit(j provider.Job) provider.ID {
	r.Helper()
	id, err := r.p.Submit(r.Context(), j)
	if err != nil {
		r.Fatalf("submit: %v", err)
	}
	r.Cleanup(func() {
		if err := r.p.Cancel(context.Background(), id); err != nil {
			r.Errorf("clean up: %v", err)
		}
	})
	return id
}

func (r *run) status(id provider.ID) provider.Status {
	r.Helper()
	m, err := r.p.Status(r.Context(), id)
	if err != nil {
		r.Fatalf("status: %v", err)
	}
	return m[id]
}

// until waits for a job to come to a state or beyond, and checks that it only goes forward.
func (r *run) until(id provider.ID, want provider.State) provider.Status {
	r.Helper()
	last := provider.Unknown
	for end := time.Now().Add(r.Patience); ; time.Sleep(5 * time.Millisecond) {
		s := r.status(id)
		if s.State < last || s.State == provider.Unknown {
			r.Fatalf("the job went from %v to %v", last, s.State)
		}
		if last = s.State; last >= want {
			return s
		}
		if time.Now().After(end) {
			r.Fatalf("the job is %v (%s) and not %v", s.State, s.Why, want)
		}
	}
}

// ends waits for the end and checks its kind.
func (r *run) ends(id provider.ID, want provider.State) provider.Status {
	r.Helper()
	s := r.until(id, provider.Succeeded)
	if s.State != want {
		r.Fatalf("the job is %v (%s), not %v", s.State, s.Why, want)
	}
	return s
}

// file is a place that both sides see.
func (r *run) file(name string) string {
	r.Helper()
	dir, err := os.MkdirTemp(r.Shared, "suite")
	if err != nil {
		r.Fatal(err)
	}
	r.Cleanup(func() { os.RemoveAll(dir) })
	return filepath.Join(dir, name)
}

// text waits for a file to hold a line.
func (r *run) text(path string) string {
	r.Helper()
	for end := time.Now().Add(r.Patience); ; time.Sleep(5 * time.Millisecond) {
		if b, _ := os.ReadFile(path); strings.HasSuffix(string(b), "\n") {
			return string(b)
		}
		if time.Now().After(end) {
			r.Fatalf("the job has not written %s", path)
		}
	}
}

func succeeds(r *run) {
	r.ends(r.submit(r.shell("true")), provider.Succeeded)
}

func fails(r *run) {
	if s := r.ends(r.submit(r.shell("exit 7")), provider.Failed); s.Code != 7 || !strings.Contains(s.Why, "7") {
		r.Errorf("%+v", s)
	}
	if s := r.ends(r.submit(r.shell("kill -SEGV $$")), provider.Failed); s.Code == 0 || s.Why == "" {
		r.Errorf("%+v", s)
	}
}

func given(r *run) {
	out := r.file("out")
	dir, err := filepath.EvalSymlinks(filepath.Dir(out))
	if err != nil {
		r.Fatal(err)
	}
	j := r.shell(`pwd; echo "$X"; echo "$1"; echo oops >&2`)
	j.Argv = append(j.Argv, "sh", `a "b" $HOME; 'c'`)
	j.Dir, j.Env = dir, []string{"X=y z"}
	if r.Outputs {
		j.Output = out
	} else {
		j.Argv[2] = "(" + j.Argv[2] + ") >out 2>&1"
	}
	r.ends(r.submit(j), provider.Succeeded)
	if got, want := r.text(out), dir+"\ny z\na \"b\" $HOME; 'c'\noops\n"; got != want {
		r.Errorf("%q, not %q", got, want)
	}
}

func cancelled(r *run) {
	up := r.file("up")
	id := r.submit(r.shell("echo up >" + up + "; exec sleep 1000"))
	r.text(up)
	if s := r.status(id); s.State != provider.Running {
		r.Errorf("it is %v while it runs", s.State)
	}
	if err := r.p.Cancel(r.Context(), id); err != nil {
		r.Fatal(err)
	}
	r.ends(id, provider.Cancelled)
	if err := r.p.Cancel(r.Context(), id); err != nil {
		r.Errorf("once more: %v", err)
	}
	done := r.submit(r.shell("true"))
	r.ends(done, provider.Succeeded)
	if err := r.p.Cancel(r.Context(), done); err != nil {
		r.Error(err)
	}
	r.ends(done, provider.Succeeded) // it had ended before
}

func deaf(r *run) {
	up := r.file("up")
	id := r.submit(r.shell("trap '' TERM INT HUP; echo up >" + up + "; while :; do sleep 0.1; done"))
	r.text(up)
	if err := r.p.Cancel(r.Context(), id); err != nil {
		r.Fatal(err)
	}
	r.ends(id, provider.Cancelled)
}

func family(r *run) {
	up, beat := r.file("up"), r.file("beat")
	id := r.submit(r.shell("(trap '' TERM; while :; do echo >>" + beat + "; sleep 0.01; done) & echo up >" + up + "; wait; sleep 1000"))
	r.text(up)
	r.text(beat)
	if err := r.p.Cancel(r.Context(), id); err != nil {
		r.Fatal(err)
	}
	r.ends(id, provider.Cancelled)
	for end := time.Now().Add(r.Patience); ; {
		a, _ := os.ReadFile(beat)
		time.Sleep(100 * time.Millisecond) // ten beats of a child that lives
		if b, _ := os.ReadFile(beat); len(a) == len(b) {
			return
		}
		if time.Now().After(end) {
			r.Fatal("its child lives on")
		}
	}
}

func found(r *run) {
	up := r.file("up")
	j := r.shell("echo up >" + up + "; exec sleep 1000")
	id := r.submit(j)
	r.text(up)
	again, err := provider.Open(r.Config) // as after a restart
	if err != nil {
		r.Fatal(err)
	}
	ids, err := again.Find(r.Context(), j.Name)
	if err != nil || len(ids) != 1 || ids[0] != id {
		r.Fatalf("found %v, %v and not %v", ids, err, id)
	}
	r.p = again
	if s := r.status(id); s.State != provider.Running {
		r.Errorf("it is %v", s.State)
	}
	if ids, err := again.Find(r.Context(), j.Name+"x"); err != nil || len(ids) != 0 {
		r.Errorf("found %v, %v of another name", ids, err)
	}
	if err := again.Cancel(r.Context(), id); err != nil {
		r.Fatal(err)
	}
	r.ends(id, provider.Cancelled)
}

func odd(r *run) {
	for _, name := range []string{"with blank", "über/..", `"quoted" $(x) 'y'`, "-dash", "new\nline", strings.Repeat("long", 60), "*"} {
		j := r.shell("true")
		j.Name = r.Name() + name
		id := r.submit(j)
		ids, err := r.p.Find(r.Context(), j.Name)
		if err != nil || len(ids) != 1 || ids[0] != id {
			r.Errorf("%q: found %v, %v and not %v", name, ids, err, id)
		}
		r.ends(id, provider.Succeeded)
	}
}

func cannotStart(r *run) {
	plain := r.file("plain")
	if err := os.WriteFile(plain, []byte("text"), 0o644); err != nil {
		r.Fatal(err)
	}
	for _, c := range []struct {
		what string
		job  provider.Job
		kind tutti.Kind
	}{
		{"nothing", provider.Job{}, tutti.Invalid},
		{"no such program", provider.Job{Argv: []string{"/no/such/program"}}, tutti.NotFound},
		{"not executable", provider.Job{Argv: []string{plain}}, tutti.Denied},
		{"no such folder", provider.Job{Argv: []string{"true"}, Dir: "/no/such/folder"}, tutti.NotFound},
		{"bad environment", provider.Job{Argv: []string{"true"}, Env: []string{"X"}}, tutti.Invalid},
		{"zero byte", provider.Job{Argv: []string{"echo", "\x00"}}, tutti.Invalid},
		{"negative time", provider.Job{Argv: []string{"true"}, Time: -1}, tutti.Invalid},
		{"too many nodes", provider.Job{Argv: []string{"true"}, Nodes: 1 << 20}, tutti.Unsatisfiable},
	} {
		c.job.Name = r.Name()
		id, err := r.p.Submit(r.Context(), c.job)
		if err == nil { // a batch system may find out only when it tries
			r.ends(id, provider.Failed)
		} else if tutti.KindOf(err) != c.kind {
			r.Errorf("%s: %v (%v), not %v", c.what, err, tutti.KindOf(err), c.kind)
		}
	}
}

func limited(r *run) {
	j := r.shell("sleep 1000")
	j.Time = time.Second
	s := r.ends(r.submit(j), provider.Failed)
	if !strings.Contains(s.Why, "time") {
		r.Errorf("%+v", s)
	}
	j = r.shell("true")
	j.Time = time.Hour
	r.ends(r.submit(j), provider.Succeeded)
}

func unknown(r *run) {
	ids := []provider.ID{"", "17", "job-0000000000000000", "../../etc", "job-../../../../tmp"}
	m, err := r.p.Status(r.Context(), ids...)
	if err != nil {
		r.Fatal(err)
	}
	for _, id := range ids {
		if s, ok := m[id]; !ok || s.State != provider.Unknown {
			r.Errorf("%q is %v", id, s.State)
		}
	}
	if err := r.p.Cancel(r.Context(), ids...); err != nil {
		r.Error(err)
	}
}

func several(r *run) {
	var ids []provider.ID
	for range 5 {
		ids = append(ids, r.submit(r.shell("true")))
	}
	for _, id := range ids {
		r.ends(id, provider.Succeeded)
	}
	found, err := r.p.Find(r.Context(), r.Name())
	if err != nil || len(found) < len(ids) {
		r.Fatalf("found %v, %v", found, err)
	}
	m, err := r.p.Status(r.Context(), ids...)
	if err != nil || len(m) != len(ids) {
		r.Errorf("%v, %v", m, err)
	}
}

func contexts(r *run) {
	ctx, cancel := context.WithCancel(r.Context())
	cancel()
	if _, err := r.p.Submit(ctx, r.shell("true")); tutti.KindOf(err) != tutti.Canceled {
		r.Errorf("submit: %v", err)
	}
	if _, err := r.p.Status(ctx, "17"); tutti.KindOf(err) != tutti.Canceled {
		r.Errorf("status: %v", err)
	}
}
