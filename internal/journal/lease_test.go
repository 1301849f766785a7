package journal

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
)

// The second opener hears who was first; when that one closes, the way is free.
func TestLease(t *testing.T) {
	dir := t.TempDir()
	j, _, err := Open(dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	_, _, err = Open(dir, Config{})
	host, _ := os.Hostname()
	if !errors.Is(err, tutti.Exists) || tutti.HintOf(err) == "" ||
		!strings.Contains(err.Error(), fmt.Sprintf("process %d on %s", os.Getpid(), host)) {
		t.Errorf("second opener: %v", err)
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	j, _, err = Open(dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
}

// A lease that a dead process has left is taken over; one of another host is not.
func TestLeftLease(t *testing.T) {
	self := me()
	for _, c := range []struct {
		name   string
		change func(*holder)
		want   verdict
		locked verdict // with flock in our hands
	}{
		{"this process", func(*holder) {}, alive, alive},
		{"no such process", func(h *holder) { h.PID = 1 << 30 }, dead, dead},
		{"its number was given away", func(h *holder) { h.Start = "1" }, dead, dead},
		{"another host", func(h *holder) { h.Host += "x" }, unknown, unknown},
		{"another machine of that name", func(h *holder) { h.Machine += "x" }, unknown, unknown},
		{"another container", func(h *holder) { h.Space += "x" }, unknown, dead},
		{"nobody", func(h *holder) { *h = holder{} }, unknown, unknown},
	} {
		h := self
		c.change(&h)
		if got := judge(h, self, false); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
		if got := judge(h, self, true); got != c.locked {
			t.Errorf("%s, with flock: %v, want %v", c.name, got, c.locked)
		}
		leave(t, h, c.name, c.locked == dead)
	}
	named, nameless := self, self
	named.Machine, nameless.Machine = "m", ""
	old := named
	old.Boot = "before"
	if got := judge(old, named, false); got != dead {
		t.Errorf("before the last boot: %v", got)
	}
	old.Machine = ""
	if got := judge(old, nameless, false); got != unknown {
		t.Errorf("before the last boot, or on another host of that name: %v", got)
	}
}

// leave leaves a lease of h behind and tries to open the journal.
func leave(t *testing.T, h holder, name string, free bool) {
	t.Helper()
	dir := t.TempDir()
	f, err := os.Create(filepath.Join(dir, leaseName))
	if err != nil {
		t.Fatal(err)
	}
	if err := writeHolder(f, h); err != nil {
		t.Fatal(err)
	}
	f.Close()
	j, _, err := Open(dir, Config{})
	if free != (err == nil) {
		t.Errorf("%s: open says %v", name, err)
	}
	if err == nil {
		j.Close()
	} else if !errors.Is(err, tutti.Exists) || tutti.HintOf(err) == "" {
		t.Errorf("%s: %v", name, err)
	}
}

// A half-written lease has no living maker: it would have the flock.
func TestEmptyLease(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, leaseName), []byte(`{"pid":`), 0o600); err != nil {
		t.Fatal(err)
	}
	j, _, err := Open(dir, Config{})
	if err != nil {
		t.Fatal(err)
	}
	j.Close()
}

// A lease that was given back between our opening it and our locking it is not ours.
func TestLeaseRemoved(t *testing.T) {
	path := filepath.Join(t.TempDir(), leaseName)
	f, _, err := openLease(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if _, again, err := claim(f, path, false); !again || err != nil {
		t.Errorf("claiming a removed file: %v, %v", again, err)
	}
}

// Of many who try at once, one gets the lease.
func TestLeaseRace(t *testing.T) {
	dir := t.TempDir()
	type result struct {
		release func() error
		err     error
	}
	const n = 16
	results := make(chan result, n)
	for range n {
		go func() {
			release, err := takeLease(dir)
			results <- result{release, err}
		}()
	}
	var winners []result
	for range n {
		r := <-results
		if r.err == nil {
			winners = append(winners, r)
		} else if !errors.Is(r.err, tutti.Exists) {
			t.Error(r.err)
		}
	}
	if len(winners) != 1 {
		t.Fatalf("%d got the lease", len(winners))
	}
	if err := winners[0].release(); err != nil {
		t.Error(err)
	}
}

// Where there is no flock, the guard lets one at a time decide.
func TestGuard(t *testing.T) {
	dir := t.TempDir()
	release, err := guard(dir)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := guard(dir); !errors.Is(err, tutti.Exists) || tutti.HintOf(err) == "" {
		t.Errorf("second guard: %v", err)
	}
	release()
	if release, err = guard(dir); err != nil {
		t.Fatal(err)
	}
	release()
}
