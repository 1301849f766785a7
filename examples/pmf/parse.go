package main

import (
	"bytes"
	"encoding/csv"
	"errors"
	"io"
	"math"
	"strconv"
	"strings"

	"github.com/tutti-hpc/tutti"
)

// table is one file as read: a header, then one row a sample, the first column its date.
type table struct {
	name   string
	header []string
	dates  []string
	lines  []int // where each row stands in the file
	cells  []float64
	empty  int // lines without any value
}

// parse makes a data set of a file of concentrations and one of uncertainties, both comma or tab
// separated, of the same shape and with the same dates. Samples without any value are dropped.
// Anything else is an error of kind Invalid that names line and column.
func parse(names [2]string, con, unc []byte) (*Dataset, error) {
	c, err := parseTable(names[0], con, checkConcentration)
	if err != nil {
		return nil, err
	}
	u, err := parseTable(names[1], unc, checkUncertainty)
	if err != nil {
		return nil, err
	}
	if err := sameShape(c, u); err != nil {
		return nil, err
	}
	return &Dataset{Dates: c.dates, Names: c.header, V: c.cells, U: u.cells, Dropped: c.empty}, nil
}

func sameShape(c, u *table) error {
	if len(c.header) != len(u.header) {
		return invalid(u.name, "%d species, but %s has %d", len(u.header), c.name, len(c.header))
	}
	for j, name := range c.header {
		if u.header[j] != name {
			return invalid(u.name, "line 1, column %d: species %q, but %q in %s", j+2, u.header[j], name, c.name)
		}
	}
	for i := range min(len(c.dates), len(u.dates)) {
		if c.dates[i] != u.dates[i] {
			return invalid(u.name, "line %d: date %q, but %q on line %d of %s",
				u.lines[i], u.dates[i], c.dates[i], c.lines[i], c.name)
		}
	}
	if len(c.dates) != len(u.dates) {
		return invalid(u.name, "%d samples, but %s has %d", len(u.dates), c.name, len(c.dates))
	}
	return nil
}

// parseTable reads one file; check judges each value and returns what is wrong with it or "".
func parseTable(name string, text []byte, check func(float64) string) (*table, error) {
	text = bytes.TrimPrefix(text, []byte("\ufeff"))
	first, _, _ := bytes.Cut(text, []byte("\n"))
	r := csv.NewReader(bytes.NewReader(text))
	r.FieldsPerRecord = -1 // judged here, with the name of the column
	r.ReuseRecord = true
	if bytes.ContainsRune(first, '\t') {
		r.Comma = '\t'
	}
	t := &table{name: name}
	for {
		record, err := r.Read()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, invalid(name, "%w", err)
		}
		line, _ := r.FieldPos(0)
		if t.header == nil {
			err = t.setHeader(record)
		} else {
			err = t.addRow(line, record, check)
		}
		if err != nil {
			return nil, err
		}
	}
	if len(t.dates) == 0 {
		return nil, invalid(name, "holds no samples")
	}
	return t, nil
}

func (t *table) setHeader(record []string) error {
	if len(record) < 2 {
		return invalid(t.name, "line 1 names no species").
			WithHint("the first line holds a title for the date column and the species, separated by commas or tabs")
	}
	for _, cell := range record[1:] {
		t.header = append(t.header, strings.TrimSpace(cell))
	}
	return nil
}

func (t *table) addRow(line int, record []string, check func(float64) string) error {
	if strings.TrimSpace(strings.Join(record, "")) == "" {
		t.empty++
		return nil
	}
	if len(record) != len(t.header)+1 {
		return invalid(t.name, "line %d has %d columns, the first line %d", line, len(record), len(t.header)+1)
	}
	for j, cell := range record[1:] {
		cell = strings.TrimSpace(cell)
		x, err := strconv.ParseFloat(cell, 64)
		what := ""
		switch {
		case cell == "":
			what = "no value"
		case err != nil:
			what = strconv.Quote(cell) + " is not a number"
		default:
			what = check(x)
		}
		if what != "" {
			return invalid(t.name, "line %d, column %d (%s): %s", line, j+2, t.header[j], what).
				WithHint("fill a gap, for example with the species' median and a large uncertainty, or take the sample out of both files")
		}
		t.cells = append(t.cells, x)
	}
	t.dates = append(t.dates, strings.TrimSpace(record[0]))
	t.lines = append(t.lines, line)
	return nil
}

func checkConcentration(x float64) string {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "the concentration is not finite"
	case x < 0:
		return "the concentration is negative, which a non-negative factorization cannot fit"
	}
	return ""
}

// checkUncertainty also refuses what would overflow as a weight 1/U^2.
func checkUncertainty(x float64) string {
	switch {
	case math.IsNaN(x) || math.IsInf(x, 0):
		return "the uncertainty is not finite"
	case x < 0:
		return "the uncertainty is negative"
	case x == 0:
		return "the uncertainty is zero, so the value would weigh infinitely"
	case x < 1e-50 || x > 1e50:
		return "the uncertainty is out of any range: " + strconv.FormatFloat(x, 'g', -1, 64)
	}
	return ""
}

func invalid(name, format string, args ...any) *tutti.Error {
	return tutti.Errorf("read "+name, tutti.Invalid, format, args...)
}
