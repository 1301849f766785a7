//go:build !race

package sched

// How much the tests go through; less under the race detector, which makes each step slower.
const (
	walks      = 300
	simEngines = 10_000
	simTasks   = 1_000_000
)
