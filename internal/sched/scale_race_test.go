//go:build race

package sched

// walks is how many random worlds are gone through; the race detector makes each slower.
const walks = 60
