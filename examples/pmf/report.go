package main

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/tutti-hpc/tutti"
)

//go:embed report.html
var reportText string

var reportTemplate = template.Must(template.New("report").Parse(reportText))

// write puts the report into folder dir, making it if need be: report.html, the figures as PNG
// and SVG, and the tables as CSV. It returns the names of the files. Nothing that differs from
// one run of the same study to the next (times, hosts, engines) is in them.
func (r *Result) write(dir string) ([]string, error) {
	files, err := r.files()
	if err != nil {
		return nil, tutti.E("render report", tutti.KindOf(err), err)
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return nil, tutti.E("write report", tutti.KindOf(err), err)
	}
	var names []string
	for _, f := range files {
		if err := os.WriteFile(filepath.Join(dir, f.name), f.data, 0o644); err != nil {
			return nil, tutti.E("write report", tutti.KindOf(err), err)
		}
		names = append(names, f.name)
	}
	return names, nil
}

// file is one file of the report.
type file struct {
	name string
	data []byte
}

// files renders the whole report in memory, the page first.
func (r *Result) files() ([]file, error) {
	files := []file{{}, {"profiles.csv", r.profilesCSV()}, {"contributions.csv", r.contributionsCSV()}}
	page := newPage(r)
	for k, figures := range r.figures() {
		for _, f := range figures {
			png, err := f.png()
			if err != nil {
				return nil, err
			}
			svg, err := f.svg()
			if err != nil {
				return nil, err
			}
			files = append(files, file{f.Name + ".png", png}, file{f.Name + ".svg", svg})
			page.Factors[k].Figures = append(page.Factors[k].Figures, pageFigure{inline(svg, f.Caption), f.Caption})
		}
	}
	var html bytes.Buffer
	if err := reportTemplate.Execute(&html, page); err != nil {
		return nil, err
	}
	files[0] = file{"report.html", html.Bytes()}
	return files, nil
}

var (
	svgHead  = regexp.MustCompile(`(?s)^.*?<svg [^>]*viewBox="([^"]*)"[^>]*>`)
	svgFonts = regexp.MustCompile(`font-family:[^;"]*;font-variant:[^;"]*;font-weight:[^;"]*;font-style:[^;"]*;`)
)

// inline makes an SVG file part of the page: it takes the page's width, font, and the colours of
// its light or dark mode.
func inline(svg []byte, label string) template.HTML {
	head := `<svg viewBox="$1" role="img" aria-label="` + template.HTMLEscapeString(label) + `">`
	text := svgHead.ReplaceAllString(string(svg), head)
	text = svgFonts.ReplaceAllString(text, "")
	theme := strings.NewReplacer("\n\tstyle=", " style=",
		cssColor(ink), "var(--ink)", cssColor(grid), "var(--grid)", cssColor(paper), "none")
	return template.HTML(theme.Replace(text))
}

// profilesCSV is the table of profiles, one line a factor and species, in full precision.
func (r *Result) profilesCSV() []byte {
	var b bytes.Buffer
	b.WriteString("factor,species,concentration,percent,p5,p25,p50,p75,p95\n")
	for k, f := range r.Factors {
		for j, name := range r.Data.Names {
			fmt.Fprintf(&b, "%d,%s,%s,%s", k+1, quoted(name), full(f.Conc[j]), full(f.Percent[j]))
			if f.Boot == nil {
				b.WriteString(",,,,,\n")
				continue
			}
			s := f.Boot[j]
			for _, x := range []float64{s.P5, s.P25, s.P50, s.P75, s.P95} {
				b.WriteString("," + full(x))
			}
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// contributionsCSV is W, one line a sample, each factor scaled to a mean of 1.
func (r *Result) contributionsCSV() []byte {
	var b bytes.Buffer
	b.WriteString("date")
	for k := range r.Factors {
		fmt.Fprintf(&b, ",factor %d", k+1)
	}
	b.WriteByte('\n')
	for i, date := range r.Data.Dates {
		b.WriteString(quoted(date))
		for _, w := range r.Base.W[i*r.Base.P : (i+1)*r.Base.P] {
			b.WriteString("," + full(w))
		}
		b.WriteByte('\n')
	}
	return b.Bytes()
}

// full writes a number so that it reads back as the same bits.
func full(x float64) string { return strconv.FormatFloat(x, 'g', -1, 64) }

// quoted is a cell of a CSV file, in quotation marks where it needs them.
func quoted(s string) string {
	if strings.ContainsAny(s, ",\"\n\r") {
		return `"` + strings.ReplaceAll(s, `"`, `""`) + `"`
	}
	return s
}

// markers lists the species of which the factor explains the most, at least a third.
func (f *Factor) markers(names []string) string {
	const third, most = 100.0 / 3, 6
	order := make([]int, len(names))
	for j := range order {
		order[j] = j
	}
	slices.SortStableFunc(order, func(a, b int) int {
		switch {
		case f.Percent[a] > f.Percent[b]:
			return -1
		case f.Percent[a] < f.Percent[b]:
			return 1
		}
		return 0
	})
	var parts []string
	for _, j := range order[:min(most, len(order))] {
		if f.Percent[j] >= third {
			parts = append(parts, fmt.Sprintf("%s (%.0f\u00a0%%)", names[j], f.Percent[j]))
		}
	}
	if parts == nil {
		return "none above a third"
	}
	return strings.Join(parts, ", ")
}
