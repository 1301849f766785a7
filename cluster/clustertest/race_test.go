//go:build race

package clustertest_test

// Under the race detector everything takes ten times as long.
const (
	defaultScenes = 40
	boundaryStep  = 5
	boundaryWalks = 10
)
