//go:build race

package sched

// How much the tests go through; less than without the race detector, which makes each step slower.
const (
	walks      = 50
	simEngines = 500
	simTasks   = 20_000
)
