package main

import (
	"fmt"
	"image/color"
	"math"
	"time"

	"gonum.org/v1/plot"
	"gonum.org/v1/plot/vg"
	"gonum.org/v1/plot/vg/draw"
)

// The layers of the figures: small plotters that gonum/plot does not have, each holding the
// numbers it draws.

const halfBar = 0.36 // of the distance between two species

// logBars draws one bar for each positive value. Its axis counts decades: gonum/plot's own
// logarithmic scale would take room for the axis' title as if the title stood at its top.
type logBars struct {
	Values    []float64
	Color     color.Color
	low, high float64 // the ends of the axis, as powers of ten
}

func (b *logBars) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	for j, v := range b.Values {
		if top := math.Log10(v); top > b.low { // not of zero, whose logarithm is -Inf
			c.FillPolygon(b.Color, corners(x(float64(j)-halfBar), c.Min.Y, x(float64(j)+halfBar), y(top)))
		}
	}
}

func (b *logBars) DataRange() (xmin, xmax, ymin, ymax float64) {
	return 0, float64(len(b.Values) - 1), b.low, b.high
}

func (b *logBars) Thumbnail(c *draw.Canvas) {
	c.FillPolygon(b.Color, corners(c.Min.X, c.Min.Y, c.Max.X, c.Max.Y))
}

// decades are the exponents of the powers of ten round the positive values, at most five of them, so that a
// species of which next to nothing is there does not squeeze the rest.
func decades(values []float64) (low, high float64) {
	least, most := math.Inf(1), 0.0
	for _, v := range values {
		if v > 0 {
			least, most = min(least, v), max(most, v)
		}
	}
	if most == 0 {
		return -1, 0
	}
	top := math.Ceil(math.Log10(most))
	bottom := math.Floor(math.Log10(least))
	return max(min(bottom, top-1), top-5), top
}

// percentPoints draws points against a right-hand axis of its own, from 0 to 100.
type percentPoints struct {
	Values []float64
	Label  string
	Color  color.Color
}

var pointStyle = draw.GlyphStyle{Radius: 2.6, Shape: draw.BoxGlyph{}}

func (q *percentPoints) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	up := func(percent float64) vg.Length { return c.Min.Y + vg.Length(percent/100)*(c.Max.Y-c.Min.Y) }
	style := pointStyle
	style.Color = q.Color
	for j, v := range q.Values {
		c.DrawGlyphNoClip(style, vg.Point{X: x(float64(j)), Y: up(v)})
	}
	right := c.Max.X + 4
	c.StrokeLine2(p.Y.LineStyle, right, c.Min.Y, right, c.Max.Y)
	tick := p.Y.Tick.Label
	tick.XAlign, tick.YAlign, tick.Rotation = draw.XLeft, draw.YCenter, 0
	for v := 0.0; v <= 100; v += 20 {
		c.StrokeLine2(p.Y.Tick.LineStyle, right, up(v), right+5, up(v))
		c.FillText(tick, vg.Point{X: right + 8, Y: up(v)}, fmt.Sprint(v))
	}
	label := p.Y.Label.TextStyle
	label.Rotation, label.XAlign, label.YAlign = math.Pi/2, draw.XCenter, draw.YTop
	c.FillText(label, vg.Point{X: right + 32, Y: c.Center().Y}, q.Label)
}

// GlyphBoxes keeps room for the axis on the right.
func (q *percentPoints) GlyphBoxes(*plot.Plot) []plot.GlyphBox {
	return []plot.GlyphBox{{X: 1, Y: 0.5, Rectangle: vg.Rectangle{Max: vg.Point{X: 54}}}}
}

func (q *percentPoints) DataRange() (xmin, xmax, ymin, ymax float64) {
	return 0, float64(len(q.Values) - 1), math.Inf(1), math.Inf(-1)
}

func (q *percentPoints) Thumbnail(c *draw.Canvas) {
	style := pointStyle
	style.Color = q.Color
	c.DrawGlyphNoClip(style, c.Center())
}

