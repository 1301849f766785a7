//go:build race

package main

const raced = true // the race detector watches, and drawing takes ten times as long
