//go:build unix

package launch

import (
	"os"
	"syscall"

	"github.com/tutti-hpc/tutti"
)

// HandOver becomes the launcher: it does not return unless that fails.
func HandOver(path string, args []string) error {
	return tutti.E("run", tutti.Failed, syscall.Exec(path, append([]string{path}, args...), os.Environ()))
}
