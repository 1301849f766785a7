//go:build !amd64

package main

func weigh(b, weight, w, h []float64, np, p int) { weighGo(b, weight, w, h, np, p) }

func updateRows(w, b, wv, h []float64, np, p int) { updateRowsGo(w, b, wv, h, np, p) }

func addRows(num, den, b, wv, w []float64, np, p int) { addRowsGo(num, den, b, wv, w, np, p) }
