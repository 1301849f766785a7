package blob

import (
	"fmt"
	"os"
	"runtime"
	"strings"
	"testing"

	"github.com/tutti-hpc/tutti/internal/shm"
)

// TestMain fails the package where a test left a file in shared memory, a child or a goroutine.
func TestMain(m *testing.M) {
	if role := os.Getenv("BLOB_TEST_ROLE"); role != "" {
		os.Exit(child(role))
	}
	code := m.Run()
	entries, _ := os.ReadDir(shm.DefaultDir)
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), "tutti-"+label+"-") {
			fmt.Fprintln(os.Stderr, "left behind:", e.Name())
			code = 1
		}
	}
	if code == 0 && !settled() {
		buf := make([]byte, 1<<20)
		fmt.Fprintf(os.Stderr, "goroutines left behind:\n%s\n", buf[:runtime.Stack(buf, true)])
		code = 1
	}
	os.Exit(code)
}

// settled waits for goroutines that are just ending.
func settled() bool {
	for range 10000 {
		buf := make([]byte, 1<<20)
		stacks := strings.Split(string(buf[:runtime.Stack(buf, true)]), "\n\n")
		n := 0
		for _, s := range stacks {
			if strings.Contains(s, "internal/blob.") && !strings.Contains(s, "TestMain") || strings.Contains(s, "net/http.") {
				n++
			}
		}
		if n == 0 {
			return true
		}
		runtime.Gosched()
	}
	return false
}
