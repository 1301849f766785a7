package main

import (
	"bytes"
	"context"
	"encoding/csv"
	"encoding/xml"
	"errors"
	"fmt"
	"image/png"
	"io"
	"math"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/tutti-hpc/tutti"
)

// Every factor has its three figures, their axes are labelled, and the numbers in their layers
// are those of the tables.
func TestFigures(t *testing.T) {
	r := smallResult(t)
	for k, figures := range r.figures() {
		if len(figures) != 3 {
			t.Fatalf("factor %d has %d figures", k+1, len(figures))
		}
		for _, f := range figures {
			if f.Plot.X.Label.Text == "" || f.Plot.Y.Label.Text == "" || f.Plot.Title.Text == "" || f.Caption == "" {
				t.Errorf("%s lacks a label", f.Name)
			}
		}
		profile, contributions, boot := figures[0], figures[1], figures[2]
		bars, points := profile.Layers[0].(*logBars), profile.Layers[1].(*percentPoints)
		if !slices.Equal(bars.Values, r.Factors[k].Conc) || !slices.Equal(points.Values, r.Factors[k].Percent) || points.Label == "" {
			t.Errorf("factor %d: the profile figure shows other numbers than the table", k+1)
		}
		line := contributions.Layers[0].(*needles)
		for i, v := range line.Values {
			if v != r.Base.W[i*r.Base.P+k] {
				t.Fatalf("factor %d: sample %d is drawn as %v", k+1, i, v)
			}
		}
		if mean := total(line.Values) / float64(len(line.Values)); math.Abs(mean-1) > 1e-12 {
			t.Errorf("factor %d: contributions have a mean of %v", k+1, mean)
		}
		box := boot.Layers[0].(*boxes)
		if !reflect.DeepEqual(box.Spreads, r.Factors[k].Boot) || !slices.Equal(box.Base, r.Factors[k].Percent) {
			t.Errorf("factor %d: the boxes show other numbers than the table", k+1)
		}
	}
}

// The tables read back as the very numbers of the result.
func TestTablesReadBack(t *testing.T) {
	r := smallResult(t)
	rows, err := csv.NewReader(bytes.NewReader(r.profilesCSV())).ReadAll()
	if err != nil || len(rows) != 1+r.Base.P*r.Data.Species() {
		t.Fatal(err, len(rows))
	}
	for i, row := range rows[1:] {
		k, j := i/r.Data.Species(), i%r.Data.Species()
		f := &r.Factors[k]
		s := f.Boot[j]
		want := []float64{f.Conc[j], f.Percent[j], s.P5, s.P25, s.P50, s.P75, s.P95}
		if row[0] != fmt.Sprint(k+1) || row[1] != r.Data.Names[j] || !slices.Equal(floats(t, row[2:]), want) {
			t.Fatalf("profiles line %d: %v", i+2, row)
		}
	}
	rows, err = csv.NewReader(bytes.NewReader(r.contributionsCSV())).ReadAll()
	if err != nil || len(rows) != 1+r.Data.Samples() {
		t.Fatal(err, len(rows))
	}
	for i, row := range rows[1:] {
		if row[0] != r.Data.Dates[i] || !slices.Equal(floats(t, row[1:]), r.Base.W[i*r.Base.P:(i+1)*r.Base.P]) {
			t.Fatalf("contributions line %d: %v", i+2, row)
		}
	}
}

func floats(t *testing.T, cells []string) (x []float64) {
	t.Helper()
	for _, cell := range cells {
		v, err := strconv.ParseFloat(cell, 64)
		if err != nil {
			t.Fatal(err)
		}
		x = append(x, v)
	}
	return x
}

// The same study gives the same files, byte for byte, each readable, and the page needs no other.
func TestReportFiles(t *testing.T) {
	first, err := smallResult(t).files()
	if err != nil {
		t.Fatal(err)
	}
	second := first
	if !raced {
		again, err := analyse(context.Background(), small, &team{workers: 2})
		if err != nil {
			t.Fatal(err)
		}
		if second, err = again.files(); err != nil {
			t.Fatal(err)
		}
	}
	if want := 3 + small.Factors*3*2; len(first) != want || len(second) != want {
		t.Fatalf("%d and %d files, not %d", len(first), len(second), want)
	}
	for i, f := range first {
		if f.name != second[i].name || !bytes.Equal(f.data, second[i].data) {
			t.Errorf("%s differs between two runs", f.name)
		}
		switch filepath.Ext(f.name) {
		case ".png":
			if img, err := png.Decode(bytes.NewReader(f.data)); err != nil || img.Bounds().Dx() < 1000 {
				t.Errorf("%s: %v", f.name, err)
			}
		case ".svg":
			checkXML(t, f)
			if n, fitted := bytes.Count(f.data, []byte("<text")), bytes.Count(f.data, []byte("textLength=")); n == 0 || n != fitted {
				t.Errorf("%s: %d of %d texts are fitted", f.name, fitted, n)
			}
		case ".html":
			checkPage(t, string(f.data))
		}
	}
}

