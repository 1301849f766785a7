package main

import (
	"bytes"
	"fmt"
	"html"
	"image/color"
	"regexp"
	"strconv"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/font"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
	"gonum.org/v1/plot/vg/vgimg"
	"gonum.org/v1/plot/vg/vgsvg"
)

// figure is one drawing of one factor. Its layers hold the numbers it shows.
type figure struct {
	Name          string // of its files, without extension
	Caption       string
	Plot          *plot.Plot
	Layers        []plot.Plotter
	width, height vg.Length
}

// Colours of the figures. The page swaps ink, grid and paper for its own, so that inline figures
// follow its dark mode; nothing else may use exactly these.
var (
	ink   = color.NRGBA{0x24, 0x29, 0x2f, 0xff}
	grid  = color.NRGBA{0xd9, 0xde, 0xe3, 0xff}
	paper = color.NRGBA{0xfd, 0xfd, 0xfe, 0xff}
	point = color.NRGBA{0xc4, 0x1e, 0x3a, 0xff}
)

// hues tell the factors apart, also to most colour-blind readers (after Okabe and Ito 2008).
var hues = []color.NRGBA{
	{0x00, 0x72, 0xb2, 0xff}, {0xe6, 0x9f, 0x00, 0xff}, {0x00, 0x9e, 0x73, 0xff}, {0xcc, 0x79, 0xa7, 0xff},
	{0x56, 0xb4, 0xe9, 0xff}, {0xd5, 0x5e, 0x00, 0xff}, {0x7f, 0x7f, 0x7f, 0xff}, {0x8c, 0x6d, 0x31, 0xff},
}

func hue(k int) color.NRGBA { return hues[k%len(hues)] }

// figures draws each factor's profile, contributions and, if there was a bootstrap, boxes.
func (r *Result) figures() [][]figure {
	all := make([][]figure, len(r.Factors))
	for k := range all {
		all[k] = append(all[k], r.profileFigure(k), r.contributionFigure(k))
		if r.Factors[k].Boot != nil {
			all[k] = append(all[k], r.bootstrapFigure(k))
		}
	}
	return all
}

// profileFigure shows what the factor is made of: bars of concentration on a logarithmic axis,
// and points of per cent of each species on the right-hand one, as EPA PMF draws it.
func (r *Result) profileFigure(k int) figure {
	f := r.Factors[k]
	p := r.speciesPlot(fmt.Sprintf("Factor %d: profile", k+1))
	bars := &logBars{Values: f.Conc, Color: hue(k)}
	points := &percentPoints{Values: f.Percent, Label: "Per cent of species", Color: point}
	bars.low, bars.high = decades(f.Conc)
	p.Y.Tick.Marker = logTicks{}
	p.Y.Min, p.Y.Max = bars.low, bars.high
	p.Y.Label.Text = "Concentration (" + r.Data.Unit + ")"
	p.Add(&rules{percent: true}, bars, points)
	p.Legend.Add("concentration (left axis, logarithmic)", bars)
	p.Legend.Add("per cent of the species (right axis)", points)
	return figure{
		Name: fmt.Sprintf("factor-%d-profile", k+1), Plot: p, Layers: []plot.Plotter{bars, points},
		Caption: fmt.Sprintf("Profile of factor %d. Bars: mean concentration of each species that the factor explains (left, logarithmic). Points: the same as per cent of all that the model explains of the species (right).", k+1),
		width:   r.speciesWidth(), height: 4.4 * vg.Inch,
	}
}

// contributionFigure shows when the factor was there: its column of W, scaled to a mean of 1.
// Samples stand side by side in their order, since campaigns are often months apart; a broken
// line marks where.
func (r *Result) contributionFigure(k int) figure {
	p := newPlot(fmt.Sprintf("Factor %d: contributions", k+1))
	line := &needles{Values: make([]float64, r.Data.Samples()), Color: hue(k)}
	for i := range line.Values {
		line.Values[i] = r.Base.W[i*r.Base.P+k]
	}
	p.X.Label.Text = "Sample"
	if when, ok := times(r.Data.Dates); ok {
		p.X.Label.Text = "Samples in order, with their dates"
		p.X.Tick.Marker = dateTicks(when)
		line.Gaps = gaps(when)
	}
	p.Y.Label.Text, p.Y.Tick.Marker = "Contribution (mean = 1)", plainTicks{}
	p.Add(&rules{}, line)
	caption := fmt.Sprintf("Contributions of factor %d to the %d samples, in units of their mean.", k+1, r.Data.Samples())
	if len(line.Gaps) > 0 {
		caption += " Broken lines: long gaps in the record."
	}
	return figure{
		Name: fmt.Sprintf("factor-%d-contributions", k+1), Plot: p, Layers: []plot.Plotter{line},
		Caption: caption, width: 11 * vg.Inch, height: 2.9 * vg.Inch,
	}
}

