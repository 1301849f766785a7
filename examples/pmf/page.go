package main

import (
	"fmt"
	"html/template"
	"image/color"
	"strings"
)

// page is what report.html is filled with: everything rounded and spelled out.
type page struct {
	Title, Unit, First, Last, Sum  string
	N, M, P, Dropped, Zeros, Cells int
	Seeds, Reps, Block             int
	Seed                           uint64
	BlockChosen, Builtin           bool
	Q, Expected                    string
	Finalists, Calm, Most          int
	Delta, Enough                  float64
	Fits                           []pageFit
	Converged, Near, BestStart     int
	BaseConverged                  bool
	Species                        []pageSpecies
	Profiles                       []pageProfile
	Factors                        []pageFactor
	LeastFound                     int
	Unmapped, AllFactors           int
	RepsConverged                  int
	BootQ                          []string
}

type pageFit struct{ Name, Q, Ratio, Robust, Steps string }

type pageSpecies struct {
	Name, SN, Block string
	Five            []string
}

type pageProfile struct {
	Name  string
	Cells []struct{ Percent, Boot string }
}

type pageFactor struct {
	Number                int
	Color                 string
	Share, Found, Markers string
	Once, Several, None   int
	RMedian, RLow         string
	HasBoot               bool
	Rows                  [][]string
	Figures               []pageFigure
}

type pageFigure struct {
	SVG     template.HTML
	Caption string
}

// newPage spells r out, but for the figures.
func newPage(r *Result) *page {
	d, b := r.Data, &r.Bootstrap
	g := &page{
		Title: d.Title, Unit: d.Unit, First: d.Dates[0], Last: d.Dates[len(d.Dates)-1], Sum: d.Sum,
		N: d.Samples(), M: d.Species(), P: r.Base.P, Dropped: d.Dropped, Cells: len(d.V),
		Seeds: r.Config.Seeds, Reps: r.Config.Reps, Block: r.Config.Block, Seed: r.Config.Seed,
		BlockChosen: r.BlockChosen, Builtin: r.Config.Data.Name != "",
		Q: fixed(r.Base.Q, 2), Expected: fixed(r.expectedQ(), 0),
		Finalists: min(finalists, r.Config.Seeds), Calm: esatStop.Calm, Most: esatStop.Most,
		Delta: esatStop.Delta, Enough: enough,
		BestStart: r.Base.Start + 1, BaseConverged: r.Base.Converged,
		Unmapped: b.Unmapped, AllFactors: b.Reps * r.Base.P, RepsConverged: b.Converged,
	}
	for _, v := range d.V {
		if v == 0 {
			g.Zeros++
		}
	}
	if b.Reps > 0 {
		for _, q := range []float64{b.Mean, b.SD, b.Q.P5, b.Q.P25, b.Q.P50, b.Q.P75, b.Q.P95} {
			g.BootQ = append(g.BootQ, fixed(q, 1))
		}
	}
	g.addFits(r)
	g.addSpecies(r)
	g.addFactors(r)
	return g
}

func (r *Result) expectedQ() float64 {
	n, m, p := r.Data.Samples(), r.Data.Species(), r.Base.P
	return float64(n*m - p*(n+m))
}

// addFits tells how the starts ended, and the base run.
func (g *page) addFits(r *Result) {
	var qs []float64
	for _, s := range r.Starts {
		qs = append(qs, s.Q)
		if s.Converged {
			g.Converged++
		}
	}
	qs = sorted(qs)
	for _, q := range qs {
		if q <= 1.01*qs[0] {
			g.Near++
		}
	}
	ratio := func(q float64) string { return fixed(q/r.expectedQ(), 3) }
	g.Fits = append(g.Fits, pageFit{"Base run (refined)", fixed(r.Base.Q, 2), ratio(r.Base.Q),
		fixed(r.Base.Robust, 2), fmt.Sprint(r.Base.Steps)})
	for _, s := range []struct {
		name string
		at   float64
	}{{"Starts: least", 0}, {"Starts: median", 0.5}, {"Starts: greatest", 1}} {
		q := quantile(qs, s.at)
		g.Fits = append(g.Fits, pageFit{s.name, fixed(q, 2), ratio(q), "", ""})
	}
}

func (g *page) addSpecies(r *Result) {
	sn := r.Data.SignalToNoise()
	for j, name := range r.Data.Names {
		x := sorted(r.Data.Column(j))
		s := pageSpecies{Name: name, SN: fixed(sn[j], 3), Block: fixed(r.Optima[j], 1)}
		for _, at := range []float64{0, 0.25, 0.5, 0.75, 1} {
			s.Five = append(s.Five, short(quantile(x, at)))
		}
		g.Species = append(g.Species, s)
		g.Profiles = append(g.Profiles, pageProfile{Name: name})
	}
}

func (g *page) addFactors(r *Result) {
	least := r.Config.Reps
	for k := range r.Factors {
		f := &r.Factors[k]
		least = min(least, f.Once+f.Several)
		q := pageFactor{
			Number: k + 1, Color: cssColor(hue(k)), Share: fixed(f.Share, 1), Markers: f.markers(r.Data.Names),
			Once: f.Once, Several: f.Several, None: f.None, HasBoot: f.Boot != nil,
			RMedian: fixed(f.RMedian, 3), RLow: fixed(f.RLow, 3),
		}
		if r.Config.Reps > 0 {
			q.Found = fixed(100*float64(f.Once+f.Several)/float64(r.Config.Reps), 1)
		}
		for j, name := range r.Data.Names {
			row := []string{name, short(f.Conc[j]), fixed(f.Percent[j], 1)}
			cell := struct{ Percent, Boot string }{Percent: fixed(f.Percent[j], 1)}
			if f.Boot != nil {
				s := f.Boot[j]
				for _, x := range []float64{s.P5, s.P25, s.P50, s.P75, s.P95} {
					row = append(row, fixed(x, 1))
				}
				cell.Boot = strings.Join([]string{fixed(s.P5, 1), fixed(s.P50, 1), fixed(s.P95, 1)}, ", ")
			}
			q.Rows = append(q.Rows, row)
			g.Profiles[j].Cells = append(g.Profiles[j].Cells, cell)
		}
		g.Factors = append(g.Factors, q)
	}
	g.LeastFound = least
}

func fixed(x float64, digits int) string { return fmt.Sprintf("%.*f", digits, x) }

// short writes a concentration with three digits that count.
func short(x float64) string {
	if x >= 1000 {
		return fixed(x, 0)
	}
	return fmt.Sprintf("%.3g", x)
}

func cssColor(c color.NRGBA) string { return fmt.Sprintf("#%02X%02X%02X", c.R, c.G, c.B) }
