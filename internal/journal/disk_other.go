//go:build !linux

package journal

// Allocate does nothing here: the file grows as it is written, and a full disk shows at the
// write that did not fit.
func (f osFile) Allocate(int64) error { return nil }

// Sync flushes the contents (on macOS down to the medium).
func (f osFile) Sync() error { return f.File.Sync() }
