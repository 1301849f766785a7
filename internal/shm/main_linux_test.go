package shm

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// TestMain fails the package where a test left a file in /dev/shm.
func TestMain(m *testing.M) {
	if role := os.Getenv("SHM_TEST_ROLE"); role != "" {
		os.Exit(child(role))
	}
	code := m.Run()
	entries, _ := os.ReadDir(DefaultDir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), prefix+"-shmtest-") {
			fmt.Fprintln(os.Stderr, "left behind:", e.Name())
			code = 1
		}
	}
	os.Exit(code)
}
