package main

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// The vector kernels give the bits of the plain loops, for every shape and with zeros, numbers
// that vanish, and padding.
func TestVectorsEqualLoops(t *testing.T) {
	if !vectors {
		t.Skip("this processor has no AVX2 and FMA")
	}
	rng := rand.New(rand.NewPCG(3, 4))
	draw := func(n int) []float64 {
		x := make([]float64, n)
		for i := range x {
			switch rng.IntN(8) {
			case 0:
			case 1:
				x[i] = 1e-101 * rng.Float64()
			default:
				x[i] = rng.ExpFloat64()
			}
		}
		return x
	}
	for p := 1; p <= 9; p++ {
		for mp := lanes; mp <= 11*lanes; mp += lanes {
			np := lanes * (1 + rng.IntN(4))
			weight, wv, h, w := draw(lanes*mp), draw(lanes*mp), draw(p*mp), draw(p*np)
			clear(h[(p-1)*mp:])  // a factor that died out: 0/0
			clear(weight[3*mp:]) // padding
			clear(wv[3*mp:])
			num, den, b := draw(p*mp), draw(p*mp), make([]float64, lanes*mp)
			w2, num2, den2, b2 := slices.Clone(w), slices.Clone(num), slices.Clone(den), slices.Clone(b)
			weigh(b, weight, w, h, np, p)
			updateRows(w, b, wv, h, np, p)
			addRows(num, den, b, wv, w, np, p)
			weighGo(b2, weight, w2, h, np, p)
			updateRowsGo(w2, b2, wv, h, np, p)
			addRowsGo(num2, den2, b2, wv, w2, np, p)
			same := slices.Equal(b, b2) && slices.Equal(w, w2) && slices.Equal(num, num2) && slices.Equal(den, den2)
			if !same {
				t.Fatalf("p %d, mp %d, np %d: the kernels differ", p, mp, np)
			}
		}
	}
}
