package mpi

import (
	"slices"

	"github.com/tutti-hpc/tutti"
	"github.com/tutti-hpc/tutti/mpi/internal/device"
)

// cart is the grid that a Cartesian communicator lies on; the last coordinate varies fastest.
type cart struct {
	dims     []int
	periodic []bool
}

// Dims divides n ranks over dimensions as evenly as possible, larger factors first. Entries of
// dims that are not 0 are kept. Errors: Invalid where they do not divide n.
func Dims(n int, dims []int) ([]int, error) {
	out := slices.Clone(dims)
	var free []int
	for i, d := range out {
		if d == 0 {
			free = append(free, i)
			continue
		}
		if d < 0 || n%d != 0 {
			return nil, device.Errorf(tutti.Invalid, "%d ranks cannot be divided by %v", n, dims)
		}
		n /= d
	}
	if len(free) == 0 && n != 1 {
		return nil, device.Errorf(tutti.Invalid, "%v is not all ranks", dims)
	}
	for i, at := range free {
		out[at] = spread(n, len(free)-i)
		n /= out[at]
	}
	return out, nil
}

// spread is the smallest divisor of n that is at least its k-th root: the first of k factors.
func spread(n, k int) int {
	for d := 1; d < n; d++ {
		p := 1
		for range k {
			p *= d
		}
		if n%d == 0 && p >= n {
			return d
		}
	}
	return n
}

// CartCreate makes a communicator whose ranks lie on a grid of the given dimensions, closed to a ring
// where periodic says so (nil: nowhere). Ranks beyond the grid get nil; ranks keep their order.
// Collective. Errors: Invalid where the grid has more places than there are ranks.
func (c *Comm) CartCreate(dims []int, periodic []bool) (*Comm, error) {
	n := 1
	for _, d := range dims {
		if d < 1 || n > c.size {
			n = c.size + 1
			break
		}
		n *= d
	}
	if periodic == nil {
		periodic = make([]bool, len(dims))
	}
	if n > c.size || len(periodic) != len(dims) {
		return nil, c.failed("CartCreate", device.Errorf(tutti.Invalid, "a grid %v (%d of its directions periodic or not) for %d ranks", dims, len(periodic), c.size))
	}
	color := 0
	if c.rank >= n {
		color = Undefined
	}
	g, err := c.Split(color, c.rank)
	if g != nil {
		g.cart = &cart{slices.Clone(dims), slices.Clone(periodic)}
		g.SetName("grid of " + c.Name())
	}
	return g, err
}

// grid gives the Cartesian structure or an error.
func (c *Comm) grid(op string) (*cart, error) {
	if c.cart == nil {
		return nil, c.failed(op, device.Errorf(tutti.Invalid, "the communicator has no grid").WithHint("make one with CartCreate"))
	}
	return c.cart, nil
}

// CartGet gives the grid's dimensions, whether they are periodic, and the calling rank's
// coordinates. Errors: Invalid without a grid.
func (c *Comm) CartGet() (dims []int, periodic []bool, coords []int, err error) {
	g, err := c.grid("CartGet")
	if err != nil {
		return nil, nil, nil, err
	}
	return slices.Clone(g.dims), slices.Clone(g.periodic), g.coords(c.rank), nil
}

func (g *cart) coords(rank int) []int {
	out := make([]int, len(g.dims))
	for i := len(out) - 1; i >= 0; i-- {
		out[i] = rank % g.dims[i]
		rank /= g.dims[i]
	}
	return out
}

// rank is the inverse of coords; ok is false outside the grid.
func (g *cart) rank(coords []int) (rank int, ok bool) {
	for i, x := range coords {
		if g.periodic[i] {
			x = (x%g.dims[i] + g.dims[i]) % g.dims[i]
		}
		if x < 0 || x >= g.dims[i] {
			return ProcNull, false
		}
		rank = rank*g.dims[i] + x
	}
	return rank, true
}

// CartCoords gives the coordinates of a rank.
func (c *Comm) CartCoords(rank int) ([]int, error) {
	g, err := c.grid("CartCoords")
	if err == nil && (rank < 0 || rank >= c.size) {
		err = c.failedWith("CartCoords", rank, -1, device.Errorf(tutti.Invalid, "there is no such rank"))
	}
	if err != nil {
		return nil, err
	}
	return g.coords(rank), nil
}

// CartRank gives the rank at coordinates, which wrap round in periodic directions. Errors:
// Invalid outside the grid.
func (c *Comm) CartRank(coords ...int) (int, error) {
	g, err := c.grid("CartRank")
	if err != nil {
		return ProcNull, err
	}
	if len(coords) == len(g.dims) {
		if r, ok := g.rank(coords); ok {
			return r, nil
		}
	}
	return ProcNull, c.failed("CartRank", device.Errorf(tutti.Invalid, "%v is not on the grid %v", coords, g.dims))
}

// CartShift gives the ranks to receive from and to send to when all data move by disp along a
// direction; [ProcNull] beyond an edge.
func (c *Comm) CartShift(direction, disp int) (from, to int, err error) {
	g, err := c.grid("CartShift")
	if err == nil && (direction < 0 || direction >= len(g.dims)) {
		err = c.failed("CartShift", device.Errorf(tutti.Invalid, "there is no direction %d", direction))
	}
	if err != nil {
		return ProcNull, ProcNull, err
	}
	at := g.coords(c.rank)
	at[direction] += disp
	to, _ = g.rank(at)
	at[direction] -= 2 * disp
	from, _ = g.rank(at)
	return from, to, nil
}

// CartSub cuts the grid into lower-dimensional ones: those directions stay that keep says.
// Collective.
func (c *Comm) CartSub(keep ...bool) (*Comm, error) {
	g, err := c.grid("CartSub")
	if err == nil && len(keep) != len(g.dims) {
		err = c.failed("CartSub", device.Errorf(tutti.Invalid, "%d choices for %d directions", len(keep), len(g.dims)))
	}
	if err != nil {
		return nil, err
	}
	sub := &cart{}
	color, key := 0, 0
	for i, x := range g.coords(c.rank) {
		if keep[i] {
			sub.dims, sub.periodic = append(sub.dims, g.dims[i]), append(sub.periodic, g.periodic[i])
			key = key*g.dims[i] + x
		} else {
			color = color*g.dims[i] + x
		}
	}
	s, err := c.Split(color, key)
	if s != nil {
		s.cart = sub
	}
	return s, err
}
