// Command heat lets a temperature spread over a plate, with its rim held at fixed temperatures,
// by explicit steps of the heat equation. The plate is cut into blocks on a Cartesian grid of
// ranks, which exchange the edges of their blocks (halos) in each step. The program is the same
// for one rank and for many, and so is the result, to the last bit.
//
//	tutti run -n 4 ./heat -nx 400 -ny 300 -steps 500
package main

import (
	"context"
	"flag"
	"fmt"
	"log"
	"math"

	"github.com/tutti-hpc/tutti/mpi"
)

func main() {
	nx := flag.Int("nx", 120, "points across")
	ny := flag.Int("ny", 90, "points down")
	steps := flag.Int("steps", 200, "time steps")
	flag.Parse()
	c, err := mpi.Init(context.Background())
	if err != nil {
		log.Fatal(err)
	}
	plate, err := heat(c, *nx, *ny, *steps)
	if err != nil {
		log.Fatal(err)
	}
	if c.Rank() == 0 {
		if err := check(plate, *nx, *ny); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("the middle of the plate has %.6f after %d steps, on %d ranks\n", plate[*ny/2**nx+*nx/2], *steps, c.Size())
	}
	if err := mpi.Finalize(); err != nil {
		log.Fatal(err)
	}
}

// rim is the temperature outside the plate: 1 along the left side, 0 elsewhere.
func rim(x, _ int) float64 {
	if x < 0 {
		return 1
	}
	return 0
}

// block is a rank's part of the plate, with a halo one point wide: w by h points that begin at
// (x0, y0).
type block struct {
	grid         *mpi.Comm
	x0, y0, w, h int
	now, next    []float64
	column       [2][]float64 // a column to send and one to receive: columns are not contiguous
}

// share is the part of n points that is at place i of k: equal parts up to one point.
func share(n, i, k int) (from, count int) {
	from = n * i / k
	return from, n*(i+1)/k - from
}

func newBlock(grid *mpi.Comm, nx, ny int) (*block, error) {
	dims, _, at, err := grid.CartGet()
	if err != nil {
		return nil, err
	}
	b := &block{grid: grid}
	b.y0, b.h = share(ny, at[0], dims[0])
	b.x0, b.w = share(nx, at[1], dims[1])
	b.now, b.next = make([]float64, (b.w+2)*(b.h+2)), make([]float64, (b.w+2)*(b.h+2))
	b.column[0], b.column[1] = make([]float64, b.h), make([]float64, b.h)
	// The halo on the plate's rim stays as it is; elsewhere it is overwritten by the neighbours.
	for y := range b.h + 2 {
		for x := range b.w + 2 {
			if gx, gy := b.x0+x-1, b.y0+y-1; gx < 0 || gx >= nx || gy < 0 || gy >= ny {
				b.now[y*(b.w+2)+x], b.next[y*(b.w+2)+x] = rim(gx, gy), rim(gx, gy)
			}
		}
	}
	return b, nil
}

// row is row y of the block, without its halo.
func (b *block) row(y int) []float64 { return b.now[y*(b.w+2)+1:][:b.w] }

// exchange fills the halo with the neighbours' edges. Beyond the rim there is nobody, and the
// halo stays.
func (b *block) exchange() error {
	for _, way := range []struct{ disp, send, recv int }{{1, b.h, 0}, {-1, 1, b.h + 1}} {
		from, to, err := b.grid.CartShift(0, way.disp)
		if err != nil {
			return err
		}
		if _, err := mpi.Sendrecv(b.grid, b.row(way.send), to, 0, b.row(way.recv), from, 0); err != nil {
			return err
		}
	}
	for _, way := range []struct{ disp, send, recv int }{{1, b.w, 0}, {-1, 1, b.w + 1}} {
		from, to, err := b.grid.CartShift(1, way.disp)
		if err != nil {
			return err
		}
		for y := range b.h {
			b.column[0][y] = b.now[(y+1)*(b.w+2)+way.send]
		}
		if _, err := mpi.Sendrecv(b.grid, b.column[0], to, 1, b.column[1], from, 1); err != nil {
			return err
		}
		for y := 0; from != mpi.ProcNull && y < b.h; y++ {
			b.now[(y+1)*(b.w+2)+way.recv] = b.column[1][y]
		}
	}
	return nil
}

// step goes forward by a quarter of the squared distance of points, the longest stable step.
func (b *block) step() {
	w := b.w + 2
	for y := 1; y <= b.h; y++ {
		for x := 1; x <= b.w; x++ {
			i := y*w + x
			b.next[i] = 0.25 * (b.now[i-1] + b.now[i+1] + b.now[i-w] + b.now[i+w])
		}
	}
	b.now, b.next = b.next, b.now
}

// heat gives the whole plate, row by row, on rank 0.
func heat(c *mpi.Comm, nx, ny, steps int) ([]float64, error) {
	dims, err := mpi.Dims(c.Size(), []int{0, 0})
	if err != nil {
		return nil, err
	}
	grid, err := c.CartCreate(dims, nil)
	if err != nil {
		return nil, err
	}
	defer grid.Free()
	b, err := newBlock(grid, nx, ny)
	if err != nil {
		return nil, err
	}
	for range steps {
		if err := b.exchange(); err != nil {
			return nil, err
		}
		b.step()
	}
	return b.collect(dims, nx, ny)
}

// collect puts the blocks together on rank 0.
func (b *block) collect(dims []int, nx, ny int) ([]float64, error) {
	var mine []float64
	for y := range b.h {
		mine = append(mine, b.row(y+1)...)
	}
	n := b.grid.Size()
	counts := make([]int, n)
	for r := range n {
		_, h := share(ny, r/dims[1], dims[0])
		_, w := share(nx, r%dims[1], dims[1])
		counts[r] = w * h
	}
	all := make([]float64, nx*ny)
	if err := mpi.Gatherv(b.grid, mine, all, counts, nil, 0); err != nil || b.grid.Rank() != 0 {
		return nil, err
	}
	plate := make([]float64, nx*ny)
	for r := range n {
		y0, h := share(ny, r/dims[1], dims[0])
		x0, w := share(nx, r%dims[1], dims[1])
		for y := range h {
			copy(plate[(y0+y)*nx+x0:], all[:w])
			all = all[w:]
		}
	}
	return plate, nil
}

// check holds the plate against what must be true of it: temperatures lie between those of the
// rim, and upper and lower half are mirror images.
func check(plate []float64, nx, ny int) error {
	for y := range ny {
		for x := range nx {
			v, mirror := plate[y*nx+x], plate[(ny-1-y)*nx+x]
			if v < 0 || v > 1 || math.Abs(v-mirror) > 1e-12 {
				return fmt.Errorf("at (%d, %d) it has %v, mirrored %v", x, y, v, mirror)
			}
		}
	}
	return nil
}
