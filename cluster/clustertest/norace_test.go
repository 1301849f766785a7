//go:build !race

package clustertest_test

const (
	defaultScenes = 500
	boundaryStep  = 1
	boundaryWalks = 100
)