// bootstrapFigure shows how sure the profile is: the spread of the per cent over the replicates.
func (r *Result) bootstrapFigure(k int) figure {
	f := r.Factors[k]
	p := r.speciesPlot(fmt.Sprintf("Factor %d: bootstrap", k+1))
	layer := &boxes{Spreads: f.Boot, Base: f.Percent, Color: hue(k)}
	p.Y.Min, p.Y.Max = 0, 100
	p.Y.Tick.Marker = percentTicks{}
	p.Y.Label.Text = "Per cent of species"
	p.Add(&rules{}, layer)
	p.Legend.Add("5 to 95 % and 25 to 75 % of replicates, median", layer)
	p.Legend.Add("base run", &percentPoints{Color: point})
	return figure{
		Name: fmt.Sprintf("factor-%d-bootstrap", k+1), Plot: p, Layers: []plot.Plotter{layer},
		Caption: fmt.Sprintf("Bootstrap of factor %d: per cent of each species over the factors mapped to it. Whiskers: 5th to 95th percentile; boxes: 25th to 75th; line: median; point: base run.", k+1),
		width:   r.speciesWidth(), height: 4.4 * vg.Inch,
	}
}

// newPlot is an empty plot in the style of the report.
func newPlot(title string) *plot.Plot {
	p := plot.New()
	p.BackgroundColor = paper
	p.Title.Text = title
	p.Title.Padding = 14
	texts := []*draw.TextStyle{&p.Title.TextStyle, &p.X.Label.TextStyle, &p.Y.Label.TextStyle,
		&p.X.Tick.Label, &p.Y.Tick.Label, &p.Legend.TextStyle}
	for i, s := range texts {
		size := []vg.Length{14, 11, 11, 9.5, 9.5, 9.5}[i]
		s.Font, s.Color = sans(size).Font, ink
	}
	for _, a := range []*plot.Axis{&p.X, &p.Y} {
		a.LineStyle.Color, a.Tick.LineStyle.Color = ink, ink
		a.Label.Padding = 4
	}
	p.Legend.Top = true
	p.Legend.YOffs = 26 // beside the title
	p.Legend.Padding = 3
	p.Legend.ThumbnailWidth = 14
	return p
}

// speciesPlot is a plot with one place for each species, names upright below.
func (r *Result) speciesPlot(title string) *plot.Plot {
	p := newPlot(title)
	p.HideX()
	p.X.Min, p.X.Max = -0.7, float64(r.Data.Species())-0.3
	p.X.Label.Text = "Species"
	p.Add(&names{r.Data.Names})
	return p
}

func (r *Result) speciesWidth() vg.Length {
	return max(9, 1.6+0.23*vg.Length(r.Data.Species())) * vg.Inch
}

// draw puts the figure on a canvas of any kind.
func (f *figure) draw(c vg.CanvasSizer) { f.Plot.Draw(draw.Crop(draw.New(c), 6, -8, 6, -8)) }

// png renders the figure at 150 dots an inch.
func (f *figure) png() ([]byte, error) {
	c := vgimg.PngCanvas{Canvas: vgimg.NewWith(vgimg.UseWH(f.width, f.height), vgimg.UseDPI(150), vgimg.UseBackgroundColor(paper))}
	f.draw(c)
	var b bytes.Buffer
	_, err := c.WriteTo(&b)
	return b.Bytes(), err
}

// svg renders the figure as text that stays text.
func (f *figure) svg() ([]byte, error) {
	c := vgsvg.New(f.width, f.height)
	f.draw(c)
	var b bytes.Buffer
	_, err := c.WriteTo(&b)
	return fitText(b.Bytes()), err
}

// svgText takes a piece of text in an SVG file apart: before its attributes, its style with the
// size of its font, and the words.
var svgText = regexp.MustCompile(`(<text )([^>]*font-family:Liberation Sans)(;[^>]*font-size:([0-9.]+)px[^>]*>)([^<]*)`)

// fitText tells each text how long it has to be, and which fonts will do. The layout was made with
// the measures of one font, which the reader's system may not have: without this a wider one runs
// into its neighbours.
func fitText(svg []byte) []byte {
	return svgText.ReplaceAllFunc(svg, func(text []byte) []byte {
		part := svgText.FindSubmatch(text)
		size, err := strconv.ParseFloat(string(part[4]), 64)
		if err != nil {
			return text
		}
		style := sans(vg.Length(size))
		width := style.Width(html.UnescapeString(string(part[5])))
		return fmt.Appendf(nil, `%stextLength="%.2f" lengthAdjust="spacingAndGlyphs" %s,Arial,Helvetica,sans-serif%s%s`,
			part[1], width.Points(), part[2], part[3], part[5])
	})
}

// sans is the style of all text.
func sans(size vg.Length) draw.TextStyle {
	return draw.TextStyle{Color: ink, Handler: plot.DefaultTextHandler,
		Font: font.Font{Typeface: "Liberation", Variant: "Sans", Size: size}}
}

// times reads the dates of samples; ok is false if one of them cannot be read.
func times(dates []string) (when []time.Time, ok bool) {
	layouts := []string{"1/2/2006 15:04", "1/2/2006", "2006-01-02 15:04:05", "2006-01-02 15:04", "2006-01-02", time.RFC3339}
	for _, layout := range layouts {
		when = when[:0]
		for _, date := range dates {
			t, err := time.Parse(layout, date)
			if err != nil {
				break
			}
			when = append(when, t)
		}
		if len(when) == len(dates) {
			return when, true
		}
	}
	return nil, false
}

// gaps finds the samples before which nothing was taken for much longer than usual.
func gaps(when []time.Time) (after []int) {
	const much = 20 // times the median interval
	var between []time.Duration
	for i := range len(when) - 1 {
		between = append(between, when[i+1].Sub(when[i]))
	}
	if len(between) == 0 {
		return nil
	}
	usual := sorted(between)[len(between)/2]
	for i, d := range between {
		if d > much*usual {
			after = append(after, i+1)
		}
	}
	return after
}
