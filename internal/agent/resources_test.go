package agent

import (
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
)

// What is given is believed, what is not is found out.
func TestResources(t *testing.T) {
	t.Setenv("CUDA_VISIBLE_DEVICES", "")
	has, gpus, err := Resources(tutti.Resources{}, nil)
	if err != nil || has.Cores < 1 || len(gpus) != 0 || has.GPUs != 0 {
		t.Errorf("%+v %v %v", has, gpus, err)
	}
	has, gpus, err = Resources(tutti.Resources{Cores: 3, Memory: 5, GPUs: 3, Custom: map[string]float64{"licence": 1}}, []string{"7"})
	if err != nil || has.Cores != 3 || has.Memory != 5 || !slices.Equal(gpus, []string{"7", "1", "2"}) || has.Custom["licence"] != 1 {
		t.Errorf("%+v %v %v", has, gpus, err)
	}
	if _, _, err := Resources(tutti.Resources{Cores: -1}, nil); tutti.KindOf(err) != tutti.Invalid {
		t.Error(err)
	}
}

// Accelerators have the names that the environment gives them, else those of their devices.
func TestFindGPUs(t *testing.T) {
	dev := t.TempDir()
	for _, name := range []string{"nvidia10", "nvidia2", "nvidiactl", "nvidia-uvm", "null"} {
		if err := os.WriteFile(filepath.Join(dev, name), nil, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		visible string
		set     bool
		want    string
	}{
		{"", false, "2 10"},
		{"", true, ""},
		{"3,1", true, "3 1"},
		{"GPU-8932f937, 1", true, "GPU-8932f937 1"},
		{"0,-1,1", true, "0"},
		{"NoDevFiles", true, ""},
	} {
		if got := strings.Join(findGPUs(c.visible, c.set, dev), " "); got != c.want {
			t.Errorf("%q: %q, not %q", c.visible, got, c.want)
		}
	}
}

// Whole accelerators are alone, fractions share, and all is given back.
func TestGPURack(t *testing.T) {
	r := newGPURack([]string{"a", "b", "c"})
	take := func(need float64, want string) grant {
		t.Helper()
		g, ok := r.take(need)
		if got := strings.Join(r.of(g), ","); got != want || ok != (want != "" || need == 0) {
			t.Fatalf("%v: %q %v, not %q", need, got, ok, want)
		}
		return g
	}
	half := take(0.5, "a")
	take(0, "")
	other := take(0.5, "a")
	third := take(0.4, "b")
	take(2, "")
	one := take(1, "c")
	take(0.7, "")
	take(0.6, "b")
	r.give(half)
	r.give(other)
	r.give(third)
	r.give(one)
	take(1.5, "a,c")
	if r.free[1] != 0.4 {
		t.Errorf("b has %v", r.free[1])
	}
	all := newGPURack([]string{"a"})
	if g, ok := all.take(4); !ok || len(g.gpus) != 1 {
		t.Error("more than there is was not cut to what there is")
	}
}

// The last of the log is kept, in whole lines.
func TestLogRing(t *testing.T) {
	r := newLogRing(slog.New(slog.DiscardHandler))
	for range 5000 {
		r.Info("a line of some length, so that they do not all fit")
	}
	text := r.text()
	if len(text) > logKept || len(text) < logKept/2 || !strings.HasPrefix(text, "time=") {
		t.Errorf("%d bytes: %.50q", len(text), text)
	}
}

// A ring gives what it has, and says where that begins.
func TestRing(t *testing.T) {
	var r ring
	piece := make([]byte, 300_000)
	for i := range 20 {
		piece[0] = byte(i)
		r.add(r.end, piece)
	}
	r.add(5, piece) // not its continuation
	if r.end != 6_000_000 || len(r.data) > 2*ringSize || len(r.data) < ringSize {
		t.Errorf("%d bytes, %d kept", r.end, len(r.data))
	}
	if data, at := r.from(0); at != r.end-int64(len(r.data)) || len(data) != len(r.data) {
		t.Errorf("%d bytes from %d", len(data), at)
	}
	if data, at := r.from(5_700_000); at != 5_700_000 || len(data) != 300_000 || data[0] != 19 {
		t.Errorf("%d bytes from %d", len(data), at)
	}
	if data, at := r.from(7_000_000); at != 6_000_000 || len(data) != 0 {
		t.Errorf("%d bytes from %d", len(data), at)
	}
}