func checkXML(t *testing.T, f file) {
	t.Helper()
	d := xml.NewDecoder(bytes.NewReader(f.data))
	for {
		if _, err := d.Token(); errors.Is(err, io.EOF) {
			return
		} else if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
	}
}

func checkPage(t *testing.T, page string) {
	t.Helper()
	if n := strings.Count(page, "<svg "); n != 3*small.Factors {
		t.Errorf("%d figures in the page", n)
	}
	if from := regexp.MustCompile(`(src|href)="[^#][^"]*"|url\(|@import|<script`).FindString(page); from != "" {
		t.Errorf("the page asks for %s", from)
	}
	for _, c := range []string{cssColor(ink), cssColor(grid), cssColor(paper)} {
		if strings.Contains(page, c) {
			t.Errorf("a figure keeps %s in dark mode", c)
		}
	}
	for _, words := range []string{"NaN", "ZgotmplZ", "<no value>", "%!"} {
		if strings.Contains(page, words) {
			t.Errorf("the page says %q", words)
		}
	}
}

// A study without replicates has a report too, and a factor that explains nothing is drawn.
func TestReportWithoutBootstrap(t *testing.T) {
	c := small
	c.Factors, c.Reps = 1, 0
	r, err := analyse(context.Background(), c, &team{})
	if err != nil {
		t.Fatal(err)
	}
	f := &r.Factors[0]
	f.Conc, f.Percent = make([]float64, len(f.Conc)), make([]float64, len(f.Percent))
	files, err := r.files()
	if err != nil {
		t.Fatal(err)
	}
	if want := 3 + 2*2; len(files) != want {
		t.Errorf("%d files, not %d", len(files), want)
	}
	if strings.Contains(string(files[0].data), `id="bootstrap"`) {
		t.Error("the page speaks of a bootstrap")
	}
}

func TestCommand(t *testing.T) {
	dir := t.TempDir()
	con, unc := filepath.Join(dir, "c.csv"), filepath.Join(dir, "u.csv")
	var c, u strings.Builder
	c.WriteString("Date,<A&B>,\"C, D\",E\n")
	u.WriteString("Date,<A&B>,\"C, D\",E\n")
	for i := range 20 {
		fmt.Fprintf(&c, "day %d,%d,%d,%d\n", i, 1+i%3, 2+i%5, 3+i%7)
		fmt.Fprintf(&u, "day %d,.1,.2,.3\n", i)
	}
	for path, text := range map[string]string{con: c.String(), unc: u.String()} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	out := filepath.Join(dir, "report")
	var stdout, stderr bytes.Buffer
	err := run(context.Background(), []string{"-dataset", con + "," + unc, "-factors", "1", "-seeds", "3",
		"-reps", "10", "-engines", "2", "-o", out}, &stdout, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile(filepath.Join(out, "report.html"))
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(page, []byte("&lt;A&amp;B&gt;")) || bytes.Contains(page, []byte("<A&B>")) {
		t.Error("a species' name is not escaped in the page")
	}
	if !strings.Contains(stderr.String(), "replicates: 10 of 10") || !strings.Contains(stdout.String(), "report.html") {
		t.Errorf("the command said %q and %q", stdout.String(), stderr.String())
	}
	for _, args := range [][]string{{"-engines", "-1"}, {"-block", "-1"}, {"-factors", "99"}, {"stray"}} {
		if err := run(context.Background(), args, io.Discard, io.Discard); !errors.Is(err, tutti.Invalid) {
			t.Errorf("%v: %v", args, err)
		}
	}
}

func TestDates(t *testing.T) {
	for _, name := range []string{"br", "sl", "ba"} {
		when, ok := times(mustLoad(t, name).Dates)
		if !ok || !slices.IsSortedFunc(when, time.Time.Compare) {
			t.Errorf("%s: dates were read: %v", name, ok)
		}
	}
	when, ok := times([]string{"2001-06-22", "2001-06-23", "2001-06-24", "2002-01-01", "2002-01-02"})
	if !ok || !slices.Equal(gaps(when), []int{3}) {
		t.Errorf("gaps %v", gaps(when))
	}
	if _, ok := times([]string{"2001-06-22", "yesterday"}); ok {
		t.Error("yesterday was read as a date")
	}
}

func TestDecades(t *testing.T) {
	for _, c := range []struct {
		values    []float64
		low, high float64
	}{{[]float64{0.02, 3}, -2, 1}, {[]float64{1e-20, 50}, -3, 2}, {[]float64{0, 0}, -1, 0}, {[]float64{1}, -1, 0}} {
		if low, high := decades(c.values); low != c.low || high != c.high {
			t.Errorf("%v: from %v to %v", c.values, low, high)
		}
	}
}

// Done leaves nothing running, full or not.
func TestProgressBar(t *testing.T) {
	for _, ticks := range []int{0, 3, 5} {
		tick, done := bar(io.Discard, "test", 5)
		for range ticks {
			tick()
		}
		done()
	}
}
