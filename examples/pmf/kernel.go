package main

import "math"

// The three kernels of a sweep, each over a block of four rows. Every product is added by a
// fused multiply-add and every sum has a fixed order, both part of their contract: so the
// vector version (kernel_amd64.s) and these loops give the same bits, and a replicate's result
// does not depend on the machine that made it.
//
// Shapes: h is p x mp; w holds factor k of row r at w[k*np+r]; the others are 4 x mp.

// weighGo sets b = weight o (W H).
func weighGo(b, weight, w, h []float64, np, p int) {
	mp := len(b) / lanes
	for r := range lanes {
		b, weight := b[r*mp:][:mp], weight[r*mp:][:mp]
		clear(b)
		for k := range p {
			x := w[k*np+r]
			for j, hj := range h[k*mp:][:mp] {
				b[j] = math.FMA(x, hj, b[j])
			}
		}
		for j := range b {
			b[j] *= weight[j]
		}
	}
}

// updateRowsGo multiplies the block's W by ((w o V)H') / ((w o WH)H'), given b = w o WH.
func updateRowsGo(w, b, wv, h []float64, np, p int) {
	mp := len(b) / lanes
	for r := range lanes {
		b, wv := b[r*mp:][:mp], wv[r*mp:][:mp]
		for k := range p {
			var num, den [lanes]float64
			h := h[k*mp:][:mp]
			for j := 0; j < mp; j += lanes {
				for l := range lanes {
					num[l] = math.FMA(wv[j+l], h[j+l], num[l])
					den[l] = math.FMA(b[j+l], h[j+l], den[l])
				}
			}
			x := &w[k*np+r]
			*x = scaled(*x, sum4(num), sum4(den))
		}
	}
}

// sum4 adds the lanes in the order of the vector unit's horizontal add.
func sum4(x [lanes]float64) float64 { return (x[0] + x[1]) + (x[2] + x[3]) }

// addRowsGo adds the block's share of W'(w o V) to num and of W'(w o WH) to den, given
// b = w o WH; num and den are p x mp.
func addRowsGo(num, den, b, wv, w []float64, np, p int) {
	mp := len(b) / lanes
	for k := range p {
		num, den := num[k*mp:][:mp], den[k*mp:][:mp]
		for r := range lanes {
			x := w[k*np+r]
			b, wv := b[r*mp:][:mp], wv[r*mp:][:mp]
			for j := range num {
				num[j] = math.FMA(x, wv[j], num[j])
				den[j] = math.FMA(x, b[j], den[j])
			}
		}
	}
}
