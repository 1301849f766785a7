package main

import "golang.org/x/sys/cpu"

// vectors says whether the kernels of kernel_amd64.s can run here. They give the same bits as the
// loops of kernel.go; a test holds them to it.
var vectors = cpu.X86.HasAVX2 && cpu.X86.HasFMA

//go:noescape
func weighAVX(b, weight, w, h *float64, mp, np, p int)

//go:noescape
func updateRowsAVX(w, b, wv, h *float64, mp, np, p int)

//go:noescape
func addRowsAVX(num, den, b, wv, w *float64, mp, np, p int)

// The lengths that the vector kernels rely on are asked for here, once for each block: w reaches
// from the block's first row in factor 0 to its last row in factor p-1.

func weigh(b, weight, w, h []float64, np, p int) {
	if !vectors {
		weighGo(b, weight, w, h, np, p)
		return
	}
	mp := len(b) / lanes
	_, _, _ = weight[lanes*mp-1], w[(p-1)*np+lanes-1], h[p*mp-1]
	weighAVX(&b[0], &weight[0], &w[0], &h[0], mp, np, p)
}

func updateRows(w, b, wv, h []float64, np, p int) {
	if !vectors {
		updateRowsGo(w, b, wv, h, np, p)
		return
	}
	mp := len(b) / lanes
	_, _, _ = wv[lanes*mp-1], w[(p-1)*np+lanes-1], h[p*mp-1]
	updateRowsAVX(&w[0], &b[0], &wv[0], &h[0], mp, np, p)
}

func addRows(num, den, b, wv, w []float64, np, p int) {
	if !vectors {
		addRowsGo(num, den, b, wv, w, np, p)
		return
	}
	mp := len(b) / lanes
	_, _, _, _ = wv[lanes*mp-1], w[(p-1)*np+lanes-1], num[p*mp-1], den[p*mp-1]
	addRowsAVX(&num[0], &den[0], &b[0], &wv[0], &w[0], mp, np, p)
}
