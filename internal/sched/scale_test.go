//go:build !race

package sched

// walks is how many random worlds are gone through.
const walks = 300
