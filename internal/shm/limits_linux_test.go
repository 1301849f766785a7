package shm

import (
	"runtime"
	"testing"
)

func TestThisMachine(t *testing.T) {
	n, err := CPUs()
	if err != nil || n <= 0 || n > float64(runtime.NumCPU()) {
		t.Fatal(n, err)
	}
	room, err := Room()
	if err != nil || room <= 1<<20 {
		t.Fatal(room, err)
	}
}
