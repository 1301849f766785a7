package main

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti"
)

func TestBuiltinData(t *testing.T) {
	for _, c := range []struct {
		name                      string
		samples, species, dropped int
	}{{"br", 307, 41, 0}, {"sl", 418, 13, 0}, {"ba", 630, 26, 27}} {
		d := mustLoad(t, c.name)
		if d.Samples() != c.samples || d.Species() != c.species || d.Dropped != c.dropped {
			t.Errorf("%s: %d x %d, %d dropped", c.name, d.Samples(), d.Species(), d.Dropped)
		}
		if len(d.V) != c.samples*c.species || len(d.U) != len(d.V) {
			t.Errorf("%s: %d values, %d uncertainties", c.name, len(d.V), len(d.U))
		}
	}
}

// The embedded files are the published ones, byte for byte.
func TestDataSums(t *testing.T) {
	text, err := os.ReadFile("data/SHA256SUMS")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(text)), "\n")
	if len(lines) != 2*len(builtin) {
		t.Fatalf("%d sums", len(lines))
	}
	for _, line := range lines {
		want, name, _ := strings.Cut(line, "  ")
		data, err := samples.ReadFile("data/" + name)
		if err != nil {
			t.Fatal(err)
		}
		if sum := sha256.Sum256(data); hex.EncodeToString(sum[:]) != want {
			t.Errorf("%s has changed", name)
		}
	}
}

// The signal-to-noise ratios of Baton Rouge, against the table that ESAT prints.
func TestSignalToNoise(t *testing.T) {
	want := map[string]float64{"124-Trimethylbenzene": 5.445168, "Benzene": 5.666667,
		"Cis-2-Butene": 3.100977, "Isopropylbenzene": 2.067318, "M-Diethylbenzene": 2.436482}
	d := mustLoad(t, "br")
	found := 0
	for j, sn := range d.SignalToNoise() {
		if x, ok := want[d.Names[j]]; ok {
			found++
			if math.Abs(sn-x) > 1e-6 {
				t.Errorf("%s: %.7f, ESAT has %.7f", d.Names[j], sn, x)
			}
		}
	}
	if found != len(want) {
		t.Errorf("found %d of %d species", found, len(want))
	}
}

func TestMalformedData(t *testing.T) {
	const con, unc = "Date,A,B\n1,1.5,2\n2,0,4\n", "Date,A,B\n1,.1,.2\n2,.3,.4\n"
	if _, err := parse([2]string{"c", "u"}, []byte(con), []byte(unc)); err != nil {
		t.Fatalf("the sound pair: %v", err)
	}
	for _, c := range []struct{ what, con, unc, says string }{
		{"empty file", "", unc, "no samples"},
		{"header only", "Date,A,B\n", unc, "no samples"},
		{"no species", "Date\n1\n", unc, "names no species"},
		{"not a number", "Date,A,B\n1,1.5,two\n", unc, `line 2, column 3 (B): "two" is not a number`},
		{"NaN", "Date,A,B\n1,1.5,2\n2,NaN,4\n", unc, "line 3, column 2 (A): the concentration is not finite"},
		{"too large", "Date,A,B\n1,1e999,2\n", unc, "line 2, column 2 (A)"},
		{"negative", "Date,A,B\n1,-1.5,2\n", unc, "line 2, column 2 (A): the concentration is negative"},
		{"gap", "Date,A,B\n1,,2\n", unc, "line 2, column 2 (A): no value"},
		{"short row", "Date,A,B\n1,2\n", unc, "line 2 has 2 columns, the first line 3"},
		{"long row", "Date,A,B\n1,2,3,4\n", unc, "line 2 has 4 columns"},
		{"stray quote", "Date,A,B\n1,\"2,3\n", unc, "line 2"},
		{"negative uncertainty", con, "Date,A,B\n1,.1,.2\n2,-.3,.4\n", "u: invalid: line 3, column 2 (A): the uncertainty is negative"},
		{"zero uncertainty", con, "Date,A,B\n1,.1,0\n2,.3,.4\n", "line 2, column 3 (B): the uncertainty is zero"},
		{"infinite uncertainty", con, "Date,A,B\n1,.1,Inf\n", "line 2, column 3 (B): the uncertainty is not finite"},
		{"vanishing uncertainty", con, "Date,A,B\n1,.1,1e-300\n", "out of any range"},
		{"fewer species", con, "Date,A\n1,.1\n2,.3\n", "1 species, but c has 2"},
		{"other species", con, "Date,A,C\n1,.1,.2\n2,.3,.4\n", `column 3: species "C", but "B"`},
		{"fewer samples", con, "Date,A,B\n1,.1,.2\n", "1 samples, but c has 2"},
		{"other date", con, "Date,A,B\n1,.1,.2\n3,.3,.4\n", `line 3: date "3", but "2" on line 3`},
	} {
		_, err := parse([2]string{"c", "u"}, []byte(c.con), []byte(c.unc))
		switch {
		case !errors.Is(err, tutti.Invalid):
			t.Errorf("%s: %v", c.what, err)
		case !strings.Contains(err.Error(), c.says):
			t.Errorf("%s: %q does not say %q", c.what, err, c.says)
		}
	}
}