// names writes one name below each place of the x axis, from the bottom up.
type names struct{ Names []string }

// gap is what the names keep from the axis, so that a point at zero does not touch them.
const gap = 8

func (n *names) Plot(c draw.Canvas, p *plot.Plot) {
	x, _ := p.Transforms(&c)
	style := n.style(p)
	for j, name := range n.Names {
		c.FillText(style, vg.Point{X: x(float64(j)), Y: c.Min.Y - gap}, name)
	}
	c.StrokeLine2(p.Y.LineStyle, c.Min.X, c.Min.Y, c.Max.X, c.Min.Y)
}

func (n *names) style(p *plot.Plot) draw.TextStyle {
	style := p.X.Tick.Label
	style.Rotation, style.XAlign, style.YAlign = math.Pi/2, draw.XRight, draw.YCenter
	return style
}

// GlyphBoxes keeps room for the longest name.
func (n *names) GlyphBoxes(p *plot.Plot) []plot.GlyphBox {
	style := n.style(p)
	style.Rotation = 0
	longest := vg.Length(0)
	for _, name := range n.Names {
		longest = max(longest, style.Width(name))
	}
	return []plot.GlyphBox{{X: 0.5, Rectangle: vg.Rectangle{
		Min: vg.Point{X: -1, Y: -longest - gap}, Max: vg.Point{X: 1}}}}
}

func (n *names) DataRange() (xmin, xmax, ymin, ymax float64) {
	return 0, float64(len(n.Names) - 1), math.Inf(1), math.Inf(-1)
}

// needles draws a line from zero up to each value: nothing is known between samples.
type needles struct {
	Values []float64
	Gaps   []int // samples with a broken line before them
	Color  color.Color
}

func (n *needles) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := draw.LineStyle{Color: n.Color, Width: max(0.6, min(3, 0.7*(c.Max.X-c.Min.X)/vg.Length(len(n.Values))))}
	for i, v := range n.Values {
		c.StrokeLine2(style, x(float64(i)), y(0), x(float64(i)), y(v))
	}
	broken := draw.LineStyle{Color: ink, Width: 0.7, Dashes: []vg.Length{4, 3}}
	for _, i := range n.Gaps {
		c.StrokeLine2(broken, x(float64(i)-0.5), c.Min.Y, x(float64(i)-0.5), c.Max.Y)
	}
}

func (n *needles) DataRange() (xmin, xmax, ymin, ymax float64) {
	for _, v := range n.Values {
		ymax = max(ymax, v)
	}
	return -0.5, float64(len(n.Values)) - 0.5, 0, max(ymax, 1)
}

// boxes draws a box and whiskers of percentiles for each species, and a point for the base.
type boxes struct {
	Spreads []Spread
	Base    []float64
	Color   color.NRGBA
}

func (b *boxes) Plot(c draw.Canvas, p *plot.Plot) {
	x, y := p.Transforms(&c)
	style := pointStyle
	style.Color = point
	for j, s := range b.Spreads {
		left, mid, right := x(float64(j)-halfBar), x(float64(j)), x(float64(j)+halfBar)
		b.box(&c, left, mid, right, [5]vg.Length{y(s.P5), y(s.P25), y(s.P50), y(s.P75), y(s.P95)})
		c.DrawGlyphNoClip(style, vg.Point{X: mid, Y: y(b.Base[j])})
	}
}

func (b *boxes) box(c *draw.Canvas, left, mid, right vg.Length, at [5]vg.Length) {
	light := b.Color
	light.A = 0x60
	line := draw.LineStyle{Color: b.Color, Width: 1}
	cap := (right - left) / 4
	c.StrokeLine2(line, mid, at[0], mid, at[1])
	c.StrokeLine2(line, mid, at[3], mid, at[4])
	c.StrokeLine2(line, mid-cap, at[0], mid+cap, at[0])
	c.StrokeLine2(line, mid-cap, at[4], mid+cap, at[4])
	c.FillPolygon(light, corners(left, at[1], right, at[3]))
	c.StrokeLines(line, append(corners(left, at[1], right, at[3]), vg.Point{X: left, Y: at[1]}))
	line.Width = 2
	c.StrokeLine2(line, left, at[2], right, at[2])
}

