package provider_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/provider"
	"github.com/tutti-hpc/tutti/provider/providertest"
)

func TestLocal(t *testing.T) {
	providertest.Run(t, providertest.Subject{
		Config: provider.Config{Kind: "local", State: t.TempDir(), Grace: 200 * time.Millisecond},
		Shared: t.TempDir(), Outputs: true,
	})
}

// Configurations survive as JSON, and wrong ones say what would be right.
func TestConfig(t *testing.T) {
	c := provider.Config{Kind: "local", State: "/x", Launcher: "none", Grace: time.Second}
	data, err := json.Marshal(c)
	var again provider.Config
	if err != nil || json.Unmarshal(data, &again) != nil || !reflect.DeepEqual(c, again) {
		t.Errorf("%v %s %+v", err, data, again)
	}
	for _, bad := range []provider.Config{{}, {Kind: "cloud"}, {Kind: "local"}, {Kind: "local", State: t.TempDir(), Launcher: "magic"}} {
		if _, err := provider.Open(bad); tutti.KindOf(err) != tutti.Invalid {
			t.Errorf("%+v: %v", bad, err)
		}
	}
	_, err = provider.Open(provider.Config{Kind: "cloud"})
	if !strings.Contains(tutti.HintOf(err), "local") {
		t.Errorf("hint %q", tutti.HintOf(err))
	}
}

// A job whose number nobody had time to write down is found by its mark, and a process that has
// got a job's number later is not taken for it.
func TestLocalMarks(t *testing.T) {
	dir := t.TempDir()
	p, err := provider.Open(provider.Config{Kind: "local", State: dir, Grace: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	up := filepath.Join(t.TempDir(), "up")
	id, err := p.Submit(t.Context(), provider.Job{Name: "x", Argv: []string{"/bin/sh", "-c", "echo >" + up + "; exec sleep 1000"}})
	if err != nil {
		t.Fatal(err)
	}
	for {
		if _, err := os.Stat(up); err == nil {
			break
		}
		time.Sleep(time.Millisecond)
	}
	pidFile := filepath.Join(dir, string(id), "pid")
	if err := os.Remove(pidFile); err != nil {
		t.Fatal(err)
	}
	state := func() provider.State {
		m, err := p.Status(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		return m[id].State
	}
	if s := state(); s != provider.Running {
		t.Errorf("without its number it is %v", s)
	}
	if err := p.Cancel(t.Context(), id); err != nil {
		t.Fatal(err)
	}
	if s := state(); s != provider.Cancelled {
		t.Errorf("after cancel it is %v", s)
	}
	other := exec.Command("sleep", "1000")
	if err := other.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { other.Process.Kill(); other.Wait() }()
	if err := os.WriteFile(pidFile, []byte("1\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if s := state(); s != provider.Cancelled {
		t.Errorf("with another's number it is %v", s)
	}
}