// Tabs, a byte order mark, Windows line ends and empty lines are all seen in the field.
func TestFormats(t *testing.T) {
	d, err := parse([2]string{"c", "u"},
		[]byte("\ufeffDate\tA\tB\r\n1\t1\t2\r\n\t\t\r\n2\t3\t4\r\n"), []byte("Date,A,B\n1,.1,.2\n2, .3 ,.4\n,,\n"))
	if err != nil {
		t.Fatal(err)
	}
	if d.Samples() != 2 || d.Species() != 2 || d.Dropped != 1 || d.V[2] != 3 || d.U[2] != 0.3 {
		t.Errorf("read as %+v", d)
	}
}

func TestLoadErrors(t *testing.T) {
	if _, err := load(Source{Name: "atlantis"}); !errors.Is(err, tutti.NotFound) || tutti.HintOf(err) == "" {
		t.Errorf("unknown set: %v", err)
	}
	dir := t.TempDir()
	con, unc := filepath.Join(dir, "c.csv"), filepath.Join(dir, "u.csv")
	if _, err := load(Source{Con: con, Unc: unc}); !errors.Is(err, tutti.NotFound) {
		t.Errorf("missing file: %v", err)
	}
	for _, path := range []string{con, unc} {
		if err := os.WriteFile(path, []byte("Date,A\n1,2\n"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	d, err := load(Source{Con: con, Unc: unc})
	if err != nil || d.Samples() != 1 {
		t.Fatalf("%v, %+v", err, d)
	}
	if _, err := load(Source{Con: con, Unc: unc, Sum: d.Sum}); err != nil {
		t.Errorf("the same files: %v", err)
	}
	if err := os.WriteFile(con, []byte("Date,A\n1,3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := load(Source{Con: con, Unc: unc, Sum: d.Sum}); !errors.Is(err, tutti.Invalid) {
		t.Errorf("other files of the same name: %v", err)
	}
}

// Whatever the files hold, the answer is a data set that can be weighed or an error.
func FuzzParse(f *testing.F) {
	f.Add([]byte("Date,A,B\n1,1.5,2\n"), []byte("Date,A,B\n1,.1,.2\n"))
	f.Add([]byte("\ufeffDate\tA\r\n\t\r\n1\t0x1p4\r\n"), []byte("Date,A\n1,1e-40\n"))
	f.Add([]byte("\"\n,"), []byte(",\n\n,1"))
	f.Fuzz(func(t *testing.T, con, unc []byte) {
		d, err := parse([2]string{"c", "u"}, con, unc)
		if err != nil {
			if !errors.Is(err, tutti.Invalid) {
				t.Fatalf("kind of %v", err)
			}
			return
		}
		if len(d.V) != d.Samples()*d.Species() || len(d.U) != len(d.V) {
			t.Fatalf("%d values, %d uncertainties for %d x %d", len(d.V), len(d.U), d.Samples(), d.Species())
		}
		for i := range d.V {
			if w := 1 / (d.U[i] * d.U[i]); !(d.V[i] >= 0) || math.IsInf(w, 0) || !(w > 0) {
				t.Fatalf("a value of %v with uncertainty %v", d.V[i], d.U[i])
			}
		}
	})
}