func (b *boxes) DataRange() (xmin, xmax, ymin, ymax float64) {
	return 0, float64(len(b.Spreads) - 1), 0, 100
}

func (b *boxes) Thumbnail(c *draw.Canvas) {
	y := func(t vg.Length) vg.Length { return c.Min.Y + t*(c.Max.Y-c.Min.Y) }
	w := c.Max.X - c.Min.X
	b.box(c, c.Min.X+w/4, c.Min.X+w/2, c.Max.X-w/4, [5]vg.Length{y(0), y(0.25), y(0.5), y(0.75), y(1)})
}

// rules draws faint lines across, at the labelled ticks or, for a figure with a right-hand axis,
// at its tens.
type rules struct{ percent bool }

func (r *rules) Plot(c draw.Canvas, p *plot.Plot) {
	style := draw.LineStyle{Color: grid, Width: 0.6}
	if r.percent {
		for i := range 6 {
			y := c.Min.Y + vg.Length(i)/5*(c.Max.Y-c.Min.Y)
			c.StrokeLine2(style, c.Min.X, y, c.Max.X, y)
		}
		return
	}
	_, y := p.Transforms(&c)
	for _, tick := range p.Y.Tick.Marker.Ticks(p.Y.Min, p.Y.Max) {
		if tick.Label != "" {
			c.StrokeLine2(style, c.Min.X, y(tick.Value), c.Max.X, y(tick.Value))
		}
	}
}

func corners(x0, y0, x1, y1 vg.Length) []vg.Point {
	return []vg.Point{{X: x0, Y: y0}, {X: x1, Y: y0}, {X: x1, Y: y1}, {X: x0, Y: y1}}
}

// percentTicks labels every twentieth per cent.
type percentTicks struct{}

func (percentTicks) Ticks(_, _ float64) (ticks []plot.Tick) {
	for v := 0; v <= 100; v += 10 {
		tick := plot.Tick{Value: float64(v)}
		if v%20 == 0 {
			tick.Label = fmt.Sprint(v)
		}
		ticks = append(ticks, tick)
	}
	return ticks
}

// plainTicks are the usual ones without zeros that say nothing.
type plainTicks struct{}

func (plainTicks) Ticks(low, high float64) []plot.Tick {
	ticks := plot.DefaultTicks{}.Ticks(low, high)
	for i := range ticks {
		if ticks[i].Label != "" {
			ticks[i].Label = fmt.Sprintf("%.4g", ticks[i].Value)
		}
	}
	return ticks
}

// logTicks labels the powers of ten of an axis that counts decades, as plain numbers where they
// are short.
type logTicks struct{}

func (logTicks) Ticks(low, high float64) (ticks []plot.Tick) {
	for e := low; e <= high; e++ {
		label := fmt.Sprintf("%g", math.Pow(10, e))
		if e < -4 || e > 4 {
			label = fmt.Sprintf("1e%g", e)
		}
		ticks = append(ticks, plot.Tick{Value: e, Label: label})
		for k := 2.0; k < 10 && e < high; k++ {
			ticks = append(ticks, plot.Tick{Value: e + math.Log10(k)})
		}
	}
	return ticks
}

// dateTicks labels some of the samples with their dates.
type dateTicks []time.Time

func (d dateTicks) Ticks(_, _ float64) (ticks []plot.Tick) {
	const most = 10
	step := max(1, (len(d)+most-1)/most)
	for i := 0; i < len(d); i += step {
		ticks = append(ticks, plot.Tick{Value: float64(i), Label: d[i].Format("2006-01-02")})
	}
	return ticks
}
