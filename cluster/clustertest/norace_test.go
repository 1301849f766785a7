//go:build !race

package clustertest_test

const defaultScenes = 500
